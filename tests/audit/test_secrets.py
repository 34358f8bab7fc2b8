from __future__ import annotations

import base64
import json
import logging
import traceback
import zlib

import pypdf
import pytest

from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.cli import main
from metav_audit.transcript import BODIES
from tests.builders import linear_model, make_bundle, make_task
from tests.servers import ModelServer, Reply

TASK = make_task()
TOKEN = "tok/3n+With=odd-characters.9f8e7d6c5b4a"
ENCODED = base64.b64encode(TOKEN.encode()).decode()


def shout(number, seen):
    """A server that echoes the credentials everywhere it can: body, error, labels, headers that are recorded."""
    echo = seen.headers["authorization"]
    headers = {"Server": f"echo {echo}", "X-Model-Version": TOKEN, "Retry-After": "0"}
    if number in (0, 4):
        return Reply(503, json.dumps({"error": f"overloaded, {echo}"}).encode(), headers)
    if number == 6:
        return Reply(422, json.dumps({"detail": "x" * 170 + TOKEN + " is not allowed"}).encode(), headers)
    if number == 8:
        return Reply(200, json.dumps([{"label": TOKEN, "score": 1.0}]).encode(), headers)
    inputs = json.loads(seen.body)["inputs"]
    rows = linear_model(TASK, 0)(inputs).tolist()
    body = {"model": TOKEN, "echo": [echo, ENCODED, dict(seen.headers)], "result": {"rows": rows}}
    return Reply(200, json.dumps(body).encode(), headers)


@pytest.fixture(autouse=True)
def granted(monkeypatch):
    """As a schedule would: the option's own variable."""
    monkeypatch.setenv("METAV_AUDIT_AUDIT_SECRET", "OTHER SUSPECT_TOKEN")


def endpoint_file(tmp_path, url):
    path = tmp_path / "endpoints.toml"
    path.write_text(
        f'[endpoints.loud]\nadapter = "json-template"\nurl = "{url}"\nbody = {{inputs = "{{{{inputs}}}}"}}\n'
        'answer = "result.rows"\n[endpoints.loud.headers]\nAuthorization = "Bearer ${SUSPECT_TOKEN}"\n'
        "[endpoints.loud.limits]\nconcurrency = 1\n"
    )
    return path


def leaks(folder):
    """Files that hold the token, or a good part of it, plain or encoded."""
    contents = {path: unpacked(path) for path in folder.rglob("*") if path.is_file()}
    return [str(path) for path, content in contents.items() if spells_the_token(content)]


def spells_the_token(content):
    return any(text.encode() in content for text in (TOKEN, TOKEN[:24], TOKEN[-16:], ENCODED))


def unpacked(path):
    """A file's bytes, and what is compressed in them."""
    content = path.read_bytes()
    if path.suffix == ".pdf":
        pages = pypdf.PdfReader(path).pages
        return content + "".join(page.extract_text() for page in pages).replace("\n", "").encode()
    streams, rest = [], content if path.name == BODIES else b""
    while rest:
        inflater = zlib.decompressobj()
        streams.append(inflater.decompress(rest))
        rest = inflater.unused_data
    return content + b"".join(streams)


def test_the_search_for_leaks_finds_them(tmp_path):
    """In plain files and in bodies: a search that finds nothing is no search."""
    (tmp_path / "plain.txt").write_text(f"Bearer {TOKEN}")
    (tmp_path / BODIES).write_bytes(zlib.compress(b"first") + zlib.compress(f"second {ENCODED}".encode()))
    assert len(leaks(tmp_path)) == 2


def test_a_token_stands_in_no_artefact_even_when_the_server_echoes_it(tmp_path, monkeypatch, capsys, caplog):
    """Transcript, bodies, verdict, reports, stdout, stderr and debug logs hold the variable's name, never its value."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SUSPECT_TOKEN", TOKEN)
    make_bundle(queries=12, task=TASK).save(tmp_path / "bundle")
    with ModelServer(None, fault=shout) as server:
        path = endpoint_file(tmp_path, server.url)
        with pytest.raises(SystemExit):
            main(["audit", str(tmp_path / "bundle"), str(path), "-o", str(tmp_path / "out")])
    assert all(seen.headers["authorization"] == f"Bearer {TOKEN}" for seen in server.log)
    shown = capsys.readouterr()
    assert leaks(tmp_path) == []
    assert not spells_the_token((shown.out + shown.err + caplog.text).encode())
    assert {path.name for path in (tmp_path / "out" / "loud").iterdir()} >= {BODIES, "report.pdf", "SHA256SUMS"}
    assert b"[redacted:SUSPECT_TOKEN]" in unpacked(tmp_path / "out" / "loud" / BODIES)
    assert "[redacted:SUSPECT_TOKEN]" in (tmp_path / "out" / "loud" / "transcript.jsonl").read_text()


@pytest.mark.parametrize("status", [401, 404, 200])
def test_an_error_message_does_not_repeat_an_echoed_token(tmp_path, monkeypatch, capsys, status):
    """What a server says in its refusal reaches stderr redacted."""
    monkeypatch.setenv("SUSPECT_TOKEN", TOKEN)
    make_bundle(queries=4, task=TASK).save(tmp_path / "bundle")
    body = {"error": f"bad token {TOKEN}", "result": {"rows": [{TOKEN: 1.0}]}}
    with ModelServer(None, fault=lambda number, seen: Reply(status, json.dumps(body).encode())) as server:
        path = endpoint_file(tmp_path, server.url)
        with pytest.raises(SystemExit) as exit_:
            main(["audit", str(tmp_path / "bundle"), str(path), "-o", str(tmp_path / "out")])
    assert exit_.value.code == 4
    shown = capsys.readouterr()
    assert TOKEN[:24] not in shown.out + shown.err
    assert "[redacted:SUSPECT_TOKEN]" in shown.err
    assert leaks(tmp_path) == []


def test_a_traceback_does_not_hold_the_token(tmp_path, monkeypatch):
    """Whatever breaks in the client itself: the traceback of every error in the chain is clean."""
    monkeypatch.setenv("SUSPECT_TOKEN", TOKEN)

    def broken(*_):
        raise RuntimeError("a defect of our own")

    monkeypatch.setattr("metav_audit.audit.asking.identify", broken)
    fields = {"adapter": "json-template", "body": {"inputs": "{{inputs}}"}, "answer": "result.rows"}
    with ModelServer(None, fault=shout) as server:
        headers = {"headers": {"Authorization": "Bearer ${SUSPECT_TOKEN}"}}
        asked = Endpoint.open("loud", {**fields, "url": server.url, **headers}, TASK)
        with pytest.raises(RuntimeError) as raised:
            audit_endpoint(make_bundle(queries=4, task=TASK), asked, tmp_path)
    assert not spells_the_token("".join(traceback.format_exception(raised.value)).encode())
