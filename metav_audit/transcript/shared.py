"""Answers that an endpoint gave in another audit of the same run: no request was sent for them here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Self

from metav_audit.task import Answer
from metav_audit.transcript import parts

MOST_AGE = timedelta(days=1)
"""Answers that are older are asked for again: who knows what model answers by now."""

_SOURCE = {"bundle_sha256", "nonce", "record", "sha256", "at", "queries"}


@dataclass(frozen=True, slots=True)
class Source:
    """Where answers come from: a record of another audit's transcript.

    Attributes:
        bundle_sha256: the bundle of that audit.
        nonce: of that audit, which tells it from all others.
        record: the line of its transcript, from 1.
        sha256: of that line, newline included, which fixes every line before it, too.
        at: when the answers came, ISO 8601, UTC.
        queries: the places there that were answered, in the order of the answers.
    """

    bundle_sha256: str
    nonce: str
    record: int
    sha256: str
    at: str
    queries: tuple[int, ...]

    def fresh(self, at: str) -> bool:
        """Say whether the answers may be taken over at a time: they came before, and within ``MOST_AGE``."""
        return timedelta(0) <= parts.moment(at) - parts.moment(self.at) <= MOST_AGE

    def to_json(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {
            "bundle_sha256": self.bundle_sha256,
            "nonce": self.nonce,
            "record": self.record,
            "sha256": self.sha256,
            "at": self.at,
            "queries": self.queries,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; for the errors see ``parse_record``."""
        if set(fields) != _SOURCE:
            raise ValueError("its source's fields")
        return cls(
            parts.hash_of(fields, "bundle_sha256"),
            parts.nonce_of(fields, "nonce"),
            parts.whole_of(fields, "record", 2),
            parts.hash_of(fields, "sha256"),
            parts.time_of(fields),
            parts.queries_of(fields),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Queries are answered by what the endpoint answered to the same inputs in another audit.

    Attributes:
        at: when they were taken over, ISO 8601, UTC.
        queries: the places here, by the order that the nonce gives.
        answers: one a query; scores as they were written.
        source: where they come from.
    """

    kind: ClassVar[str] = "shared"
    at: str
    queries: tuple[int, ...]
    answers: tuple[Answer, ...]
    source: Source

    def to_json(self) -> dict[str, Any]:
        """Describe the record in JSON types, the chain aside."""
        return {
            "kind": self.kind,
            "at": self.at,
            "queries": self.queries,
            "answers": [answer.scores for answer in self.answers],
            "source": self.source.to_json(),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; for the errors see ``parse_record``."""
        return cls(
            at=parts.time_of(fields),
            queries=parts.queries_of(fields),
            answers=parts.answers_of(fields) or (),
            source=Source.from_json(fields["source"]),
        )
