"""A secret that a server sends back, in whichever spelling: nothing of it is kept."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import zlib
from urllib.parse import quote

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from metav_audit.adapter import Response
from metav_audit.audit.endpoint.secrets import Secrets, name_of_dropped
from metav_audit.bundle.schedule import Schedule
from metav_audit.cli import main
from metav_audit.transcript import load_records
from metav_audit.verdict import Asked
from tests.builders import linear_model, make_bundle, make_task
from tests.servers import ModelServer, Reply

TOKEN = "tok/3n+With=odd-characters.9f8e7d6c5b4a"
BASIC = base64.b64encode(b"auditor:Pass-word&123<x>").decode()


def in_escapes(text, form):
    return "".join(form.format(ord(letter)) for letter in text)


SPELLINGS = {
    "plain": str,
    "json": json.dumps,
    "json slashes": lambda text: text.replace("/", "\\/"),
    "json unicode": lambda text: in_escapes(text, "\\u{:04x}"),
    "json unicode, capitals": lambda text: in_escapes(text, "\\u{:04X}"),
    "json partly": lambda text: text.replace("o", "\\u006f"),
    "javascript": lambda text: in_escapes(text, "\\x{:02x}"),
    "octal": lambda text: in_escapes(text, "\\{:03o}"),
    "html": lambda text: html.escape(text.replace("/", "&#47;")),
    "html decimal": lambda text: in_escapes(text, "&#{};"),
    "html hexadecimal": lambda text: in_escapes(text, "&#x{:x};"),
    "html in json": lambda text: json.dumps(in_escapes(text, "&#{};")),
    "percent": lambda text: quote(text, safe=""),
    "percent, small": lambda text: quote(text, safe="").lower(),
    "percent, all": lambda text: in_escapes(text, "%{:02X}"),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of the header": lambda text: base64.b64encode(f"Authorization: Bearer {text}".encode()).decode(),
    "base64, offset 1": lambda text: base64.b64encode(f"x{text}, yes".encode()).decode(),
    "base64, offset 2": lambda text: base64.urlsafe_b64encode(f"xx{text}, yes".encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(f"{'a' * 50}{text}".encode()).decode(),
    "base64 in percent": lambda text: quote(base64.b64encode(text.encode()), safe=""),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, capitals": lambda text: text.encode().hex().upper(),
    "hexadecimal, apart": lambda text: text.encode().hex(":"),
    "hexadecimal, listed": lambda text: ", ".join(f"0x{byte:02x}" for byte in text.encode()),
    "capitals": str.upper,
    "small": str.lower,
    "utf-16": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "quoted-printable": lambda text: in_escapes(text, "={:02X}"),
    "broken": lambda text: "\n".join(text[at : at + 10] for at in range(0, len(text), 10)),
}


@pytest.mark.parametrize("where", ["{}", "x{}y", '{{"echo": "{}", "rows": [[1, 0]]}}'])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_of_a_secret_is_not_kept(spelling, where):
    """Neither in a body nor in a header: it is replaced, or all of the text is dropped."""
    secrets = Secrets({"TOKEN": f"Bearer {TOKEN}"})
    echo = where.format(SPELLINGS[spelling](TOKEN))
    kept = secrets.redact_response(Response(200, {"x-echo": echo}, echo.encode()))
    for text in (kept.headers["x-echo"], kept.content.decode()):
        assert text == "[dropped, for it showed TOKEN]" or "[redacted:TOKEN]" in text
        assert secrets.redact(text) == text
        assert TOKEN[:12].lower() not in text.lower()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_a_basic_credential_decodes_to_is_not_kept(spelling):
    """User and password, together and the password alone."""
    secrets = Secrets({"LOGIN": f"Basic {BASIC}"})
    for said in ("auditor:Pass-word&123<x>", "Pass-word&123<x>"):
        content = f"hello {SPELLINGS[spelling](said)}".encode()
        kept = secrets.redact_response(Response(401, {}, content)).content
        assert name_of_dropped(kept) == "LOGIN" or b"[redacted:LOGIN]" in kept


@given(st.lists(st.floats(0, 1), min_size=1), st.binary(max_size=3000))
def test_what_shows_no_secret_is_kept_as_it_came(numbers, picture):
    """Numbers, and pictures in base64."""
    secrets = Secrets({"TOKEN": TOKEN, "SHORT": "a1b2", "LOGIN": f"Basic {BASIC}"})
    content = json.dumps({"rows": numbers, "said": "50% of &amp; \\u0041"}).encode()
    assert secrets.redact_response(Response(200, {}, content)).content == content
    content = base64.b64encode(zlib.compress(picture))
    if b"a1b2" not in content:
        assert secrets.redact_response(Response(200, {}, content)).content == content


def apart(places):
    """Whether queries 2 and 3 are asked once each, and not one after the other."""
    return len(places[2]) == len(places[3]) == 1 and abs(places[2][0] - places[3][0]) > 1


def test_a_dropped_answer_does_not_count_and_its_hash_is_kept(tmp_path, monkeypatch, capsys):
    """Two queries' answers spell the token in hexadecimal: they stay unanswered, and nothing holds the token."""
    monkeypatch.setenv("SUSPECT_TOKEN", TOKEN)
    task = make_task()
    model, raw, bundle = linear_model(task, 0), [], make_bundle(queries=8, task=task)
    bundle.save(tmp_path / "bundle")
    # Two failures in a row would end the audit.
    nonce = next(nonce for nonce in (f"{at:032x}" for at in range(999)) if apart(Schedule.of(8, 16, nonce).places))
    monkeypatch.setattr("secrets.token_hex", lambda size: nonce)

    def echo(number, seen):
        inputs = np.array(json.loads(seen.body)["inputs"], np.float32)
        body = {"rows": model(inputs).tolist()}
        if any(np.array_equal(row, bundle.inputs[at]) for row in inputs for at in (2, 3)):
            body["echo"] = seen.headers["authorization"].encode().hex()
            raw.append(hashlib.sha256(json.dumps(body).encode()).hexdigest())
        return Reply(200, json.dumps(body).encode())

    with ModelServer(None, fault=echo) as server:
        (tmp_path / "endpoints.toml").write_text(
            f'[endpoints.a]\nadapter = "json-template"\nurl = "{server.url}"\nbody = {{inputs = "{{{{inputs}}}}"}}\n'
            'answer = "rows"\nheaders = {Authorization = "Bearer ${SUSPECT_TOKEN}"}\nlimits = {concurrency = 1}\n'
        )
        words = [str(tmp_path / name) for name in ("bundle", "endpoints.toml")]
        with pytest.raises(SystemExit):
            main(["audit", *words, "-o", str(tmp_path / "out"), "--secret", "SUSPECT_TOKEN"])
    capsys.readouterr()
    records = load_records(tmp_path / "out" / "a" / "transcript.jsonl")
    assert [at for at, each in enumerate(Asked.of(bundle, records.transcript).answers) if each is None] == [2, 3]
    kept = [each for each in records.each if getattr(each, "outcome", None) == "unusable"]
    assert {each.response_sha256 for each in kept} == set(raw)
    assert all("SUSPECT_TOKEN" in each.error for each in kept)
    with pytest.raises(SystemExit) as end:
        main(["verify", str(tmp_path / "out" / "a")])
    assert end.value.code == 6
    spelled = TOKEN.encode().hex().encode()
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or spelled not in path.read_bytes()
