"""The owner's request log under a signature: which rows there were by then, and which of them are asked.

A seal of the log is an attestation whose subject is the hash of a link of the chain of days: that stands for every row
of that day and of those before. Its time stamp says by when all of them were there. A bundle that asks rows of the log
carries them with their Merkle proofs, the chain and its seals, so that others check them without seeing any other row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import EvidenceError
from metav_audit.evidence.attestation import Attestation, attest, check_free, load_attestation, save_attestation
from metav_audit.evidence.envelope import Statement, canonical
from metav_audit.evidence.examine import Findings, describe_stamp, examine
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.timestamp import Stamper
from metav_audit.transcript.log import SEALS, AskedLog, Day, SealedLog, open_log

KNOWN_SINCE = "suspect_known_since"
"""Where the auditor's words have the suspect's first known day, as 2026-11-30."""

HEADER_SHA256 = "log_json_sha256"
"""Where a seal's statement has the hash of ``log.json``; seals from before that was under the seal have none."""

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
    path = seal_path(log)
    check_free(path)
    predicate = {
        "claimed_at": claimed_at.astimezone(UTC).isoformat(),
        "days": len(log.days),
        HEADER_SHA256: log.header_sha256,
        "rows": log.count,
        "first": min(day.day for day in log.days),
        "last": max(day.day for day in log.days),
    }
    seal = attest(Statement("request log", log.head, PREDICATE_TYPE, predicate), key, stamper)
    save_attestation(seal, path)
    return path, seal


def seal_path(log: SealedLog) -> Path:
    """Return where the seal of a log's head as it stands is kept."""
    return log.path / SEALS / f"{len(log.days):06d}.json"


def is_sealed(log: SealedLog, *, stamped: bool) -> bool:
    """Say whether the head of a log as it stands is signed, and, where that is asked, time-stamped as well."""
    path = seal_path(log)
    return path.exists() and (load_attestation(path).time_stamp is not None or not stamped)


def log_seals(log: SealedLog) -> list[dict[str, object]]:
    """Return a log's seals in JSON types, as a bundle carries them; nothing of them is checked.

    Raises:
        EvidenceError: one is no attestation.
    """
    return [json.loads(load_attestation(path).to_bytes()) for path in sorted((log.path / SEALS).glob("*.json"))]


def check_log_seals(log: SealedLog, *, signer: str | None = None, roots: str | None = None) -> list[LogSeal]:
    """Check every seal of a log offline.

    Args:
        log: whose chain holds.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the seals if None.
    """
    paths, header = sorted((log.path / SEALS).glob("*.json")), log.header_sha256
    return [
        LogSeal(path.name, *check_log_seal(load_attestation(path), log.days, signer=signer, roots=roots, header=header))
        for path in paths
    ]


def open_checked(path: Path) -> SealedLog:
    """Open a sealed log from which something is to be taken: its chain, every row and every seal hold.

    Raises:
        ConfigurationError: there is none.
        EvidenceError: it is damaged, a day's rows are not those that were sealed, or a seal does not hold.
    """
    log = open_log(path)
    log.check()
    for seal in check_log_seals(log):
        if seal.findings.problem is not None:
            raise EvidenceError(f"the seal {seal.name} of the log {path} does not hold: {seal.findings.problem}")
    return log


def earliest_seal(
    asked: AskedLog, *, signer: str | None = None, roots: str | None = None
) -> tuple[LogSeal | None, tuple[str, ...]]:
    """Return the seal with the earliest time stamp among those that cover every row that a bundle asks.

    Args:
        asked: what the bundle tells of its log.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the seals if None.

    Returns:
        The seal, one without a time stamp where none has one, None where none holds; and why others do not hold.
    """
    needed = {row.day for row in asked.rows}
    covering: list[LogSeal] = []
    problems: list[str] = []
    for number, fields in enumerate(asked.seals, 1):
        findings, through = check_log_seal(
            Attestation.from_bytes(canonical(fields)), asked.days, signer=signer, roots=roots
        )
        if findings.problem is not None:
            problems.append(findings.problem)
        elif findings.statement is not None:
            heads = [day.sha256 for day in asked.days]
            covered = {day.day for day in asked.days[: heads.index(findings.statement.sha256) + 1]}
            if needed <= covered:
                covering.append(LogSeal(str(number), findings, through))
    stamped = [seal for seal in covering if seal.findings.stamped is not None]
    first = min(stamped, key=lambda seal: _latest(seal.findings), default=None)
    return first or next(iter(covering), None), tuple(problems)


def check_asked(bundle: FingerprintBundle, *, signer: str | None = None, roots: str | None = None) -> str:
    """Hold the queries of a bundle against the log that it names, and say since when that was there.

    Raises:
        EvidenceError: a query is no row of the log, a seal does not hold, or no seal covers what is asked.
    """
    asked = AskedLog.from_json(bundle.provenance.get("log", {}))
    asked.check(bundle.inputs, [int(each) for each in bundle.verifier.tensors["accounts"]], bundle.task)
    seal, problems = earliest_seal(asked, signer=signer, roots=roots)
    if problems:
        raise EvidenceError(f"a seal of the request log does not hold: {problems[0]}")
    return f"{len(asked.rows)} queries are rows of the log {asked.head}, {since_words(seal)}"


def log_sentence(bundle: FingerprintBundle, operator: Mapping[str, str]) -> str | None:
    """Say how old the log's seal is beside the suspect, as the auditor dates it; None where nothing is from a log.

    Args:
        bundle: as loaded.
        operator: the auditor's words; ``suspect_known_since`` is the suspect's first known day.
    """
    told = bundle.provenance.get("log")
    return None if told is None else dated_sentence(AskedLog.from_json(told), operator.get(KNOWN_SINCE))


def is_older(asked: AskedLog, known: str) -> bool:
    """Say whether a log's seals show that it is older than a suspect known since a day, as 2026-11-30."""
    seal, problems = earliest_seal(asked)
    stamped = None if seal is None or problems else seal.findings.stamped
    return stamped is not None and stamped.latest.date().isoformat() < known


def dated_sentence(asked: AskedLog, known: str | None) -> str:
    """Say how old a log's seal is beside a suspect known since a day, as 2026-11-30; None where that is open."""
    seal, problems = earliest_seal(asked)
    if problems:
        return f"A seal of the owner's request log does not hold: {problems[0]}."
    since = f"The requests that were repeated are rows of the owner's log, {since_words(seal)}."
    if known is None:
        return f"{since} Since when the suspect is known was not stated: a log that is younger could be made up."
    dated = f"{since} The suspect is known since {known}, by the auditor's word:"
    if is_older(asked, known):
        return f"{dated} the log is older, and was not made up for it."
    return (
        f"{dated} nothing shows that the log is older. Whoever asks a suspect first can make up a log that it seems to "
        "have learnt from: this rests on the owner's word."
    )


def since_words(seal: LogSeal | None) -> str:
    """Say since when a log is shown to have been there, by its earliest seal."""
    if seal is None:
        return "which no seal covers: nothing shows when it was there"
    if seal.findings.stamped is None:
        return f"signed by the key {seal.findings.key_id}, but not time-stamped: nothing shows when it was there"
    return f"sealed by {describe_stamp(seal.findings.stamped)}"


def _latest(findings: Findings) -> datetime:
    assert findings.stamped is not None
    return findings.stamped.latest


def check_log_seal(
    seal: Attestation,
    days: Sequence[Day],
    *,
    signer: str | None = None,
    roots: str | None = None,
    header: str | None = None,
) -> tuple[Findings, str | None]:
    """Check one seal against a chain of days; return what holds, and the last day that it covers.

    ``header`` is the hash of the log's ``log.json``, where that is at hand; seals that state none are older than that.
    """
    covered: list[str] = []

    def compare(statement: Statement) -> str:
        heads = [day.sha256 for day in days]
        if statement.sha256 not in heads:
            raise EvidenceError(f"it seals the head {statement.sha256}, which is no link of this log's chain")
        stated = statement.predicate.get(HEADER_SHA256, header)
        if header is not None and stated != header:
            raise EvidenceError(
                f"it seals a log.json with the SHA-256 {stated}, this one's is {header}: it was altered"
            )
        covered.extend(day.day for day in days[: heads.index(statement.sha256) + 1])
        rows = sum(day.rows for day in days[: len(covered)])
        return f"it seals {len(covered)} days with {rows} rows, {min(covered)} to {max(covered)}"

    findings = examine(seal, PREDICATE_TYPE, compare, signer=signer, roots=roots)
    return findings, max(covered) if covered and findings.problem is None else None
