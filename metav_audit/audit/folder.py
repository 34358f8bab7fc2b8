"""An audit's folder: the bundle's copy, the transcript and the verdict, so that all of it can be checked offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metav_audit.audit.client import audit_endpoint, check_ready
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import BundleError
from metav_audit.files import write_atomically
from metav_audit.transcript import Transcript
from metav_audit.verdict import CONTROLS, Verdict, decide, load_controls

BUNDLE = "bundle"
TRANSCRIPT = "transcript.jsonl"
VERDICT = "verdict.json"


def prepare_folder(bundle: FingerprintBundle, endpoint: Endpoint, folder: Path) -> None:
    """Check all that can be checked before anything is sent, and put the bundle's copy in its place.

    The copy brings the bundle's commitment along, and keeps the first one that it got.

    Raises:
        ConfigurationError: the budget is too small, a variable is not set (SecretError), the folder cannot be
            written or holds the audit of something else.
        TranscriptError: the transcript in the folder is damaged.
    """
    check_ready(bundle, endpoint, folder)
    if not _stands(bundle, folder / BUNDLE):
        bundle.save(folder / BUNDLE)


def audit_into_folder(bundle: FingerprintBundle, endpoint: Endpoint, folder: Path, **options: Any) -> Verdict:
    """Audit one endpoint, decide, and leave ``bundle/``, ``transcript.jsonl`` and ``verdict.json`` in ``folder``.

    ``options`` and errors are those of ``audit_endpoint``.
    """
    prepare_folder(bundle, endpoint, folder)
    return record_verdict(bundle, audit_endpoint(bundle, endpoint, folder, **options), folder)


def record_verdict(bundle: FingerprintBundle, transcript: Transcript, folder: Path) -> Verdict:
    """Decide, with the controls in ``folder`` if there are any, and write the verdict there, whole or not at all."""
    verdict = decide(bundle, transcript, load_controls(folder / CONTROLS))
    text = json.dumps(verdict.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / VERDICT, text.encode() + b"\n")
    return verdict


def _stands(bundle: FingerprintBundle, path: Path) -> bool:
    try:
        standing = FingerprintBundle.load(path)
    except BundleError:
        return False
    committed = standing.commitment is not None or bundle.commitment is None
    return standing.sha256 == bundle.sha256 and committed
