"""An attestation: one file that holds a signed statement, its time stamp, and all it takes to check both offline."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from metav_audit.errors import ConfigurationError, EvidenceError, MetavAuditError
from metav_audit.evidence.envelope import Envelope, Statement, canonical, decode_base64, open_envelope, sign
from metav_audit.evidence.keys import SigningKey, VerifyingKey
from metav_audit.evidence.timestamp import MAX_RESPONSE_BYTES, Stamped, Stamper, TimeStamp, check_time_stamp
from metav_audit.files import strict_json, write_atomically

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
            return cls(Envelope.from_json(fields["envelope"]), fields["public_key"], stamp)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EvidenceError(f"the attestation is damaged, or none of ours: {error}") from None

    @property
    def sha256(self) -> str:
        """The hash of the attestation's file, in hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing checked; ``detail`` says what was seen, or why it does not hold."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check of an attestation found.

    Attributes:
        findings: in the order of the check.
        key_id: of the key that signed; None where the signature does not hold.
        statement: what was signed; None where the signature does not hold.
        stamped: the time stamp; None where there is none, or it does not hold.
    """

    findings: tuple[Finding, ...]
    key_id: str | None
    statement: Statement | None
    stamped: Stamped | None

    @property
    def passed(self) -> bool:
        """Whether everything holds."""
        return all(finding.passed for finding in self.findings)

    @property
    def problem(self) -> str | None:
        """Why the first thing that does not hold does not, or None."""
        return next((finding.detail for finding in self.findings if not finding.passed), None)

    @property
    def claimed_at(self) -> datetime | None:
        """The time that the signer states, on their word alone; None where none can be read."""
        try:
            claimed = datetime.fromisoformat(self.statement.predicate["claimed_at"]) if self.statement else None
            return claimed.astimezone(UTC) if claimed and claimed.tzinfo else None
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


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


def examine(
    attestation: Attestation,
    predicate_type: str,
    compare: Callable[[Statement], str],
    *,
    signer: str | None = None,
    roots: str | None = None,
) -> Findings:
    """Check an attestation offline, in three steps.

    1. The signature holds, and is the expected signer's.
    2. The statement says what it should.
    3. The time stamp holds.

    Args:
        attestation: what was read.
        predicate_type: the kind of statement that is expected.
        compare: says in words how the statement agrees with the evidence; raises EvidenceError where it does not.
        signer: the key id that is expected; whoever signed if None.
        roots: the authority's root certificates, PEM; those in the attestation if None.
    """
    signed, signature = _find("signature", _signed, attestation, predicate_type, signer)
    _, agreement = _find("statement", _agreed, signed, compare)
    statement, key_id = signed or (None, None)
    if attestation.time_stamp is None:
        return Findings((signature, agreement), key_id, statement, None)
    stamped, stamp = _find("time stamp", _stamped, attestation, attestation.time_stamp, roots)
    return Findings((signature, agreement, stamp), key_id, statement, stamped)


def describe_stamp(stamped: Stamped) -> str:
    """Say when an authority saw it, and what that rests on."""
    within = f", give or take {stamped.accuracy.total_seconds():g} s" if stamped.accuracy else ""
    told = f"{stamped.at:%Y-%m-%d %H:%M:%S} UTC{within}, by the time-stamp authority {stamped.authority}"
    if stamped.trusted:
        return f"{told}, whose root certificate the reader gave"
    anchors = " or ".join(stamped.anchors)
    return f"{told}; that its root certificate, SHA-256 {anchors}, is the authority's own is for the reader to compare"


def load_attestation(path: Path) -> Attestation:
    """Read an attestation's file.

    Raises:
        EvidenceError: it is missing, damaged, oversized, foreign, or newer than this program.
    """
    try:
        with path.open("rb") as file:
            return Attestation.from_bytes(file.read(MAX_BYTES + 1))
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


def _find(name: str, check: Callable[..., tuple[Any, str]], *of: Any) -> tuple[Any, Finding]:
    """Return what a check hands on, None where it fails, and what it found."""
    try:
        value, detail = check(*of)
    except MetavAuditError as error:
        return None, Finding(name, passed=False, detail=str(error))
    return value, Finding(name, passed=True, detail=detail)


def _signed(attestation: Attestation, predicate_type: str, expected: str | None) -> tuple[tuple[Statement, str], str]:
    key = VerifyingKey.from_pem(attestation.public_key)
    statement = open_envelope(attestation.envelope, key, predicate_type)
    named, found = attestation.envelope.key_id, key.key_id
    if named != found:
        raise EvidenceError(f"the envelope names the key {named[:64]}, the key in the file is {found}")
    if expected is None:
        return (statement, found), f"it holds; that the key {found} is the signer's own is for the reader to compare"
    if expected != found:
        raise EvidenceError(f"the key {found} signed it, {expected} was expected")
    return (statement, found), f"it holds, by the expected key {found}"


def _agreed(signed: tuple[Statement, str] | None, compare: Callable[[Statement], str]) -> tuple[None, str]:
    if signed is None:
        raise EvidenceError("not checked: the signature does not hold")
    return None, compare(signed[0])


def _stamped(attestation: Attestation, stamp: TimeStamp, roots: str | None) -> tuple[Stamped, str]:
    stamped = check_time_stamp(stamp, canonical(attestation.envelope.to_json()), roots)
    return stamped, describe_stamp(stamped)


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
