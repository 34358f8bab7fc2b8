"""Vertex AI by google-auth: a service account's file, whose token address is on the loopback."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.clouds.auditing import REQUESTS, Tokens, check_left, run, serving, taking
from tests.servers import ModelServer, Reply, always

pytest.importorskip("google.auth.transport.requests")

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GRANT = ("--secret", "google-credentials")
__all__ = ["run"]


def table(url, more=""):
    address = f"{url}/v1/projects/p/locations/l/endpoints/1"
    return (
        f'[endpoints.cloud]\nadapter = "vertex-ai"\nurl = "{address}"\nlimits = {{ concurrency = 2 }}\n'
        f'[endpoints.cloud.credentials]\nsource = "google"\n{more}'
    )


@pytest.fixture(scope="module")
def key():
    """A service account's private key."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    coded = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = made.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return coded.decode(), public


@pytest.fixture
def account(tmp_path, monkeypatch, key):
    """Write the account's file, for tokens of a given address."""

    def write(token_uri):
        fields = {"type": "service_account", "client_email": "auditor@p.example", "private_key_id": "k1"}
        path = tmp_path / "account.json"
        path.write_text(json.dumps({**fields, "private_key": key[0], "token_uri": f"{token_uri}/token"}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))

    return write


def giving(tokens, key):
    """Google's token address: it reads what the account signed, and gives a token."""
    from google.auth import jwt

    def fault(number, seen):
        form = parse_qs(seen.body.decode())
        claims = jwt.decode(form["assertion"][0], certs=key[1], verify=True, audience=None)
        assert (claims["iss"], claims["scope"]) == ("auditor@p.example", SCOPE)
        tokens.secrets.append(form["assertion"][0])
        told = {"access_token": tokens.new("ya29."), "expires_in": int(tokens.life_s), "token_type": "Bearer"}
        return Reply(200, json.dumps(told).encode())

    return fault


def refusal(token):
    body = {"error": {"code": 401, "status": "UNAUTHENTICATED", "message": f"Request had invalid credentials: {token}"}}
    return Reply(401, json.dumps(body).encode())


def bearer(seen):
    return seen.headers.get("authorization", "").removeprefix("Bearer ")


@pytest.mark.parametrize(
    ("life_s", "uses", "delay_s"), [(4, 1 << 30, 0.7), (3600, 9, 0.0)], ids=["they end", "they are revoked"]
)
def test_tokens_that_end_in_mid_run_are_renewed(tmp_path, run, account, key, life_s, uses, delay_s):
    """Those that say when are never sent too late; those that do not are asked for again; none is left anywhere."""
    tokens = Tokens(life_s, uses)
    with (
        ModelServer(None, fault=giving(tokens, key)) as google,
        serving(taking(tokens, bearer, refusal), delay_s) as api,
    ):
        account(google.url)
        code, shown = run(table(api.url), *GRANT)
        assert code == 1, shown
        assert len(tokens.ends) == len(google.log) >= 3
        assert (len(api.log) == REQUESTS) == (uses > REQUESTS)
        assert "Bearer" in api.log[0].headers["authorization"]
    check_left(tmp_path, shown, [*tokens.secrets, key[0][200:260]])


def test_a_token_address_that_refuses_is_one_line(run, account):
    """With OAuth's own code, and none of the words."""
    words = json.dumps({"error": "invalid_grant", "error_description": "hunter2hunter2"}).encode()
    with ModelServer(None, fault=always(400, words)) as google, serving(None) as api:
        account(google.url)
        code, shown = run(table(api.url), *GRANT)
        assert api.log == []
    assert code == 4
    assert "google-credentials: google.auth.transport.requests gives none (RefreshError, invalid_grant): see" in shown
    assert "hunter2" not in shown


def test_no_credentials_is_a_matter_of_this_machine(run, monkeypatch, tmp_path):
    """Exit code 2, and what to do."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "none"))
    with serving(None) as api:
        code, shown = run(table(api.url), *GRANT)
    assert (code, api.log) == (2, [])
    assert "name a file in GOOGLE_APPLICATION_CREDENTIALS" in shown
