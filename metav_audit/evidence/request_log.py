"""The owner's request log under a signature: which rows there were by then, and which of them are asked.

A seal of the log is an attestation whose subject is the hash of a link of the chain of days: that stands for every row
of that day and of those before. Its time stamp says by when all of them were there. A bundle that asks rows of the log
carries them with their Merkle proofs, the chain and its seals, so that others check them without seeing any other row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from metav_audit.errors import EvidenceError
from metav_audit.evidence.attestation import Attestation, attest, check_free, load_attestation, save_attestation
from metav_audit.evidence.envelope import Statement
from metav_audit.evidence.examine import Findings, examine
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.timestamp import Stamper
from metav_audit.transcript.log import SEALS, Day, SealedLog

PREDICATE_TYPE = "urn:metav-audit:request-log:v1"


@dataclass(frozen=True, slots=True)
class LogSeal:
    """A seal of a log, checked.

    Attributes:
        name: its file's.
        findings: what holds of it.
        through: the last day that it covers; None where it does not hold.
    """

    name: str
    findings: Findings
    through: str | None


def seal_head(
    log: SealedLog, key: SigningKey, *, claimed_at: datetime, stamper: Stamper | None = None
) -> tuple[Path, Attestation]:
    """Sign the head of a log's chain, and keep that below the log's ``seals``.

    Args:
        log: with a day at least.
        key: who signs.
        claimed_at: the time that goes into the statement, aware; it is the signer's word.
        stamper: fetches a time stamp; None for none.

    Raises:
        EvidenceError: the log has no day, or the authority's answer is refused.
        ConfigurationError: the log was signed already as it stands.
        RemoteError: the authority could not be asked.
    """
    if not log.days:
        raise EvidenceError(f"the log {log.path} has no day yet: there is nothing to sign")
    path = log.path / SEALS / f"{len(log.days):06d}.json"
    check_free(path)
    predicate = {
        "claimed_at": claimed_at.astimezone(UTC).isoformat(),
        "days": len(log.days),
        "rows": log.count,
        "first": min(day.day for day in log.days),
        "last": max(day.day for day in log.days),
    }
    seal = attest(Statement("request log", log.head, PREDICATE_TYPE, predicate), key, stamper)
    save_attestation(seal, path)
    return path, seal


def check_log_seals(log: SealedLog, *, signer: str | None = None, roots: str | None = None) -> list[LogSeal]:
    """Check every seal of a log offline.

    Args:
        log: whose chain holds.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the seals if None.
    """
    paths = sorted((log.path / SEALS).glob("*.json"))
    return [
        LogSeal(path.name, *check_log_seal(load_attestation(path), log.days, signer=signer, roots=roots))
        for path in paths
    ]


def check_log_seal(
    seal: Attestation, days: Sequence[Day], *, signer: str | None = None, roots: str | None = None
) -> tuple[Findings, str | None]:
    """Check one seal against a chain of days; return what holds, and the last day that it covers."""
    covered: list[str] = []

    def compare(statement: Statement) -> str:
        heads = [day.sha256 for day in days]
        if statement.sha256 not in heads:
            raise EvidenceError(f"it seals the head {statement.sha256}, which is no link of this log's chain")
        covered.extend(day.day for day in days[: heads.index(statement.sha256) + 1])
        rows = sum(day.rows for day in days[: len(covered)])
        return f"it seals {len(covered)} days with {rows} rows, {min(covered)} to {max(covered)}"

    findings = examine(seal, PREDICATE_TYPE, compare, signer=signer, roots=roots)
    return findings, max(covered) if covered and findings.problem is None else None
