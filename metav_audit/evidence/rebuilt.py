"""A rebuild's statement: whoever made a bundle again from its project says, signed, whether it came out the same.

It stands beside the bundle, ``rebuild.json``, and an audit takes it along. Nothing else shows from outside that the
calibration is what the project gives, and not what an accuser wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import EvidenceError
from metav_audit.evidence.attestation import Attestation, attest
from metav_audit.evidence.custody import Attested, AttestedStatus
from metav_audit.evidence.envelope import Statement
from metav_audit.evidence.examine import Findings, describe_stamp, examine
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.source import program
from metav_audit.evidence.timestamp import Stamper

PREDICATE_TYPE = "urn:metav-audit:rebuild:v1"


def make_rebuild_statement(
    bundle: FingerprintBundle,
    rebuilt_sha256: str,
    differences: Sequence[str],
    key: SigningKey,
    *,
    claimed_at: datetime,
    stamper: Stamper | None = None,
) -> Attestation:
    """State what came out where a bundle was made again, all its models trained anew.

    Args:
        bundle: the bundle that was shown.
        rebuilt_sha256: the hash of the one that was made.
        differences: the parts in which the two differ, a sentence each.
        key: who states it.
        claimed_at: the time that goes into the statement, aware; it is the signer's word.
        stamper: fetches a time stamp; None for none.

    Raises:
        EvidenceError: the authority's answer is refused.
        RemoteError: the authority could not be asked.
    """
    predicate = {
        "claimed_at": claimed_at.astimezone(UTC).isoformat(),
        "rebuilt_sha256": rebuilt_sha256,
        "differences": list(differences),
        "code": program(),
    }
    return attest(Statement(bundle.name, bundle.sha256, PREDICATE_TYPE, predicate), key, stamper)


def check_rebuild_statement(
    statement: Attestation, bundle: FingerprintBundle, *, signer: str | None = None, roots: str | None = None
) -> Findings:
    """Check a rebuild's statement offline: its signature, that this bundle came out the same, its stamp.

    Args:
        statement: as ``load_attestation`` read it.
        bundle: which it should speak of.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the statement if None.
    """
    return examine(statement, PREDICATE_TYPE, partial(_compare, bundle), signer=signer, roots=roots)


def rebuild_of(bundle: FingerprintBundle, owner: str | None, roots: str | None = None) -> Attested:
    """Say whether somebody made a bundle again, from the statement that it carries.

    Args:
        bundle: as loaded, with its statement.
        owner: the key id that committed to it, whose word on this is no other party's; None where nobody did.
        roots: time-stamp authorities' root certificates, PEM; those in the statement if None.
    """
    if bundle.rebuild is None:
        return Attested(AttestedStatus.NONE, _NOBODY)
    told = "The bundle was made again from its project, all models trained anew, and came out the same"
    try:
        findings = check_rebuild_statement(Attestation.from_bytes(bundle.rebuild), bundle, roots=roots)
        return carried(AttestedStatus.REBUILT, told, findings, owner)
    except EvidenceError as error:
        return Attested(AttestedStatus.INVALID, f"The bundle's rebuild does not bear it out: {error}.")


def carried(status: AttestedStatus, told: str, findings: Findings, owner: str | None) -> Attested:
    """Say what a statement that a bundle carries is worth.

    Args:
        status: of one that holds.
        told: what it then says, a sentence without its end.
        findings: of its check.
        owner: the key id that committed to the bundle; None where nobody did.

    Raises:
        EvidenceError: it does not hold.
    """
    if findings.problem is not None:
        raise EvidenceError(findings.problem)
    by = "the owner's own key" if findings.key_id == owner else "the key"
    seen = "" if findings.stamped is None else f", time-stamped: {describe_stamp(findings.stamped)}"
    at = None if findings.stamped is None else findings.stamped.at.isoformat()
    whose = "" if findings.key_id == owner else "; whose key that is, is for the reader to find out"
    return Attested(status, f"{told}, says {by} {findings.key_id}{seen}{whose}.", at, findings.key_id)


_NOBODY = (
    "Nobody has signed that they made the bundle again from its project and got the same: that its "
    "calibration is the zoo's is the owner's word."
)


def _compare(bundle: FingerprintBundle, statement: Statement) -> str:
    stated = statement.predicate
    if statement.sha256 != bundle.sha256:
        raise EvidenceError(f"it speaks of the bundle {statement.sha256}, this one is {bundle.sha256}")
    differences = stated.get("differences")
    if differences != [] or stated.get("rebuilt_sha256") != bundle.sha256:
        first = str(differences[0])[:200] if isinstance(differences, list) and differences else "its hash"
        raise EvidenceError(f"made again, it came out different: {first}")
    return f"made again from its project, the bundle is the same: {bundle.sha256}"
