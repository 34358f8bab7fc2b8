"""Ed25519 keys: made and kept encrypted, read from a file or a variable, named by the hash of their public half."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from metav_audit.config import PASSPHRASE
from metav_audit.errors import ConfigurationError, EvidenceError, SecretError
from metav_audit.files import read_private, read_regular, write_atomically

SHORTEST_PASSPHRASE = 8
MAX_KEY_BYTES = 1 << 14
_VARIABLE = "env:"
_KEY_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """The public half of a key."""

    public: Ed25519PublicKey

    @property
    def key_id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo in DER, in hexadecimal."""
        der = self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    @property
    def pem(self) -> str:
        """The SubjectPublicKeyInfo in PEM."""
        return self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @classmethod
    def from_pem(cls, pem: str) -> VerifyingKey:
        """Read what ``pem`` wrote.

        Raises:
            EvidenceError: it is no public Ed25519 key.
        """
        try:
            public = load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise EvidenceError("the public key is not PEM, or damaged") from None
        if not isinstance(public, Ed25519PublicKey):
            raise EvidenceError("the public key is no Ed25519 key")
        return cls(public)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether ``signature`` is this key's over ``message``."""
        try:
            self.public.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """The private half of a key; it is never printed."""

    private: Ed25519PrivateKey

    @property
    def public(self) -> VerifyingKey:
        """The half that others verify with."""
        return VerifyingKey(self.private.public_key())

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature over ``message``."""
        return self.private.sign(message)


def make_key(path: Path, environment: Mapping[str, str]) -> VerifyingKey:
    """Make a key: ``path`` holds it, encrypted, for its owner alone; ``path.pub`` holds the public half.

    Args:
        path: where the private half goes, PEM PKCS#8.
        environment: holds the passphrase under ``PASSPHRASE``.

    Raises:
        SecretError: the passphrase is not set, or too short.
        ConfigurationError: a file of that name exists, or cannot be written.
    """
    public_path = path.with_name(f"{path.name}.pub")
    for each in (path, public_path):
        if each.exists():
            raise ConfigurationError(f"{each} exists: a key is never overwritten, choose another name")
    passphrase = environment.get(PASSPHRASE, "")
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise SecretError(
            f"the environment variable {PASSPHRASE} must hold a passphrase of {SHORTEST_PASSPHRASE} characters or "
            "more: the key is kept encrypted"
        )
    private = Ed25519PrivateKey.generate()
    encryption = BestAvailableEncryption(passphrase.encode())
    write_atomically(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), mode=0o600)
    public = SigningKey(private).public
    write_atomically(public_path, public.pem.encode())
    return public


def read_key(source: str, environment: Mapping[str, str]) -> SigningKey:
    """Read a private key; no message repeats any of it.

    Args:
        source: a path, or ``env:NAME`` for the variable NAME that holds the PEM itself.
        environment: the variables; an encrypted key's passphrase stands under ``PASSPHRASE``.

    Raises:
        SecretError: a variable is not set, the passphrase is wrong, or others may read the file.
        ConfigurationError: the file cannot be read, or holds no Ed25519 key.
    """
    if "-----BEGIN" in source:
        raise SecretError("a key was given as a literal: give its path, or env:NAME for a variable that holds it")
    if source.startswith(_VARIABLE):
        name = source.removeprefix(_VARIABLE)
        pem = environment.get(name, "").encode()
        if not pem:
            raise SecretError(f"the environment variable {name} is not set or empty: it should hold the key's PEM")
        return _decrypted(pem, f"the key in the environment variable {name}", environment)
    return _decrypted(read_private(Path(source), MAX_KEY_BYTES, "metav-audit keygen"), f"the key {source}", environment)


def read_signer(source: str) -> str:
    """Return the key id of the signer that someone expects: ``source`` is the key id itself, or a public key's path.

    Raises:
        ConfigurationError: it is neither.
    """
    if _KEY_ID.fullmatch(source.lower()):
        return source.lower()
    try:
        return VerifyingKey.from_pem(read_regular(Path(source), MAX_KEY_BYTES, follow=True).decode()).key_id
    except OSError as error:
        raise ConfigurationError(f"cannot read the public key {source}: {error.strerror}") from error
    except (UnicodeDecodeError, EvidenceError):
        raise ConfigurationError(
            f"{source} is no public Ed25519 key in PEM, and no key id of 64 hexadecimal digits"
        ) from None


def _decrypted(pem: bytes, what: str, environment: Mapping[str, str]) -> SigningKey:
    encrypted = b"ENCRYPTED" in pem
    passphrase = environment.get(PASSPHRASE, "").encode() if encrypted else b""
    if encrypted and not passphrase:
        raise SecretError(f"{what} is encrypted: put its passphrase into the environment variable {PASSPHRASE}")
    try:
        private = load_pem_private_key(pem, passphrase or None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted:
            raise SecretError(f"{what} does not open with the passphrase in {PASSPHRASE}, or is damaged") from None
        raise ConfigurationError(f"{what} is no private key in PEM: 'metav-audit keygen' makes one") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigurationError(f"{what} is no Ed25519 key: 'metav-audit keygen' makes one")
    return SigningKey(private)
