"""The decision: bundle and reading in, verdict out; pure, offline, the same every time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import TranscriptError
from metav_audit.statistics import verbal
from metav_audit.verdict.accounts import find_in_accounts
from metav_audit.verdict.blind import Controls, score_controls
from metav_audit.verdict.guarantee import guarantee_of
from metav_audit.verdict.judgement import Judgement, unless
from metav_audit.verdict.looks import OverLooks
from metav_audit.verdict.reading import Reading, doubts
from metav_audit.verdict.rule import Rule
from metav_audit.verdict.rules import RULES, Rules
from metav_audit.verdict.sanity import run_sanity_controls, with_ancestor
from metav_audit.verdict.soundness import calibration_doubts, too_little_of_its_own
from metav_audit.verdict.verdict import Verdict, VerdictOutcome


def decide(
    bundle: FingerprintBundle, reading: Reading, controls: Controls | None = None, rules: Rules = RULES
) -> Verdict:
    """Decide what the answers say of the suspect.

    1. If too little was answered, or the answers are not those of one model of the task, no verdict is given.
    2. The meta-verifier scores the suspect, and every calibration model through the same view.
    3. A likelihood ratio weighs the two propositions, from the bundle's table where all is shown and answered, and
       otherwise fitted to what the same view shows of the calibration.
    4. Two conformal p-values say how the score sits among independents and among derived models, and so decide, unless
       the likelihood ratio contradicts them, or the exact rank among the target's siblings, where it has any. Behind
       noise they have to say the same without noise on the calibration. A match stands only where the calibration
       knows independents of the target's own architecture. Where the audit might stop early, the p-values hold over
       all its looks; see ``OverLooks``.
       A target that was tuned from an ancestor must have enough of its own to be told from its siblings.
    5. The same rule judges the sanity controls, and a third party's blind controls where there are any: if it fails
       on them, or the calibration's own models are no models of the task, it decides nothing.
    6. Where the queries are inputs of the owner's request log, each account is looked at alone, too.

    Args:
        bundle: the owner's fingerprint, verifier and calibration.
        reading: what the answers show; see ``read``.
        controls: a third party's blind controls.
        rules: the thresholds.

    Raises:
        TranscriptError: the controls were recorded with another bundle.
        AnswerError: a control's answer does not fit the task.
        BundleError: the bundle's table of likelihood ratios does not follow from its calibration.
    """
    if controls is not None and controls.bundle_sha256 != bundle.sha256:
        raise TranscriptError("the controls were asked another bundle's fingerprint: ask them this one's")
    # 1.
    if reading.faults:
        return _verdict(bundle, reading, reading.faults, None)
    # 2. and 3.
    shown, view, space = reading.shown, reading.view, bundle.task.output
    rule = Rule.of(bundle, reading, rules) if reading.looks is None else OverLooks.of(bundle, reading, rules)
    # 4.
    judgement = unless(rule.weighed(shown), too_little_of_its_own(bundle, rules), bundle.rates)
    # 5.
    seed, promised = reading.seed, bundle.rates.false_match
    shuffles = rules.sanity_shuffles
    sanity = run_sanity_controls(
        shown, bundle.reference, space, view, rule, promised, seed, shuffles, rules.sanity_chance
    )
    if bundle.ancestor is not None:
        sanity = with_ancestor(sanity, bundle.ancestor, shown, space, view, rule)
    blind = None
    if controls is not None:
        lineages = len(rule.held_out.lineage_scores(derived=False))
        unlike = partial(doubts, bundle, rules)
        blind = score_controls(controls, space, view, shown.answered, rule, promised, lineages, unlike, rules)
    unsound = calibration_doubts(bundle, rules)
    failures = (*sanity.failures, *unsound, *(blind.failures(rules) if blind else ()))
    if failures:
        judgement = replace(judgement, outcome=VerdictOutcome.INCONCLUSIVE)
    reasons = failures or (judgement.reason,)
    if reading.looks is not None:
        reasons = (*reasons, reading.looks.sentence)
    verdict = _verdict(bundle, reading, reasons, judgement)
    accounts = find_in_accounts(bundle, rule.verifier, shown)
    return replace(verdict, sanity=sanity, controls=blind, accounts=accounts)


def _verdict(
    bundle: FingerprintBundle, reading: Reading, reasons: tuple[str, ...], judgement: Judgement | None
) -> Verdict:
    lineages = {(card.derived, card.lineage) for card in bundle.calibration.models}
    derived = sum(side for side, _ in lineages)
    return Verdict(
        outcome=judgement.outcome if judgement else VerdictOutcome.INCONCLUSIVE,
        score=judgement.score if judgement else None,
        p_value=judgement.p_value if judgement else None,
        p_value_derived=judgement.p_value_derived if judgement else None,
        p_value_siblings=judgement.p_value_siblings if judgement else None,
        siblings=bundle.verifier.siblings,
        log10_lr=judgement.log10_lr if judgement else None,
        log10_lr_bounds=judgement.log10_lr_bounds if judgement else None,
        verbal=verbal(judgement.log10_lr) if judgement else None,
        independents=len(lineages) - derived,
        derived=derived,
        false_match_rate=bundle.rates.false_match,
        false_no_match_rate=bundle.rates.false_no_match,
        guarantee=guarantee_of(bundle),
        queries=len(bundle.inputs),
        answered=reading.answered,
        requests=reading.requests,
        reasons=reasons,
        bundle_sha256=bundle.sha256,
        transcript_sha256=reading.transcript_sha256,
        endpoint=reading.endpoint.name,
        url=reading.endpoint.url,
        view=reading.view.words(bundle.task.output),
        natural=reading.natural,
        p_value_family=judgement.p_value_family if judgement else None,
        looks=reading.looks,
    )
