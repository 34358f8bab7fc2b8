"""The records of a transcript, one canonical JSON object a line, each with the SHA-256 of the line before it.

A ``Header`` comes first. ``Sent`` is written before its request leaves, so that it counts; ``Received`` says what came
back, and holds the answers where an adapter's flow ended with it; ``Shared`` holds answers of another audit of the same
run; ``Unanswered`` gives queries up; ``Resumed`` says that the audit went on after a stop; after ``Finished`` nothing
is left to ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from metav_audit.task import Answer
from metav_audit.transcript import parts
from metav_audit.transcript.bodies import Place
from metav_audit.transcript.campaign import Campaign
from metav_audit.transcript.endpoint import EndpointRecord
from metav_audit.transcript.shared import Shared

SCHEMA_VERSION = 3
OK, UNUSABLE = "ok", "unusable"
PASSING = ("throttled", "transient", "unreachable", "timeout", "reset")
"""Outcomes after which the same request may be sent again."""

UNHEARD = ("unreachable", "timeout", "reset", "tls", "oversize", "malformed")
"""Outcomes of requests that no usable response came for."""

HEARD = (OK, UNUSABLE, "throttled", "transient", "auth", "fatal")
"""Outcomes of requests that were answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first record: what the transcript is about.

    Attributes:
        at: when the audit began, ISO 8601, UTC.
        bundle_sha256: the bundle whose inputs are sent.
        endpoint: who is asked, without any secret.
        software: the program and version that asks.
        queries: what is to be asked: the fingerprint's queries and what is asked beside them, in the nonce's order.
        nonce: drawn by the auditor before the first request, 32 hexadecimal digits; the order follows from it.
        operator: who asks and by what authority, in the operator's own words.
        commitment_sha256: of the bundle's commitment; None without one.
        campaign: among how many audits it was begun; None in records of before this was kept.
        looks: queries asked before each look of an audit that may stop early; none of one that asks all.
    """

    kind: ClassVar[str] = "header"
    at: str
    bundle_sha256: str
    endpoint: EndpointRecord
    software: str
    queries: int
    nonce: str
    operator: Mapping[str, str]
    commitment_sha256: str | None
    campaign: Campaign | None = None
    looks: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Describe the record in JSON types, the chain aside."""
        return {
            "kind": self.kind,
            "schema_version": SCHEMA_VERSION,
            "at": self.at,
            "bundle_sha256": self.bundle_sha256,
            "endpoint": self.endpoint.to_json(),
            "software": self.software,
            "queries": self.queries,
            "nonce": self.nonce,
            "operator": dict(self.operator),
            "commitment_sha256": self.commitment_sha256,
            **({} if self.campaign is None else {"campaign": self.campaign.to_json()}),
            **({"looks": self.looks} if self.looks else {}),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; for the errors see ``parse_record``."""
        return cls(
            at=parts.time_of(fields),
            bundle_sha256=parts.hash_of(fields, "bundle_sha256"),
            endpoint=EndpointRecord.from_json(fields["endpoint"]),
            software=parts.text_of(fields, "software"),
            queries=parts.whole_of(fields, "queries", 1, parts.MAX_QUERIES),
            nonce=parts.nonce_of(fields, "nonce"),
            operator=parts.words_of(fields, "operator"),
            commitment_sha256=parts.perhaps_hash(fields, "commitment_sha256"),
            campaign=Campaign.from_json(fields["campaign"]) if "campaign" in fields else None,
            looks=parts.looks_of(fields) if "looks" in fields else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request is about to leave.

    Attributes:
        at: when, ISO 8601, UTC.
        request: its serial number.
        queries: what it asks, by places in the order that the nonce gives.
        step: of the adapter's flow, from 0.
        attempt: from 1.
        method: HTTP's.
        url: its address.
        request_sha256: of its body.
        body: where that lies in ``bodies.pack``.
    """

    kind: ClassVar[str] = "sent"
    at: str
    request: int
    queries: tuple[int, ...]
    step: int
    attempt: int
    method: str
    url: str
    request_sha256: str
    body: Place

    def to_json(self) -> dict[str, Any]:
        """Describe the record in JSON types, the chain aside."""
        return {
            "kind": self.kind,
            "at": self.at,
            "request": self.request,
            "queries": self.queries,
            "step": self.step,
            "attempt": self.attempt,
            "method": self.method,
            "url": self.url,
            "request_sha256": self.request_sha256,
            "body": self.body,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; for the errors see ``parse_record``."""
        return cls(
            at=parts.time_of(fields),
            request=parts.whole_of(fields, "request", 1),
            queries=parts.queries_of(fields),
            step=parts.whole_of(fields, "step", 0),
            attempt=parts.whole_of(fields, "attempt", 1),
            method=parts.text_of(fields, "method"),
            url=parts.text_of(fields, "url"),
            request_sha256=parts.hash_of(fields, "request_sha256"),
            body=parts.place_of(fields, "body"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What came back for a request, or that nothing did.

    Attributes:
        at: when, ISO 8601, UTC.
        request: the serial number.
        outcome: ok, unusable, what the adapter calls a refusal, or how the connection failed.
        elapsed_s: seconds since the request left.
        error: what was wrong, in a line without secrets; None where nothing was.
        status: HTTP's; None where no response came, and so for what follows.
        response_sha256: of the body as it came.
        redacted_sha256: of the body as kept, where a secret that it echoed was taken out, or for which it was dropped.
        headers: where they lie in ``bodies.pack``, as JSON without the date.
        body: where the body lies.
        identity: how the server named itself.
        server_date: its clock, in its own words.
        answers: one a query, where the flow ended with this response; scores as they were written.
    """

    kind: ClassVar[str] = "received"
    at: str
    request: int
    outcome: str
    elapsed_s: float
    error: str | None = None
    status: int | None = None
    response_sha256: str | None = None
    redacted_sha256: str | None = None
    headers: Place | None = None
    body: Place | None = None
    identity: Mapping[str, str] | None = None
    server_date: str | None = None
    answers: tuple[Answer, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Describe the record in JSON types, the chain aside."""
        fields: dict[str, Any] = {
            "kind": self.kind,
            "at": self.at,
            "request": self.request,
            "outcome": self.outcome,
            "elapsed_s": self.elapsed_s,
        }
        if self.response_sha256 is not None:
            fields |= {
                "status": self.status,
                "response_sha256": self.response_sha256,
                "headers": self.headers,
                "body": self.body,
                "identity": self.identity,
                "server_date": self.server_date,
            }
        if self.redacted_sha256 is not None:
            fields["redacted_sha256"] = self.redacted_sha256
        if self.error is not None:
            fields["error"] = self.error
        if self.answers is not None:
            fields["answers"] = [answer.scores for answer in self.answers]
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; for the errors see ``parse_record``."""
        outcome = parts.text_of(fields, "outcome")
        ended: dict[str, Any] = {
            "at": parts.time_of(fields),
            "request": parts.whole_of(fields, "request", 1),
            "outcome": outcome,
            "elapsed_s": parts.seconds_of(fields, "elapsed_s"),
            "error": parts.perhaps_text(fields, "error"),
        }
        if outcome in UNHEARD and "response_sha256" not in fields:
            return cls(**ended)
        if outcome not in HEARD:
            raise ValueError(f"its outcome, {outcome[:40]!r}, which no request with such fields has")
        return cls(
            **ended,
            status=parts.whole_of(fields, "status", 100, 999),
            response_sha256=parts.hash_of(fields, "response_sha256"),
            redacted_sha256=parts.perhaps_hash(fields, "redacted_sha256"),
            headers=parts.place_of(fields, "headers"),
            body=parts.place_of(fields, "body"),
            identity=parts.words_of(fields, "identity"),
            server_date=parts.perhaps_text(fields, "server_date"),
            answers=parts.answers_of(fields),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Queries are given up, and why."""

    kind: ClassVar[str] = "unanswered"
    at: str
    queries: tuple[int, ...]
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Describe the record in JSON types, the chain aside."""
        return {"kind": self.kind, "at": self.at, "queries": self.queries, "reason": self.reason}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; for the errors see ``parse_record``."""
        return cls(at=parts.time_of(fields), queries=parts.queries_of(fields), reason=parts.text_of(fields, "reason"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The audit went on after a stop, with the endpoint as it was declared then."""

    kind: ClassVar[str] = "resumed"
    at: str
    endpoint: EndpointRecord

    def to_json(self) -> dict[str, Any]:
        """Describe the record in JSON types, the chain aside."""
        return {"kind": self.kind, "at": self.at, "endpoint": self.endpoint.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; for the errors see ``parse_record``."""
        return cls(at=parts.time_of(fields), endpoint=EndpointRecord.from_json(fields["endpoint"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Nothing is left to ask."""

    kind: ClassVar[str] = "finished"
    at: str

    def to_json(self) -> dict[str, Any]:
        """Describe the record in JSON types, the chain aside."""
        return {"kind": self.kind, "at": self.at}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; for the errors see ``parse_record``."""
        return cls(at=parts.time_of(fields))


Record = Header | Sent | Received | Shared | Unanswered | Resumed | Finished
