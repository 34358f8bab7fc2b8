"""Each source asks its library by a contract; ``make test-clouds`` has the real libraries, here they are played."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace

import pytest

from metav_audit.audit.endpoint.credentials.base import RenewalError
from metav_audit.audit.endpoint.credentials.registry import open_source
from metav_audit.errors import ConfigurationError

ENDS = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def play(monkeypatch):
    """Put a module with these members in the place of a library's."""

    def put(name, **members):
        parent = None
        for end in range(1, name.count(".") + 2):
            dotted = ".".join(name.split(".")[:end])
            if getattr(sys.modules.get(dotted), "played", False) is not True:
                module = ModuleType(dotted)
                module.played = True
                monkeypatch.setitem(sys.modules, dotted, module)
            if parent is not None:
                setattr(parent, dotted.rpartition(".")[2], sys.modules[dotted])
            parent = sys.modules[dotted]
        for member, value in members.items():
            setattr(parent, member, value)

    return put


class ProfileNotFoundError(Exception):
    pass


class ClientError(Exception):
    def __init__(self, code):
        super().__init__("the secret hunter2")
        self.response = {"Error": {"Code": code}}


class Found:
    """Credentials as botocore has them."""

    def __init__(self, *parts, ends=None, error=None):
        self._parts, self._expiry_time, self._error = parts, ends, error

    def get_frozen_credentials(self):
        if self._error:
            raise self._error
        return SimpleNamespace(access_key=self._parts[0], secret_key=self._parts[1], token=self._parts[2])


@dataclass
class Session:
    """A session as botocore opens one; ``told`` holds what it was told."""

    credentials: Found | None
    scoped: dict[str, str] | None
    told: dict[str, object] = field(default_factory=dict)

    def __call__(self, profile):
        self.told["profile"] = profile
        return self

    def set_default_client_config(self, config):
        self.told["config"] = config

    def get_scoped_config(self):
        if self.scoped is None:
            raise ProfileNotFoundError
        return self.scoped

    def get_config_variable(self, name):
        return self.told.get(name)

    def set_config_variable(self, name, value):
        self.told[name] = value

    def get_credentials(self):
        return self.credentials


@pytest.fixture
def aws(play):
    """Play botocore: what a session finds, the profile's fields, what is told beforehand."""

    def found(credentials, profile=(), **told):
        session = Session(credentials, None if profile is None else dict(profile), told)
        play("botocore.session", Session=session)
        play("botocore.config", Config=dict)
        play("botocore.exceptions", ProfileNotFound=ProfileNotFoundError)
        return told

    return found


def test_botocore_s_session_of_the_named_profile_is_asked(aws):
    """Keys, session token and end; the token service's region is that of signing where nothing names another."""
    told = aws(Found("key", "secret", "token", ends=ENDS))
    lease = open_source({"source": "aws", "profile": "p"}).near("eu-central-1").fetch()
    assert (lease.parts, lease.expires) == (("key", "secret", "token"), ENDS)
    assert (told["profile"], told["region"]) == ("p", "eu-central-1")
    told = aws(Found("key", "secret", None), region="us-east-1")
    assert open_source({"source": "aws"}).near("eu-central-1").fetch().parts == ("key", "secret")
    assert told["region"] == "us-east-1"
    assert open_source({"source": "aws", "region": "eu-west-1"}).near("eu-central-1").region == "eu-west-1"


@pytest.mark.parametrize(
    ("credentials", "profile", "kind", "said"),
    [
        (None, (), ConfigurationError, "finds no credentials"),
        (None, None, ConfigurationError, r"the profile 'p' is not in"),
        (None, {"role_arn": "r", "mfa_serial": "m"}, ConfigurationError, "asks for a code"),
        (Found(error=ClientError("AccessDenied")), (), RenewalError, r"\(ClientError, AccessDenied\)"),
        (Found(error=ClientError("hunter2 and more")), (), RenewalError, r"\(ClientError\)"),
        (Found(error=SystemExit(0)), (), RenewalError, r"\(SystemExit\)"),
    ],
)
def test_what_botocore_raises_is_one_line_without_its_words(aws, credentials, profile, kind, said):
    """By kind and code."""
    aws(credentials, profile)
    with pytest.raises(kind, match=said) as raised:
        open_source({"source": "aws", "profile": "p"}).fetch()
    assert "hunter2" not in str(raised.value)


def test_keys_of_the_environment_come_before_a_profile_that_asks_for_a_code(aws, monkeypatch):
    """As botocore has it, unless the profile is named."""
    aws(Found("key", "secret", None), {"role_arn": "r", "mfa_serial": "m"})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    assert open_source({"source": "aws"}).fetch().parts == ("key", "secret")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigurationError, match="the profile of AWS_PROFILE asks"):
        open_source({"source": "aws"}).fetch()


class NoDefaultError(Exception):
    pass


class RefreshError(Exception):
    pass


@pytest.fixture
def google(play):
    """Play google-auth: what ``default`` finds or raises, and what a refresh raises."""

    def found(token, expiry=None, missing=False, error=None):
        def refresh(request):
            if error:
                raise error

        def default(scopes):
            if missing:
                raise NoDefaultError("hunter2")
            return SimpleNamespace(refresh=refresh, token=token, expiry=expiry), scopes

        play("google.auth", default=default)
        play("google.auth.exceptions", DefaultCredentialsError=NoDefaultError)
        play("google.auth.transport.requests", Request=object)

    return found


def test_google_auth_s_default_is_refreshed_and_its_time_is_utc(google):
    """Which it does not say itself."""
    google("a-token", ENDS.replace(tzinfo=None))
    lease = open_source({"source": "google"}).fetch()
    assert (lease.parts, lease.expires) == (("a-token",), ENDS)
    google("a-token")
    assert open_source({"source": "google"}).fetch().expires is None


def test_what_google_auth_raises_is_one_line_without_its_words(google):
    """By kind and OAuth's code."""
    google(None, missing=True)
    with pytest.raises(ConfigurationError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        open_source({"source": "google"}).fetch()
    for told, said in (({"error": "invalid_grant"}, r"\(RefreshError, invalid_grant\)"), ({}, r"\(RefreshError\)")):
        google(None, error=RefreshError("the secret hunter2", told))
        with pytest.raises(RenewalError, match=said) as raised:
            open_source({"source": "google"}).fetch()
        assert "hunter2" not in str(raised.value)


class AuthenticationError(Exception):
    pass


@pytest.fixture
def azure(play):
    """Play azure-identity: the token of its default chain, or what that raises."""

    def found(given, error=None):
        asked = []

        class Chain:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                asked.append("closed")

            def get_token(self, scope):
                asked.append(scope)
                if error:
                    raise error
                return given

        play("azure.core.exceptions", ClientAuthenticationError=AuthenticationError)
        play("azure.identity", DefaultAzureCredential=Chain)
        return asked

    return found


def test_azure_identity_s_chain_is_asked_for_the_scope_and_closed(azure):
    """That of Azure ML unless the file says otherwise."""
    asked = azure(SimpleNamespace(token="a-token", expires_on=int(ENDS.timestamp())))
    lease = open_source({"source": "azure"}).fetch()
    assert (lease.parts, lease.expires) == (("a-token",), ENDS)
    open_source({"source": "azure", "scope": "api://mine/.default"}).fetch()
    assert asked == ["https://ml.azure.com/.default", "closed", "api://mine/.default", "closed"]


def test_what_azure_identity_raises_is_one_line_without_its_words(azure):
    """By Entra ID's number."""
    azure(None, AuthenticationError("AADSTS7000215: Invalid client secret hunter2"))
    with pytest.raises(ConfigurationError, match=r"that Entra ID takes \(AADSTS7000215\): see") as raised:
        open_source({"source": "azure"}).fetch()
    assert "hunter2" not in str(raised.value)
    azure(None, OSError("hunter2"))
    with pytest.raises(RenewalError, match=r"azure.identity gives none \(OSError\)"):
        open_source({"source": "azure"}).fetch()
