"""The records of a transcript, one canonical JSON object a line, each with the SHA-256 of the line before it.

A ``Header`` comes first. ``Sent`` is written before its request leaves, so that it counts; ``Received`` says what came
back, and holds the answers where an adapter's flow ended with it; ``Unanswered`` gives queries up; ``Resumed`` says
that the audit went on after a stop; after ``Finished`` nothing is left to ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from metav_audit.task import Answer
from metav_audit.transcript.bodies import Place, is_place
from metav_audit.transcript.endpoint import EndpointRecord

SCHEMA_VERSION = 2
MAX_QUERIES = 1_000_000
MAX_CANARIES = 64
MAX_ROUNDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first record: what the transcript is about.

    Attributes:
        at: when the audit began, ISO 8601, UTC.
        bundle_sha256: the bundle whose inputs are sent.
        endpoint: who is asked, without any secret.
        software: the program and version that asks.
        queries: queries in the fingerprint.
        operator: who asks and by what authority, in the operator's own words.
        commitment_sha256: of the bundle's commitment; None without one.
    """

    kind: ClassVar[str] = "header"
    at: str
    bundle_sha256: str
    endpoint: EndpointRecord
    software: str
    queries: int
    operator: Mapping[str, str]
    commitment_sha256: str | None

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
            "operator": dict(self.operator),
            "commitment_sha256": self.commitment_sha256,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; for the errors see ``parse_record``."""
        count = fields["queries"]
        if not isinstance(count, int) or not 0 < count <= MAX_QUERIES:
            raise ValueError(f"a number of queries between 1 and {MAX_QUERIES}")
        if not all(isinstance(words, str) for words in fields["operator"].values()):
            raise ValueError("the operator's words")
        if not isinstance(fields["commitment_sha256"], str | None):
            raise ValueError("the commitment's hash")
        return cls(
            at=fields["at"],
            bundle_sha256=fields["bundle_sha256"],
            endpoint=EndpointRecord.from_json(fields["endpoint"]),
            software=fields["software"],
            queries=count,
            operator=fields["operator"],
            commitment_sha256=fields["commitment_sha256"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request is about to leave.

    Attributes:
        at: when, ISO 8601, UTC.
        request: its serial number.
        queries: what it asks, by the fingerprint's numbers; none where it asks canaries.
        canaries: inputs asked again and again, by number.
        round: of the canaries; None for queries.
        step: of the adapter's flow, from 0.
        attempt: from 1.
        method: HTTP's.
        url: its address.
        request_sha256: of its body.
        body: where that lies in ``bodies.pack``; None in what older hands wrote.
    """

    kind: ClassVar[str] = "sent"
    at: str
    request: int
    queries: tuple[int, ...]
    canaries: tuple[int, ...] = ()
    round: int | None = None
    step: int
    attempt: int
    method: str
    url: str
    request_sha256: str
    body: Place | None

    def to_json(self) -> dict[str, Any]:
        """Describe the record in JSON types, the chain aside."""
        fields: dict[str, Any] = {
            "kind": self.kind,
            "at": self.at,
            "request": self.request,
            "queries": self.queries,
            "step": self.step,
            "attempt": self.attempt,
            "method": self.method,
            "url": self.url,
            "request_sha256": self.request_sha256,
        }
        if self.round is not None:
            fields |= {"canaries": self.canaries, "round": self.round}
        return fields if self.body is None else {**fields, "body": self.body}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; for the errors see ``parse_record``."""
        queries = _numbers(fields["queries"])
        canaries = _canaries(fields) if "canaries" in fields else ()
        return cls(
            at=fields["at"],
            request=fields["request"],
            queries=queries,
            canaries=canaries,
            round=fields["round"] if canaries else None,
            step=fields["step"],
            attempt=fields["attempt"],
            method=fields["method"],
            url=fields["url"],
            request_sha256=fields["request_sha256"],
            body=_place(fields, "body"),
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
        redacted_sha256: of the body as kept, where a secret that it echoed was taken out.
        headers: where they lie in ``bodies.pack``, as JSON without the date.
        body: where the body lies.
        identity: how the server named itself.
        server_date: its clock, in its own words.
        answers: one a query or canary, where the flow ended with this response; scores as they were written.
    """

    kind: ClassVar[str] = "received"
    at: str
    request: int
    outcome: str
    elapsed_s: float | None
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
        given = fields.get("answers")
        return cls(
            at=fields["at"],
            request=fields["request"],
            outcome=fields["outcome"],
            elapsed_s=fields.get("elapsed_s"),
            error=fields.get("error"),
            status=fields.get("status"),
            response_sha256=fields.get("response_sha256"),
            redacted_sha256=fields.get("redacted_sha256"),
            headers=_place(fields, "headers"),
            body=_place(fields, "body"),
            identity=fields.get("identity"),
            server_date=fields.get("server_date"),
            answers=None if given is None else tuple(map(_answer, given)),
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
        return cls(at=fields["at"], queries=_numbers(fields["queries"]), reason=fields["reason"])


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
        return cls(at=fields["at"], endpoint=EndpointRecord.from_json(fields["endpoint"]))


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
        return cls(at=fields["at"])


Record = Header | Sent | Received | Unanswered | Resumed | Finished


def _numbers(values: Sequence[Any]) -> tuple[int, ...]:
    if any(type(value) is not int for value in values):
        raise ValueError("the queries it is about")
    return tuple(values)


def _canaries(fields: Mapping[str, Any]) -> tuple[int, ...]:
    """Keep a stranger's numbers from making something huge of a small file."""
    canaries, number = fields["canaries"], fields["round"]
    if fields["queries"]:
        raise ValueError("the canaries it asks: only a request without queries asks any")
    if any(type(canary) is not int or not 0 <= canary < MAX_CANARIES for canary in canaries):
        raise ValueError(f"the canaries it asks: numbers from 0 to {MAX_CANARIES - 1}")
    if type(number) is not int or not 0 <= number < MAX_ROUNDS:
        raise ValueError(f"its round of canaries: a number from 0 to {MAX_ROUNDS - 1}")
    return tuple(canaries)


def _place(fields: Mapping[str, Any], name: str) -> Place | None:
    if name not in fields:
        return None
    if not is_place(fields[name]):
        raise ValueError("where its headers or body lie")
    start, size = fields[name]
    return start, size


def _answer(scores: Any) -> Answer:
    answer = Answer(tuple(scores))
    answer.in_floats()
    return answer
