"""An audit's folder: the names of its files, in the order in which they are read, and how each is opened."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metav_audit.bundle import COMMITMENT, MANIFEST, REBUILD, REPLAY, FingerprintBundle
from metav_audit.errors import BundleError, ConfigurationError, EvidenceError, TranscriptError
from metav_audit.files import read_regular, strict_json, write_atomically
from metav_audit.transcript import BODIES, BodyReader, Records, Transcript, load_records, load_transcript
from metav_audit.verdict.blind import Controls, load_controls
from metav_audit.verdict.decide import decide
from metav_audit.verdict.positive import ControlRecord
from metav_audit.verdict.reading import Reading, read
from metav_audit.verdict.rules import RULES, Rules
from metav_audit.verdict.verdict import Verdict, VerdictOutcome

BUNDLE = "bundle"
TRANSCRIPT = "transcript.jsonl"
VERDICT = "verdict.json"
SEAL = "seal.json"
POSITIVE_CONTROL = "positive-control.json"
BLIND_CONTROLS = "blind-controls.json"
SUPPLIER = "blind-controls.signed.json"
CONTROL_FOLDER = "positive-control"
SUMS = "SHA256SUMS"
CLOSING = "closing.json"
LOCK = ".lock"
MAX_FILE_BYTES = 1 << 28
"""No verdict and no report is larger than this."""

EVIDENCE = (
    VERDICT,
    TRANSCRIPT,
    BODIES,
    f"{BUNDLE}/manifest.json",
    f"{BUNDLE}/tensors.safetensors",
    f"{BUNDLE}/{COMMITMENT}",
    f"{BUNDLE}/{REBUILD}",
    f"{BUNDLE}/{REPLAY}",
    SEAL,
    POSITIVE_CONTROL,
    f"{CONTROL_FOLDER}/{TRANSCRIPT}",
    f"{CONTROL_FOLDER}/{BODIES}",
    BLIND_CONTROLS,
    SUPPLIER,
)
"""The files that a verdict follows from, or that vouch for it, in the order in which they are read."""

REPORTS = tuple(f"report.{name}" for name in ("json", "csv", "html", "pdf"))
FILES = frozenset((*EVIDENCE, *REPORTS, SUMS, CLOSING, LOCK))
"""All that an audit's folder may hold: what else lies there is nobody's evidence, and is neither listed nor packed."""

PLAN = "plan.json"
COINS = "coins.json"
COIN_FILES = frozenset((PLAN, TRANSCRIPT, BODIES, COINS, "coins.html", "coins.pdf", SUMS, LOCK))
"""All that the folder of an audit by coins may hold; a plan makes it one."""

SERVED_PLAN = "served-plan.json"
SERVED = "served.json"
SERVED_FILES = frozenset((SERVED_PLAN, TRANSCRIPT, BODIES, SERVED, "served.html", "served.pdf", SUMS, LOCK))
"""All that the folder of an audit of served answers may hold; a plan makes it one."""

INTEGRITY_PLAN = "integrity-plan.json"
INTEGRITY_FILES = frozenset(
    (INTEGRITY_PLAN, TRANSCRIPT, BODIES, VERDICT, "report.csv", "report.html", "report.pdf", SUMS, LOCK)
)
"""All that the folder of an integrity audit may hold; a plan makes it one."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with all that it was decided from, and by which rules.

    Raises:
        TranscriptError: they do not belong together.
    """

    bundle: FingerprintBundle
    transcript: Transcript
    reading: Reading
    verdict: Verdict
    rules: Rules = RULES

    def __post_init__(self) -> None:
        heads = {self.transcript.head, self.reading.transcript_sha256, self.verdict.transcript_sha256}
        bundles = {self.bundle.sha256, self.transcript.bundle_sha256, self.verdict.bundle_sha256}
        if len(heads) > 1 or len(bundles) > 1:
            raise TranscriptError("the verdict belongs to another bundle or transcript: run the audit again")


@dataclass(frozen=True, slots=True)
class AuditFolder:
    """One audit's folder; it need not be there yet.

    Attributes:
        path: where it is.

    >>> folder = AuditFolder(Path('audits/suspect-a'))
    >>> folder.name, (folder / VERDICT).as_posix(), folder.has(VERDICT)
    ('suspect-a', 'audits/suspect-a/verdict.json', False)
    """

    path: Path

    def __truediv__(self, name: str) -> Path:
        """Return where a file of the folder lies or would lie."""
        return self.path / name

    @property
    def name(self) -> str:
        """The folder's own name, usually the endpoint's."""
        return self.path.name

    def has(self, name: str) -> bool:
        """Say whether a file, or anything else of that name, is there."""
        return os.path.lexists(self / name)

    def owns(self, name: str) -> bool:
        """Say whether a file of that name belongs to an audit."""
        if self.has(SERVED_PLAN):
            return name in SERVED_FILES
        if self.has(INTEGRITY_PLAN):
            return name in INTEGRITY_FILES
        return name in (COIN_FILES if self.has(PLAN) else FILES)

    def content(self, name: str) -> bytes:
        """Read a file of the folder whole.

        Raises:
            OSError: it cannot be read, is no regular file, or is larger than any of ours.
        """
        return read_regular(self / name, MAX_FILE_BYTES)

    def check(self) -> None:
        """Raise ConfigurationError unless the folder holds a whole audit."""
        missing = [name for name in (BUNDLE, TRANSCRIPT, VERDICT) if not self.has(name)]
        if missing:
            raise ConfigurationError(
                f"{self.path} is no audit's folder: it lacks {', '.join(missing)}; give one audit's folder"
            )

    def bundle(self) -> FingerprintBundle:
        """Open the bundle's copy.

        Raises:
            BundleError: it is missing or damaged, or a link.
        """
        if (self / BUNDLE).is_symlink():
            raise BundleError(f"{self / BUNDLE} is a link, and links are not followed: put the bundle itself there")
        if not (self / BUNDLE).exists():
            raise BundleError(f"cannot read the bundle's {self / BUNDLE / MANIFEST}: No such file or directory")
        return FingerprintBundle.load(self / BUNDLE)

    def holds(self, bundle: FingerprintBundle) -> bool:
        """Say whether the copy of this bundle is there, with its commitment if it has one."""
        try:
            standing = self.bundle()
        except (BundleError, ConfigurationError):
            return False
        committed = standing.commitment is not None or bundle.commitment is None
        return standing.sha256 == bundle.sha256 and committed

    def transcript(self) -> Transcript:
        """Read the transcript, every record checked.

        Raises:
            TranscriptError: it is missing or damaged.
        """
        return load_transcript(self / TRANSCRIPT)

    def records(self) -> Records:
        """Read the transcript and keep its records; for the errors see ``transcript``."""
        return load_records(self / TRANSCRIPT)

    def bodies(self) -> BodyReader:
        """Open the bodies of requests and responses.

        Raises:
            OSError: they cannot be read.
        """
        return BodyReader(self / BODIES)

    def controls(self) -> Controls | None:
        """Read the blind controls' answers; None where there are none.

        Raises:
            EvidenceError: the file is oversized, damaged or none of ours.
        """
        return load_controls(self / BLIND_CONTROLS)

    def positive_control(self) -> ControlRecord | None:
        """Read what the run left of its positive control; None where it left nothing.

        Raises:
            EvidenceError: the file is damaged.
        """
        return ControlRecord.load(self / POSITIVE_CONTROL)

    def put_positive_control(self, record: ControlRecord, audited: AuditFolder) -> None:
        """Write the record, and copy what it rests on from the control's own folder.

        Raises:
            ConfigurationError: the folder cannot be written.
        """
        write_atomically(self / POSITIVE_CONTROL, record.to_bytes())
        for name in (TRANSCRIPT, BODIES):
            if record.outcome is not None:
                write_atomically(self / CONTROL_FOLDER / name, audited.content(name))

    def recorded_outcome(self) -> VerdictOutcome | None:
        """Return the outcome that verdict.json names; None where there is none to be read."""
        try:
            return VerdictOutcome(strict_json(self.content(VERDICT))["outcome"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def verdict(self) -> Verdict:
        """Read the verdict as it was written; ``decide`` decides anew.

        Raises:
            EvidenceError: it is missing or damaged.
        """
        try:
            return Verdict.from_json(strict_json(self.content(VERDICT)))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise EvidenceError(f"{self / VERDICT} is missing or damaged: {error}; audit again") from error

    def decide(self, rules: Rules = RULES) -> Decision:
        """Decide anew from bundle, transcript and controls.

        Raises:
            BundleError, TranscriptError, AnswerError, EvidenceError: a part is damaged, or does not fit the others.
        """
        return conclude(self.bundle(), self.transcript(), self.controls(), rules)

    def decided(self) -> Decision:
        """Decide anew, and see that verdict.json says so.

        Raises:
            ConfigurationError: the folder holds no whole audit.
            TranscriptError: verdict.json does not follow from the evidence; also see ``decide``.
        """
        self.check()
        decision = self.decide()
        if self.recorded_outcome() is not decision.verdict.outcome:
            raise TranscriptError(
                f"{self / VERDICT} does not follow from the bundle and the transcript beside it: "
                f"'metav-audit verify {self.path}' says where they differ"
            )
        return decision

    def record(self, bundle: FingerprintBundle, transcript: Transcript) -> Decision:
        """Decide, with the folder's blind controls if there are any, and write verdict.json whole or not at all."""
        decision = conclude(bundle, transcript, self.controls())
        text = json.dumps(decision.verdict.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(self / VERDICT, text.encode() + b"\n")
        return decision


def conclude(
    bundle: FingerprintBundle, transcript: Transcript, controls: Controls | None = None, rules: Rules = RULES
) -> Decision:
    """Read a transcript and decide; see ``read`` and ``decide`` for the errors."""
    reading = read(bundle, transcript, rules)
    return Decision(bundle, transcript, reading, decide(bundle, reading, controls, rules), rules)


def place_beside(bundle: Path, ending: str) -> Path:
    """Return where a file that speaks of a bundle goes: beside it, or beside the audit's folder that it lies in.

    >>> place_beside(Path('/audits/owner.bundle'), 'replay.json').as_posix()
    '/audits/owner.bundle.replay.json'
    """
    bundle = bundle.absolute()
    within = AuditFolder(bundle.parent)
    place = within.path if any(within.has(name) for name in (TRANSCRIPT, VERDICT, SUMS)) else bundle
    return place.with_name(f"{place.name}.{ending}")


def audits_in(folder: Path) -> Iterator[AuditFolder]:
    """Yield the folders of audits with bundles in a folder, by name; those by a plan have no place among them."""
    found = (AuditFolder(path.parent) for path in sorted(folder.glob(f"*/{TRANSCRIPT}")))
    return (each for each in found if not any(each.has(plan) for plan in (PLAN, SERVED_PLAN, INTEGRITY_PLAN)))
