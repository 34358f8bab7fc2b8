"""The end of an audit: its seal, and what commitment, seal and control are worth together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from statistics import median

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import EvidenceError, TranscriptError
from metav_audit.evidence.attestation import load_attestation, save_attestation
from metav_audit.evidence.commitment import registration_of
from metav_audit.evidence.custody import Attested, AttestedStatus, Custody
from metav_audit.evidence.examine import Findings, describe_stamp
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.rebuilt import rebuild_of
from metav_audit.evidence.replayed import replay_of
from metav_audit.evidence.seal import Closed, Sealed, check_closing, check_seal, make_closing, make_seal
from metav_audit.evidence.sums import evidence_files, listed_files, sha256_of_file
from metav_audit.evidence.supplier import supplier_of
from metav_audit.evidence.timestamp import Stamper
from metav_audit.files import write_atomically
from metav_audit.transcript import Received, Record, Sent, Transcript, read_records
from metav_audit.verdict import CLOSING, SEAL, SUMS, TRANSCRIPT, AuditFolder

CLOCKS_APART = timedelta(minutes=5)
"""A transcript may end so much after its seal, by the clocks of two machines."""

_AFTER_THE_SEAL = {SEAL, *(f"report.{form}" for form in ("json", "csv", "html", "pdf"))}
"""Files that tell of the seal, and so are signed by the closing alone."""


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
        EvidenceError: the time-stamp authority's answer is refused, or its clock and the auditor's lie apart.
        RemoteError: the authority could not be asked; run the audit again, and it seals what it finds finished.
    """
    transcript = folder.transcript()
    sealed = _sealed(folder, transcript)
    if folder.has(SEAL) and check_seal(load_attestation(folder / SEAL), sealed).passed:
        return
    seal = make_seal(sealed, sealer.key, claimed_at=now, stamper=sealer.stamper)
    problem = _out_of_time(check_seal(seal, sealed), transcript)
    if problem:
        raise EvidenceError(f"the audit is not sealed, for {problem}: set this machine's clock, and audit anew")
    save_attestation(seal, folder / SEAL)


def close_folder(folder: AuditFolder, key: SigningKey, now: datetime) -> None:
    """Sign the list of all files of a sealed folder, unless a signature over just this list is there already."""
    closed = _closed(folder)
    with suppress(EvidenceError):
        if check_closing(load_attestation(folder / CLOSING), closed, signer=key.public.key_id).passed:
            return
    write_atomically(folder / CLOSING, make_closing(closed, key, claimed_at=now).to_bytes())


def closing_of(folder: AuditFolder, transcript: Transcript, signer: str | None = None) -> Attested:
    """Say what the signature over the list of all files is worth.

    Args:
        folder: the audit's folder.
        transcript: its transcript, whose first record may name the key.
        signer: the key id that is expected; the transcript's, or else whoever signed, if None.
    """
    expected = signer or transcript.operator.get("key_id")
    if not folder.has(CLOSING):
        if expected is None and not folder.has(SEAL):
            return Attested(AttestedStatus.NONE, "The list of files is not signed.")
        sentence = f"The closing is missing: nothing signs the list of all files ({CLOSING})."
        return Attested(AttestedStatus.INVALID, sentence)
    try:
        closing = load_attestation(folder / CLOSING)
        if closing.sha256 != sha256_of_file(folder / CLOSING):
            raise EvidenceError("it is not written as such files are")
        findings = check_closing(closing, _closed(folder), signer=expected)
    except EvidenceError as error:
        return Attested(AttestedStatus.INVALID, f"The closing does not hold: {error}.")
    if findings.problem is not None:
        return Attested(AttestedStatus.INVALID, f"The closing does not hold: {findings.problem}.")
    return Attested(
        AttestedStatus.SEALED, f"All files are signed by the key {findings.key_id}.", key_id=findings.key_id
    )


def custody_of(
    folder: AuditFolder,
    bundle: FingerprintBundle,
    transcript: Transcript,
    *,
    records: Iterable[Record] | None = None,
    owner: str | None = None,
    auditor: str | None = None,
    roots: str | None = None,
) -> Custody:
    """Say what the commitment and the seal in an audit's folder are worth.

    Args:
        folder: the audit's folder, with ``verdict.json``.
        bundle: its bundle, with its commitment.
        transcript: its transcript.
        records: the transcript's records, where they were read already; read from the folder if None.
        owner: the key id that is expected to have committed; whoever did, or nobody, if None.
        auditor: the key id that is expected to have sealed; likewise.
        roots: the time-stamp authorities' root certificates, PEM, whose stamps are then expected; those in the files if
            None.
    """
    committed = registration_of(bundle, datetime.fromisoformat(transcript.started), signer=owner, roots=roots)
    apart, bodies = _told(read_records(folder / TRANSCRIPT) if records is None else records)
    commitment = _named_before(transcript, committed, bundle)
    return Custody(
        commitment=commitment,
        rebuild=rebuild_of(bundle, commitment.key_id, roots),
        replay=replay_of(bundle, commitment.key_id, roots),
        supplier=supplier_of(folder, commitment.key_id, roots),
        seal=_seal(folder, bundle, transcript, auditor, roots),
        operator=transcript.operator,
        clock=_clock(apart),
        bodies=bodies,
        files=evidence_files(folder),
        control=folder.positive_control(),
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


def _seal(
    folder: AuditFolder, bundle: FingerprintBundle, transcript: Transcript, signer: str | None, roots: str | None
) -> Attested:
    expected = transcript.operator.get("key_id")
    if not folder.has(SEAL):
        return _no_seal(expected, signer, roots is not None and bundle.commitment is None)
    try:
        seal, sealed = load_attestation(folder / SEAL), _sealed(folder, transcript)
        findings = check_seal(seal, sealed, signer=signer or expected, roots=roots)
    except (EvidenceError, TranscriptError) as error:
        return _no_hold(str(error))
    if findings.problem is None and expected not in (None, findings.key_id):
        return _no_hold(f"the transcript says that the key {expected} would seal it", findings.key_id)
    if findings.problem is None and roots is not None and findings.stamped is None:
        return _no_hold("it carries no time stamp, and the reader gave an authority's root", findings.key_id)
    problem = findings.problem or _out_of_time(findings, transcript)
    return _no_hold(problem, findings.key_id) if problem else _weigh_seal(findings)


def _no_hold(problem: str, key_id: str | None = None) -> Attested:
    return Attested(AttestedStatus.INVALID, f"The seal does not hold: {problem.rstrip('.')}.", key_id=key_id)


def _no_seal(expected: str | None, signer: str | None, stampless: bool) -> Attested:
    if expected is not None:
        sentence = f"The seal is missing: the transcript says that the key {expected} would seal it."
        return Attested(AttestedStatus.INVALID, sentence)
    if signer is not None:
        return Attested(AttestedStatus.INVALID, f"The seal is missing: the key {signer} was to have sealed it.")
    if stampless:
        return Attested(AttestedStatus.INVALID, "Nothing is time-stamped, and the reader gave an authority's root.")
    return Attested(AttestedStatus.NONE, "The audit is not sealed: nothing shows when it ended.")


def _out_of_time(findings: Findings, transcript: Transcript) -> str | None:
    """Say how the transcript's end and the seal's time contradict each other; None where they do not."""
    end = datetime.fromisoformat(transcript.finished or transcript.started)
    stamped, claimed = findings.stamped, findings.claimed_at
    latest = claimed if stamped is None else stamped.latest
    if latest is None or end <= latest + CLOCKS_APART:
        return None
    return f"the transcript ends at {end.isoformat()}, which is after the seal, {latest.isoformat()}"


def _weigh_seal(findings: Findings) -> Attested:
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
    files = {name: digest for name, digest in listed_files(folder).items() if name not in _AFTER_THE_SEAL}
    return Sealed(transcript.head, transcript.bundle_sha256, _outcome(folder), transcript.operator, files)


def _closed(folder: AuditFolder) -> Closed:
    return Closed(sha256_of_file(folder / SUMS) or "", _outcome(folder), listed_files(folder))


def _outcome(folder: AuditFolder) -> str:
    outcome = folder.recorded_outcome()
    return "none" if outcome is None else outcome.value


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
