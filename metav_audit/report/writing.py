"""One EvidenceReport value, written as JSON, CSV, HTML and PDF. Importing this loads no renderer."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import ConfigurationError, TranscriptError
from metav_audit.evidence import Custody
from metav_audit.files import write_atomically
from metav_audit.report.attachments import attach, gather
from metav_audit.report.build import build_report
from metav_audit.report.model import EvidenceReport
from metav_audit.transcript import Transcript, load_transcript
from metav_audit.verdict import CONTROLS, Verdict, VerdictOutcome, decide, load_controls

BUNDLE = "bundle"
TRANSCRIPT = "transcript.jsonl"
VERDICT = "verdict.json"
FORMATS = ("json", "csv", "html", "pdf")

Paper = Literal["a4", "letter"]

Vouch = Callable[[Path, FingerprintBundle, Transcript], Custody]
"""Says what vouches for a folder: ``metav_audit.evidence.custody_of``, which this package does not know."""


def write_reports(folder: Path, vouch: Vouch, formats: Sequence[str] = FORMATS, paper: Paper = "a4") -> list[Path]:
    """Write an audit folder's reports, each whole or not at all; return their paths.

    Args:
        folder: one audit's folder.
        vouch: says what vouches for it.
        formats: of FORMATS.
        paper: the PDF's.

    Raises:
        ConfigurationError: the folder is no audit's folder, a format is unknown, or the folder cannot be written.
        BundleError, TranscriptError, AnswerError: the evidence is damaged, or its parts contradict each other.
    """
    folder = Path(folder)
    _check_formats(formats)
    return save_reports(load_report(folder, vouch), folder, formats, paper)


def save_reports(
    report: EvidenceReport, folder: Path, formats: Sequence[str] = FORMATS, paper: Paper = "a4"
) -> list[Path]:
    """Write a report that was built from ``folder`` into it; see ``write_reports``."""
    _check_formats(formats)
    paths = []
    for name in formats:
        path = folder / f"report.{name}"
        write_atomically(path, _pdf(report, folder, paper) if name == "pdf" else renderer(name)(report))
        paths.append(path)
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


def rebuild_reports(
    folder: Path, bundle: FingerprintBundle, transcript: Transcript, verdict: Verdict, custody: Custody
) -> dict[str, bytes]:
    """Return the reports as they are written from this evidence, by file name.

    The PDF is among them only where the programs that made the one in ``folder`` are those installed here.
    """
    from metav_audit.report.as_pdf import paper_of

    report = build_report(bundle, transcript, verdict, custody)
    texts = {f"report.{name}": renderer(name)(report) for name in FORMATS if name != "pdf"}
    path = folder / "report.pdf"
    paper = paper_of(path.read_bytes()) if path.exists() else None
    return texts if paper is None else {**texts, "report.pdf": _pdf(report, folder, paper)}


def renderer(name: str) -> Callable[[EvidenceReport], bytes]:
    """Return the renderer of a format, imported on first use.

    Raises:
        ConfigurationError: there is no such format.
    """
    _check_formats([name])
    module = importlib.import_module(f"metav_audit.report.as_{name}")
    render: Callable[[EvidenceReport], bytes] = getattr(module, f"render_{name}")
    return render


def _pdf(report: EvidenceReport, folder: Path, paper: Paper) -> bytes:
    from metav_audit.report.as_csv import render_csv
    from metav_audit.report.as_pdf import render_pdf

    evidence = [*gather(folder, report.custody.files), attach("report.csv", render_csv(report), "data")]
    return render_pdf(report, evidence, paper)


def _check_formats(names: Sequence[str]) -> None:
    for name in names:
        if name not in FORMATS:
            raise ConfigurationError(f"report format {name!r} is unknown: use one of {', '.join(FORMATS)}")


def _recorded_outcome(path: Path) -> str | None:
    try:
        return str(VerdictOutcome(json.loads(path.read_bytes())["outcome"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
