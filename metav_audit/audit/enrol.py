"""Enrolling an approved deployment: one run over a plan's inputs a session, each in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metav_audit.audit.client import audit_endpoint
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.bundle.integrity import MAX_SESSIONS, IntegrityPlan, Session
from metav_audit.errors import RemoteError, TranscriptError
from metav_audit.transcript import load_transcript
from metav_audit.verdict import TRANSCRIPT
from metav_audit.verdict.integrity import LEAST_ANSWERED, session_of


def enrol_session(plan: IntegrityPlan, endpoint: Endpoint, out: Path, **options: Any) -> Session:
    """Ask an endpoint every input of a plan, into ``out/NAME/0001`` or the next, and return what it answered.

    A session that was interrupted is gone on with. ``options`` and further errors are those of ``audit_endpoint``.

    Raises:
        RemoteError: fewer than half of the inputs were answered.
    """
    transcript = audit_endpoint(plan.bare, endpoint, _next_folder(plan, out / endpoint.name), **options)
    session = session_of(plan.bare, transcript)
    answered = sum(answer is not None for answer in session.answers)
    if answered < LEAST_ANSWERED * len(session.answers):
        raise RemoteError(
            f"endpoint {endpoint.name}: only {answered} of {len(session.answers)} inputs were answered: such a session "
            "is not enrolled; see what its transcript says, and enrol again"
        )
    return session


def _next_folder(plan: IntegrityPlan, place: Path) -> Path:
    """Return the first folder whose session is not in the plan: one that was interrupted, or a new one."""
    known = {session.transcript_sha256 for session in plan.sessions}
    folders = (place / f"{number:04}" for number in range(1, MAX_SESSIONS * 2))
    return next(folder for folder in folders if not _is_done(folder, known))


def _is_done(folder: Path, known: set[str]) -> bool:
    if not (folder / TRANSCRIPT).exists():
        return False
    try:
        transcript = load_transcript(folder / TRANSCRIPT)
    except TranscriptError:
        return True  # What is damaged is nobody's session, and not gone on with.
    few = sum(each.answer is not None for each in transcript.exchanges) < LEAST_ANSWERED * len(transcript.exchanges)
    return transcript.head in known or (transcript.finished is not None and few)
