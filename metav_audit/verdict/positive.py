"""The positive control's record: what became of the owner's own model in the same run.

It stands in the folder of each suspect of the run, the control's transcript and bodies beside it, so that whoever
verifies decides the control's outcome anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from metav_audit.errors import EvidenceError
from metav_audit.files import read_regular, strict_json

MAX_RECORD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ControlRecord:
    """What became of a run's control.

    Attributes:
        control: the control's name, and that of its folder beside the others.
        passed: whether it came out as a match.
        outcome: its verdict's outcome; None if there is no verdict.
        error: why there is none.
        bundle_sha256: the bundle's hash, of its verdict.
        transcript_sha256: the head of its transcript's chain.
    """

    control: str
    passed: bool
    outcome: str | None
    error: str | None
    bundle_sha256: str | None
    transcript_sha256: str | None

    @property
    def sentence(self) -> str:
        """Say what became of it, and what follows from that."""
        if self.passed:
            return f"The run's positive control, {self.control}, came out as a match, as it must."
        how = f"came out as {self.outcome}, not as a match" if self.outcome else "could not be audited"
        return f"The run's positive control, {self.control}, {how}: no verdict of this run stands."

    @property
    def complaint(self) -> str:
        """Say that it failed, what follows from that, and what to do."""
        how = "could not be audited" if self.outcome is None else f"came out as {self.outcome}, not as a match"
        return (
            f"the positive control {self.control} {how}: the verdicts of this run do not stand; "
            "see that it serves the model of this bundle, unaltered, then audit in a new folder"
        )

    def to_bytes(self) -> bytes:
        """Write the record as JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read what ``to_bytes`` wrote; None where there is no such file.

        Raises:
            EvidenceError: it is damaged.
        """
        try:
            record = cls(**strict_json(read_regular(path, MAX_RECORD_BYTES)))
            texts = record.outcome, record.error, record.bundle_sha256, record.transcript_sha256
            if not isinstance(record.control, str) or not all(isinstance(each, str | None) for each in texts):
                raise ValueError("a text is none")
            if record.passed is not (record.outcome == "match"):
                raise ValueError(f"it says passed: {record.passed}, of the outcome {record.outcome}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise EvidenceError(f"{path} is damaged: {error}; audit in a new folder") from error
        return record
