"""Keys: how they are kept, what is refused, and that nothing of them is told."""

from __future__ import annotations

import hashlib
import stat
import subprocess

import pytest

from metav_audit.config import PASSPHRASE
from metav_audit.errors import ConfigurationError, MetavAuditError, SecretError
from metav_audit.evidence import SigningKey, VerifyingKey, make_key, read_key, read_signer

WORDS = {PASSPHRASE: "correct horse battery"}


@pytest.fixture
def path(tmp_path):
    make_key(tmp_path / "owner.pem", WORDS)
    return tmp_path / "owner.pem"


def plain(path, algorithm="ed25519"):
    """An unencrypted key, as OpenSSL makes one."""
    subprocess.run(["openssl", "genpkey", "-algorithm", algorithm, "-out", path], check=True, capture_output=True)
    path.chmod(0o600)
    return path


def test_a_key_is_kept_encrypted_for_its_owner_alone(path):
    """The private file is encrypted PKCS#8, mode 600; the public one stands beside it; both make one pair."""
    assert path.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = VerifyingKey.from_pem(path.with_name("owner.pem.pub").read_text())
    signature = read_key(str(path), WORDS).sign(b"message")
    assert public.verifies(signature, b"message")
    assert not public.verifies(signature, b"another")


def test_the_key_id_is_what_openssl_computes(path):
    """SHA-256 of the public key's DER; OpenSSL opens the private key with the same passphrase, too."""
    words = ["openssl", "pkey", "-in", path, "-passin", f"pass:{WORDS[PASSPHRASE]}", "-pubout", "-outform", "DER"]
    der = subprocess.run(words, check=True, capture_output=True).stdout
    assert read_key(str(path), WORDS).public.key_id == hashlib.sha256(der).hexdigest()


def test_a_key_may_stand_in_a_variable(path):
    """env:NAME reads the PEM from the variable NAME."""
    environment = {**WORDS, "OWNER": path.read_text()}
    assert read_key("env:OWNER", environment).public == read_key(str(path), WORDS).public


def test_an_unencrypted_key_of_another_tool_is_read(tmp_path):
    """No passphrase is asked for where none is needed."""
    assert read_key(str(plain(tmp_path / "plain.pem")), {}).public.key_id


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_key_that_others_may_touch_is_refused(path, mode):
    """Group and world have no business with it, and the message says what to do."""
    path.chmod(mode)
    with pytest.raises(SecretError, match=f"mode {mode:03o}.*chmod 600"):
        read_key(str(path), WORDS)


@pytest.mark.parametrize(
    ("environment", "said"),
    [({}, f"environment variable {PASSPHRASE}"), ({PASSPHRASE: "not this one"}, "does not open")],
)
def test_a_passphrase_missing_or_wrong_is_a_secret_error(path, environment, said):
    """It names the variable, and repeats neither passphrase nor key."""
    with pytest.raises(SecretError, match=said) as caught:
        read_key(str(path), environment)
    shown = str(caught.value) + repr(caught.value.__cause__)
    assert "not this one" not in shown
    assert path.read_text().splitlines()[1] not in shown


def test_a_key_is_never_given_as_a_literal(path):
    """A PEM on the command line is refused and not repeated."""
    with pytest.raises(SecretError, match="literal") as caught:
        read_key(path.read_text(), WORDS)
    assert path.read_text().splitlines()[1] not in str(caught.value)


@pytest.mark.parametrize("words", [{}, {PASSPHRASE: ""}, {PASSPHRASE: "short"}])
def test_a_key_is_not_made_without_a_passphrase(tmp_path, words):
    """Nothing is written."""
    with pytest.raises(SecretError, match=PASSPHRASE):
        make_key(tmp_path / "owner.pem", words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["owner.pem", "owner.pem.pub"])
def test_a_key_is_never_overwritten(tmp_path, name):
    """Neither half."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigurationError, match="never overwritten"):
        make_key(tmp_path / "owner.pem", WORDS)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("source", ["none.pem", "env:NOTHING", "torn.pem", "rsa.pem", "public.pem"])
def test_what_is_no_key_is_one_line(tmp_path, source):
    """Missing, not set, not PEM, of another kind, or the public half."""
    (tmp_path / "torn.pem").write_text("-----BEGIN")
    (tmp_path / "public.pem").write_text(read_key(str(plain(tmp_path / "plain.pem")), {}).public.pem)
    plain(tmp_path / "rsa.pem", "RSA")
    for name in ("torn.pem", "public.pem"):
        (tmp_path / name).chmod(0o600)
    given = source if source.startswith("env:") else str(tmp_path / source)
    with pytest.raises(ConfigurationError) as caught:
        read_key(given, {})
    assert "\n" not in str(caught.value)


def test_an_expected_signer_is_a_key_id_or_a_public_key(path):
    """Both name the same; whatever is neither is refused."""
    key_id = read_key(str(path), WORDS).public.key_id
    assert read_signer(f"{path}.pub") == read_signer(key_id.upper()) == key_id
    for wrong in (str(path), str(path.with_name("none")), key_id[:-1]):
        with pytest.raises(ConfigurationError):
            read_signer(wrong)


def test_a_private_key_is_never_printed(path):
    """Neither by repr nor by an error."""
    key = read_key(str(path), WORDS)
    assert "private" not in repr(key).lower()
    assert isinstance(key, SigningKey)
    with pytest.raises(MetavAuditError):
        VerifyingKey.from_pem(path.read_text())
