"""Checking an attestation offline: who signed, what they stated, and when an authority saw it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from metav_audit.errors import EvidenceError, MetavAuditError
from metav_audit.evidence.attestation import Attestation
from metav_audit.evidence.envelope import Statement, canonical, open_envelope
from metav_audit.evidence.keys import VerifyingKey
from metav_audit.evidence.timestamp import Stamped, TimeStamp, check_time_stamp


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
    found = key.key_id
    if attestation.envelope.key_id != found:
        raise EvidenceError(f"the envelope names another key than the one beside it, {found}")
    if key.pem != attestation.public_key:
        raise EvidenceError("the public key beside the envelope is not written as keys are")
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
