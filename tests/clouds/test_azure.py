"""Azure ML by azure-identity: a managed identity, whose address is on the loopback as App Service has it."""

from __future__ import annotations

import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.clouds.auditing import REQUESTS, Tokens, check_left, run, serving, taking
from tests.servers import ModelServer, Reply, always

pytest.importorskip("azure.identity")

HEADER = "the-identity-header-of-this-machine"
GRANT = ("--secret", "azure-credentials")
__all__ = ["run"]


def table(url):
    return (
        f'[endpoints.cloud]\nadapter = "azure-ml"\nurl = "{url}/score"\nbody = {{ instances = "{{{{inputs}}}}" }}\n'
        'answer = "predictions"\nlimits = { concurrency = 2 }\n[endpoints.cloud.credentials]\nsource = "azure"\n'
    )


@pytest.fixture
def identity(monkeypatch):
    """Have azure-identity find a managed identity at an address, and nothing else."""
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "MSI_ENDPOINT", "AZURE_POD_IDENTITY"):
        monkeypatch.delenv(name, raising=False)

    def at(url):
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)

    return at


def giving(tokens):
    """App Service's address of identities: it gives a token to whoever knows its header."""

    def fault(number, seen):
        asked = parse_qs(urlsplit(seen.path).query)
        assert (seen.headers["x-identity-header"], asked["resource"]) == (HEADER, ["https://ml.azure.com"])
        told = {"access_token": tokens.new("eyJ0eXAi."), "expires_on": str(int(time.time() + tokens.life_s))}
        return Reply(200, json.dumps({**told, "resource": asked["resource"][0], "token_type": "Bearer"}).encode())

    return fault


def refusal(token):
    return Reply(401, json.dumps({"error": {"code": "UserError", "message": f"Token {token} has expired"}}).encode())


def bearer(seen):
    return seen.headers.get("authorization", "").removeprefix("Bearer ")


@pytest.mark.parametrize(
    ("life_s", "uses", "delay_s"), [(5, 1 << 30, 0.8), (3600, 9, 0.0)], ids=["they end", "they are revoked"]
)
def test_tokens_that_end_in_mid_run_are_renewed(tmp_path, run, identity, life_s, uses, delay_s):
    """Those that say when are never sent too late; those that do not are asked for again; none is left anywhere."""
    tokens = Tokens(life_s, uses)
    with ModelServer(None, fault=giving(tokens)) as azure, serving(taking(tokens, bearer, refusal), delay_s) as api:
        identity(azure.url)
        code, shown = run(table(api.url), *GRANT)
        assert code == 1, shown
        assert len(tokens.ends) == len(azure.log) >= 3
        assert (len(api.log) == REQUESTS) == (uses > REQUESTS)
    check_left(tmp_path, shown, [*tokens.secrets, HEADER])


def test_an_identity_that_is_refused_is_one_line(run, identity):
    """With Entra ID's number where there is one, and none of the words."""
    words = json.dumps({"statusCode": 400, "message": "AADSTS70011: hunter2hunter2", "error": "x"}).encode()
    with ModelServer(None, fault=always(400, words)) as azure, serving(None) as api:
        identity(azure.url)
        code, shown = run(table(api.url), *GRANT)
        assert api.log == []
    assert code == 2
    assert "azure-credentials: azure-identity finds none on this machine that Entra ID takes" in shown
    assert "hunter2" not in shown
    assert len([line for line in shown.splitlines() if line.startswith("metav-audit:")]) == 1
