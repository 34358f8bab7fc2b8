"""A dither's commitment: its key by hash, and how far coins move answers, signed before anything is served with it.

An owner who knew a suspect's answers could look for a key whose coins fit them. One whose hash was time-stamped before
the answers were served, and so before any suspect could learn from them, was not chosen that way.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from metav_audit.bundle import CoinPlan
from metav_audit.errors import EvidenceError
from metav_audit.evidence.attestation import Attestation, attest
from metav_audit.evidence.custody import Attested, AttestedStatus
from metav_audit.evidence.envelope import Statement
from metav_audit.evidence.examine import Findings, describe_stamp, examine
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.timestamp import Stamper
from metav_audit.task import Dither

PREDICATE_TYPE = "urn:metav-audit:dither:v1"


def commit_dither(
    dither: Dither, key: SigningKey, *, claimed_at: datetime, stamper: Stamper | None = None
) -> Attestation:
    """Commit to a dither without showing its key.

    Args:
        dither: what is committed to.
        key: who commits.
        claimed_at: the time that goes into the statement, aware; it is the signer's word.
        stamper: fetches a time stamp; None for none.

    Raises:
        EvidenceError: the authority's answer is refused.
        RemoteError: the authority could not be asked.
    """
    predicate = {"claimed_at": claimed_at.astimezone(UTC).isoformat(), **_sizes(dither)}
    return attest(Statement("dither key", dither.key_sha256, PREDICATE_TYPE, predicate), key, stamper)


def check_dither(
    commitment: Attestation, dither: Dither, *, signer: str | None = None, roots: str | None = None
) -> Findings:
    """Check a dither's commitment offline: its signature, that it is to this key and these sizes, its time stamp.

    Args:
        commitment: as ``load_attestation`` read it.
        dither: what it should be to.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the commitment if None.
    """
    return examine(commitment, PREDICATE_TYPE, partial(_compare, dither), signer=signer, roots=roots)


def dither_attested(plan: CoinPlan, *, signer: str | None = None, roots: str | None = None) -> Attested:
    """Say whether a plan's key was committed to before the first of the plan's answers was served.

    Args:
        plan: with the commitment that it carries.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the commitment if None.
    """
    if plan.commitment is None:
        return Attested(
            AttestedStatus.NONE,
            "The plan carries no commitment: that the key is older than the suspect is the owner's word.",
        )
    try:
        findings = check_dither(Attestation.from_bytes(plan.commitment), plan.dither, signer=signer, roots=roots)
    except EvidenceError as error:
        return _invalid(str(error))
    if findings.problem is not None:
        return _invalid(findings.problem)
    first = min(datetime.fromisoformat(query.at) for query in plan.queries)
    stamped, served = findings.stamped, f"{first.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, by the log"
    if stamped is None:
        return Attested(
            AttestedStatus.SIGNED,
            f"The key's commitment is signed by the key {findings.key_id}, but not time-stamped: when, the signer "
            "alone says.",
            key_id=findings.key_id,
        )
    before = stamped.latest < first
    return Attested(
        AttestedStatus.PRE_REGISTERED if before else AttestedStatus.LATE,
        f"The key's hash was {'' if before else 'not '}time-stamped before the first of these answers was served "
        f"({served}): {describe_stamp(stamped)}.",
        stamped.at.isoformat(),
        findings.key_id,
        stamped.authority,
    )


def _compare(dither: Dither, statement: Statement) -> str:
    if statement.sha256 != dither.key_sha256:
        raise EvidenceError(f"it commits to the key {statement.sha256}, this one is {dither.key_sha256}")
    stated = {name: statement.predicate.get(name) for name in _sizes(dither)}
    if stated != _sizes(dither):
        raise EvidenceError(f"it commits to {stated}, here are {_sizes(dither)}")
    return f"it commits to this key, {dither.key_sha256}, and these sizes"


def _sizes(dither: Dither) -> dict[str, float]:
    return {"epsilon": dither.epsilon, "undecided": dither.undecided}


def _invalid(problem: str) -> Attested:
    return Attested(AttestedStatus.INVALID, f"The key's commitment does not hold: {problem.rstrip('.')}.")
