"""APIs that fit nothing, or mean harm: one clear line, exit code 4, no file, and the key nowhere."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metav_audit.audit.probe.run import Plan
from metav_audit.audit.probe.run import probe as run_probe
from metav_audit.cli import main
from metav_audit.errors import RemoteError
from tests.asked import odd
from tests.audit.helpers import Pauses
from tests.builders import linear_model, make_bundle, make_task, with_natural
from tests.servers import ModelServer, Reply, always

TASK = make_task(classes=4, channels=3)
BUNDLE = with_natural(make_bundle(task=TASK, spread=0.2), mixed=True)
MODEL = linear_model(TASK, 7, distance=0.05)
KEY = "hunter2-and-some-more"
HEADER = ("--header", "X-API-Key: ${ODD_KEY}")


@pytest.fixture
def probe(capsys, monkeypatch, tmp_path):
    """Probe a server that answers by a fault; return exit code, what was printed, the file, and what was asked."""
    monkeypatch.setenv("ODD_KEY", KEY)
    BUNDLE.save(tmp_path / "bundle")
    written = tmp_path / "endpoint.toml"

    def call(fault, *words, path="/score"):
        with ModelServer(MODEL, fault=fault) as server, pytest.raises(SystemExit) as end:
            main(["probe", server.url + path, "-b", str(tmp_path / "bundle"), "-o", str(written), *map(str, words)])
        shown = capsys.readouterr()
        told = shown.out + shown.err
        assert "Traceback" not in told
        assert KEY not in told
        assert told.replace("\n", "").isprintable()
        assert not written.exists() or KEY not in written.read_text()
        return end.value.code or 0, told, written, server.log

    return call


def echoing(number, seen):
    """Repeats the key in every way, and a terminal's escapes."""
    key = seen.headers.get("x-api-key", "")
    said = f"\x1b[2J\x1b]0;owned\x07 \u202e your key {key} is 'wrong', {key.encode().hex()}"
    return Reply(400, json.dumps({"error": said, "field": "\x1b[31m"}).encode(), {"X-Key": key})


def endless(number, seen):
    return Reply(200, b'{"scores": [', {}, chunks=tuple([b"0.1," * 50_000] * 40))


def random_scores(number, seen):
    scores = np.random.default_rng(number).dirichlet(np.ones(4))
    return odd.reply({"scores": scores.tolist()})


def one_answer(number, seen):
    return odd.reply({"scores": dict(zip(TASK.output.labels, [0.97, 0.01, 0.01, 0.01], strict=True))})


def votes(number, seen):
    """Right answers in a kind that is none: numbers that add up to 1000."""
    picture = (odd.posted(seen) or {}).get("image")
    if not isinstance(picture, str):
        return Reply(400, b"an image, please")
    (scores,) = MODEL(odd.from_png(picture))
    return odd.reply({"votes": dict(zip(TASK.output.labels, np.rint(1000 * scores).tolist(), strict=True))})


def sigmoids(number, seen):
    picture = (odd.posted(seen) or {}).get("image")
    if not isinstance(picture, str):
        return Reply(400, b"an image, please")
    (scores,) = MODEL(odd.from_png(picture))
    return odd.reply({"scores": (scores / (scores + 0.1)).tolist()})


REFUSED = {
    "refuses all": (always(400, b'{"error": "no"}'), "no way to ask it was found within 12 requests"),
    "a page": (always(200, b"<html><body>It works!</body></html>"), "no way to ask it was found"),
    "nothing": (always(200, b""), "no way to ask it was found"),
    "not found": (always(404), "HTTP 404"),
    "wants a key": (always(401, b'{"message": "key?"}'), "wants credentials"),
    "moved": (always(307, b"", {"Location": "http://127.0.0.1:9/else"}), "redirects are not followed"),
    "busy": (always(503, b"", {"Retry-After": "1"}), "then run again"),
    "drops": (lambda number, seen: Reply(drop=True), "then run again"),
    "endless": (endless, "the answer is larger than"),
    "deep": (always(200, b"[" * 100_000), "no way to ask it was found"),
    "random": (random_scores, "natural inputs right"),
    "one answer": (one_answer, "natural inputs right"),
    "votes": (votes, "within 12 requests"),
    "sigmoids": (sigmoids, "within 12 requests"),
    "echoing": (echoing, ""),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", REFUSED)
def test_an_api_that_cannot_be_asked_leaves_no_file(probe, kind):
    """It says what was tried and what came back, within the budget."""
    fault, said = REFUSED[kind]
    code, told, written, log = probe(fault, *HEADER, "--secret", "ODD_KEY") if kind == "echoing" else probe(fault)
    assert (code, written.exists()) == (4, False), told
    assert said in told
    assert len(log) <= 12
    assert max(map(len, told.splitlines())) < 1200


@pytest.mark.parametrize("address", [None, "http://127.0.0.1:9/else", "//127.0.0.1:9/else", "http://[bad"])
def test_a_job_that_never_ends_ends_with_the_budget(address):
    """Polls count, go to the one host alone, and pauses are bounded."""
    submitted = {"id": "j1", "status": "queued"} | ({} if address is None else {"url": address})
    pauses = Pauses()
    with ModelServer(MODEL, fault=lambda number, seen: odd.reply(submitted, 202)) as server:
        with pytest.raises(RemoteError, match="no way to ask it was found"):
            run_probe(Plan(BUNDLE, f"{server.url}/queue"), sleep=pauses)
        assert len(server.log) == 12
    assert max(pauses) <= 20


def test_nothing_is_sent_without_a_grant(probe):
    """A variable that --secret does not name, a literal secret, a bundle's missing part: exit code 2, no request."""
    for words in (HEADER, ("--header", "Authorization: Bearer hf_abcdefghijklmnopqrstuvwxyz012345"), ("--header", "x")):
        code, told, _, log = probe(one_answer, *words)
        assert (code, log) == (2, []), told
    code, told, _, log = probe(one_answer, *HEADER, "--secret", "ODD_KEY@api.example.com")
    assert (code, log) == (2, []), told
    code, told, _, log = probe(one_answer, "--describe", "http://127.0.0.1:9/openapi.json")
    assert (code, log) == (2, []), told


def test_a_dry_run_says_what_would_be_sent(probe):
    """Requests, inputs and variables, and to which host; nothing is sent and nothing written."""
    code, told, written, log = probe(one_answer, *HEADER, "--secret", "ODD_KEY", "--dry-run")
    assert (code, log, written.exists()) == (0, [], False)
    assert "at most 12 requests to 127.0.0.1" in told
    assert "16 natural inputs of the owner's validation data" in told
    assert "ODD_KEY goes to 127.0.0.1" in told
    assert "nothing was sent" in told


def test_no_file_is_overwritten(probe, tmp_path):
    """Whatever stands there stays, and nothing is sent."""
    (tmp_path / "endpoint.toml").write_text("# mine")
    code, told, written, log = probe(one_answer)
    assert (code, log, written.read_text()) == (2, [], "# mine")
    assert "exists" in told
