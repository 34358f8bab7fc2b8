from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.adapter import Request
from metav_audit.audit import Endpoint, audit_endpoint, load_endpoints
from metav_audit.audit.endpoint.signing import SigV4
from metav_audit.errors import ConfigurationError, RemoteError, SecretError
from tests.audit.helpers import Pauses, records
from tests.audit.sigv4_vectors import CASES, KEYS, NOW, VECTORS, botocores_own
from tests.builders import linear_model, make_bundle, make_task
from tests.servers import ModelServer, Reply, always

TASK = make_task()
BUNDLE = make_bundle(queries=4, task=TASK)
SECRET = KEYS[1]
FIELDS = {
    "adapter": "sagemaker",
    "endpoint": "e",
    "body": {"instances": "{{inputs}}"},
    "answer": "predictions",
    "signing": {"kind": "aws-sigv4", "service": "sagemaker", "region": "eu-central-1"},
}


def ours(url, body="", method="POST", headers=None, token=None, service="sagemaker"):
    signer = SigV4(kind="aws-sigv4", service=service, region="eu-central-1")
    credentials = [*KEYS, token] if token else KEYS
    return signer.sign(Request(url, body.encode(), method, {}), headers or {}, credentials, NOW)


@pytest.mark.parametrize("case", CASES)
def test_the_signature_is_the_one_botocore_makes(case):
    """Header for header what botocore's SigV4Auth adds to the same request at the same time, as frozen from it."""
    assert ours(**CASES[case]) == json.loads(VECTORS.read_text())[case]


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
PATH = st.text("abcXYZ019-_.~/%:@!$&'()*+,;=", max_size=20).filter(
    lambda path: "//" not in f"/{path}" and "." not in path
)


@settings(max_examples=300, deadline=None)
@given(
    PATH,
    st.text(max_size=20),
    st.sampled_from(["GET", "POST"]),
    st.dictionaries(st.sampled_from(["accept", "x-a", "content-type", "user-agent"]), TEXT),
    st.sampled_from([None, "a token"]),
    st.lists(st.tuples(st.text("ab1%-", min_size=1, max_size=3), st.text("ab1%-", max_size=3)), max_size=3),
)
def test_with_botocore_at_hand_any_request_is_signed_alike(path, body, method, headers, token, query):
    """The same comparison live, over any request, where botocore is installed."""
    pytest.importorskip("botocore")
    url = f"https://host.test/{path}" + ("?" + "&".join(f"{name}={value}" for name, value in query) if query else "")
    case = {"url": url, "body": body, "method": method, "headers": headers, "token": token}
    assert ours(**case) == botocores_own(**case)


@pytest.fixture
def _credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


def answer(number, seen):
    if number == 0:
        return Reply(400, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}')
    if number == 2:
        return Reply(503, json.dumps({"message": f"echo {SECRET} {seen.headers['authorization']}"}).encode())
    scores = linear_model(TASK, 0)(json.loads(seen.body)["instances"])
    return Reply(200, json.dumps({"predictions": scores.tolist()}).encode())


@pytest.mark.usefixtures("_credentials")
def test_every_attempt_is_signed_anew_and_no_credential_is_written(tmp_path, monkeypatch):
    """Each request, retries too, carries a signature of its own time; the transcript holds no key."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the-session-token")
    seconds = iter(range(1000))

    def now():
        return datetime.fromtimestamp(1.9e9 + next(seconds), UTC)

    with ModelServer(None, fault=answer) as server:
        endpoint = Endpoint.open("suspect", {**FIELDS, "url": server.url, "limits": {"concurrency": 1}}, TASK)
        transcript = audit_endpoint(BUNDLE, endpoint, tmp_path, sleep=Pauses(), now=now)
    assert None not in transcript.answers
    assert len({seen.headers["x-amz-date"] for seen in server.log}) == transcript.requests >= 6
    assert len({seen.headers["authorization"] for seen in server.log}) == len(server.log) == transcript.requests
    for seen in server.log:
        assert seen.headers["x-amz-security-token"] == "the-session-token"
        when = datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        sent = Request(server.url + seen.path, seen.body)
        signed = seen.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        headers = {name: seen.headers[name] for name in signed if not name.startswith("x-amz-")}
        again = endpoint.signer.sign(sent, headers, [*KEYS, "the-session-token"], when)
        assert again["authorization"] == seen.headers["authorization"]
    text = (tmp_path / "transcript.jsonl").read_text()
    assert SECRET not in text
    assert KEYS[0] not in text
    assert "the-session-token" not in text
    assert "[redacted:AWS_SECRET_ACCESS_KEY]" in text
    assert records(tmp_path)[0]["endpoint"]["options"]["signing"] == FIELDS["signing"]


@pytest.mark.usefixtures("_credentials")
def test_a_refused_signature_names_the_variables(tmp_path):
    """A 403 says where the credentials come from."""
    with (
        ModelServer(None, fault=always(403, b'{"message": "The security token is invalid"}')) as server,
        pytest.raises(RemoteError, match=r"check the variables AWS_\.\.\., the region eu-central-1"),
    ):
        audit_endpoint(BUNDLE, Endpoint.open("suspect", {**FIELDS, "url": server.url}, TASK), tmp_path)
    assert len(server.log) == 1


def test_missing_credentials_are_found_before_anything_is_sent(tmp_path, monkeypatch):
    """The prefix names the variables; the first that is not set is named."""
    monkeypatch.delenv("SUSPECT_ACCESS_KEY_ID", raising=False)
    signing = {**FIELDS["signing"], "variables": "SUSPECT"}
    endpoint = Endpoint.open("suspect", {**FIELDS, "url": "http://127.0.0.1:9", "signing": signing}, TASK)
    with pytest.raises(SecretError, match="SUSPECT_ACCESS_KEY_ID is not set"):
        audit_endpoint(BUNDLE, endpoint, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("signing", "said"),
    [
        ("aws", "signing: Input should be a valid dictionary"),
        ({"kind": "aws-sigv4", "service": "sagemaker"}, "signing.region: this key is missing"),
        ({**FIELDS["signing"], "kind": "hmac"}, "signing.kind"),
        ({**FIELDS["signing"], "secret_access_key": SECRET}, "looks like a credential"),
        ({**FIELDS["signing"], "variables": "AKIAHUNTER2HUNTER2XX"}, "literal secret"),
    ],
)
def test_a_wrong_signing_table_is_one_clear_line(tmp_path, signing, said):
    """A field that is missing, unknown or a literal secret is a ConfigurationError that repeats no secret."""
    path = tmp_path / "endpoints.toml"
    table = signing if isinstance(signing, dict) else None
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()] if table else []
    text = '[endpoints.a]\nadapter = "sagemaker"\nurl = "http://h"\nendpoint = "e"\nbody = "{{inputs}}"\n'
    path.write_text(text + ("[endpoints.a.signing]\n" + "\n".join(lines) if table else f'signing = "{signing}"'))
    with pytest.raises(ConfigurationError, match=said) as caught:
        load_endpoints(path, TASK)
    assert SECRET not in str(caught.value)
    assert "HUNTER2" not in str(caught.value)
