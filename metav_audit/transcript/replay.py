"""The transcript replayed: records taken one after the other, each checked against the chain."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from metav_audit.errors import TranscriptError
from metav_audit.files import open_regular, strict_json
from metav_audit.task import Answer
from metav_audit.transcript.bodies import Place
from metav_audit.transcript.grammar import Grammar, OutOfTurnError
from metav_audit.transcript.lines import CHAIN_START, MAX_LINE_BYTES, line_hash, parse_record, record_line
from metav_audit.transcript.records import (
    SCHEMA_VERSION,
    Finished,
    Header,
    Received,
    Record,
    Sent,
    Unanswered,
)
from metav_audit.transcript.shared import Shared, Source
from metav_audit.transcript.transcript import Attempt, Exchange, Transcript

MAX_TRANSCRIPT_BYTES = 1 << 30


class Replay:
    """Records taken one after the other, each checked against chain and grammar; what they say is the transcript.

    Responses' bodies are not kept: a transcript of 100,000 queries fits into memory.

    Attributes:
        head: SHA-256 of the last record, the chain's head.
        records: records taken so far.
        grammar: what may follow.
        bodies_end: where the bodies that they name end in ``bodies.pack``.
    """

    def __init__(self) -> None:
        self.head = CHAIN_START
        self.records = 0
        self.bodies_end = 0
        self.grammar = Grammar()
        self._header: Header | None = None
        self._finished: str | None = None
        self._attempts: dict[int, Attempt] = {}
        self._asked: dict[int, Sent] = {}
        self._answers: list[Answer | None] = []
        self._reasons: list[str | None] = []
        self._ranks: dict[int, int] = {}
        self._sources: dict[int, Source] = {}
        self._identities: list[dict[str, str]] = []

    def read(self, line: bytes) -> Record:
        """Take one whole line of a file; return its record.

        Raises:
            TranscriptError: it is no record, does not follow the one before it, or says what no record may say.
        """
        number = self.records + 1
        try:
            fields = strict_json(line)
            previous = fields["previous"]
        except (ValueError, KeyError, TypeError):
            raise TranscriptError(f"transcript line {number} is not a record: the file is damaged") from None
        if previous != self.head:
            raise TranscriptError(f"transcript line {number} does not follow line {number - 1}: the chain is broken")
        if not self.records:
            _check_header(fields.get("kind"), fields.get("schema_version"))
        try:
            record = parse_record(fields)
            if record_line(record.to_json(), previous) != line:
                raise ValueError("how it is written: there is one way to write a record")
            self._take(record)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise self._misstated(error) from error
        self.head = line_hash(line)
        return record

    def add(self, record: Record, line: bytes) -> bytes:
        """Take one new record, and the line that ``record_line`` made of it and ``head``; return the line.

        Raises:
            TranscriptError: it says what no record may say.
        """
        try:
            self._take(record)
        except (KeyError, ValueError, IndexError) as error:
            raise self._misstated(error) from error
        self.head = line_hash(line)
        return line

    def transcript(self) -> Transcript:
        """Return what the records say.

        Raises:
            TranscriptError: there is not even a header.
        """
        header = self._header
        if header is None:
            raise TranscriptError("the transcript does not begin with its header: the file is damaged")
        attempts: list[list[Attempt]] = [[] for _ in self._answers]
        for serial, asked in self._asked.items():
            for query in asked.queries:
                attempts[query].append(self._attempts[serial])
        exchanges = tuple(
            Exchange(
                query,
                answer,
                None if answer else self._reasons[query],
                tuple(attempts[query]),
                self._ranks.get(query),
                self._sources.get(query),
            )
            for query, answer in enumerate(self._answers)
        )
        return Transcript(
            bundle_sha256=header.bundle_sha256,
            endpoint=header.endpoint,
            software=header.software,
            started=header.at,
            finished=self._finished,
            exchanges=exchanges,
            requests=len(self._asked),
            nonce=header.nonce,
            identities=tuple(self._identities),
            head=self.head,
            operator=header.operator,
            commitment_sha256=header.commitment_sha256,
            campaign=header.campaign,
            looks=header.looks,
        )

    def _take(self, record: Record) -> None:
        self._check(record)
        match record:
            case Header():
                self._begin(record)
            case Sent():
                self._sent(record)
            case Received():
                self._received(record)
            case Shared():
                self._sources |= dict.fromkeys(record.queries, record.source)
                self._answered(record.queries, record.answers)
            case Unanswered():
                for query in record.queries:
                    self._reasons[query] = record.reason
            case Finished():
                self._finished = record.at
            case _:  # That an audit went on changes nothing.
                pass
        self.records += 1

    def _check(self, record: Record) -> None:
        """Check what hangs on the records before; nothing is changed where it does not hold."""
        answers = record.answers if isinstance(record, Received | Shared) else None
        for answer in answers or ():
            answer.in_floats()
        self.grammar.take(record)
        if isinstance(record, Received) and record.headers is not None:
            self._lies(record.headers)
        if isinstance(record, Sent | Received) and record.body is not None:
            self._lies(record.body)

    def _lies(self, place: Place) -> None:
        """Bodies lie one after the other, each named for the first time where the last one ended."""
        if place[0] > self.bodies_end:
            raise ValueError("where its headers or body lie")
        self.bodies_end = max(self.bodies_end, sum(place))

    def _misstated(self, error: Exception) -> TranscriptError:
        where = f"transcript line {self.records + 1}"
        if isinstance(error, OutOfTurnError):
            return TranscriptError(f"{where} may not stand there, for {error}")
        return TranscriptError(f"{where} is a record that lacks or misstates {error}")

    def _begin(self, header: Header) -> None:
        self._header = header
        self._answers = [None] * header.queries
        self._reasons = [None] * header.queries

    def _sent(self, sent: Sent) -> None:
        self._asked[sent.request] = sent
        self._attempts[sent.request] = Attempt(
            sent.request, sent.at, "lost", None, None, None, sent.request_sha256, None
        )

    def _received(self, received: Received) -> None:
        asked = self._asked[received.request]
        self._attempts[received.request] = replace(
            self._attempts[received.request],
            outcome=received.outcome,
            status=received.status,
            elapsed_s=received.elapsed_s,
            error=received.error,
            response_sha256=received.response_sha256,
        )
        self._answered(asked.queries, received.answers or ())
        if received.identity and received.identity not in self._identities:
            self._identities.append(dict(received.identity))

    def _answered(self, queries: tuple[int, ...], answers: tuple[Answer, ...]) -> None:
        for query, answer in zip(queries, answers, strict=False):
            self._ranks.setdefault(query, len(self._ranks))
            self._answers[query] = answer.in_floats()


def _check_header(kind: object, version: object) -> None:
    if kind != "header":
        raise TranscriptError("the transcript does not begin with its header: the file is damaged")
    if version != SCHEMA_VERSION:
        raise TranscriptError(
            f"the transcript has schema version {version}, this program reads {SCHEMA_VERSION}: use the version of "
            "metav-audit that wrote it"
        )


@dataclass(frozen=True, slots=True)
class Records:
    """A transcript's records, and what they say together: read once, for whoever looks at both.

    Attributes:
        transcript: what they say.
        each: they themselves, in order; larger in memory than the transcript alone.
    """

    transcript: Transcript
    each: tuple[Record, ...]


def load_transcript(path: Path) -> Transcript:
    """Read and check ``transcript.jsonl``.

    Raises:
        TranscriptError: it is missing, oversized, damaged, or newer than this program.
    """
    return _whole(path, None)


def load_records(path: Path) -> Records:
    """Do what ``load_transcript`` does, and keep the records."""
    kept: list[Record] = []
    transcript = _whole(path, kept)
    return Records(transcript, tuple(kept))


def _whole(path: Path, kept: list[Record] | None) -> Transcript:
    replay, torn = replay_file(path, kept)
    if torn or not replay.records:
        raise TranscriptError(f"{path} ends in the middle of a record: run the audit again, it resumes by itself")
    return replay.transcript()


def replay_file(path: Path, kept: list[Record] | None = None) -> tuple[Replay, int]:
    """Read a transcript's whole lines, one by one; return what they say, and the size of a torn line after them.

    Args:
        path: the file.
        kept: each record is put behind those in it; None to keep none.

    Raises:
        TranscriptError: it is missing, oversized, or damaged.
    """
    replay, torn = Replay(), 0
    try:
        with open_regular(path) as lines:
            if os.fstat(lines.fileno()).st_size > MAX_TRANSCRIPT_BYTES:
                raise TranscriptError(f"{path} is larger than {MAX_TRANSCRIPT_BYTES} bytes: it is none of ours")
            while line := lines.readline(MAX_LINE_BYTES):
                if len(line) == MAX_LINE_BYTES:
                    raise TranscriptError(f"{path} has a line of {MAX_LINE_BYTES} bytes or more: it is none of ours")
                if not line.endswith(b"\n"):
                    torn = len(line)
                    break
                record = replay.read(line)
                if kept is not None:
                    kept.append(record)
    except OSError as error:
        raise TranscriptError(f"cannot read the transcript {path}: {error.strerror}") from error
    return replay, torn
