"""Records read together: a transcript in memory is the one on disk."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from metav_audit.errors import TranscriptError
from metav_audit.task import Answer
from metav_audit.transcript import (
    load_records,
    load_transcript,
    parse_record,
    read_records,
    record_line,
)
from metav_audit.transcript.replay import Replay
from tests.transcript.scripted import FROZEN

HEADER, SENT, RECEIVED = (
    parse_record(json.loads(line)) for line in (FROZEN / "transcript.jsonl").read_bytes().splitlines()[:3]
)
QUERY = replace(SENT, queries=(0,))
ANSWERED = replace(RECEIVED, answers=None)


def taken(*records):
    """What a writer's replay, and a reader's of the same lines, make of records."""
    writer, reader = Replay(), Replay()
    for record in records:
        line = record_line(record.to_json(), writer.head)
        writer.add(record, line)
        reader.read(line)
    return writer.transcript(), reader.transcript()


def test_whole_numbers_of_an_adapter_are_floats_in_memory_as_from_the_file():
    """A report that is made at once shows the digits of one that is made from the file."""
    answered = replace(ANSWERED, answers=(Answer((1, 0, None)),))
    assert b'"answers":[[1,0,null]]' in record_line(answered.to_json(), "")
    written, read = taken(HEADER, QUERY, answered)
    assert repr(written.answers) == repr(read.answers) == repr([Answer((1.0, 0.0, None)), *[None] * 19])


@pytest.mark.parametrize("scores", [(True, False, False), ("a", "b", "c"), (1 << 2000, 0, 0)])
def test_scores_that_no_reader_would_take_are_not_written(scores):
    """An adapter's mistake stops the audit; it does not make a transcript that cannot be read again."""
    replay = Replay()
    for record in (HEADER, QUERY):
        replay.add(record, record_line(record.to_json(), replay.head))
    wrong = replace(ANSWERED, answers=(Answer(scores),))
    head = replay.head
    with pytest.raises(TranscriptError, match="an answer's scores"):
        replay.add(wrong, record_line(wrong.to_json(), head))
    assert replay.head == head


def test_records_are_read_with_what_they_say_together():
    """One reading gives both: the transcript, and each record in its order."""
    records = load_records(FROZEN / "transcript.jsonl")
    assert records.transcript == load_transcript(FROZEN / "transcript.jsonl")
    assert records.each == tuple(read_records(FROZEN / "transcript.jsonl"))
    assert records.each[:3] == (HEADER, SENT, RECEIVED)
