"""An audit's folder filled: the bundle's copy, the transcript and the verdict, so that all can be checked offline."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from metav_audit.adapter import parse
from metav_audit.audit.client import audit_endpoint, check_ready
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.bundle import FingerprintBundle
from metav_audit.files import open_regular
from metav_audit.verdict import BUNDLE, TRANSCRIPT, AuditFolder, Verdict

_MOST_HEADER = 1 << 20
"""Bytes of a first record that are read at most."""


def prepare_folder(
    bundle: FingerprintBundle, endpoint: Endpoint, folder: AuditFolder, *, stop_early: bool = False
) -> None:
    """Check all that can be checked before anything is sent, and put the bundle's copy in its place.

    The copy brings the bundle's commitment along, and keeps the first one that it got.

    Raises:
        ConfigurationError: the budget is too small, a variable is not set (SecretError), the folder cannot be
            written or holds the audit of something else.
        TranscriptError: the transcript in the folder is damaged.
    """
    check_ready(bundle, endpoint, folder.path, stop_early=stop_early)
    if not folder.holds(bundle):
        bundle.save(folder / BUNDLE)


def earlier_audits(ledger: Path, bundle: FingerprintBundle, but: Collection[Path] = ()) -> int:
    """Count the audits with a bundle that stand in a folder of audits, or of runs of audits.

    Args:
        ledger: ``NAME/`` or ``RUN/NAME/`` of each audit lies in it.
        bundle: whose audits are counted.
        but: folders that are left out.
    """
    found = {path for depth in ("*", "*/*") for path in ledger.glob(f"{depth}/{TRANSCRIPT}") if path.parent not in but}
    return sum(_bundle_of(path) == bundle.sha256 for path in found)


def _bundle_of(transcript: Path) -> str | None:
    """Return which bundle an audit is with; None where its first record does not say."""
    try:
        with open_regular(transcript) as file:
            return str(parse(file.readline(_MOST_HEADER))["bundle_sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def audit_into_folder(bundle: FingerprintBundle, endpoint: Endpoint, folder: Path, **options: Any) -> Verdict:
    """Audit one endpoint, decide, and leave ``bundle/``, ``transcript.jsonl`` and ``verdict.json`` in ``folder``.

    ``options`` and errors are those of ``audit_endpoint``.
    """
    audit = AuditFolder(folder)
    prepare_folder(bundle, endpoint, audit)
    return audit.record(bundle, audit_endpoint(bundle, endpoint, folder, **options)).verdict
