"""What the records of an audit say together: every query, answered or not, with every attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metav_audit.task import Answer
from metav_audit.transcript.campaign import Campaign
from metav_audit.transcript.endpoint import EndpointRecord
from metav_audit.transcript.shared import Source


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request sent for a query, and what became of it; ``outcome`` is "lost" if the audit stopped in between."""

    request: int
    sent: str
    outcome: str
    status: int | None
    elapsed_s: float | None
    error: str | None
    request_sha256: str
    response_sha256: str | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One query answered (``answer``) or unanswered (``reason`` says why, or is None while it is still open).

    Attributes:
        query: its place in the order that the nonce gives.
        answer: the answer, or None.
        reason: why there is none.
        attempts: every request that asked it.
        rank: how many answers had come before this one; None where there is none.
        source: the record of another audit that the answer was taken over from; None where it was asked here.
    """

    query: int
    answer: Answer | None
    reason: str | None
    attempts: tuple[Attempt, ...]
    rank: int | None = None
    source: Source | None = None

    @property
    def at(self) -> str:
        """When it was last asked, ISO 8601, UTC, or answered elsewhere; empty where that is not known."""
        if self.source is not None:
            return self.source.at
        return self.attempts[-1].sent if self.attempts else ""


@dataclass(frozen=True, slots=True, repr=False)
class Transcript:
    """All exchanges of one audit, in the order that the nonce gives.

    Attributes:
        bundle_sha256: the bundle whose inputs were sent.
        endpoint: who was asked.
        software: the program and version that asked.
        started: ISO 8601, UTC.
        finished: ISO 8601, UTC; None while queries are still open.
        exchanges: one a query.
        requests: requests sent, retries included.
        nonce: what the order follows from.
        identities: every distinct set of headers by which the answering server named itself.
        head: SHA-256 of the last record, the chain's head.
        operator: who asked and by what authority, in the operator's own words; ``key_id`` is the key that seals it.
        commitment_sha256: of the bundle's commitment, as it was before the first query; None without one.
        campaign: among how many audits with the bundle it was begun; None where that was not counted.
        looks: queries asked before each look, where the audit may stop early; none where it asks all.
    """

    bundle_sha256: str
    endpoint: EndpointRecord
    software: str
    started: str
    finished: str | None
    exchanges: tuple[Exchange, ...]
    requests: int
    nonce: str
    identities: tuple[Mapping[str, str], ...]
    head: str
    operator: Mapping[str, str]
    commitment_sha256: str | None = None
    campaign: Campaign | None = None
    looks: tuple[int, ...] = ()

    def __repr__(self) -> str:
        """Name the transcript in short: asyncio writes a task's whole result in its own representation."""
        return f"Transcript({self.endpoint.name!r}, {len(self.exchanges)} queries, head {self.head[:12]})"

    @property
    def answers(self) -> list[Answer | None]:
        """One entry a query, None where it is unanswered."""
        return [exchange.answer for exchange in self.exchanges]
