"""What a suspect's answers say of answers drawn at random: which account's it was trained on, if any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import ServedPlan
from metav_audit.statistics import DRAWS, holm, served_gains, served_test
from metav_audit.task import Answer, check_answer
from metav_audit.transcript import Transcript
from metav_audit.verdict.asked import Asked
from metav_audit.verdict.drawn import DrawnVerdict, within

MISFIT = 0.001
"""An account is not named where what it was served looks so unlike what the model draws, by the model's own numbers."""


@dataclass(frozen=True, slots=True)
class ServedFinding:
    """What is found of one account.

    Attributes:
        account: its name.
        asked: prompts of it that the suspect was asked.
        answered: of these, those that tell its continuations apart.
        statistic: how much more the suspect leans to what was served than to the alternatives, standardised.
        p_value: exact, of "never saw what was served to this account".
        adjusted: the same for all accounts together, by Holm's method.
        fit: the p-value of "served and alternatives come from one model", two-sided, by the owner's own numbers.
    """

    account: str
    asked: int
    answered: int
    statistic: float
    p_value: float
    adjusted: float
    fit: float


@dataclass(frozen=True, slots=True)
class ServedVerdict(DrawnVerdict[ServedFinding]):
    """What the answers say; see ``DrawnVerdict``."""


def find_served(plan: ServedPlan, shown: NDArray[np.float64], draws: int = DRAWS) -> tuple[ServedFinding, ...]:
    """Test each account's answers against what a suspect shows; in the plan's order.

    Args:
        plan: with what was served and the alternatives.
        shown: the suspect's numbers, of shape (N, continuations); NaN in a row that is unanswered.
        draws: how often the served ones are drawn anew.
    """
    own, seed, leaning = plan.own, int(plan.sha256[:15], 16), leanings(plan, shown)
    tested, counts, fits = [], [], []
    for account in plan.accounts:
        at = plan.places(account)
        tested.append(served_test(leaning[at], seed, draws))
        counts.append((len(at), int((leaning[at] != 0).any(axis=1).sum())))
        fits.append(_fit(own[at], seed, draws))
    adjusted = holm([p_value for _, p_value in tested])
    return tuple(
        ServedFinding(account, *count, statistic, p_value, corrected, fit)
        for account, count, (statistic, p_value), corrected, fit in zip(
            plan.accounts, counts, tested, adjusted, fits, strict=True
        )
    )


def leanings(plan: ServedPlan, shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a suspect leans to each continuation beyond what the owner's model explains, account by account.

    Of shape (N, continuations), the one served first; noughts where nothing is told.
    """
    found = np.zeros(shown.shape)
    for account in plan.accounts:
        at = plan.places(account)
        found[at] = served_gains(shown[at], plan.own[at])
    return found


def numbers_of(plan: ServedPlan, answers: list[Answer | None], transcript: Transcript) -> NDArray[np.float64]:
    """Return answers as an array of shape (N, continuations), NaN where there is none.

    Raises:
        AnswerError: an answer does not fit the plan.
    """
    shown = np.full((len(answers), plan.task.output.size), np.nan)
    for row, answer in enumerate(answers):
        if answer is not None:
            check_answer(answer, plan.task.output, transcript.endpoint.scores)
            shown[row] = [np.nan if each is None else each for each in answer.scores]
    return shown


def decide_served(plan: ServedPlan, transcript: Transcript) -> ServedVerdict:
    """Say which account's answers a suspect was trained on.

    Raises:
        TranscriptError: the transcript was recorded with another plan.
        AnswerError: an answer does not fit the plan.
    """
    answers = Asked.of(plan, transcript).answers
    findings = find_served(plan, numbers_of(plan, answers, transcript))
    misfits = [each for each in findings if each.fit <= MISFIT]
    named = [each for each in within(findings, plan.rate) if each not in misfits]
    reasons = [*map(_match, named), *map(_misfit, misfits)] or [_nothing(findings)]
    return ServedVerdict.of(plan, transcript, answers, findings, named, reasons, plan.rate)


def _fit(own: NDArray[np.float64], seed: int, draws: int) -> float:
    """Test whether the owner's own model finds what was served as likely as what it draws."""
    gains = served_gains(own, np.zeros_like(own))
    return min(1.0, 2 * min(served_test(side, seed, draws)[1] for side in (gains, -gains)))


def _misfit(finding: ServedFinding) -> str:
    return (
        f"What the log says was served to the account {finding.account} was not drawn as the alternatives were "
        f"(p = {finding.fit:.4g} by the owner's own model): another model, temperature or sampler answered then, and "
        "nothing follows."
    )


def _match(finding: ServedFinding) -> str:
    return (
        f"Trained on answers that were served to the account {finding.account}: alternatives that the same model might "
        f"have served would fit so well in a share of {finding.p_value:.4g} of draws ({finding.adjusted:.4g} for all "
        "accounts together)."
    )


def _nothing(findings: tuple[ServedFinding, ...]) -> str:
    least = min(findings, key=lambda each: each.p_value)
    return (
        f"No account's answers are found likelier than alternatives to them; the nearest is {least.account}, p = "
        f"{least.p_value:.4g} ({least.adjusted:.4g} for all accounts together). Whoever used other accounts, or few "
        "answers, goes unfound."
    )
