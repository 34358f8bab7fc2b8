"""The transcript: every query of an audit, answered or not, with every attempt, bound to the bundle's hash.

On disk it is ``transcript.jsonl``: one canonical JSON record a line, each holding the SHA-256 of the line before it
(``previous``), so that a record changed, dropped or moved breaks the chain. Records, by ``kind``:

- ``header``: schema version, bundle hash, endpoint (no secret), software, time.
- ``sent``: a request is about to leave: serial number, queries, attempt, hash of its body. Written first: it counts.
- ``received``: what came back for that request: outcome, status, time taken, hash of the body; the answers and the
  body itself when it was usable.
- ``unanswered``: queries given up, and why.
- ``resumed``: the audit went on after a stop.
- ``finished``: nothing is left to ask.

A ``sent`` record without queries names ``canaries`` and their ``round``: inputs asked again and again, to see whether
the model stays the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from metav_audit.errors import TranscriptError
from metav_audit.files import strict_json
from metav_audit.responses import Answer
from metav_audit.task import ScoreKind

SCHEMA_VERSION = 1
MAX_TRANSCRIPT_BYTES = 1 << 30
MAX_QUERIES = 1_000_000
MAX_CANARIES = 64
MAX_ROUNDS = 1_000_000
CHAIN_START = "0" * 64


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """Which endpoint was asked and how, without any secret."""

    name: str
    adapter: str
    url: str
    scores: ScoreKind
    options: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Describe the endpoint in JSON types."""
        shared = {"name": self.name, "adapter": self.adapter, "url": self.url}
        return {**shared, "scores": self.scores.value, "options": dict(self.options)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        kind = ScoreKind(fields["scores"])
        return cls(fields["name"], fields["adapter"], fields["url"], kind, fields["options"])


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
    """One query answered (``answer``) or unanswered (``reason`` says why, or is None while it is still open)."""

    query: int
    answer: Answer | None
    reason: str | None
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class CanaryRound:
    """One asking of the canaries: the same few inputs each time.

    Attributes:
        at: when it began, ISO 8601, UTC.
        after: queries of the fingerprint that had been answered by then.
        answers: one a canary; None where it was not answered.
        error: what went wrong last, or None.
    """

    at: str
    after: int
    answers: tuple[Answer | None, ...]
    error: str | None

    @property
    def whole(self) -> bool:
        """Whether every canary was answered."""
        return None not in self.answers


@dataclass(frozen=True, slots=True)
class Transcript:
    """All exchanges of one audit, in the order of the fingerprint's queries.

    Attributes:
        bundle_sha256: the bundle whose inputs were sent.
        endpoint: who was asked.
        software: the program and version that asked.
        started: ISO 8601, UTC.
        finished: ISO 8601, UTC; None while queries are still open.
        exchanges: one a query.
        requests: requests sent, retries included.
        canaries: the rounds of canaries begun, in order, answered or not.
        canary_rounds: the number that the next round gets.
        identities: every distinct set of headers by which the answering server named itself.
        head: SHA-256 of the last record, the chain's head.
    """

    bundle_sha256: str
    endpoint: EndpointRecord
    software: str
    started: str
    finished: str | None
    exchanges: tuple[Exchange, ...]
    requests: int
    canaries: tuple[CanaryRound, ...]
    canary_rounds: int
    identities: tuple[Mapping[str, str], ...]
    head: str

    @property
    def answers(self) -> list[Answer | None]:
        """One entry a query, None where it is unanswered."""
        return [exchange.answer for exchange in self.exchanges]


def record_line(record: Mapping[str, Any], previous: str) -> bytes:
    """Write one record, chained to ``previous``, as a line of canonical JSON with its newline."""
    chained = {**record, "previous": previous}
    text = json.dumps(chained, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def line_hash(line: bytes) -> str:
    """Return the SHA-256 of a line, newline included, in hexadecimal."""
    return hashlib.sha256(line).hexdigest()


def read_records(lines: Iterable[bytes]) -> tuple[list[dict[str, Any]], str]:
    """Check the chain of whole lines; return the records and the chain's head.

    Raises:
        TranscriptError: a line is no record, or the chain is broken there.
    """
    records, head = [], CHAIN_START
    for number, line in enumerate(lines, start=1):
        try:
            record = strict_json(line)
            previous = record["previous"]
        except (ValueError, KeyError, TypeError):
            raise TranscriptError(f"transcript line {number} is not a record: the file is damaged") from None
        if previous != head:
            raise TranscriptError(f"transcript line {number} does not follow line {number - 1}: the chain is broken")
        records.append(record)
        head = line_hash(line)
    return records, head


def load_transcript(path: Path) -> Transcript:
    """Read and check ``transcript.jsonl``.

    Raises:
        TranscriptError: it is missing, oversized, damaged, or newer than this program.
    """
    try:
        if path.stat().st_size > MAX_TRANSCRIPT_BYTES:
            raise TranscriptError(f"{path} is larger than {MAX_TRANSCRIPT_BYTES} bytes: this is no transcript of ours")
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise TranscriptError(f"cannot read the transcript {path}: {error.strerror}") from error
    if not lines or not lines[-1].endswith(b"\n"):
        raise TranscriptError(f"{path} ends in the middle of a record: run the audit again, it resumes by itself")
    records, head = read_records(lines)
    return build_transcript(records, head)


def build_transcript(records: list[dict[str, Any]], head: str) -> Transcript:
    """Replay checked records into a transcript.

    Raises:
        TranscriptError: the first record is no header, or a record lacks a field.
    """
    if not records or records[0].get("kind") != "header":
        raise TranscriptError("the transcript does not begin with its header: the file is damaged")
    header = records[0]
    if header.get("schema_version") != SCHEMA_VERSION:
        raise TranscriptError(
            f"the transcript has schema version {header.get('schema_version')}, this program reads "
            f"{SCHEMA_VERSION}: use the version of metav-audit that wrote it"
        )
    try:
        return _replay(header, records[1:], head)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise TranscriptError(f"the transcript holds a record that lacks or misstates {error}") from error


def _replay(header: Mapping[str, Any], records: list[dict[str, Any]], head: str) -> Transcript:
    sent = {record["request"]: record for record in records if record["kind"] == "sent"}
    received = {record["request"]: record for record in records if record["kind"] == "received"}
    count = _checked_count(header, records)
    attempts: list[list[Attempt]] = [[] for _ in range(count)]
    answers: list[Answer | None] = [None] * count
    reasons: list[str | None] = [None] * count
    for serial, record in sent.items():
        attempt = _attempt(record, received.get(serial))
        for query in record["queries"]:
            attempts[query].append(attempt)
    for serial, record in received.items():
        for query, scores in zip(sent[serial]["queries"], record.get("answers") or [], strict=False):
            answers[query] = _answer(scores)
    for record in records:
        if record["kind"] == "unanswered":
            for query in record["queries"]:
                reasons[query] = record["reason"]
    exchanges = tuple(
        Exchange(query, answers[query], None if answers[query] else reasons[query], tuple(attempts[query]))
        for query in range(count)
    )
    finished = [record["at"] for record in records if record["kind"] == "finished"]
    return Transcript(
        bundle_sha256=header["bundle_sha256"],
        endpoint=EndpointRecord.from_json(header["endpoint"]),
        software=header["software"],
        started=header["at"],
        finished=finished[-1] if finished else None,
        exchanges=exchanges,
        requests=len(sent),
        canaries=_canaries(records, sent),
        canary_rounds=1 + max((each["round"] for each in sent.values() if "canaries" in each), default=-1),
        identities=_identities(received.values()),
        head=head,
    )


def _canaries(records: list[dict[str, Any]], sent: Mapping[int, Mapping[str, Any]]) -> tuple[CanaryRound, ...]:
    """Replay the rounds of canaries; the order of the records says which queries had been answered before each."""
    begun: dict[int, tuple[str, int]] = {}
    answered: dict[int, dict[int, Answer]] = {}
    errors: dict[int, str] = {}
    queries: set[int] = set()
    for record in records:
        if record["kind"] == "sent" and "canaries" in record:
            begun.setdefault(record["round"], (record["at"], len(queries)))
        if record["kind"] != "received":
            continue
        asked, scores = sent[record["request"]], record.get("answers") or []
        queries.update(query for query, _ in zip(asked["queries"], scores, strict=False))
        if "canaries" in asked:
            pairs = zip(asked["canaries"], scores, strict=False)
            answered.setdefault(asked["round"], {}).update((canary, _answer(each)) for canary, each in pairs)
            if record.get("error") is not None:
                errors[asked["round"]] = str(record["error"])
    width = 1 + max((canary for record in sent.values() for canary in record.get("canaries", ())), default=-1)
    return tuple(
        CanaryRound(
            *begun[number],
            answers=tuple(answered.get(number, {}).get(canary) for canary in range(width)),
            error=errors.get(number),
        )
        for number in sorted(begun)
    )


def _answer(scores: Any) -> Answer:
    try:
        if all(score is None or type(score) in (int, float) for score in scores):
            return Answer(tuple(None if score is None else float(score) for score in scores))
    except OverflowError:
        pass
    raise ValueError("an answer's scores")


def _checked_count(header: Mapping[str, Any], records: list[dict[str, Any]]) -> int:
    """Return the number of queries, after checking that every record stays within it."""
    count = header["queries"]
    if not isinstance(count, int) or not 0 < count <= MAX_QUERIES:
        raise ValueError(f"a number of queries between 1 and {MAX_QUERIES}")
    for record in records:
        if any(not isinstance(query, int) or not 0 <= query < count for query in record.get("queries", ())):
            raise ValueError("the queries it is about")
        if "canaries" in record:
            _check_canaries(record)
    return count


def _check_canaries(record: Mapping[str, Any]) -> None:
    """Keep a stranger's numbers from making something huge of a small file."""
    if record["kind"] != "sent" or record["queries"]:
        raise ValueError("the canaries it asks: only a request without queries asks any")
    if any(type(canary) is not int or not 0 <= canary < MAX_CANARIES for canary in record["canaries"]):
        raise ValueError(f"the canaries it asks: numbers from 0 to {MAX_CANARIES - 1}")
    if type(record["round"]) is not int or not 0 <= record["round"] < MAX_ROUNDS:
        raise ValueError(f"its round of canaries: a number from 0 to {MAX_ROUNDS - 1}")


def _attempt(sent: Mapping[str, Any], received: Mapping[str, Any] | None) -> Attempt:
    back = received or {"outcome": "lost"}
    return Attempt(
        request=sent["request"],
        sent=sent["at"],
        outcome=back["outcome"],
        status=back.get("status"),
        elapsed_s=back.get("elapsed_s"),
        error=back.get("error"),
        request_sha256=sent["request_sha256"],
        response_sha256=back.get("response_sha256"),
    )


def _identities(received: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, str], ...]:
    distinct: list[Mapping[str, str]] = []
    for record in received:
        identity = record.get("identity")
        if identity and identity not in distinct:
            distinct.append(identity)
    return tuple(distinct)
