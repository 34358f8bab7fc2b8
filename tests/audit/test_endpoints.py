from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from metav_audit.adapter import Response
from metav_audit.audit import Grant, load_endpoints
from metav_audit.audit.endpoint.secrets import Secrets
from metav_audit.errors import ConfigurationError, SecretError
from tests.builders import make_task

TASK = make_task()
BASE = '[endpoints.a]\nadapter = "open-inference-v2"\nurl = "http://host:8080"\nmodel = "m"\n'
TEMPLATE = '[endpoints.a]\nadapter = "json-template"\nurl = "http://host/api"\n'


def load(tmp_path, text):
    path = tmp_path / "endpoints.toml"
    path.write_text(text)
    return load_endpoints(path, TASK, Grant(frozenset({"TOKEN", "T", "S"})))


def test_an_endpoint_file_is_read(tmp_path):
    """Adapter options, headers and limits are taken from one table an endpoint, in order."""
    text = BASE + (
        '[endpoints.a.headers]\nAuthorization = "Bearer ${TOKEN}"\nX-Tenant = "blue"\n'
        "[endpoints.a.limits]\nconcurrency = 2\nwall_s = 60\n"
    )
    text += BASE.replace("endpoints.a", "endpoints.b-2")
    first, second = load(tmp_path, text)
    assert (first.name, second.name) == ("a", "b-2")
    assert first.headers == {"Authorization": "Bearer ${TOKEN}", "X-Tenant": "blue"}
    assert first.limits.concurrency == 2
    assert second.limits.budget(10) == 40
    record = first.record()
    assert record.url == "http://host:8080"
    assert record.options["model"] == "m"
    assert record.options["headers"]["Authorization"] == "Bearer ${TOKEN}"
    assert "url" not in record.options


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("this is = = not toml", "not TOML"),
        ("", "names no endpoint"),
        ("endpoints = 3", "names no endpoint"),
        ("[endpoints]\na = 1", "names no endpoint"),
        ("[other]\na = 1", "'other', which is unknown"),
        ('[endpoints.a]\nurl = "http://h"', "lacks its adapter"),
        (BASE.replace("open-inference-v2", "telepathy"), "json-template, mlflow, open-inference-v2"),
        (BASE.replace('model = "m"', ""), "model: this key is missing"),
        (BASE + "surprise = 1", "surprise"),
        (BASE + 'scores = "guess"', "scores"),
        (BASE + "batch = 0", "batch"),
        (BASE + "[endpoints.a.limits]\nspeed = 3", "limits.speed"),
        (BASE + "[endpoints.a.limits]\nattempts = 0", "limits.attempts"),
        (BASE + "limits = 3", "limits"),
        (BASE + "headers = 3", "not a table"),
        (BASE + '[endpoints.a.headers]\n"bad name" = "x"', "not a valid header"),
        (BASE + '[endpoints.a.headers]\nContent-Length = "5"', "set by the client"),
        (BASE + '[endpoints.a.headers]\nX-A = "${1BAD}"', "names no variable"),
        (BASE.replace("endpoints.a", 'endpoints."../a"'), "no folder name"),
        (BASE.replace("endpoints.a", 'endpoints.".a"'), "no folder name"),
        (BASE.replace("http://host:8080", "ftp://host"), "url"),
        (BASE.replace("http://host:8080", "http://"), "not a valid address"),
        (BASE.replace("http://host:8080", "http://host:99999"), "not a valid address"),
        (BASE.replace("http://host:8080", "http://ho st"), "not a valid address"),
    ],
)
def test_a_wrong_endpoint_file_gets_one_clear_line(tmp_path, text, said):
    """Everything wrong in an endpoint file is a ConfigurationError of one line that names the place."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_or_binary_file_is_told(tmp_path):
    """A file that is not there, or is no text, is a ConfigurationError."""
    with pytest.raises(ConfigurationError, match="No such file"):
        load_endpoints(tmp_path / "none.toml", TASK)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_endpoints(tmp_path / "binary", TASK)


def test_a_byte_order_mark_and_line_ends_of_other_systems_are_no_mistake(tmp_path):
    """As editors elsewhere write files."""
    text = '\ufeff[endpoints.one]\r\nadapter = "open-inference-v2"\r\nurl = "http://localhost:1"\r\nmodel = "m"\r\n'
    (tmp_path / "e.toml").write_bytes(text.encode())
    assert [each.name for each in load_endpoints(tmp_path / "e.toml", TASK)] == ["one"]


@pytest.mark.parametrize(
    "line",
    [
        *(f'headers = {{ "{name}" = "hunter2-Pa55w0rd" }}' for name in
          ("X-Model-Key", "X-Endpoint-Token", "X-Request-Token", "X-ID-Token", "X-Hash-Key", "X-Variant-Secret",
           "X-JWT", "X-Passphrase", "Private-Key")),
        *(f'body = {{ {name} = "hunter2-Pa55w0rd" }}' for name in
          ("endpoint_token", "id_token", "model_api_key", "model_password", "password_hash", "private_key")),
        'body = { note = "glpat-abcdefgh12345678" }', 'body = { note = "sk_live_abcdefgh12345678" }',
    ],
)  # fmt: skip
def test_a_credential_is_one_whatever_ordinary_word_stands_in_its_name(tmp_path, line):
    """Refused before anything is sent, and not repeated."""
    (tmp_path / "e.toml").write_text(
        f'[endpoints.one]\nadapter = "json-template"\nurl = "http://localhost:1"\n{line}\n'
        + ("" if line.startswith("body") else 'body = { x = "{{input}}" }\n')
    )
    with pytest.raises(SecretError) as caught:
        load_endpoints(tmp_path / "e.toml", TASK)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        'token = "[MASK]"', 'auth = "none"', 'pad_token = "<pad>"', 'token_count = "12"', 'secret_name = "blue"',
        'text = "the ring bearer of basic clothing"', 'cache_key = "eu"',
    ],
)  # fmt: skip
def test_ordinary_words_are_no_credentials(tmp_path, body):
    """Whatever they sound like."""
    (tmp_path / "e.toml").write_text(
        '[endpoints.one]\nadapter = "json-template"\nurl = "http://localhost:1"\n'
        f'body = {{ x = "{{{{input}}}}", {body} }}\nheaders = {{ Idempotency-Key = "audit-1" }}\n'
        'label_map = { "ring bearer" = "class 0", "basic clothing" = "class 1" }\n'
    )
    assert load_endpoints(tmp_path / "e.toml", TASK)


VALUE = 'Key a"b/c+d=e?12345678'
HUSH = "q8ZrT2mVx7LbN4kWc9YpD3sF"


@pytest.mark.parametrize(
    "text",
    [
        BASE + f'[endpoints.a.headers]\nAuthorization = "Bearer {HUSH}"',
        BASE + f'[endpoints.a.headers]\nAuthorization = "{HUSH}"',
        BASE + '[endpoints.a.headers]\nx-api-key = "hunter2"',
        BASE + '[endpoints.a.headers]\nX-Auth-Token = "hunter2"',
        BASE + '[endpoints.a.headers]\nCookie = "hunter2=1"',
        BASE + '[endpoints.a.headers]\nX-Client-Secret = "hunter2"',
        BASE + f'[endpoints.a.headers]\nX-Whatever = "{HUSH}"',
        BASE + f'[endpoints.a.headers]\nX-Whatever = "${{A}} {HUSH}"',
        BASE + '[endpoints.a.headers]\nX-Whatever = "Basic aHVudGVyMg=="',
        BASE + '[endpoints.a.headers]\nX-Whatever = "Bearer hunter2"',
        BASE + '[endpoints.a.headers]\nX-Key = "hunter2"',
        BASE + '[endpoints.a.headers]\nX-Pass = "hunter2"',
        BASE + '[endpoints.a.headers]\nAuthorization = "Basic aHVudGVyOmh1bnRlcjI= ${T}"',
        TEMPLATE + 'body = {x = "{{input}}", pwd = "hunter2"}',
        TEMPLATE + 'body = {x = "{{input}}", ghp_hunter2hunter2hunter2hunter2 = "x"}',
        BASE + 'input_name = "sk-hunter2hunter2"',
        BASE + 'input_name = "AKIAHUNTER2HUNTER2XX"',
        BASE + 'input_name = "eyJhunter2hunter2.eyJhunter2hunter2.x"',
        BASE + 'input_name = "ghp_hunter2hunter2hunter2hunter2"',
        BASE + 'input_name = "${TOKEN}"',
        BASE + 'api_key = "hunter2"',
        BASE.replace("http://host", "http://me:hunter2@host"),
        BASE.replace("http://host", "http://hunter2@host"),
        TEMPLATE.replace("/api", "/api?api_key=hunter2") + 'body = "{{input}}"',
        TEMPLATE.replace("/api", "/api?sig=hunter2") + 'body = "{{input}}"',
        TEMPLATE.replace("/api", f"/api?x={HUSH}") + 'body = "{{input}}"',
        TEMPLATE + f'body = {{x = "{{{{input}}}}", y = "{HUSH}"}}',
        TEMPLATE + 'body = {x = "{{input}}", auth = {password = "hunter2"}}',
        TEMPLATE + 'body = {x = "{{input}}", y = ["Bearer hunter2"]}',
    ],
)
def test_a_literal_secret_is_refused_and_not_repeated(tmp_path, text):
    """Wherever a secret stands as a literal it is refused, by a message that does not repeat it."""
    with pytest.raises(SecretError) as caught:
        load(tmp_path, text)
    assert "hunter2" not in str(caught.value).lower()
    assert HUSH not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        BASE + '[endpoints.a.headers]\nAuthorization = "Token ${T}"\nX-Tenant = "my-tenant-of-2024"',
        BASE + '[endpoints.a.headers]\nCookie = "session=${S}; theme=dark"',
        BASE + 'output_name = "my-resnet50-production-variant-blue-2024"',
        BASE.replace("host:8080", "host/endpoints/6f9619ff-8b86-d011-b42d-00cf4fc964ff/v1"),
        BASE.replace("host:8080", "host/runs/0123456789abcdef0123456789abcdef"),
        TEMPLATE + 'body = {key = "{{input}}", max_tokens = 5, tokenizer = "bert"}',
        TEMPLATE + 'body = "{{input}}"\nlabel_map = {token = "class 1", secret = "class 2"}',
        BASE + 'input_name = "huggingfacePytorchInference20240516"',
        BASE + f'input_name = "{HUSH}"',
        TEMPLATE + 'body = "{{input}}"\nanswer = "predictions.DigitsClassifierEndpointV2Prod2024.scores"',
        TEMPLATE.replace("/api", "/v1/DigitsClassifierEndpointV2Prod2024/predict") + 'body = "{{input}}"',
        TEMPLATE.replace("/api", "/api?version=0123456789abcdef0123456789abcdef01234567") + 'body = "{{input}}"',
        TEMPLATE.replace("/api", "/api?deployment=HuggingFaceResnet50Prod20240516a&code=predict")
        + 'body = "{{input}}"',
        TEMPLATE + 'body = {x = "{{input}}", max_tokens = "5", pad_token = "<pad>", token_type = "a", key = "image"}',
        TEMPLATE + 'body = {x = "{{input}}", version = "sha256:0123456789abcdef0123456789abcdef", code = "predict"}',
        BASE + '[endpoints.a.headers]\ntraceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"',
        BASE + '[endpoints.a.headers]\nX-Request-Id = "0af7651916cd43dd8448eb211c80319c"',
        BASE + '[endpoints.a.headers]\nazureml-model-deployment = "ResNet50ImageClassifierProdBlue2"',
        BASE + '[endpoints.a.headers]\nX-Token-Limit = "5"',
        BASE + '[endpoints.a.headers]\nX-Whatever = "0123456789abcdef0123456789abcdef"',
        BASE + f'not_secret = ["headers.X-Whatever"]\n[endpoints.a.headers]\nX-Whatever = "{HUSH}"',
        TEMPLATE + f'not_secret = ["body.seed"]\nbody = {{x = "{{{{input}}}}", seed = "{HUSH}"}}',
    ],
)
def test_what_is_no_secret_is_taken(tmp_path, text):
    """Names, versions, identifiers and labels are not mistaken for secrets."""
    assert len(load(tmp_path, text)) == 1


def test_a_refusal_says_how_to_declare_what_is_no_secret(tmp_path):
    """By its place in the endpoint's table, which is then taken."""
    text = '[endpoints.a.headers]\nX-Api-Key = "public"'
    with pytest.raises(SecretError, match=r'not_secret = \["headers.X-Api-Key"\]'):
        load(tmp_path, BASE + text)
    assert load(tmp_path, BASE + 'not_secret = ["headers.X-Api-Key"]\n' + text)
    with pytest.raises(ConfigurationError, match="list of places"):
        load(tmp_path, BASE + 'not_secret = "headers.X-Api-Key"\n' + text)


def test_an_expanded_secret_is_never_shown(tmp_path, monkeypatch):
    """Neither an endpoint nor the secrets themselves show a value when printed."""
    monkeypatch.setenv("TOKEN", HUSH)
    (endpoint,) = load(tmp_path, BASE + '[endpoints.a.headers]\nAuthorization = "Bearer ${TOKEN}"')
    secrets = Secrets.read(endpoint.variables({}), {"TOKEN": HUSH})
    assert secrets.expand("Bearer ${TOKEN}") == f"Bearer {HUSH}"
    assert HUSH not in repr(endpoint) + repr(secrets) + str(secrets) + repr(endpoint.record())


@pytest.mark.parametrize("value", [None, "", "  ", "abc", "hunter2\n", "hunter2\r\nX-A: b", "hünter2"])
def test_a_variable_that_cannot_be_used_is_named(value):
    """Unset, empty, or unfit for a header: the message names the variable, not its value."""
    environment = {} if value is None else {"TOKEN": value}
    with pytest.raises(SecretError, match="TOKEN") as caught:
        Secrets.read(["TOKEN"], environment)
    assert "nter2" not in str(caught.value)


def spellings(value):
    escaped = json.dumps(value)[1:-1]
    encoded = base64.b64encode(value.encode()).decode()
    return [value, value.split()[1], escaped, escaped.replace("/", "\\/"), quote(value, safe=""), encoded]


@pytest.mark.parametrize("echo", ["{}", 'x"{}"y', "Bearer {}, yes"])
@pytest.mark.parametrize("spelled", spellings(VALUE))
def test_every_spelling_of_a_secret_is_redacted(echo, spelled):
    """Plain, JSON-escaped, URL-quoted and base64 echoes are all replaced by the variable's name."""
    secrets = Secrets({"TOKEN": VALUE})
    text = echo.replace("{}", spelled)
    redacted = secrets.redact_all({"body": [text]})["body"][0]
    assert redacted in (echo.replace("{}", "[redacted:TOKEN]"), echo.replace("{}", "[redacted:TOKEN]", 1))
    response = secrets.redact_response(Response(200, {"x-echo": text}, text.encode()))
    assert response == Response(200, {"x-echo": redacted}, redacted.encode())
