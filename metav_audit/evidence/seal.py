"""The seal and the closing: an audit's end signed, so that nothing that is read of it can be changed afterwards.

The seal fixes the evidence: the transcript's last link, the bundle, the outcome, and each file of evidence by its hash,
a record of the positive control among them. Its time stamp shows that all of it was there by then. Reports tell of the
seal, and so come after it; the closing, last of all, is the same key's signature over the list of every file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial

from metav_audit.errors import EvidenceError
from metav_audit.evidence.attestation import Attestation, attest
from metav_audit.evidence.compare import first_difference
from metav_audit.evidence.envelope import Statement
from metav_audit.evidence.examine import Findings, examine
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.timestamp import Stamper
from metav_audit.verdict import SUMS, TRANSCRIPT

SEAL_TYPE = "urn:metav-audit:seal:v2"
CLOSING_TYPE = "urn:metav-audit:closing:v1"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a seal fixes; every hash is SHA-256 in hexadecimal.

    Attributes:
        transcript_sha256: the head of the transcript's chain.
        bundle_sha256: the bundle's hash.
        outcome: the verdict's.
        operator: who ran the audit, in their own words, as the transcript has it.
        files: of each file of evidence, by its path in the folder.
    """

    transcript_sha256: str
    bundle_sha256: str
    outcome: str
    operator: Mapping[str, str]
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Closed:
    """What a closing fixes.

    Attributes:
        sums_sha256: of the bytes of ``SHA256SUMS``.
        outcome: the verdict's.
        files: of every file of the folder but itself and the list, by path, the reports and the seal among them.
    """

    sums_sha256: str
    outcome: str
    files: Mapping[str, str]


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def make_seal(sealed: Sealed, key: SigningKey, *, claimed_at: datetime, stamper: Stamper | None = None) -> Attestation:
    """Seal the end of an audit.

    Args:
        sealed: what is fixed.
        key: who seals.
        claimed_at: the time that goes into the statement, aware; it is the signer's word.
        stamper: fetches a time stamp, ``fetch_time_stamp`` with all but the content given; None for none.

    Raises:
        EvidenceError: the authority's answer is refused.
        RemoteError: the authority could not be asked.
    """
    predicate = {"claimed_at": claimed_at.astimezone(UTC).isoformat(), "sealed": asdict(sealed)}
    return attest(Statement(TRANSCRIPT, sealed.transcript_sha256, SEAL_TYPE, predicate), key, stamper)


def check_seal(seal: Attestation, sealed: Sealed, *, signer: str | None = None, roots: str | None = None) -> Findings:
    """Check a seal offline: its signature, that it fixes just this, its time stamp.

    Args:
        seal: as ``load_attestation`` read it.
        sealed: what the folder holds.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the seal if None.
    """
    return examine(seal, SEAL_TYPE, partial(_compare, sealed), signer=signer, roots=roots)


def make_closing(closed: Closed, key: SigningKey, *, claimed_at: datetime) -> Attestation:
    """Sign the list of all files; the seal's time stamp is over all of them that are evidence."""
    predicate = {"claimed_at": claimed_at.astimezone(UTC).isoformat(), "closed": asdict(closed)}
    return attest(Statement(SUMS, closed.sums_sha256, CLOSING_TYPE, predicate), key, None)


def check_closing(closing: Attestation, closed: Closed, *, signer: str | None = None) -> Findings:
    """Check a closing offline: its signature, and that it fixes just these files."""
    return examine(closing, CLOSING_TYPE, partial(_compare_closed, closed), signer=signer)


def _compare(sealed: Sealed, statement: Statement) -> str:
    difference = first_difference(statement.predicate.get("sealed"), asdict(sealed))
    if difference or statement.sha256 != sealed.transcript_sha256:
        raise EvidenceError(f"the folder was changed after it was sealed: {difference or 'the subject is another'}")
    operator = json.dumps(sealed.operator, ensure_ascii=False)
    return f"it seals {len(sealed.files)} files of evidence, outcome {sealed.outcome}; operator: {operator}"


def _compare_closed(closed: Closed, statement: Statement) -> str:
    difference = first_difference(statement.predicate.get("closed"), asdict(closed))
    if difference or statement.sha256 != closed.sums_sha256:
        raise EvidenceError(f"the folder was changed after it was closed: {difference or 'the subject is another'}")
    return f"it signs the list of {len(closed.files)} files, outcome {closed.outcome}"
