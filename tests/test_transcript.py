"""The transcript: an append-only chain that cannot be changed unnoticed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.bundle import Schedule
from metav_audit.errors import TranscriptError
from metav_audit.task import ScoreKind
from metav_audit.transcript import EndpointRecord, Header, Unanswered, load_transcript, record_line
from metav_audit.transcript import replay as transcript_module
from metav_audit.transcript.lines import line_hash
from metav_audit.transcript.replay import Replay
from tests.builders import NONCE, linear_model, make_task
from tests.folders import make_folder, rechain

HEADER = Header(
    at="2030-01-01T00:00:00Z",
    bundle_sha256="b" * 64,
    endpoint=EndpointRecord("a", "b", "http://host", ScoreKind.PROBABILITY, {}),
    software="metav-audit 0",
    queries=8,
    nonce=NONCE,
    operator={},
    commitment_sha256=None,
)


def chain(notes):
    """The lines of a transcript that holds these notes after its header."""
    replay = Replay()
    records = (
        HEADER,
        *(Unanswered(at="2030-01-01T00:00:01Z", queries=(query,), reason=note) for query, note in enumerate(notes)),
    )
    return [replay.add(record, record_line(record.to_json(), replay.head)) for record in records]


def read(lines):
    replay = Replay()
    for line in lines:
        replay.read(line)
    return replay


@pytest.fixture
def path(tmp_path):
    """The transcript of a finished audit of six queries, the second unanswered."""
    return make_folder(tmp_path, linear_model(make_task(), 0), unanswered=[1]) / "transcript.jsonl"


@given(st.lists(st.text('a\u2028ä\n\x00"'), max_size=5))
def test_records_survive_and_end_in_the_chain_s_head(notes):
    """What is written a line is what is read, whatever it holds, one line a record."""
    lines = chain(notes)
    assert [json.loads(line)["reason"] for line in lines[1:]] == notes
    assert read(lines).head == line_hash(lines[-1])
    assert all(line.count(b"\n") == 1 for line in lines)


@given(st.integers(2, 6), st.data())
def test_dropping_moving_or_repeating_a_line_breaks_the_chain(count, data):
    """Any line but the last that is dropped, moved or repeated is noticed at the place where it happened."""
    lines = chain(map(str, range(count)))
    place = data.draw(st.integers(1, count - 1))
    dropped = lines[:place] + lines[place + 1 :]
    swapped = [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]]
    repeated = lines[: place + 1] + lines[place:]
    for forged, number in ((dropped, place + 1), (swapped, place + 1), (repeated, place + 2)):
        with pytest.raises(TranscriptError, match=f"line {number} does not follow"):
            read(forged)


def test_a_finished_audit_is_read_back(path):
    """Answers, the reason for each missing one, attempts, identities and times are all there."""
    whole = load_transcript(path)
    schedule = Schedule.of(6, 0, whole.nonce)
    lost = schedule.places[1]
    assert [place for place, answer in enumerate(whole.answers) if answer is None] == list(lost)
    assert whole.exchanges[lost[0]].reason == "the endpoint failed with status 503 four times"
    assert [attempt.outcome for attempt in whole.exchanges[lost[0]].attempts] == ["transient"]
    assert (whole.requests, whole.endpoint.scores) == (6 + 16, ScoreKind.PROBABILITY)
    ranks = [each.rank for each in whole.exchanges if each.rank is not None]
    assert ranks == list(range(6 + 16 - len(lost)))
    assert whole.identities == ({"server": "uvicorn"},)
    assert whole.finished == "2026-03-04T10:07:00+00:00"
    assert whole.head == line_hash(path.read_bytes().splitlines(keepends=True)[-1])


def test_a_request_without_a_response_is_lost(path):
    """A request sent just before a crash counts as sent, its outcome is lost, and its query is open."""
    rechain(path, lambda records: records.__delitem__(slice(2, None)))
    stopped = load_transcript(path)
    assert (stopped.requests, stopped.finished) == (1, None)
    assert [attempt.outcome for attempt in stopped.exchanges[0].attempts] == ["lost"]
    assert stopped.exchanges[0].reason is None


def test_an_altered_line_is_noticed(path):
    """A digit changed in an answer breaks the chain at the next line."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"0.25", b"0.26", 1)
    path.write_bytes(b"".join(lines))
    with pytest.raises(TranscriptError, match="line 4 does not follow line 3: the chain is broken"):
        load_transcript(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "in the middle of a record"),
        (b'{"kind": "header"', "in the middle of a record"),
        (b"hello\n", "line 1 is not a record"),
        (b"[1, 2]\n", "line 1 is not a record"),
        (b"{}\n", "line 1 is not a record"),
        (b'{"previous": NaN}\n', "line 1 is not a record"),
        (b"\xff\xfe\n", "line 1 is not a record"),
        (b"[" * 100_000 + b"\n", "line 1 is not a record"),
        (b'{"previous": 1}\n', "does not follow"),
    ],
)
def test_what_is_no_transcript_is_refused(tmp_path, content, said):
    """Whatever lies there instead is a TranscriptError of one line."""
    path = tmp_path / "transcript.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TranscriptError, match=said) as caught:
        load_transcript(path)
    assert "\n" not in str(caught.value)


def test_an_oversized_transcript_is_refused_before_it_is_read(path, monkeypatch):
    """A file above the limit is no transcript of ours."""
    monkeypatch.setattr(transcript_module, "MAX_TRANSCRIPT_BYTES", 100)
    with pytest.raises(TranscriptError, match="larger than 100 bytes"):
        load_transcript(path)


HUGE = json.loads("1" + "0" * 400)
FORGERIES = {
    "no header": lambda records: records.__delitem__(0),
    "newer": lambda records: records[0].update(schema_version=4),
    "no nonce": lambda records: records[0].pop("nonce"),
    "a short nonce": lambda records: records[0].update(nonce="0f"),
    "a nonce of another kind": lambda records: records[0].update(nonce=5),
    "older": lambda records: records[0].update(schema_version=2),
    "a request for nothing": lambda records: records[1].update(queries=[]),
    "no queries": lambda records: records[0].update(queries=0),
    "too many queries": lambda records: records[0].update(queries=10**9),
    "queries of another kind": lambda records: records[0].update(queries="six"),
    "no endpoint": lambda records: records[0].pop("endpoint"),
    "an unknown kind of score": lambda records: records[0]["endpoint"].update(scores="guess"),
    "a query outside": lambda records: records[1].update(queries=[6 + 16]),
    "a negative query": lambda records: records[1].update(queries=[-1]),
    "queries that are no list": lambda records: records[1].update(queries=5),
    "a response to nothing": lambda records: records[2].update(request=99),
    "a request of another kind": lambda records: records[1].update(request=[]),
    "a record without its kind": lambda records: records[2].pop("kind"),
    "an answer of words": lambda records: records[2].update(answers=[["a", "b", "c", "d"]]),
    "an answer of truths": lambda records: records[2].update(answers=[[True, False, False, False]]),
    "an answer too large": lambda records: records[2].update(answers=[[HUGE, 0, 0, 0]]),
    "an answer that is a number": lambda records: records[2].update(answers=[5]),
    "no outcome": lambda records: records[2].pop("outcome"),
    "no reason": lambda records: next(one for one in records if one["kind"] == "unanswered").pop("reason"),
    "a field of no record": lambda records: records[2].update(surprise=1),
    "a kind of no record": lambda records: records[2].update(kind="note"),
    "a second header": lambda records: records.insert(1, dict(records[0])),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_chain_of_malformed_records_is_refused(path, forgery):
    """Records that chain rightly but say what cannot be are a TranscriptError, never a crash."""
    rechain(path, FORGERIES[forgery])
    with pytest.raises(TranscriptError) as caught:
        load_transcript(path)
    assert "\n" not in str(caught.value)
