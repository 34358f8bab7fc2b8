"""Enrolling an approved deployment: one run over a plan's inputs a session, each in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metav_audit.audit.client import audit_endpoint
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.bundle.integrity import LEAST_SESSIONS, MAX_SESSIONS, IntegrityPlan, Session
from metav_audit.errors import EvidenceError, RemoteError, TranscriptError
from metav_audit.files import write_atomically
from metav_audit.transcript import load_transcript
from metav_audit.verdict import TRANSCRIPT
from metav_audit.verdict.integrity import LEAST_ANSWERED, IntegrityOutcome, judge_session, session_of

REFUSED = "refused.txt"
"""Says in a session's folder why it was not enrolled."""


def enrol_session(plan: IntegrityPlan, endpoint: Endpoint, out: Path, *, same: bool = False, **options: Any) -> Session:
    """Ask an endpoint every input of a plan, into ``out/NAME/0001`` or the next, and return what it answered.

    A session that was interrupted is gone on with. Further errors are those of ``audit_endpoint``.

    Args:
        plan: with the sessions before it.
        endpoint: who is asked.
        out: the folder of the sessions' folders.
        same: whether a session that an audit would call changed is one of the same model all the same.
        **options: those of ``audit_endpoint``.

    Raises:
        RemoteError: fewer than half of the inputs were answered.
        EvidenceError: an audit would call it changed, and it is not said that it is the same.
    """
    folder = _next_folder(plan, out / endpoint.name, same=same)
    session = session_of(plan.bare, audit_endpoint(plan.bare, endpoint, folder, **options))
    answered = sum(answer is not None for answer in session.answers)
    if answered < LEAST_ANSWERED * len(session.answers):
        raise RemoteError(
            f"endpoint {endpoint.name}: only {answered} of {len(session.answers)} inputs were answered: such a session "
            "is not enrolled; see what its transcript says, and enrol again"
        )
    if not same and len(plan.sessions) >= LEAST_SESSIONS:
        _check_alike(plan, session, folder)
    return session


def _check_alike(plan: IntegrityPlan, session: Session, folder: Path) -> None:
    """Refuse a session that an audit would call changed, and leave word of it in its folder."""
    verdict = judge_session(plan, session)
    if verdict.outcome is IntegrityOutcome.CHANGED:
        why = (
            f"endpoint {session.endpoint}: {verdict.reasons[0]}: an audit would call it changed, and enrolled it would "
            "hide such changes from then on; --same enrols it, if you know that it is the same model"
        )
        write_atomically(folder / REFUSED, why.encode() + b"\n")
        raise EvidenceError(why)


def _next_folder(plan: IntegrityPlan, place: Path, *, same: bool) -> Path:
    """Return the first folder whose session is not in the plan: one that was interrupted, or a new one."""
    known = {session.transcript_sha256 for session in plan.sessions}
    folders = (place / f"{number:04}" for number in range(1, MAX_SESSIONS * 2))
    return next(folder for folder in folders if not _is_done(folder, known, same=same))


def _is_done(folder: Path, known: set[str], *, same: bool) -> bool:
    if not (folder / TRANSCRIPT).exists():
        return False
    if (folder / REFUSED).exists() and not same:
        return True
    try:
        transcript = load_transcript(folder / TRANSCRIPT)
    except TranscriptError:
        return True  # What is damaged is nobody's session, and not gone on with.
    few = sum(each.answer is not None for each in transcript.exchanges) < LEAST_ANSWERED * len(transcript.exchanges)
    return transcript.head in known or (transcript.finished is not None and few)
