"""The transcript: every query of an audit, answered or not, with every attempt, bound to the bundle's hash.

On disk it is ``transcript.jsonl``: one canonical JSON record a line, each holding the SHA-256 of the line before it
(``previous``), so that a record changed, dropped or moved breaks the chain. Records, by ``kind``:

- ``header``: schema version, bundle hash, endpoint (no secret), software, operator, time.
- ``sent``: a request is about to leave: serial number, queries, which step of the adapter's flow, attempt, method and
  address, hash and place of its body. Written first: it counts.
- ``received``: what came back for that request: outcome, status, time taken, hash and place of the body, place of the
  headers (JSON, without the date), how the server named itself, its clock; the answers, when the flow ended with it.
  ``redacted_sha256`` is the hash of the body as kept, where a secret that it echoed was taken out.
- ``unanswered``: queries given up, and why.
- ``resumed``: the audit went on after a stop.
- ``finished``: nothing is left to ask.

Bodies lie in ``bodies.pack``, at the place that ``body`` names: see ``metav_audit.transcript.bodies``. A ``sent``
record without queries names ``canaries`` and their ``round``: inputs asked again and again, to see whether the model
stays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from metav_audit.errors import TranscriptError
from metav_audit.files import strict_json
from metav_audit.task import Answer
from metav_audit.transcript.bodies import is_place
from metav_audit.transcript.records import (
    CHAIN_START,
    SCHEMA_VERSION,
    Attempt,
    CanaryRound,
    EndpointRecord,
    Exchange,
    Transcript,
    line_hash,
)

MAX_TRANSCRIPT_BYTES = 1 << 30
MAX_QUERIES = 1_000_000
MAX_CANARIES = 64
MAX_ROUNDS = 1_000_000


class Replay:
    """Records taken one after the other, each checked against the chain; what they say so far is the transcript.

    Responses' bodies are not kept: a transcript of 100,000 queries fits into memory.

    Attributes:
        head: SHA-256 of the last record, the chain's head.
        records: records taken so far.
        bodies_end: where the bodies that they name end in ``bodies.pack``.
    """

    def __init__(self) -> None:
        self.head = CHAIN_START
        self.records = 0
        self.bodies_end = 0
        self._header: Mapping[str, Any] = {}
        self._finished: str | None = None
        self._attempts: dict[int, Attempt] = {}
        self._asked: dict[int, _Asked] = {}
        self._answers: list[Answer | None] = []
        self._reasons: list[str | None] = []
        self._answered = 0
        self._rounds: dict[int, _Round] = {}
        self._identities: list[Mapping[str, str]] = []
        self._takers: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "sent": self._sent,
            "received": self._received,
            "unanswered": self._unanswered,
            "finished": self._ended,
        }

    def read(self, line: bytes) -> None:
        """Take one whole line of a file.

        Raises:
            TranscriptError: it is no record, does not follow the one before it, or says what no record may say.
        """
        number = self.records + 1
        try:
            record = strict_json(line)
            previous = record["previous"]
        except (ValueError, KeyError, TypeError):
            raise TranscriptError(f"transcript line {number} is not a record: the file is damaged") from None
        if previous != self.head:
            raise TranscriptError(f"transcript line {number} does not follow line {number - 1}: the chain is broken")
        self._take(record)
        self.head = line_hash(line)

    def add(self, record: Mapping[str, Any], line: bytes) -> bytes:
        """Take one new record, and the line that ``record_line`` made of it and ``head``; return the line."""
        self._take(record)
        self.head = line_hash(line)
        return line

    def transcript(self) -> Transcript:
        """Return what the records say.

        Raises:
            TranscriptError: there is not even a header.
        """
        if not self.records:
            raise TranscriptError("the transcript does not begin with its header: the file is damaged")
        attempts: list[list[Attempt]] = [[] for _ in self._answers]
        for serial, asked in self._asked.items():
            for query in asked.queries:
                attempts[query].append(self._attempts[serial])
        exchanges = tuple(
            Exchange(query, answer, None if answer else self._reasons[query], tuple(attempts[query]))
            for query, answer in enumerate(self._answers)
        )
        width = 1 + max((canary for asked in self._asked.values() for canary in asked.canaries), default=-1)
        return Transcript(
            bundle_sha256=self._header["bundle_sha256"],
            endpoint=self._header["endpoint"],
            software=self._header["software"],
            started=self._header["at"],
            finished=self._finished,
            exchanges=exchanges,
            requests=len(self._asked),
            canaries=tuple(self._rounds[number].closed(width) for number in sorted(self._rounds)),
            canary_rounds=1 + max(self._rounds, default=-1),
            identities=tuple(self._identities),
            head=self.head,
            operator=self._header["operator"],
            commitment_sha256=self._header["commitment_sha256"],
        )

    def _take(self, record: Mapping[str, Any]) -> None:
        first = not self.records
        if first:
            self._check_header(record)
        try:
            self._check_queries(record)
            for part in ("headers", "body"):
                if part in record:
                    self._check_place(record[part])
            take = self._begin if first else self._takers.get(record["kind"])
            if take is not None:
                take(record)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise TranscriptError(f"the transcript holds a record that lacks or misstates {error}") from error
        self.records += 1

    @staticmethod
    def _check_header(record: Mapping[str, Any]) -> None:
        if record.get("kind") != "header":
            raise TranscriptError("the transcript does not begin with its header: the file is damaged")
        if record.get("schema_version") != SCHEMA_VERSION:
            raise TranscriptError(
                f"the transcript has schema version {record.get('schema_version')}, this program reads "
                f"{SCHEMA_VERSION}: use the version of metav-audit that wrote it"
            )

    def _check_queries(self, record: Mapping[str, Any]) -> None:
        if not self.records:
            count = record["queries"]
            if not isinstance(count, int) or not 0 < count <= MAX_QUERIES:
                raise ValueError(f"a number of queries between 1 and {MAX_QUERIES}")
        elif any(type(query) is not int or not 0 <= query < len(self._answers) for query in record.get("queries", ())):
            raise ValueError("the queries it is about")
        if "canaries" in record:
            _check_canaries(record)

    def _check_place(self, place: Any) -> None:
        """Bodies lie one after the other, each named for the first time where the last one ended."""
        if not is_place(place) or place[0] > self.bodies_end:
            raise ValueError("where its headers or body lie")
        self.bodies_end = max(self.bodies_end, sum(place))

    def _begin(self, record: Mapping[str, Any]) -> None:
        self._header = {**record, "endpoint": EndpointRecord.from_json(record["endpoint"])}
        if not all(isinstance(words, str) for words in record["operator"].values()):
            raise ValueError("the operator's words")
        if not isinstance(record["commitment_sha256"], str | None):
            raise ValueError("the commitment's hash")
        self._answers = [None] * record["queries"]
        self._reasons = [None] * record["queries"]

    def _sent(self, record: Mapping[str, Any]) -> None:
        serial = record["request"]
        canaries = tuple(record.get("canaries", ()))
        asked = _Asked(tuple(record["queries"]), canaries, record["round"] if canaries else None)
        self._asked[serial] = asked
        self._attempts[serial] = _attempt(record)
        if asked.round is not None:
            self._rounds.setdefault(asked.round, _Round(record["at"], self._answered))

    def _received(self, record: Mapping[str, Any]) -> None:
        serial = record["request"]
        asked = self._asked[serial]
        self._attempts[serial] = _completed(self._attempts[serial], record)
        scores = record.get("answers") or []
        for query, each in zip(asked.queries, scores, strict=False):
            self._answered += self._answers[query] is None
            self._answers[query] = _answer(each)
        if asked.round is not None:
            self._rounds[asked.round].take(asked.canaries, scores, record.get("error"))
        identity = record.get("identity")
        if identity and identity not in self._identities:
            self._identities.append(identity)

    def _unanswered(self, record: Mapping[str, Any]) -> None:
        for query in record["queries"]:
            self._reasons[query] = record["reason"]

    def _ended(self, record: Mapping[str, Any]) -> None:
        self._finished = record["at"]


class _Asked(NamedTuple):
    """What one request asked."""

    queries: tuple[int, ...]
    canaries: tuple[int, ...]
    round: int | None


class _Round:
    """A round of canaries while its records are read."""

    def __init__(self, at: str, after: int) -> None:
        self._at, self._after = at, after
        self._answers: dict[int, Answer] = {}
        self._error: str | None = None

    def take(self, canaries: Iterable[int], scores: Iterable[Any], error: Any) -> None:
        self._answers.update((canary, _answer(each)) for canary, each in zip(canaries, scores, strict=False))
        if error is not None:
            self._error = str(error)

    def closed(self, width: int) -> CanaryRound:
        answers = tuple(self._answers.get(canary) for canary in range(width))
        return CanaryRound(self._at, self._after, answers, self._error)


def load_transcript(path: Path) -> Transcript:
    """Read and check ``transcript.jsonl``.

    Raises:
        TranscriptError: it is missing, oversized, damaged, or newer than this program.
    """
    replay, torn = replay_file(path)
    if torn or not replay.records:
        raise TranscriptError(f"{path} ends in the middle of a record: run the audit again, it resumes by itself")
    return replay.transcript()


def replay_file(path: Path) -> tuple[Replay, int]:
    """Read a transcript's whole lines, one by one; return what they say, and the size of a torn line after them.

    Raises:
        TranscriptError: it is missing, oversized, or damaged.
    """
    replay, torn = Replay(), 0
    try:
        if path.stat().st_size > MAX_TRANSCRIPT_BYTES:
            raise TranscriptError(f"{path} is larger than {MAX_TRANSCRIPT_BYTES} bytes: this is no transcript of ours")
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    replay.read(line)
                else:
                    torn = len(line)
    except OSError as error:
        raise TranscriptError(f"cannot read the transcript {path}: {error.strerror}") from error
    return replay, torn


def _answer(scores: Any) -> Answer:
    try:
        kinds = set(map(type, scores))
        if kinds == {float}:
            return Answer(tuple(scores))
        if kinds <= {float, int, type(None)}:
            return Answer(tuple(None if score is None else float(score) for score in scores))
    except OverflowError:
        pass
    raise ValueError("an answer's scores")


def _check_canaries(record: Mapping[str, Any]) -> None:
    """Keep a stranger's numbers from making something huge of a small file."""
    if record["kind"] != "sent" or record["queries"]:
        raise ValueError("the canaries it asks: only a request without queries asks any")
    if any(type(canary) is not int or not 0 <= canary < MAX_CANARIES for canary in record["canaries"]):
        raise ValueError(f"the canaries it asks: numbers from 0 to {MAX_CANARIES - 1}")
    if type(record["round"]) is not int or not 0 <= record["round"] < MAX_ROUNDS:
        raise ValueError(f"its round of canaries: a number from 0 to {MAX_ROUNDS - 1}")


def _attempt(sent: Mapping[str, Any]) -> Attempt:
    return Attempt(sent["request"], sent["at"], "lost", None, None, None, sent["request_sha256"], None)


def _completed(attempt: Attempt, received: Mapping[str, Any]) -> Attempt:
    return replace(
        attempt,
        outcome=received["outcome"],
        status=received.get("status"),
        elapsed_s=received.get("elapsed_s"),
        error=received.get("error"),
        response_sha256=received.get("response_sha256"),
    )
