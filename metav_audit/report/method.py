"""The method in one page of plain words, for readers who know neither statistics nor machine learning."""

from __future__ import annotations

from metav_audit.bundle import VerifierKind
from metav_audit.task import OutputKind

_MADE = {
    VerifierKind.JOINT: (
        "Questions and meta-verifier were optimised together on models of known origin (MetaV: Pan, Yan, Zhang and "
        "Yang, KDD 2022)."
    ),
    VerifierKind.AGREEMENT: (
        "This meta-verifier gives the share of questions on which the endpoint's top label is the protected model's "
        "own (as in IPGuard: Cao, Jia and Gong, AsiaCCS 2021)."
    ),
    VerifierKind.BITS: (
        "The questions were optimised on models of known origin so that the answers of derived models spell certain "
        "bits. The bits, and the split of the classes that reads each, follow from the hash of the owner's identity "
        "and a nonce. This meta-verifier gives the share of bits spelled right (after FIT-Print)."
    ),
    VerifierKind.LOCAL: (
        "Each question was optimised together with a small verifier of its own on models of known origin, and this "
        "meta-verifier gives the mean of what these say (after LiteGuard, ICLR 2026)."
    ),
    VerifierKind.CORRELATION: (
        "This meta-verifier compares how alike the endpoint's answers to different questions are with how alike the "
        "protected model's own answers to them are (SAC, NeurIPS 2022)."
    ),
    VerifierKind.COMMITTEE: (
        "Questions and meta-verifier were optimised together on models of known origin and on answers made up between "
        "theirs (after MetaV: Pan, Yan, Zhang and Yang, KDD 2022). This meta-verifier is the mean of several: how far "
        "the answers are from the protected model's own; a linear rule a question; and one network on all answers."
    ),
    VerifierKind.SIBLINGS: (
        "The owner ran the training of the protected model again, with the same data and program and other random "
        "numbers: what came out are its siblings. The questions are those on which all these models disagree most; "
        "nothing in their choice knows which of them is the protected one. This meta-verifier tells how much nearer "
        "the answers are to it than to its siblings."
    ),
    VerifierKind.ACCOUNTS: (
        "The owner keeps a log of what accounts sent to its API. Whoever trains a model on the answers of another one "
        "has to ask it, and such a model owes the other most on what was asked, its mistakes above all. So the "
        "questions are inputs from that log. The owner also ran the training of the protected model again, with the "
        "same data and program and other random numbers: what came out are its siblings, which never answered any "
        "account. This meta-verifier tells how much nearer the answers are to the protected model than to its "
        "siblings, account by account."
    ),
}
_OF_CLASSES = {
    VerifierKind.COMMITTEE: (
        " Two more are the same distance without small probabilities, and the share of top labels that agree; where an "
        "endpoint shows labels alone, that share counts alone."
    ),
}
"""What else is said where the task has classes."""
_STEPS = (
    (
        "A fingerprint is prepared.",
        "The owner of the protected model made a fixed list of inputs, the questions, which models derived from it "
        "answer alike, and independently trained models otherwise. With them came a meta-verifier: a small fixed "
        "function that reads all answers of one endpoint together and gives one score between 0 and 1. {made}",
    ),
    (
        "The endpoint is asked.",
        "The questions were sent to the endpoint as any customer sends inputs, and its answers were recorded. Nothing "
        "but the answers was seen: not the model behind the endpoint, not its code, not the data it was trained on.",
    ),
    (
        "The answers get one score.",
        "A high score says that the answers, taken together, are like those of models derived from the protected "
        "model; a low score, that they are like those of independent ones.",
    ),
    (
        "The score is compared with known cases.",
        "The same meta-verifier scored the calibration models: other models, whose origin is known, that had no part "
        "in making the fingerprint. They were scored as if they had been asked in the endpoint's place, with the same "
        "questions left out and seen through the same window. Models that come from one training run are no "
        "independent witnesses: they count once, by the member that speaks most against the side's own rate of errors.",
    ),
    (
        "Rare or usual: two p-values.",
        "Each comparison gives a share: of the models of one side, the endpoint counted among them, how many score at "
        "least as extremely? A small share among independent models says that an independent model would seldom score "
        "like that. With n models to compare, no share can be smaller than 1/(n + 1).",
    ),
    (
        "The weight: a likelihood ratio.",
        "How many times more probable is such a score if the first proposition is true than if the second is? The "
        "answer comes from a logistic regression on the same calibration scores, one a lineage, in which both sides "
        "weigh the same. It is cut at the empirical lower and upper bounds (ELUB: Vergeer et al., Science and Justice "
        "56, 2016), beyond which so few lineages bear no ratio, and put into words by the scale of ENFSI's guideline "
        "for evaluative reporting (2015). The cost Cllr says how far such ratios can be trusted: 0 is perfect, and "
        "ratios that are always 1 have 1.",
    ),
    (
        "The rule decides.",
        "A match is declared only if the score is rare among independent models and not rare among derived ones (and, "
        "with siblings, if the third share is small); no match, if it is the other way round; anything else is "
        "inconclusive, and so is a match or no match that the likelihood ratio does not support by ten to one (by less "
        "where the promise is looser than 5 %), a match where no independent model in the calibration has the "
        "protected model's own architecture, and whatever noise in the endpoint's answers would decide alone. What "
        "counts as rare was fixed in the bundle as a promised rate of errors, and the bundle's hash stands in this "
        "report.",
    ),
)
_SIBLINGS = (
    "Nearer than its siblings: an exact p-value.",
    "A third share: of the protected model and its siblings, to how many is the endpoint at least as near as to the "
    "protected one? If the endpoint's model came to be without it, any of them may come first with the same chance, "
    "whoever made the endpoint's model and from what. This rests on one thing alone, that the siblings were trained "
    "as the protected model was.",
)
"""Stands before the weight where there are siblings."""
_RANKED = (VerifierKind.SIBLINGS, VerifierKind.ACCOUNTS)
"""The meta-verifiers that know siblings."""
_SIBLING = ("Sibling", "a model from the protected one's program and data, with other random numbers.")
TERMS = (
    ("Protected model", "the owner's model, which the fingerprint was made for."),
    ("Endpoint", "the service that was asked; what runs behind it is not seen."),
    ("Derived", "made from the protected model: copied, fine-tuned, pruned, or trained on its answers."),
    ("Independent", "trained without the protected model's weights, its answers, or its descendants."),
    ("Lineage", "all models that come from one training run; one witness."),
    ("Likelihood ratio", "above 1 it speaks for the first proposition, below 1 for the second; 1 says nothing."),
    ("Bundle", "fingerprint, meta-verifier, calibration and promised error rates, with one hash."),
    ("Transcript", "every request, response, failure and retry, each record chained to the one before it."),
)


def steps(kind: VerifierKind, output: OutputKind) -> tuple[tuple[str, str], ...]:
    """Return the method's steps, title and text, for one kind of meta-verifier and of output."""
    made = _MADE[kind] + (_OF_CLASSES.get(kind, "") if output is OutputKind.CLASSIFICATION else "")
    told = tuple((title, text.replace("{made}", made)) for title, text in _STEPS)
    return (*told[:5], _SIBLINGS, *told[5:]) if kind in _RANKED else told


def terms(kind: VerifierKind) -> tuple[tuple[str, str], ...]:
    """Return the terms that need a word, each with its meaning."""
    return (*TERMS[:4], _SIBLING, *TERMS[4:]) if kind in _RANKED else TERMS
