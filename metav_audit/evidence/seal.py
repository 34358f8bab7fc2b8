"""The seal: the end of an audit signed and time-stamped, so that nothing in it can be changed afterwards.

It fixes the transcript's last link, which covers every record before it and every body's hash, the bundle, the
commitment, and the verdict's file. Its time stamp shows that all of it was there by then.
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
from metav_audit.verdict import TRANSCRIPT

PREDICATE_TYPE = "urn:metav-audit:seal:v1"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a seal fixes; every hash is SHA-256 in hexadecimal.

    Attributes:
        transcript_sha256: the head of the transcript's chain.
        bundle_sha256: the bundle's hash.
        verdict_sha256: of the bytes of ``verdict.json``; see ``sha256_of``.
        commitment_sha256: of the bytes of the bundle's ``commitment.json``; None without one.
    """

    transcript_sha256: str
    bundle_sha256: str
    verdict_sha256: str
    commitment_sha256: str | None


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def make_seal(
    sealed: Sealed,
    key: SigningKey,
    *,
    operator: Mapping[str, str],
    claimed_at: datetime,
    stamper: Stamper | None = None,
) -> Attestation:
    """Seal the end of an audit.

    Args:
        sealed: what is fixed.
        key: who seals.
        operator: who ran the audit, in their own words, as the transcript has it.
        claimed_at: the time that goes into the statement, aware; it is the signer's word.
        stamper: fetches a time stamp, ``fetch_time_stamp`` with all but the content given; None for none.

    Raises:
        EvidenceError: the authority's answer is refused.
        RemoteError: the authority could not be asked.
    """
    claimed = claimed_at.astimezone(UTC).isoformat()
    predicate = {"claimed_at": claimed, "operator": dict(operator), "sealed": asdict(sealed)}
    return attest(Statement(TRANSCRIPT, sealed.transcript_sha256, PREDICATE_TYPE, predicate), key, stamper)


def check_seal(seal: Attestation, sealed: Sealed, *, signer: str | None = None, roots: str | None = None) -> Findings:
    """Check a seal offline: its signature, that it fixes just this, its time stamp.

    Args:
        seal: as ``load_attestation`` read it.
        sealed: what the folder holds.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the seal if None.
    """
    return examine(seal, PREDICATE_TYPE, partial(_compare, sealed), signer=signer, roots=roots)


def _compare(sealed: Sealed, statement: Statement) -> str:
    difference = first_difference(statement.predicate.get("sealed"), asdict(sealed))
    if difference or statement.sha256 != sealed.transcript_sha256:
        raise EvidenceError(f"the folder was changed after it was sealed: {difference or 'the subject is another'}")
    operator = json.dumps(statement.predicate.get("operator"), ensure_ascii=False)
    return f"it seals this transcript, bundle and verdict; operator: {operator}"
