"""The exchange played again: real audits pass, and whatever was altered behind their back is found."""

from __future__ import annotations

import hashlib
import json
import zlib

import numpy as np
import pytest

from metav_audit.adapter import Adapter, AdapterOptions, Request, Wait, read_json, read_rows
from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.audit.journal import Journal
from metav_audit.bundle import Schedule
from metav_audit.errors import TranscriptError
from metav_audit.transcript import BODIES, BodyReader, BodyWriter
from metav_audit.verdict import AuditFolder
from metav_audit.verify import exchange as replay
from metav_audit.verify.exchange import check_bodies, play_again
from tests.audit.helpers import Pauses, endpoint, needed, records
from tests.builders import linear_model, make_bundle, make_task
from tests.folders import rechain
from tests.servers import FIELDS, ModelServer, Reply

TASK = make_task()
BUNDLE = make_bundle(queries=12, task=TASK)
TARGET = linear_model(TASK, 0)


def played(folder):
    return play_again(AuditFolder(folder), AuditFolder(folder).records(), BUNDLE)


def checked(folder):
    return check_bodies(AuditFolder(folder), AuditFolder(folder).records())


@pytest.mark.parametrize("adapter", FIELDS)
@pytest.mark.parametrize("batch", [1, 5])
def test_an_audit_with_faults_plays_again(tmp_path, adapter, batch):
    """Whatever failed on the way, every request and every answer is found again in the bodies."""
    faults = {5: Reply(503, b"busy"), 7: Reply(200, b"<html>"), 9: Reply(503, b"busy")}
    with ModelServer(TARGET, adapter, lambda number, seen: faults.get(number)) as server:
        transcript = audit_endpoint(BUNDLE, endpoint(server.url, TASK, adapter, batch=batch), tmp_path, sleep=Pauses())
        sent = len(server.log)
    assert None not in transcript.answers
    found = played(tmp_path)
    assert found.requests == transcript.requests == sent
    assert found.answers == sent - len(faults)
    assert checked(tmp_path).bodies == 2 * sent


def test_a_body_s_order_is_that_of_the_evidence(tmp_path):
    """Tables of an endpoint file may stand in any order; requests are the same when they are written again."""
    fields = {"body": {"z": {"b": 1, "a": 2}, "inputs": "{{inputs}}"}}
    with ModelServer(TARGET, "json-template") as server:
        audit_endpoint(BUNDLE, endpoint(server.url, TASK, "json-template", batch=5, **fields), tmp_path, sleep=Pauses())
    assert played(tmp_path).answers > 0


class Polled(Adapter):
    """Submits, waits, and polls."""

    name = "polled"
    summary = "a queue"

    def encode(self, inputs):
        return Request(f"{self.options.url}/submit", json.dumps({"inputs": inputs.tolist()}).encode())

    def decode(self, response, count):
        return read_rows(read_json(response)["rows"], count)

    def flow(self, inputs):
        job = read_json((yield self.encode(inputs)))["job"]
        yield Wait(0.01)
        response = yield Request(f"{self.options.url}/jobs/{job}", b"", "GET")
        return self.decode(response, len(inputs))


def test_a_flow_of_several_requests_plays_again(tmp_path, monkeypatch):
    """Submit, then poll: each step is matched with its own request."""
    rows = {}

    def queue(number, seen):
        if seen.path == "/submit":
            rows[str(number)] = TARGET(np.array(json.loads(seen.body)["inputs"], np.float32)).tolist()
            return Reply(body=json.dumps({"job": number}).encode())
        return Reply(body=json.dumps({"rows": rows[seen.path.split("/")[-1]]}).encode())

    monkeypatch.setattr(replay, "find_adapter", lambda name: Polled)
    with ModelServer(TARGET, fault=queue) as server:
        asked = Endpoint("suspect", Polled(TASK, AdapterOptions(url=server.url, batch=4)))
        transcript = audit_endpoint(BUNDLE, asked, tmp_path, sleep=Pauses())
    assert played(tmp_path).requests == transcript.requests == 2 * needed(12, 4)


@pytest.fixture
def audited(tmp_path):
    """An undisturbed audit of 12 queries, five a request."""
    with ModelServer(TARGET) as server:
        audit_endpoint(BUNDLE, endpoint(server.url, TASK, batch=5), tmp_path)
    return tmp_path


def forge_body(folder, number, content):
    """Put another body behind a record and mend everything after it, as a careful forger would."""

    def change(kept):
        with BodyReader(folder / BODIES) as bodies:
            old = [
                {part: bodies.read(tuple(each[part])) for part in ("headers", "body") if part in each} for each in kept
            ]
        old[number]["body"] = content
        kept[number]["request_sha256"] = hashlib.sha256(content).hexdigest()
        writer = BodyWriter(folder / BODIES, 0)
        for record, contents in zip(kept, old, strict=True):
            record.update({part: writer.keep(each) for part, each in contents.items()})
        writer.close()

    rechain(folder / "transcript.jsonl", change)


def test_other_inputs_than_the_committed_are_found(audited):
    """A request that holds another input is not what the adapter writes."""
    number, record = next(
        (at, each) for at, each in enumerate(records(audited)) if each["kind"] == "sent" and each["queries"]
    )
    with BodyReader(audited / BODIES) as bodies:
        body = json.loads(bodies.read(tuple(record["body"])))
    body["inputs"][0]["data"][0] = 0.5
    forge_body(audited, number, json.dumps(body).encode())
    checked(audited)
    with pytest.raises(TranscriptError, match="does not hold the committed inputs"):
        played(audited)


def test_answers_that_the_response_does_not_hold_are_found(audited):
    """Answers changed in the record alone are decoded otherwise from the response."""

    def change(kept):
        pairs = (each["answers"] for each in kept if len(each.get("answers", ())) == 2)
        answers = next(each for each in pairs if each[0] != each[1])
        answers[1] = answers[0]

    rechain(audited / "transcript.jsonl", change)
    with pytest.raises(TranscriptError, match="does not hold the recorded answers"):
        played(audited)


def test_swapped_queries_are_found(audited):
    """Answers moved to other queries do not belong to the inputs of those."""

    def change(kept):
        numbers = Schedule.for_bundle(BUNDLE, kept[0]["nonce"]).numbers
        pairs = [each for each in kept if each["kind"] == "sent" and len(each["queries"]) == 2]
        inputs = [[numbers[query] for query in each["queries"]] for each in pairs]
        # Inputs that are asked again may stand in two requests in the same order.
        first, second = pairs[0], next(each for each, asked in zip(pairs, inputs, strict=True) if asked != inputs[0])
        first["queries"], second["queries"] = second["queries"], first["queries"]

    rechain(audited / "transcript.jsonl", change)
    with pytest.raises(TranscriptError, match="does not hold the committed inputs"):
        played(audited)


@pytest.mark.parametrize("place", range(10))
def test_an_altered_byte_of_the_bodies_is_found(audited, place):
    """Any byte: its stream breaks, or its hash does not hold."""
    path = audited / BODIES
    content = bytearray(path.read_bytes())
    content[place * len(content) // 10] ^= 0xFF  # All bits: one alone may be what fills up a stream's last byte.
    path.write_bytes(content)
    with pytest.raises(TranscriptError, match="was altered"):
        checked(audited)


def test_bytes_that_no_record_names_are_found(audited):
    """The records account for the whole file."""
    with (audited / BODIES).open("ab") as file:
        file.write(zlib.compress(b"more"))
    with pytest.raises(TranscriptError, match="accounts for"):
        checked(audited)


def test_a_body_cut_off_by_a_kill_is_dropped(audited):
    """What lies behind the last body that a record names is cut off when the journal opens again."""
    path, size = audited / BODIES, (audited / BODIES).stat().st_size
    with path.open("ab") as file:
        file.write(b"torn")
    from metav_audit.audit.client import subject_of
    from metav_audit.audit.endpoint.secrets import Secrets

    asked = endpoint(records(audited)[0]["endpoint"]["url"], TASK, batch=5)
    with Journal(audited, subject_of(BUNDLE, asked), str, Secrets({})):
        assert path.stat().st_size == size
    checked(audited)
