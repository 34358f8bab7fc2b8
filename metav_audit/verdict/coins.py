"""What a suspect's answers say of coins: which account's dithered answers it was trained on, if any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import CoinPlan
from metav_audit.statistics import DRAWS, coin_gains, coin_test, holm
from metav_audit.task import Features, features, leaders
from metav_audit.transcript import Transcript
from metav_audit.verdict.asked import Asked
from metav_audit.verdict.drawn import DrawnVerdict, within

MOST_STRAYS = 0.1
"""The share of labels served otherwise than key and model make them, beyond which the plan fits not the log."""


@dataclass(frozen=True, slots=True)
class CoinFinding:
    """What is found of one account.

    Attributes:
        account: its name.
        asked: inputs of it that the suspect was asked.
        answered: of these, those whose answer names one of the model's two likeliest classes.
        undecided: inputs where the coin decided the label.
        strays: labels served that are not those that key and model make.
        statistic: the suspect's leaning to the coins, standardised.
        p_value: exact, of "never saw what was served to this account".
        adjusted: the same for all accounts together, by Holm's method.
    """

    account: str
    asked: int
    answered: int
    undecided: int
    strays: int
    statistic: float
    p_value: float
    adjusted: float


@dataclass(frozen=True, slots=True)
class CoinVerdict(DrawnVerdict[CoinFinding]):
    """What the answers say; see ``DrawnVerdict``."""


def shares_of(plan: CoinPlan, shown: Features) -> NDArray[np.float64]:
    """Return a suspect's shares of each answer's likeliest class in the model's two likeliest, of shape (N,).

    1 or 0 where only one of the two is shown, NaN where neither is.
    """
    both = leaders(plan.own)
    value = np.take_along_axis(shown.values.astype(np.float64), both, axis=1)
    first, second = np.take_along_axis(shown.mask, both, axis=1).T
    share = np.exp(-np.logaddexp(0.0, value[:, 1] - value[:, 0]))
    return np.select([first & second, first, second], [share, 1.0, 0.0], np.nan)


def find_accounts(plan: CoinPlan, shown: Features, draws: int = DRAWS) -> tuple[CoinFinding, ...]:
    """Test each account's coins against what a suspect shows, coins drawn again so often; in the plan's order."""
    both, own, coins, strays = leaders(plan.own), plan.own, plan.coins, plan.strays()
    heads, tails = (_share(plan.dither.served(own, np.full(len(own), side)), both) for side in (1.0, -1.0))
    theirs = shares_of(plan, shown)
    gains = coin_gains(theirs, heads, tails)
    places = [plan.places(account) for account in plan.accounts]
    seed = int(plan.sha256[:15], 16)
    tested = [coin_test(gains[at], coins[at], seed, draws) for at in places]
    adjusted = holm([p_value for _, p_value in tested])
    return tuple(
        CoinFinding(
            account=account,
            asked=len(at),
            answered=int((~np.isnan(theirs[at])).sum()),
            undecided=int((tails[at] < 0.5).sum()),
            strays=int(strays[at].sum()),
            statistic=statistic,
            p_value=p_value,
            adjusted=corrected,
        )
        for account, at, (statistic, p_value), corrected in zip(plan.accounts, places, tested, adjusted, strict=True)
    )


def decide_coins(plan: CoinPlan, transcript: Transcript) -> CoinVerdict:
    """Say which account's answers a suspect was trained on.

    Raises:
        TranscriptError: the transcript was recorded with another plan.
        AnswerError: an answer does not fit the task.
    """
    answers = Asked.of(plan, transcript).answers
    findings = find_accounts(plan, features(answers, plan.task.output, transcript.endpoint.scores))
    named = within(findings, plan.rate)
    reasons = [*map(_match, named)] or [_nothing(findings)]
    if strays := _strays(findings):
        named, reasons = [], [strays]
    return CoinVerdict.of(plan, transcript, answers, findings, named, reasons, plan.rate)


def _share(scores: NDArray[np.float64], both: NDArray[np.int64]) -> NDArray[np.float64]:
    first, second = np.take_along_axis(scores, both, axis=1).T
    return np.asarray(first / (first + second), dtype=np.float64)


def _strays(findings: tuple[CoinFinding, ...]) -> str:
    strays, asked = sum(each.strays for each in findings), sum(each.asked for each in findings)
    if strays <= MOST_STRAYS * asked:
        return ""
    return (
        f"{strays} of {asked} labels in the log are not those that this key makes of this model's answers: they were "
        "served under another key or by another model"
    )


def _match(finding: CoinFinding) -> str:
    return (
        f"Trained on answers that were served to the account {finding.account}: its coins, drawn again, would fit so "
        f"well in a share of {finding.p_value:.4g} of draws ({finding.adjusted:.4g} for all accounts together)."
    )


def _nothing(findings: tuple[CoinFinding, ...]) -> str:
    least = min(findings, key=lambda each: each.p_value)
    return (
        f"No account's coins are found in the answers; the nearest is {least.account}, p = {least.p_value:.4g} "
        f"({least.adjusted:.4g} for all accounts together). Whoever used other accounts, or few answers, goes unfound."
    )
