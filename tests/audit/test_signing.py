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


SUITE = "https://example.amazonaws.com/"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthA"
    "x7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9"
    "q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)


@pytest.mark.parametrize(
    ("request_", "token", "signature"),
    [
        (Request(SUITE, b"", "GET", {}), [], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (Request(SUITE, b"", "POST", {}), [], "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            Request(f"{SUITE}?Param2=value2&Param1=value1", b"", "GET", {}),
            [],
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            Request(SUITE, b"", "GET", {"my-header1": " value1", "my-header2": ' "a   b   c"'}),
            [],
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            Request(SUITE, b"Param1=value1", "POST", {"content-type": "application/x-www-form-urlencoded"}),
            [],
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (Request(SUITE, b"", "POST", {}), [TOKEN], "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
    ],
    ids=["get-vanilla", "post-vanilla", "query-order", "header-value-trim", "form-urlencoded", "sts-header-before"],
)
def test_aws_s_own_test_suite_is_signed_as_it_says(request_, token, signature):
    """Of the published suite of Signature Version 4, by the names of its cases."""
    signer = SigV4(kind="aws-sigv4", service="service", region="us-east-1")
    moment = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    signed = signer.sign(request_, request_.headers, [*KEYS, *token], moment)
    assert signed["authorization"].endswith(f"Signature={signature}")


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
