"""SageMaker by botocore's chain: a role that moto's STS gives, and a container's credentials of a few seconds."""

from __future__ import annotations

import json
import secrets as chance
import time
from datetime import UTC, datetime

import pytest

from tests.clouds.auditing import REQUESTS, Tokens, check_left, run, serving, taking
from tests.servers import ModelServer, Reply, always

pytest.importorskip("botocore")

REGION = "eu-central-1"
BASE = ["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"]
ROLE = "arn:aws:iam::123456789012:role/auditor"
GRANT = ("--secret", "aws-credentials")
__all__ = ["run"]


def table(url, credentials='source = "aws"'):
    return (
        f'[endpoints.cloud]\nadapter = "sagemaker"\nurl = "{url}"\nendpoint = "e"\n'
        'body = { instances = "{{inputs}}" }\nanswer = "predictions"\nlimits = { concurrency = 2 }\n'
        f'[endpoints.cloud.signing]\nkind = "aws-sigv4"\nservice = "sagemaker"\nregion = "{REGION}"\n'
        f"[endpoints.cloud.credentials]\n{credentials}\n"
    )


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch, tmp_path):
    """A configuration of the test's own: a profile with keys, one with a role, one that asks for a code."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "DEFAULT_REGION", "REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    config = tmp_path / "config"
    config.write_text(
        f"[profile keys]\naws_access_key_id = {BASE[0]}\naws_secret_access_key = {BASE[1]}\n"
        f"[profile role]\nrole_arn = {ROLE}\nsource_profile = keys\n"
        f"[profile code]\nrole_arn = {ROLE}\nsource_profile = keys\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def session_token(seen):
    return seen.headers["x-amz-security-token"]


def refusal(token):
    body = json.dumps({"message": f"The security token {token} included in the request is expired"}).encode()
    return Reply(403, body, {"x-amzn-errortype": "ExpiredTokenException"})


def signed_rightly(url, seen, key, secret, token):
    """Whether the request is signed as botocore's own SigV4Auth signs it, with these credentials."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    given = seen.headers["authorization"]
    names = given.split("SignedHeaders=")[1].split(",")[0].split(";")
    auth = SigV4Auth(Credentials(key, secret, token), "sagemaker", REGION)
    request = AWSRequest("POST", url + seen.path, {name: seen.headers[name] for name in names}, seen.body)
    request.context["timestamp"] = seen.headers["x-amz-date"]
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    return f"Credential={key}/" in given and given.endswith(f"Signature={auth.signature(to_sign, request)}")


def test_a_role_s_session_that_ends_in_mid_run_is_taken_anew(tmp_path, run, monkeypatch):
    """moto's STS gives each session; SageMaker takes nine requests of it, each with botocore's signature."""
    pytest.importorskip("moto")
    from moto.server import ThreadedMotoServer
    from moto.sts.models import sts_backends

    sts = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    sts.start()
    roles = sts_backends["123456789012"]["aws"].assumed_roles
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://{}:{}".format(*sts.get_host_and_port()))
        tokens = Tokens(uses=9)

        def token_of(seen):
            (role,) = [each for each in roles if each.session_token == session_token(seen)]
            assert signed_rightly(api.url, seen, role.access_key_id, role.secret_access_key, role.session_token)
            return role.session_token if role.session_token in tokens.ends else tokens.keep(role.session_token)

        with serving(taking(tokens, token_of, refusal)) as api:
            code, shown = run(table(api.url, 'source = "aws"\nprofile = "role"'), *GRANT)
    finally:
        sts.stop()
    assert code == 1, shown
    assert len(tokens.ends) >= 3
    assert REQUESTS < len(api.log) <= REQUESTS + 2 * len(tokens.ends)
    keys = [part for each in roles for part in (each.access_key_id, each.secret_access_key)]
    check_left(tmp_path, shown.replace(str(tmp_path), ""), [*tokens.secrets, *keys, *BASE])


def test_a_container_s_credentials_of_a_few_seconds_are_renewed_before_they_end(tmp_path, run, monkeypatch):
    """Every request is signed with what holds; none is refused."""
    tokens, keys = Tokens(life_s=5), {}

    def give(number, seen):
        assert seen.headers["authorization"] == "the-container-s-own-token"
        token = tokens.new()
        keys[token] = "ASIA" + chance.token_hex(8).upper(), tokens.new("secret/")
        ends = datetime.fromtimestamp(time.time() + tokens.life_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = {"AccessKeyId": keys[token][0], "SecretAccessKey": keys[token][1], "Token": token, "Expiration": ends}
        return Reply(200, json.dumps(told).encode())

    def token_of(seen):
        assert signed_rightly(api.url, seen, *keys[session_token(seen)], session_token(seen))
        return session_token(seen)

    with ModelServer(None, fault=give) as container, serving(taking(tokens, token_of, refusal), 0.8) as api:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{container.url}/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "the-container-s-own-token")
        code, shown = run(table(api.url), *GRANT)
    assert code == 1, shown
    assert len(api.log) == REQUESTS
    assert len({session_token(seen) for seen in api.log}) >= 3
    check_left(tmp_path, shown, [*tokens.secrets, *(key for key, _ in keys.values()), "the-container-s-own-token"])


def test_a_token_service_that_refuses_is_one_line(run, monkeypatch):
    """With its own code, and none of the words; nothing goes to the endpoint."""
    words = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>hunter2hunter2</Message></Error></ErrorResponse>"
    with ModelServer(None, fault=always(403, words)) as sts, serving(None) as api:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        code, shown = run(table(api.url, 'source = "aws"\nprofile = "role"'), *GRANT)
        assert api.log == []
    assert code == 4
    assert "aws-credentials: botocore.session gives none (ClientError, AccessDenied): see" in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "botocore finds no credentials"),
        ('profile = "nobody"', "the profile 'nobody' is not in ~/.aws/config"),
        ('profile = "code"', "the profile 'code' asks for a code"),
    ],
)
def test_no_credentials_is_a_matter_of_this_machine(run, more, said):
    """Exit code 2, and what to do."""
    with serving(None) as api:
        code, shown = run(table(api.url, f'source = "aws"\n{more}'), *GRANT)
    assert (code, api.log) == (2, [])
    assert said in shown
