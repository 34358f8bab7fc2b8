"""One EvidenceReport value, written as JSON, CSV and PDF. Importing this loads no renderer."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from metav_audit.bundle import FingerprintBundle
from metav_audit.controls import CONTROLS, load_controls
from metav_audit.custody import Custody
from metav_audit.errors import ConfigurationError, TranscriptError
from metav_audit.files import write_atomically
from metav_audit.report.build import build_report
from metav_audit.report.model import EvidenceReport
from metav_audit.transcript import Transcript, load_transcript
from metav_audit.verdict import Verdict, VerdictOutcome, decide

BUNDLE = "bundle"
TRANSCRIPT = "transcript.jsonl"
VERDICT = "verdict.json"
FORMATS = ("json", "csv", "pdf")

Vouch = Callable[[Path, FingerprintBundle, Transcript], Custody]
"""Says what vouches for a folder: ``metav_audit.evidence.custody_of``, which this package does not know."""


def write_reports(folder: Path, vouch: Vouch, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write an audit folder's reports, each whole or not at all; return their paths.

    Raises:
        ConfigurationError: the folder is no audit's folder, a format is unknown, or the folder cannot be written.
        BundleError, TranscriptError, AnswerError: the evidence is damaged, or its parts contradict each other.
    """
    folder = Path(folder)
    renderers = [(f"report.{name}", renderer(name)) for name in formats]
    report = load_report(folder, vouch)
    paths = []
    for name, render in renderers:
        write_atomically(folder / name, render(report))
        paths.append(folder / name)
    return paths


def load_report(folder: Path, vouch: Vouch) -> EvidenceReport:
    """Read an audit folder and build its report, from the verdict recomputed; see ``write_reports`` for the errors."""
    missing = [name for name in (BUNDLE, TRANSCRIPT, VERDICT) if not (folder / name).exists()]
    if missing:
        raise ConfigurationError(
            f"{folder} is no audit's folder: it lacks {', '.join(missing)}; give one audit's folder"
        )
    bundle, transcript = FingerprintBundle.load(folder / BUNDLE), load_transcript(folder / TRANSCRIPT)
    verdict = decide(bundle, transcript, load_controls(folder / CONTROLS))
    if _recorded_outcome(folder / VERDICT) != verdict.outcome.value:
        raise TranscriptError(
            f"{folder / VERDICT} does not follow from the bundle and the transcript beside it: "
            f"'metav-audit verify {folder}' says where they differ"
        )
    return build_report(bundle, transcript, verdict, vouch(folder, bundle, transcript))


def report_texts(
    bundle: FingerprintBundle, transcript: Transcript, verdict: Verdict, custody: Custody
) -> dict[str, bytes]:
    """Return the reports that must come out the same on every machine, by file name: report.json and report.csv."""
    report = build_report(bundle, transcript, verdict, custody)
    return {f"report.{name}": renderer(name)(report) for name in ("json", "csv")}


def renderer(name: str) -> Callable[[EvidenceReport], bytes]:
    """Return the renderer of a format, imported on first use.

    Raises:
        ConfigurationError: there is no such format.
    """
    if name not in FORMATS:
        raise ConfigurationError(f"report format {name!r} is unknown: use one of {', '.join(FORMATS)}")
    module = importlib.import_module(f"metav_audit.report.as_{name}")
    render: Callable[[EvidenceReport], bytes] = getattr(module, f"render_{name}")
    return render


def _recorded_outcome(path: Path) -> str | None:
    try:
        return str(VerdictOutcome(json.loads(path.read_bytes())["outcome"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


__all__ = ["FORMATS", "EvidenceReport", "build_report", "load_report", "report_texts", "write_reports"]
