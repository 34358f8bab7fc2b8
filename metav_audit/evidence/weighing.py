"""The end of an audit: its seal, and what commitment, seal and control are worth together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from statistics import median

from metav_audit.bundle import COMMITMENT, FingerprintBundle
from metav_audit.errors import EvidenceError, TranscriptError
from metav_audit.evidence.attestation import load_attestation, save_attestation
from metav_audit.evidence.commitment import registration_of
from metav_audit.evidence.custody import Attested, AttestedStatus, Custody, PositiveControl
from metav_audit.evidence.examine import Findings, describe_stamp
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.seal import Sealed, check_seal, make_seal, sha256_of
from metav_audit.evidence.sums import evidence_files, sha256_of_file
from metav_audit.evidence.timestamp import Stamper
from metav_audit.files import strict_json
from metav_audit.transcript import Received, Record, Sent, Transcript, read_records
from metav_audit.verdict import BUNDLE, POSITIVE_CONTROL, SEAL, TRANSCRIPT, VERDICT, AuditFolder


@dataclass(frozen=True, slots=True)
class Sealer:
    """Who seals audits, and who stamps the time.

    Attributes:
        key: signs.
        stamper: fetches a time stamp; None for none.
    """

    key: SigningKey
    stamper: Stamper | None


def seal_folder(folder: AuditFolder, sealer: Sealer, now: datetime) -> None:
    """Seal a finished audit, unless a seal of what the folder holds is there already.

    Raises:
        EvidenceError: the time-stamp authority's answer is refused.
        RemoteError: the authority could not be asked; run the audit again, and it seals what it finds finished.
    """
    transcript = folder.transcript()
    sealed = _sealed(folder, transcript)
    if folder.has(SEAL) and check_seal(load_attestation(folder / SEAL), sealed).passed:
        return
    seal = make_seal(sealed, sealer.key, operator=transcript.operator, claimed_at=now, stamper=sealer.stamper)
    save_attestation(seal, folder / SEAL)


def custody_of(
    folder: AuditFolder,
    bundle: FingerprintBundle,
    transcript: Transcript,
    *,
    records: Iterable[Record] | None = None,
    signer: str | None = None,
    roots: str | None = None,
) -> Custody:
    """Say what the commitment and the seal in an audit's folder are worth.

    Args:
        folder: the audit's folder, with ``verdict.json``.
        bundle: its bundle, with its commitment.
        transcript: its transcript.
        records: the transcript's records, where they were read already; read from the folder if None.
        signer: the key id that is expected of both; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the files if None.
    """
    committed = registration_of(bundle, datetime.fromisoformat(transcript.started), signer=signer, roots=roots)
    apart, bodies = _told(read_records(folder / TRANSCRIPT) if records is None else records)
    return Custody(
        commitment=_named_before(transcript, committed, bundle),
        seal=_seal(folder, transcript, signer, roots),
        operator=transcript.operator,
        clock=_clock(apart),
        bodies=bodies,
        files=evidence_files(folder),
        control=_control(folder),
    )


def _named_before(transcript: Transcript, committed: Attested, bundle: FingerprintBundle) -> Attested:
    """Let a commitment hold only if it is the one that the transcript names."""
    own = None if bundle.commitment is None else hashlib.sha256(bundle.commitment).hexdigest()
    if own == transcript.commitment_sha256:
        return committed
    sentence = (
        f"The commitment in the folder (SHA-256 {own or 'none'}) is not the one that the transcript named before "
        f"the first query ({transcript.commitment_sha256 or 'none'})."
    )
    return replace(committed, status=AttestedStatus.INVALID, sentence=sentence)


def _seal(folder: AuditFolder, transcript: Transcript, signer: str | None, roots: str | None) -> Attested:
    expected = transcript.operator.get("key_id")
    if not folder.has(SEAL):
        if expected is None:
            return Attested(AttestedStatus.NONE, "The audit is not sealed: nothing shows when it ended.")
        sentence = f"The seal is missing: the transcript says that the key {expected} would seal it."
        return Attested(AttestedStatus.INVALID, sentence)
    try:
        findings = check_seal(
            load_attestation(folder / SEAL), _sealed(folder, transcript), signer=signer or expected, roots=roots
        )
    except EvidenceError as error:
        return Attested(AttestedStatus.INVALID, f"The seal does not hold: {error}.")
    return _weigh_seal(findings)


def _weigh_seal(findings: Findings) -> Attested:
    if findings.problem is not None:
        return Attested(AttestedStatus.INVALID, f"The seal does not hold: {findings.problem}.", key_id=findings.key_id)
    if findings.stamped is None:
        sentence = f"Transcript, bundle and verdict are sealed by the key {findings.key_id}, without a time stamp."
        return Attested(AttestedStatus.SEALED, sentence, key_id=findings.key_id)
    stamped = findings.stamped
    sentence = (
        f"Transcript, bundle and verdict are sealed by the key {findings.key_id}, time-stamped: "
        f"{describe_stamp(stamped)}."
    )
    return Attested(AttestedStatus.SEALED, sentence, stamped.at.isoformat(), findings.key_id, stamped.authority)


def _sealed(folder: AuditFolder, transcript: Transcript) -> Sealed:
    if transcript.finished is None:
        raise TranscriptError(f"the audit in {folder.path} is not finished: run it again, then it is sealed")
    return Sealed(
        transcript_sha256=transcript.head,
        bundle_sha256=transcript.bundle_sha256,
        verdict_sha256=sha256_of(folder.content(VERDICT)),
        commitment_sha256=sha256_of_file(folder / f"{BUNDLE}/{COMMITMENT}"),
    )


def _control(folder: AuditFolder) -> PositiveControl | None:
    """Read what the run left of its control.

    Raises:
        EvidenceError: the file is damaged.
    """
    try:
        fields = strict_json(folder.content(POSITIVE_CONTROL))
        name, passed, outcome = str(fields["control"]), fields["passed"] is True, fields["outcome"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EvidenceError(f"{folder / POSITIVE_CONTROL} is damaged: {error}; audit in a new folder") from error
    if passed:
        return PositiveControl(name, passed, f"The run's positive control, {name}, came out as a match, as it must.")
    how = f"came out as {outcome}, not as a match" if outcome else "could not be audited"
    sentence = f"The run's positive control, {name}, {how}: no verdict of this run stands."
    return PositiveControl(name, passed, sentence)


def _told(records: Iterable[Record]) -> tuple[list[float], int]:
    """Return by how many seconds the server's clock was ahead each time that it told, and how many bodies were kept."""
    apart: list[float] = []
    bodies = 0
    for record in records:
        apart.extend(_offset(record))
        bodies += isinstance(record, Sent | Received) and record.body is not None
    return apart, bodies


def _clock(apart: Sequence[float]) -> str:
    """Say how far apart the clocks lay; a server's ``Date`` is whole seconds, cut off."""
    if not apart:
        return "the server told no time"
    return (
        f"the server's clock was ahead of the auditor's by {median(apart):.1f} s (median of {len(apart)} answers, "
        f"{min(apart):.1f} to {max(apart):.1f} s; it tells whole seconds)"
    )


def _offset(record: Record) -> Iterator[float]:
    if isinstance(record, Received) and record.server_date:
        try:
            server, ours = parsedate_to_datetime(record.server_date), datetime.fromisoformat(record.at)
            yield (server - ours).total_seconds()
        except (ValueError, TypeError):  # What a server calls a date is its own business.
            return
