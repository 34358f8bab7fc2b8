"""What verdicts have in common whose null is drawn again: by coins, and of answers served at random.

Each account has a p-value that is exact for any suspect; Holm's method corrects for their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from metav_audit.bundle import Questions
from metav_audit.task import Answer
from metav_audit.transcript import Transcript
from metav_audit.verdict.verdict import VerdictOutcome


class DrawnFinding(Protocol):
    """What is found of one account; the attributes are those of the findings of either kind."""

    @property
    def account(self) -> str:
        """Its name."""

    @property
    def asked(self) -> int:
        """Queries of it that the suspect was asked."""

    @property
    def answered(self) -> int:
        """Of these, those whose answer tells something."""

    @property
    def statistic(self) -> float:
        """The suspect's leaning to what was served, standardised."""

    @property
    def p_value(self) -> float:
        """Exact, of "never saw what was served to this account"."""

    @property
    def adjusted(self) -> float:
        """The same for all accounts together, by Holm's method."""


AnyFinding = TypeVar("AnyFinding", bound=DrawnFinding)


@dataclass(frozen=True, slots=True)
class DrawnVerdict(Generic[AnyFinding]):
    """What the answers say.

    Attributes:
        outcome: match, or inconclusive: that nothing is found does not show where a model came from.
        accounts: those whose answers the suspect was trained on, the surest first.
        findings: one an account, in the plan's order.
        rate: the promised rate of false matches.
        reasons: sentences that say why.
        queries: how many the plan has.
        answered: of these, how many were answered.
        requests: requests sent, retries included.
        plan_sha256: the plan's hash.
        transcript_sha256: the head of the transcript's chain.
        endpoint: the endpoint's name.
        url: where it was asked.
    """

    outcome: VerdictOutcome
    accounts: tuple[str, ...]
    findings: tuple[AnyFinding, ...]
    rate: float
    reasons: tuple[str, ...]
    queries: int
    answered: int
    requests: int
    plan_sha256: str
    transcript_sha256: str
    endpoint: str
    url: str

    @classmethod
    def of(
        cls,
        plan: Questions,
        transcript: Transcript,
        answers: Sequence[Answer | None],
        findings: tuple[AnyFinding, ...],
        named: Sequence[AnyFinding],
        reasons: Sequence[str],
        rate: float,
    ) -> Self:
        """Name accounts, or none: then it is inconclusive."""
        return cls(
            outcome=VerdictOutcome.MATCH if named else VerdictOutcome.INCONCLUSIVE,
            accounts=tuple(each.account for each in named),
            findings=findings,
            rate=rate,
            reasons=tuple(reasons),
            queries=len(plan.inputs),
            answered=sum(answer is not None for answer in answers),
            requests=transcript.requests,
            plan_sha256=plan.sha256,
            transcript_sha256=transcript.head,
            endpoint=transcript.endpoint.name,
            url=transcript.endpoint.url,
        )

    def to_json(self) -> Mapping[str, Any]:
        """Describe the verdict in JSON types."""
        return asdict(self)


def within(findings: Sequence[AnyFinding], rate: float) -> list[AnyFinding]:
    """Return the findings whose corrected p-value is within a promised rate, the surest first."""
    near = [each for each in findings if each.adjusted <= rate]
    return sorted(near, key=lambda each: (each.adjusted, -each.statistic))
