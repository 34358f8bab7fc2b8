"""Everything in an audit's folder recomputed, in numbered steps, each passing or failing with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metav_audit.bundle import FingerprintBundle, check_target_bits, is_targeted
from metav_audit.errors import ConfigurationError, EvidenceError, MetavAuditError, TranscriptError
from metav_audit.evidence import Attested, Custody, check_asked, check_sums, custody_of, first_difference
from metav_audit.files import strict_json
from metav_audit.transcript import Records, Transcript
from metav_audit.verdict import BUNDLE, TRANSCRIPT, VERDICT, Asked, AuditFolder, Decision, Reading, decide, read
from metav_audit.verify.exchange import check_bodies, play_again
from metav_audit.verify.reports import Reports, agreed, read_bounded


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reader knows from elsewhere, and so need not take from the folder.

    Attributes:
        signer: the key id that should have signed; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the files if None.
    """

    signer: str | None = None
    roots: str | None = None


NOTHING = Expected()

Found = tuple[Any, str]
"""What a check hands on to later ones, and what it saw, in words."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a verification; ``detail`` says what was seen, or why it failed or was not checked."""

    number: int
    name: str
    passed: bool
    detail: str


class Checklist:
    """The steps taken so far."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def take(self, name: str, check: Callable[..., Found], *needs: Any) -> Any:
        """Take one step; return what its check hands on, or None where it failed or an earlier one it needs did."""
        value, passed, detail = None, False, "not checked: a step it rests on failed"
        if all(need is not None for need in needs):
            try:
                value, detail = check(*needs)
                passed = True
            except MetavAuditError as error:
                detail = str(error)
            except Exception as error:  # The folder comes from outside: whatever breaks on it is a finding.
                detail = f"it cannot be read: {type(error).__name__}: {error}"
        self.steps.append(Step(len(self.steps) + 1, name, passed, detail))
        return value


def verify_folder(folder: Path | AuditFolder, expected: Expected = NOTHING) -> list[Step]:
    """Verify an audit's folder offline.

    1. Every file has the hash that SHA256SUMS gives, and there are no others.
    2. The bundle is intact: its own hash and that of its tensors hold.
    3. The transcript is intact: every record follows the one before it.
    4. The bodies are intact: each has the hash that its record names, and nothing else lies between them.
    5. The transcript was recorded with this bundle.
    6. The chain of custody can be read: operator, clocks, signatures.
    7. The bundle's commitment, if it has one, holds, and is older than the first query.
    8. The committed inputs were sent, as the adapter writes them, and the responses, decoded again, hold the answers.
    9. The answers fit the task.
    10. The verdict is decided anew, with the blind controls of blind-controls.json where there are any.
    11. The sanity controls hold: shuffled and uniform answers are no match, the target's own not called independent.
    12. The blind controls do not contradict the promised rate of false matches.
    13. verdict.json says the same, field by field.
    14. The seal, if there is to be one, holds.
    15. report.json says the same as a report built anew.
    16. report.csv does, too.
    17. report.html does, too; its figures are compared where the program that drew them is the one installed here.
    18. report.pdf is the same, byte for byte, where the programs that made it are those installed here.
    19. If the queries are from the owner's request log, they are rows of it, and its seals hold.
    20. If the fingerprint is targeted, its bits and splits follow from the identity and the nonce in the manifest.

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
    checklist.take("bodies intact", _bodies, folder, records)
    bound = checklist.take("transcript recorded with this bundle", _bound, bundle, transcript)
    custody = checklist.take("chain of custody", _custody, folder, bundle, records, bound)
    weighed = custody if custody is None or expected == NOTHING else _weigh(folder, bundle, records, expected)
    checklist.take("commitment before the first query", lambda found: _attested(found.commitment), weighed)
    checklist.take("inputs sent, answers decoded again", _played, folder, bundle, records, bound)
    reading = checklist.take("answers fit the task", _reading, bundle, transcript, bound)
    decision = checklist.take("verdict decided anew", _decided, folder, bundle, transcript, reading)
    checklist.take("sanity controls hold", _sanity, decision)
    checklist.take("blind controls bear the promise out", _blind, decision)
    checklist.take("verdict.json says the same", _recorded_verdict, folder, decision)
    checklist.take("seal at the end", lambda found: _attested(found.seal), weighed)
    reports = Reports(folder)
    evidence = decision, custody
    checklist.take("report.json says the same", _compared(reports.json), *evidence)
    checklist.take("report.csv says the same", _compared(reports.csv), *evidence)
    checklist.take("report.html says the same", _compared(reports.html), *evidence)
    checklist.take("report.pdf is the same", _compared(reports.pdf), *evidence)
    if bundle is not None and "log" in bundle.provenance:
        checklist.take("queries are rows of the sealed log", _asked, bundle, expected)
    if bundle is not None and is_targeted(bundle):
        checklist.take("target bits follow from identity and nonce", _target_bits, bundle)
    return checklist.steps


def _bundle(folder: AuditFolder) -> Found:
    bundle = folder.bundle()
    return bundle, f"seal and tensors hold, SHA-256 {bundle.sha256}"


def _records(folder: AuditFolder) -> Found:
    records = folder.records()
    said = f"{records.transcript.requests} requests, chain ends in SHA-256 {records.transcript.head}"
    return records, said


def _bodies(folder: AuditFolder, records: Records) -> Found:
    played = check_bodies(folder, records)
    redacted = f", {played.redacted} of them without a secret that the server echoed" if played.redacted else ""
    return True, f"{played.bodies} bodies of requests and responses have their hashes{redacted}"


def _custody(folder: AuditFolder, bundle: FingerprintBundle, records: Records, _: bool) -> Found:
    custody = custody_of(folder, bundle, records.transcript, records=records.each)
    told = ", ".join(f"{name}: {words}" for name, words in custody.operator.items()) or "no operator is named"
    return custody, f"{told}; {custody.clock}"


def _weigh(folder: AuditFolder, bundle: FingerprintBundle, records: Records, expected: Expected) -> Custody:
    return custody_of(
        folder, bundle, records.transcript, records=records.each, signer=expected.signer, roots=expected.roots
    )


def _attested(attested: Attested) -> Found:
    if not attested.holds:
        raise EvidenceError(attested.sentence)
    return True, attested.sentence


def _played(folder: AuditFolder, bundle: FingerprintBundle, records: Records, _: bool) -> Found:
    played = play_again(folder, records, bundle)
    said = f"{played.requests} requests hold the committed inputs, {played.answers} responses the recorded answers"
    return True, f"{said}, by the adapter {records.transcript.endpoint.adapter}"


def _bound(bundle: FingerprintBundle, transcript: Transcript) -> Found:
    if transcript.bundle_sha256 != bundle.sha256:
        raise TranscriptError(f"it names the bundle {transcript.bundle_sha256}, the one beside it is {bundle.sha256}")
    asked = Asked.of(bundle, transcript)
    beside = f"{len(asked.exchanges) - len(bundle.inputs)} inputs beside its {len(bundle.inputs)} queries"
    return True, f"both name {bundle.sha256}; {beside}, in the order of the nonce {transcript.nonce}"


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
        return True, "not run: no score was given"
    if sanity.failures:
        raise EvidenceError("; ".join(sanity.failures))
    return True, str(sanity)


def _blind(decision: Decision) -> Found:
    controls = decision.verdict.controls
    if controls is None:
        return True, "none were asked"
    if controls.contradicts():
        raise EvidenceError("; ".join(controls.failures()))
    return True, "; ".join((str(controls), *controls.failures(), *controls.left_out))


def _recorded_verdict(folder: AuditFolder, decision: Decision) -> Found:
    recorded = strict_json(read_bounded(folder / VERDICT))
    return True, agreed(first_difference(recorded, json.loads(json.dumps(decision.verdict.to_json()))))


def _asked(bundle: FingerprintBundle, expected: Expected) -> Found:
    return True, check_asked(bundle, roots=expected.roots)


def _target_bits(bundle: FingerprintBundle) -> Found:
    mark = check_target_bits(bundle)
    queries, per_query = bundle.verifier.tensors["bits"].shape
    return True, f"{queries} x {per_query} bits of the identity {mark.identity!r} and the nonce {mark.nonce}"


def _compared(compare: Callable[..., str]) -> Callable[..., Found]:
    return lambda *evidence: (True, compare(*evidence))
