"""Everything in an audit's folder recomputed, in numbered steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from metav_audit.bundle import FingerprintBundle, Schedule, check_target_bits, is_targeted
from metav_audit.errors import ConfigurationError, EvidenceError, TranscriptError
from metav_audit.evidence import (
    check_sums,
    first_difference,
)
from metav_audit.files import strict_json
from metav_audit.transcript import Records, Shared, Transcript
from metav_audit.verdict import (
    BLIND_CONTROLS,
    BUNDLE,
    SUPPLIER,
    TRANSCRIPT,
    VERDICT,
    Asked,
    AuditFolder,
    Decision,
    Reading,
    VerdictOutcome,
    calibration_doubts,
    conclude,
    decide,
    read,
)
from metav_audit.verify.checklist import Checklist, Found, NothingThereError, Status, Step
from metav_audit.verify.exchange import bodies_intact, played_again
from metav_audit.verify.order import check_order
from metav_audit.verify.positive import check_positive_control
from metav_audit.verify.reports import Reports, agreed, read_bounded
from metav_audit.verify.shared import taken_over
from metav_audit.verify.vouched import (
    NOTHING,
    Expected,
    asked,
    attested,
    authenticity,
    chain_of_custody,
    closing,
    numbered,
    weigh,
)


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found.

    Attributes:
        steps: numbered from 1.
        authentic: whether the key that the reader named for the auditor signs all of it.
        authenticity: the same in words, and what else of it is vouched for by whom.
    """

    steps: tuple[Step, ...]
    authentic: bool
    authenticity: str

    @property
    def exit_code(self) -> int:
        """4 if a step fails, 3 if one compared nothing, 6 if all hold and nobody known to the reader signs it, or 0."""
        statuses = {step.status for step in self.steps}
        if Status.FAILED in statuses:
            return 4
        return 3 if Status.NOT_CHECKED in statuses else 0 if self.authentic else 6


def verify_folder(folder: Path | AuditFolder, expected: Expected = NOTHING) -> list[Step]:
    """Return the steps of ``verify_audit``."""
    return list(verify_audit(folder, expected).steps)


def verify_audit(folder: Path | AuditFolder, expected: Expected = NOTHING) -> Verification:
    """Verify an audit's folder offline.

    1. Every file has the hash that SHA256SUMS gives, and there are no others.
    2. The bundle is intact: its own hash and that of its tensors hold.
    3. The transcript is intact: every record follows the one before it.
    4. The bodies are intact: each has the hash that its record names, and nothing else lies between them.
    5. The transcript was recorded with this bundle.
    6. The chain of custody can be read: operator, clocks, signatures.
    7. The bundle's commitment, if it has one, holds, and is older than the first query.
    8. If somebody says, signed, that they made the bundle again, it came out the same.
    9. The committed inputs were sent, as the adapter writes them, and the responses, decoded again, hold the answers.
    10. First requests follow the order of the nonce up to the first trouble, and the last place is asked last.
    11. The answers fit the task.
    12. The verdict is decided anew, with the blind controls of blind-controls.json where there are any.
    13. The sanity controls hold: shuffled, uniform and the ancestor's answers are no match, the target's own not called
        independent.
    14. The calibration's models are models of the task, that answer what they are asked and perform as their cards say.
    15. The blind controls do not contradict the promised rate of false matches.
    16. The positive control, if the run had one, is a match again, from its own transcript, and so are its bodies.
    17. verdict.json says the same, field by field.
    18. The seal, if there is to be one, holds, over all evidence, and is no older than the last record.
    19. The closing, if there is to be one, signs the list of all files.
    20. report.json says the same as a report built anew.
    21. report.csv does, too.
    22. report.html does, too.
    23. report.pdf is the same, byte for byte.
    24. If the queries are from the owner's request log, they are rows of it, and its seals hold.
    25. If the reader has other commitments of the owner's key: none is missing, and no two bear the same number.
    26. If the audit might stop early, no look before the last one taken was clear.
    27. If the fingerprint is targeted, its bits and splits follow from the identity and the nonce in the manifest.
    28. If answers were taken over from another audit of the run: they stand there, to the same inputs of the same
        endpoint.

    A step that compares nothing does not pass: what it is about is not here (``Status.NONE``, where nothing says that
    it should be), or cannot be compared here (``Status.NOT_CHECKED``).

    Args:
        folder: one audit's folder.
        expected: what is known from elsewhere.

    Raises:
        ConfigurationError: there is no audit in the folder at all.
    """
    folder = folder if isinstance(folder, AuditFolder) else AuditFolder(Path(folder))
    if not any(folder.has(name) for name in (BUNDLE, TRANSCRIPT, VERDICT)):
        raise ConfigurationError(
            f"{folder.path} is no audit's folder: give one that holds {BUNDLE}, {TRANSCRIPT}, {VERDICT}"
        )
    checklist = Checklist()
    checklist.take("files as they were when the audit ended", lambda: (True, check_sums(folder)))
    bundle = checklist.take("bundle intact", _bundle, folder)
    records = checklist.take("transcript intact", _records, folder)
    transcript = None if records is None else records.transcript
    checklist.take("bodies intact", bodies_intact, folder, records)
    bound = checklist.take("transcript recorded with this bundle", _bound, bundle, transcript)
    custody = checklist.take("chain of custody", chain_of_custody, folder, bundle, records, bound)
    weighed = custody if custody is None or expected == NOTHING else weigh(folder, bundle, records, expected)
    checklist.take("commitment before the first query", lambda found: attested(found.commitment), weighed)
    checklist.take("bundle made again by another party", lambda found: attested(found.rebuild), weighed)
    if bundle is not None and (bundle.verifier.siblings is not None or bundle.replay is not None):
        checklist.take("target replayed by another party", lambda found: attested(found.replay), weighed)
    checklist.take("inputs sent, answers decoded again", played_again, folder, bundle, records, bound)
    _take_over(checklist, folder, bundle, records, expected)
    checklist.take("asked in the order of the nonce", _ordered, bundle, records, bound)
    reading = checklist.take("answers fit the task", _reading, bundle, transcript, bound)
    decision = checklist.take("verdict decided anew", _decided, folder, bundle, transcript, reading)
    if transcript is not None and transcript.looks:
        checklist.take("no look before was clear", _looked, folder, bundle, transcript, decision)
    checklist.take("sanity controls hold", _sanity, decision)
    checklist.take("calibration of models of the task", _sound, bundle)
    checklist.take("blind controls bear the promise out", _blind, decision)
    if folder.has(BLIND_CONTROLS) or folder.has(SUPPLIER):
        checklist.take("supplier signs for the blind controls", lambda found: attested(found.supplier), weighed)
    checklist.take("positive control matches again", check_positive_control, folder, bundle, transcript)
    checklist.take("verdict.json says the same", _recorded_verdict, folder, decision)
    sealed = checklist.take("seal at the end", lambda found: attested(found.seal), weighed)
    closed = checklist.take("list of all files signed", closing, folder, transcript, expected)
    reports = Reports(folder)
    evidence = decision, custody
    checklist.take("report.json says the same", _compared(reports.json), *evidence)
    checklist.take("report.csv says the same", _compared(reports.csv), *evidence)
    checklist.take("report.html says the same", _compared(reports.html), *evidence)
    checklist.take("report.pdf is the same", _compared(reports.pdf), *evidence)
    if bundle is not None and "log" in bundle.provenance:
        checklist.take("queries are rows of the sealed log", asked, bundle, expected)
    if expected.commitments:
        checklist.take("the key's commitments, none left out", numbered, bundle, weighed, expected)
    if bundle is not None and is_targeted(bundle):
        checklist.take("target bits follow from identity and nonce", _target_bits, bundle)
    return Verification(tuple(checklist.steps), *authenticity(expected, weighed, sealed and closed))


def _take_over(
    checklist: Checklist,
    folder: AuditFolder,
    bundle: FingerprintBundle | None,
    records: Records | None,
    expected: Expected,
) -> None:
    """Compare what was taken over from another audit, where anything was."""
    if records is not None and any(isinstance(each, Shared) for each in records.each):
        name = "answers taken over stand in the other audit"
        checklist.take(name, taken_over, folder, bundle, records, expected.beside)


def _bundle(folder: AuditFolder) -> Found:
    bundle = folder.bundle()
    return bundle, f"seal and tensors hold, SHA-256 {bundle.sha256}"


def _records(folder: AuditFolder) -> Found:
    records = folder.records()
    said = f"{records.transcript.requests} requests, chain ends in SHA-256 {records.transcript.head}"
    return records, said


def _bound(bundle: FingerprintBundle, transcript: Transcript) -> Found:
    if transcript.bundle_sha256 != bundle.sha256:
        raise TranscriptError(f"it names the bundle {transcript.bundle_sha256}, the one beside it is {bundle.sha256}")
    asked = Asked.of(bundle, transcript)
    beside = f"{len(asked.exchanges) - len(bundle.inputs)} inputs beside its {len(bundle.inputs)} queries"
    return True, f"both name {bundle.sha256}; {beside}, in the order of the nonce {transcript.nonce}"


def _ordered(bundle: FingerprintBundle, records: Records, _: bool) -> Found:
    transcript = records.transcript
    return True, check_order(records, Schedule.for_bundle(bundle, transcript.nonce, transcript.looks))


def _looked(folder: AuditFolder, bundle: FingerprintBundle, transcript: Transcript, decision: Decision) -> Found:
    """See that no look before the last one taken was clear: whoever goes on behind a clear one looks for another."""
    asked, taken = Asked.of(bundle, transcript), decision.reading.looks
    for look in range(asked.look):
        there = replace(transcript, exchanges=asked.at(look).exchanges)
        outcome = conclude(bundle, there, folder.controls()).verdict.outcome
        if outcome is not VerdictOutcome.INCONCLUSIVE:
            raise EvidenceError(f"look {look + 1} was clear, {outcome.value}, and more was asked all the same")
    return True, "" if taken is None else taken.sentence


def _reading(bundle: FingerprintBundle, transcript: Transcript, _: bool) -> Found:
    reading = read(bundle, transcript)
    said = f"{reading.answered} of {len(bundle.inputs)} queries answered"
    return reading, f"{said}, scores read as {transcript.endpoint.scores.value}"


def _decided(folder: AuditFolder, bundle: FingerprintBundle, transcript: Transcript, reading: Reading) -> Found:
    verdict = decide(bundle, reading, folder.controls())
    score = "no score"
    if verdict.score is not None:
        score = f"score {verdict.score:.6g}, log10 LR = {verdict.log10_lr:.4g}, p = {verdict.p_value:.4g}"
    return Decision(bundle, transcript, reading, verdict), f"{verdict.outcome.value}, {score}"


def _sanity(decision: Decision) -> Found:
    sanity = decision.verdict.sanity
    if sanity is None:
        raise NothingThereError("not run: no score was given")
    if sanity.failures:
        raise EvidenceError("; ".join(sanity.failures))
    return True, str(sanity)


def _sound(bundle: FingerprintBundle) -> Found:
    doubts = calibration_doubts(bundle)
    if doubts:
        raise EvidenceError("; ".join(doubts))
    count, performs = len(bundle.calibration.models), "" if bundle.natural is None else ", perform as their cards say"
    return True, f"{count} models answer what they were asked{performs}, and derived ones come near the target"


def _blind(decision: Decision) -> Found:
    controls = decision.verdict.controls
    if controls is None:
        raise NothingThereError("none were asked")
    if controls.contradicts():
        raise EvidenceError("; ".join(controls.failures()))
    return True, "; ".join((str(controls), *controls.failures(), *controls.left_out))


def _recorded_verdict(folder: AuditFolder, decision: Decision) -> Found:
    recorded = strict_json(read_bounded(folder / VERDICT))
    return True, agreed(first_difference(recorded, json.loads(json.dumps(decision.verdict.to_json()))))


def _target_bits(bundle: FingerprintBundle) -> Found:
    mark = check_target_bits(bundle)
    queries, per_query = bundle.verifier.tensors["bits"].shape
    return True, f"{queries} x {per_query} bits of the identity {mark.identity!r} and the nonce {mark.nonce}"


def _compared(compare: Callable[..., str]) -> Callable[..., Found]:
    return lambda *evidence: (True, compare(*evidence))
