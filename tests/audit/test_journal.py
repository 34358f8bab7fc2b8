from __future__ import annotations

import errno
import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.audit.endpoint.secrets import Secrets
from metav_audit.audit.journal import Journal, Subject
from metav_audit.errors import ConfigurationError, TranscriptError
from metav_audit.task import Answer, ScoreKind
from metav_audit.transcript import BODIES, EndpointRecord, Received, Resumed, Sent, Unanswered, load_transcript
from tests.audit.helpers import records

ENDPOINT = EndpointRecord("a", "open-inference-v2", "http://host", ScoreKind.PROBABILITY, {"batch": 1})
SUBJECT = Subject("b" * 64, ENDPOINT, "metav-audit 0", 4, {})


BODY = b"{}"
NO_SECRETS = Secrets({})


def opened(folder, subject=SUBJECT, secrets=NO_SECRETS):
    return Journal(Path(folder), subject, lambda: "2030-01-01T00:00:00.000Z", secrets)


def answer(journal, query, request=None):
    request, digest = request or query + 1, hashlib.sha256(BODY).hexdigest()
    journal.append(
        Sent(
            at=journal.now(),
            request=request,
            queries=(query,),
            step=0,
            attempt=1,
            method="POST",
            url="http://host",
            request_sha256=digest,
            body=journal.keep(BODY),
        )
    )
    answers = (Answer((0.5, 0.5)),)
    journal.append(
        Received(
            at=journal.now(),
            request=request,
            outcome="ok",
            elapsed_s=0.5,
            answers=answers,
            status=200,
            response_sha256=digest,
            headers=journal.keep(BODY),
            body=journal.keep(BODY),
            identity={"server": "äö\u2028[1]"},
        )
    )


def whole_journal():
    with tempfile.TemporaryDirectory() as folder:
        with opened(folder) as journal:
            for query in range(3):
                answer(journal, query)
        return (Path(folder) / "transcript.jsonl").read_bytes(), (Path(folder) / BODIES).read_bytes()


WHOLE, KEPT = whole_journal()
HEADER = WHOLE.index(b"\n") + 1


def put(folder, content):
    """Write a transcript with its bodies; return its path."""
    (Path(folder) / BODIES).write_bytes(KEPT)
    path = Path(folder) / "transcript.jsonl"
    path.write_bytes(content)
    return path


def answered(content):
    """Queries whose answer stands in whole lines of a journal."""
    return content[: content.rfind(b"\n") + 1].count(b'"answers"')


def test_what_was_appended_is_what_is_read(tmp_path):
    """The journal in memory and the transcript on disk are the same."""
    with opened(tmp_path) as journal:
        answer(journal, 2, request=1)
        inside = journal.transcript
    assert load_transcript(tmp_path / "transcript.jsonl") == inside
    assert inside.answers[2] is not None
    assert inside.answers[0] is None


@settings(max_examples=60, deadline=None)
@given(st.integers(HEADER, len(WHOLE)))
def test_a_journal_torn_at_any_byte_goes_on(cut):
    """A power cut at any byte after the header costs at most the record that was being written."""
    with tempfile.TemporaryDirectory() as folder:
        path = put(folder, WHOLE[:cut])
        with opened(folder) as journal:
            assert sum(each is not None for each in journal.transcript.answers) == answered(WHOLE[:cut])
            if journal.begun:
                journal.append(Resumed(at=journal.now(), endpoint=ENDPOINT))
        assert load_transcript(path).requests == WHOLE[: WHOLE.rfind(b"\n", 0, cut) + 1].count(b'"sent"')


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80).filter(lambda tail: b"\n" not in tail))
def test_garbage_after_the_last_line_is_cut_off(tail):
    """Whatever a crash leaves after the last whole line is no record."""
    with tempfile.TemporaryDirectory() as folder:
        path = put(folder, WHOLE + tail)
        with opened(folder):
            pass
        assert path.read_bytes() == WHOLE


@settings(max_examples=150, deadline=None)
@given(st.integers(0, WHOLE.rfind(b"\n", 0, -1)), st.integers(1, 255))
def test_an_altered_byte_before_the_last_record_is_noticed(place, change):
    """Any byte changed before the last record breaks the chain; nothing is overwritten."""
    altered = bytearray(WHOLE)
    altered[place] ^= change
    with tempfile.TemporaryDirectory() as folder:
        path = put(folder, altered)
        with pytest.raises(TranscriptError):
            opened(folder)
        assert path.read_bytes() == altered


@settings(max_examples=40, deadline=None)
@given(st.integers(0, HEADER - 1))
def test_a_journal_without_a_whole_header_is_damaged(cut):
    """The header is written whole, so a torn one is damage and not a crash."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "transcript.jsonl").write_bytes(WHOLE[:cut])
        with pytest.raises(TranscriptError):
            opened(folder)


def test_two_audits_cannot_share_a_folder(tmp_path):
    """The second one is told to wait; when the first is done, the folder is free."""
    with opened(tmp_path), pytest.raises(ConfigurationError, match="another audit is at work"):
        opened(tmp_path)
    with opened(tmp_path):
        pass


def test_a_refused_journal_leaves_no_lock(tmp_path):
    """After a refusal the right audit can go on."""
    with opened(tmp_path):
        pass
    with pytest.raises(ConfigurationError, match="another bundle"):
        opened(tmp_path, Subject("c" * 64, ENDPOINT, "metav-audit 0", 4, {}))
    with opened(tmp_path):
        pass


def test_every_record_passes_through_redaction(tmp_path):
    """Header and records alike are redacted before they are written, and hold nothing that UTF-8 cannot write."""
    value = 'hu"sh'
    subject = replace(SUBJECT, operator={"name": f"by {value}"})
    with opened(tmp_path, subject, Secrets({"WORD": value})) as journal:
        journal.append(Unanswered(at=journal.now(), queries=(0,), reason=f"so {value}: \ud800"))
    header, unanswered = records(tmp_path)
    assert header["operator"] == {"name": "by [redacted:WORD]"}
    assert unanswered["reason"] == "so [redacted:WORD]: ?"


def test_a_disk_that_takes_no_more_is_an_error_with_advice(tmp_path, monkeypatch):
    """A failing flush stops the audit before anything else is sent."""
    with opened(tmp_path) as journal:
        monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(ConfigurationError, match="No space left"):
            journal.append(Unanswered(at=journal.now(), queries=(0,), reason="r"))
        monkeypatch.undo()


def test_a_folder_below_a_file_cannot_be_written(tmp_path):
    """An unwritable place is a configuration error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="choose one you may write to"):
        opened(tmp_path / "file" / "audit")


@pytest.mark.parametrize("value", ["sent", "queries"])
def test_a_secret_that_is_a_word_of_the_format_is_an_error_of_one_line(tmp_path, value):
    """No secret may stand in a record, not even one that no record can do without."""
    with (
        pytest.raises(TranscriptError, match="lacks or misstates") as caught,
        opened(tmp_path, secrets=Secrets({"WORD": value})) as journal,
    ):
        answer(journal, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.EWOULDBLOCK, "another audit"), (errno.ENOLCK, "gives no lock"), (errno.EOPNOTSUPP, "gives no lock")],
)
def test_a_lock_that_the_file_system_cannot_give_is_named_as_that(tmp_path, monkeypatch, number, said):
    """Nobody is told to wait for an audit that is not there."""

    def refused(*_):
        raise OSError(number, "refused")

    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.raises(ConfigurationError, match=said):
        opened(tmp_path)
