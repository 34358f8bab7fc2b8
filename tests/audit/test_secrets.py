from __future__ import annotations

import base64
import json

import pytest

from metav_audit.cli import main
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
    spelled = [TOKEN, TOKEN[:24], TOKEN[-16:], ENCODED]
    contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [str(path) for path, content in contents.items() if any(text.encode() in content for text in spelled)]


def test_a_token_stands_in_no_artefact_even_when_the_server_echoes_it(tmp_path, monkeypatch, capsys):
    """Transcript, verdict, reports, stdout and stderr hold the variable's name, never its value."""
    monkeypatch.setenv("SUSPECT_TOKEN", TOKEN)
    make_bundle(queries=12, task=TASK).save(tmp_path / "bundle")
    with ModelServer(None, fault=shout) as server:
        path = endpoint_file(tmp_path, server.url)
        with pytest.raises(SystemExit):
            main(["audit", str(tmp_path / "bundle"), str(path), "-o", str(tmp_path / "out")])
    assert all(seen.headers["authorization"] == f"Bearer {TOKEN}" for seen in server.log)
    shown = capsys.readouterr()
    assert leaks(tmp_path) == []
    assert TOKEN[:24] not in shown.out + shown.err
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
