"""The records: what is written a line is what is read, byte for byte as it ever was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.bundle import FingerprintBundle
from metav_audit.task import Answer, ScoreKind
from metav_audit.transcript import (
    CHAIN_START,
    EndpointRecord,
    Finished,
    Header,
    Received,
    Resumed,
    Sent,
    Shared,
    Source,
    Unanswered,
    load_transcript,
    parse_record,
    record_line,
)
from metav_audit.transcript.records import HEARD, UNHEARD
from metav_audit.verdict import Asked, AuditFolder
from metav_audit.verify.exchange import check_bodies, play_again
from tests.transcript.scripted import FIXTURES, FROZEN, scripted_audit

LINES = (FROZEN / "transcript.jsonl").read_bytes().splitlines(keepends=True)
KINDS = (Header, Sent, Received, Unanswered, Resumed, Finished)
"""Those of an audit with one bundle."""

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat())
HASH = st.text("0123456789abcdef", min_size=64, max_size=64)
NUMBER = st.integers(0, 10**6)
SCORE = st.none() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
ANSWERS = st.lists(st.builds(Answer, st.lists(SCORE, max_size=3).map(tuple)), max_size=3).map(tuple)
PLACE = st.tuples(NUMBER, st.integers(1, 10**6))
WORDS = st.dictionaries(TEXT, TEXT, max_size=2)
OPTIONS = st.dictionaries(TEXT, st.none() | st.booleans() | SCORE | TEXT | st.lists(TEXT, max_size=2), max_size=2)
ENDPOINT = st.builds(EndpointRecord, TEXT, TEXT, TEXT, st.sampled_from(ScoreKind), OPTIONS)
QUERIES = st.lists(NUMBER, max_size=3, unique=True).map(tuple)
ASKED = st.lists(NUMBER, min_size=1, max_size=3, unique=True).map(tuple)
SERIAL = st.integers(1, 10**6)
REQUEST = {"step": NUMBER, "attempt": SERIAL, "method": TEXT, "url": TEXT, "request_sha256": HASH, "body": PLACE}
ENDED = {"request": SERIAL, "elapsed_s": st.floats(0, 1e6), "error": st.none() | TEXT}
FAULT = {**ENDED, "outcome": st.sampled_from(UNHEARD)}
RESPONSE = {
    **ENDED,
    "outcome": st.sampled_from(HEARD),
    "status": st.integers(100, 599),
    "response_sha256": HASH,
    "redacted_sha256": st.none() | HASH,
    "headers": PLACE,
    "body": PLACE,
    "identity": WORDS,
    "server_date": st.none() | TEXT,
    "answers": st.none() | ANSWERS,
}
RECORDS = st.one_of(
    st.builds(
        Header,
        at=TIMES,
        bundle_sha256=HASH,
        endpoint=ENDPOINT,
        software=TEXT,
        queries=st.integers(1, 10**6),
        nonce=st.text("0123456789abcdef", min_size=32, max_size=32),
        operator=WORDS,
        commitment_sha256=st.none() | HASH,
    ),
    st.builds(Sent, at=TIMES, request=SERIAL, queries=ASKED, **REQUEST),
    st.builds(Received, at=TIMES, **FAULT),
    st.builds(Received, at=TIMES, **RESPONSE),
    st.builds(
        Shared,
        at=TIMES,
        queries=QUERIES,
        answers=ANSWERS,
        source=st.builds(Source, HASH, HASH.map(lambda text: text[:32]), st.integers(2, 10**6), HASH, TIMES, QUERIES),
    ),
    st.builds(Unanswered, at=TIMES, queries=QUERIES, reason=TEXT),
    st.builds(Resumed, at=TIMES, endpoint=ENDPOINT),
    st.builds(Finished, at=TIMES),
)


@given(RECORDS, HASH)
def test_a_record_is_its_line_and_its_line_the_record(record, previous):
    """Whatever a record holds: one line of canonical JSON, that is the record again and writes the same line."""
    line = record_line(record.to_json(), previous)
    written = json.loads(line)
    assert line == canonical(written)
    assert (line.count(b"\n"), written["kind"], written["previous"]) == (1, record.kind, previous)
    read = parse_record(written)
    assert read == record
    assert record_line(read.to_json(), previous) == line


def sha256(line):
    return hashlib.sha256(line).hexdigest()


def canonical(written):
    """A line as the format has it: sorted keys, no spaces, UTF-8 as it is."""
    return json.dumps(written, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def test_the_frozen_transcript_holds_every_kind_of_record_and_every_field():
    """What the frozen lines prove, they prove of the whole format."""
    read = [parse_record(json.loads(line)) for line in LINES]
    assert set(map(type, read)) == set(KINDS)
    for kind in KINDS:
        unused = {each.name for each in fields(kind)}
        for record in read:
            if isinstance(record, kind):
                unused -= {name for name in unused if getattr(record, name) not in (None, (), {}, "")}
        assert unused <= {"commitment_sha256", "campaign", "looks"}


def test_the_frozen_lines_are_written_again_to_the_byte():
    """Each line of a transcript that was written before records had types is what its record writes today."""
    head = CHAIN_START
    for line in LINES:
        assert record_line(parse_record(json.loads(line)).to_json(), head) == line
        head = sha256(line)


def test_the_frozen_transcript_still_verifies():
    """Its chain, its bodies, the committed inputs in its requests and the answers in its responses hold."""
    transcript = load_transcript(FROZEN / "transcript.jsonl")
    bundle = FingerprintBundle.load(FIXTURES / "bundles" / "whole")
    assert (transcript.bundle_sha256, transcript.head) == (bundle.sha256, sha256(LINES[-1]))
    assert [answer is not None for answer in Asked.of(bundle, transcript).answers] == [True, True, False, True]
    folder = AuditFolder(FROZEN)
    bodies = check_bodies(folder, folder.records())
    assert (bodies.bodies, bodies.redacted) == (58, 1)
    played = play_again(folder, folder.records(), bundle)
    assert (played.requests, played.answers) == (30, 15)


def test_an_audit_today_writes_the_frozen_records(tmp_path):
    """The same inputs, answers, faults, kill and clock give the same records, field by field.

    Where bodies lie, and with that the chain, hangs on the machine's zlib as well.
    """

    def told(folder):
        read = map(json.loads, (folder / "transcript.jsonl").read_text().splitlines())
        return [{name: each[name] for name in each.keys() - {"headers", "body", "previous"}} for each in read]

    scripted_audit(tmp_path)
    assert told(tmp_path) == told(FROZEN)


@pytest.mark.parametrize("kind", [{}, [], None, "note", 7])
def test_a_record_of_no_known_kind_is_refused(kind):
    """There are six kinds, and no other."""
    with pytest.raises((TypeError, ValueError)):
        parse_record({"kind": kind, "at": "2026-03-04T10:00:00Z"})
