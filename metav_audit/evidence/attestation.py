"""An attestation: one file that holds a signed statement, its time stamp, and all it takes to check both offline."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.evidence.envelope import Envelope, Statement, canonical, decode_base64, sign
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.timestamp import MAX_RESPONSE_BYTES, Stamper, TimeStamp
from metav_audit.files import read_regular, strict_json, write_atomically

FORMAT = "metav-audit-attestation"
SCHEMA_VERSION = 1
MAX_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Attestation:
    """A signed statement.

    Attributes:
        envelope: the statement and its signature.
        public_key: the signer's public key, PEM.
        time_stamp: over the envelope's canonical JSON, signature included; None where nobody was asked for one.
    """

    envelope: Envelope
    public_key: str
    time_stamp: TimeStamp | None

    @property
    def envelope_sha256(self) -> str:
        """SHA-256 of the signed envelope as canonical JSON, in hexadecimal: what a time stamp is over."""
        return hashlib.sha256(canonical(self.envelope.to_json())).hexdigest()

    def to_bytes(self) -> bytes:
        """Write the attestation as JSON."""
        fields = {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "envelope": self.envelope.to_json(),
            "public_key": self.public_key,
            "time_stamp": None if self.time_stamp is None else _stamp_to_json(self.time_stamp),
        }
        return json.dumps(fields, indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what ``to_bytes`` wrote.

        Raises:
            EvidenceError: it is damaged, oversized, foreign, or newer than this program.
        """
        try:
            if len(content) > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES} bytes")
            fields = strict_json(content)
            _check_format(fields)
            if not isinstance(fields["public_key"], str):
                raise TypeError("the public key")
            stamp = fields["time_stamp"]
            stamp = None if stamp is None else _stamp_from_json(stamp)
            read = cls(Envelope.from_json(fields["envelope"]), fields["public_key"], stamp)
            if strict_json(read.to_bytes()) != fields:
                raise ValueError("it says the same in another way than such files do")
            return read
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EvidenceError(f"the attestation is damaged, or none of ours: {error}") from None

    @property
    def sha256(self) -> str:
        """The hash of the attestation's file, in hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def attest(statement: Statement, key: SigningKey, stamper: Stamper | None) -> Attestation:
    """Sign a statement, and have the signed envelope time-stamped.

    The stamp is over the envelope and not over its signature alone: whoever makes a key of a special kind can make one
    signature fit two statements.

    Args:
        statement: what is stated.
        key: who states it.
        stamper: fetches the time stamp; None for none.

    Raises:
        EvidenceError: the statement cannot be written, or the authority's answer is refused.
        RemoteError: the authority could not be asked.
    """
    envelope = sign(statement, key)
    stamp = None if stamper is None else stamper(canonical(envelope.to_json()))
    return Attestation(envelope, key.public.pem, stamp)


def load_attestation(path: Path) -> Attestation:
    """Read an attestation's file.

    Raises:
        EvidenceError: it is missing, damaged, oversized, foreign, or newer than this program.
    """
    try:
        return Attestation.from_bytes(read_regular(path, MAX_BYTES))
    except OSError as error:
        raise EvidenceError(f"cannot read {path}: {error.strerror}") from error


def check_free(path: Path) -> None:
    """Raise ConfigurationError if a file stands where an attestation is to go: the older one is worth more."""
    if path.exists():
        raise ConfigurationError(f"{path} exists, and is never overwritten: move it away, or choose another file")


def save_attestation(attestation: Attestation, path: Path) -> None:
    """Write an attestation's file, whole or not at all.

    Raises:
        ConfigurationError: a file stands there already, or the folder cannot be written.
    """
    check_free(path)
    write_atomically(path, attestation.to_bytes())


def _check_format(fields: Mapping[str, Any]) -> None:
    if fields.get("format") != FORMAT:
        raise ValueError("its format is another")
    if fields.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"it has schema version {fields.get('schema_version')}, this program reads {SCHEMA_VERSION}")
    if fields.keys() != {"format", "schema_version", "envelope", "public_key", "time_stamp"}:
        raise ValueError("it lacks a field, or has one too many")


def _stamp_to_json(stamp: TimeStamp) -> dict[str, str]:
    response = base64.b64encode(stamp.response).decode()
    return {"response": response, "nonce": str(stamp.nonce), "certificates": stamp.certificates}


def _stamp_from_json(fields: Mapping[str, Any]) -> TimeStamp:
    if fields.keys() != {"response", "nonce", "certificates"} or not isinstance(fields["certificates"], str):
        raise ValueError("its time stamp lacks a field, or has one too many")
    response, digits = decode_base64(fields["response"]), fields["nonce"]
    if len(response) > MAX_RESPONSE_BYTES or not (digits.isascii() and digits.isdigit() and len(digits) <= 50):
        raise ValueError("its time stamp is oversized, or its nonce no number")
    return TimeStamp(response, int(digits), fields["certificates"])
