"""The positive control decided anew from its own transcript, which stands beside its record."""

from __future__ import annotations

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import EvidenceError
from metav_audit.transcript import Transcript
from metav_audit.verdict import CONTROL_FOLDER, POSITIVE_CONTROL, AuditFolder, ControlRecord, conclude
from metav_audit.verify.checklist import Found, NothingThereError
from metav_audit.verify.exchange import bodies_intact, played_again


def check_positive_control(folder: AuditFolder, bundle: FingerprintBundle, transcript: Transcript) -> Found:
    """Decide the run's positive control anew, and see that its record says so.

    Raises:
        NothingThereError: the run had none.
        EvidenceError: the record does not follow from the control's transcript, or the control failed: then no verdict
            of the run stands.
        BundleError, TranscriptError, AnswerError: the control's transcript is damaged, or does not fit the bundle.
    """
    record, evidence = folder.positive_control(), AuditFolder(folder / CONTROL_FOLDER)
    if record is None:
        if folder.has(CONTROL_FOLDER):
            raise EvidenceError(f"{CONTROL_FOLDER} is there, its record {POSITIVE_CONTROL} is not")
        raise NothingThereError("the run had none")
    if record.outcome is not None:
        _check(record, evidence, folder, bundle, transcript)
    if not record.passed:
        raise EvidenceError(record.sentence)
    return True, record.sentence


def _check(
    record: ControlRecord, evidence: AuditFolder, folder: AuditFolder, bundle: FingerprintBundle, suspect: Transcript
) -> None:
    records = evidence.records()
    control = records.transcript
    said = record.control, record.transcript_sha256, record.bundle_sha256
    if said != (control.endpoint.name, control.head, bundle.sha256):
        raise EvidenceError(f"{POSITIVE_CONTROL} names another control or transcript than the one beside it")
    if (control.operator, control.commitment_sha256) != (suspect.operator, suspect.commitment_sha256):
        raise EvidenceError("the control was asked by another operator, or under another commitment")
    bodies_intact(evidence, records)
    played_again(evidence, bundle, records)
    outcome = conclude(bundle, control, folder.controls()).verdict.outcome
    if outcome.value != record.outcome:
        raise EvidenceError(f"the control is {outcome.value}, {POSITIVE_CONTROL} says {record.outcome}")
