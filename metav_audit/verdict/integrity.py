"""Whether an endpoint still serves exactly the model that was enrolled: unchanged, changed, or it can't be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.integrity import LEAST_SESSIONS, IntegrityPlan, Session
from metav_audit.statistics import session_p_value, unseen_answers
from metav_audit.task import OutputSpace, ScoreKind, features, find_view
from metav_audit.transcript import Transcript
from metav_audit.verdict.asked import Asked

LEAST_MOVED = 0.2
"""A change is told where this share of the answers was never seen; two of them at least."""
LEAST_ANSWERED = 0.5
"""The share of inputs that have to be answered."""
_NEARLY_ALL, _EXACT = 0.9, 1e-12
TOLERANCE = 1e-5
"""Probabilities, or values in their unit, that lie no further apart are the same."""


class IntegrityOutcome(StrEnum):
    """What is said of the endpoint."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class IntegrityVerdict:
    """What the answers say.

    Attributes:
        outcome: unchanged, changed or inconclusive.
        score: the share of answers that no enrolled session gave, in [0, 1]; None where too little is known.
        p_value: conformal over sessions, of "the model that was enrolled, served as it was": never finer than
            1 / (sessions + 1). None where ``score`` is.
        unseen: which queries got such answers.
        enrolled: the same share of each enrolled session, beside the others.
        sessions: how many were enrolled.
        rate: the promised rate of false alarms.
        guarantee: what it rests on, in words.
        reasons: sentences that say why.
        queries: inputs of the plan.
        answered: of these, how many were answered.
        requests: requests sent, retries included.
        view: what the comparison saw, in words.
        bundle_sha256: the plan's hash, its sessions included.
        transcript_sha256: the head of the transcript's chain.
        endpoint: the endpoint's name.
        url: where it was asked.
    """

    outcome: IntegrityOutcome
    score: float | None
    p_value: float | None
    unseen: tuple[int, ...]
    enrolled: tuple[float, ...]
    sessions: int
    rate: float
    guarantee: str
    reasons: tuple[str, ...]
    queries: int
    answered: int
    requests: int
    view: str
    bundle_sha256: str
    transcript_sha256: str
    endpoint: str
    url: str

    def to_json(self) -> Mapping[str, Any]:
        """Describe the verdict in JSON types."""
        return asdict(self)


def session_of(plan: IntegrityPlan, transcript: Transcript) -> Session:
    """Return what a run over a plan's inputs was answered.

    Raises:
        TranscriptError: it was recorded with another plan.
    """
    asked, endpoint = Asked.of(plan, transcript), transcript.endpoint
    answers = tuple(asked.answers)
    return Session(transcript.started, endpoint.name, endpoint.url, endpoint.scores, answers, transcript.head)


def decide_integrity(plan: IntegrityPlan, transcript: Transcript) -> IntegrityVerdict:
    """Hold an endpoint's answers against the enrolled sessions; see ``judge_session``.

    Raises:
        TranscriptError: the transcript was recorded with another plan.
        AnswerError: an answer does not fit the task.
    """
    return judge_session(plan, session_of(plan, transcript), transcript.requests)


def judge_session(plan: IntegrityPlan, session: Session, requests: int = 0) -> IntegrityVerdict:
    """Hold a session against those that were enrolled.

    1. Without enough sessions, or enough answers, nothing is said.
    2. Each session, the new one among them, is held against the others by one rule: which of its answers did none of
       them give? The new one's share of such answers, ranked among all, is the p-value.
    3. Changed: more such answers than any enrolled session has, and a fifth of all; the p-value can be no finer than
       the number of sessions allows, and where that is coarser than the promise the fifth is what it rests on.
       Unchanged: no more than an enrolled session has, and less than a fifth; and where labels alone are seen, a
       deployment that usually gives the model's own, else what stands before it has moved the inputs away from where
       they react. Else it can't be told.

    Args:
        plan: with its sessions.
        session: the new one.
        requests: that were sent for it, retries included.
    """
    told = _Told(plan, session, requests)
    few = _too_little(told)
    if few:
        return told.verdict(IntegrityOutcome.INCONCLUSIVE, few)
    share, most = float(told.shares[-1]), float(told.shares[:-1].max())
    moved = share >= LEAST_MOVED and len(told.unseen) > 1
    if moved and share > most:
        return told.verdict(IntegrityOutcome.CHANGED, _changed(told, share, most))
    if not moved and share <= most:
        blunt = _blunted(told)
        outcome = IntegrityOutcome.INCONCLUSIVE if blunt else IntegrityOutcome.UNCHANGED
        return told.verdict(outcome, _unchanged(told, share) + blunt)
    return told.verdict(IntegrityOutcome.INCONCLUSIVE, _between(share, most, moved=moved))


class _Told:
    """The new session beside the enrolled ones."""

    def __init__(self, plan: IntegrityPlan, session: Session, requests: int) -> None:
        self.plan, self.session, self.requests = plan, session, requests
        self.answered = sum(answer is not None for answer in session.answers)
        self.shares: NDArray[np.float64] = np.array([])
        self.unseen: tuple[int, ...] = ()
        self.view, self.moved_before = "nothing", 0.0
        if len(plan.sessions) >= LEAST_SESSIONS and self.answered:
            self._compare([*plan.sessions, session])

    def _compare(self, sessions: Sequence[Session]) -> None:
        space = self.plan.task.output
        seen = seen_alike(sessions, space)
        unseen = unseen_answers(seen, tolerance_of(sessions, space))
        given = (~np.isnan(seen).all(axis=-1)).sum(axis=1)
        self.shares = unseen.sum(axis=1) / np.maximum(given, 1)
        self.unseen = tuple(np.flatnonzero(unseen[-1]).tolist())
        labels = any(each.scores is ScoreKind.LABEL for each in sessions)
        now = find_view(self.session.answers, space, self.session.scores)
        self.view = "the label alone" if labels else now.words(space)
        if labels:
            own = np.array(self.plan.own).argmax(axis=-1)
            gives = np.nan_to_num(seen[:-1, np.arange(len(own)), own], nan=0.0)
            self.moved_before = float((gives.mean(axis=0) < 0.5).mean())

    def verdict(self, outcome: IntegrityOutcome, reason: str) -> IntegrityVerdict:
        count, known = len(self.plan.sessions), bool(len(self.shares))
        return IntegrityVerdict(
            outcome=outcome,
            score=float(self.shares[-1]) if known else None,
            p_value=session_p_value(self.shares) if known else None,
            unseen=self.unseen,
            enrolled=tuple(self.shares[:-1].tolist()),
            sessions=count,
            rate=self.plan.rate,
            guarantee=_guarantee(count, self.plan.rate),
            reasons=(reason,),
            queries=len(self.plan.inputs),
            answered=self.answered,
            requests=self.requests,
            view=self.view,
            bundle_sha256=self.plan.sha256,
            transcript_sha256=self.session.transcript_sha256,
            endpoint=self.session.endpoint,
            url=self.session.url,
        )


def seen_alike(sessions: Sequence[Session], space: OutputSpace) -> NDArray[np.float64]:
    """Return sessions' answers as all of them show them, of shape (S, N, size); NaN where nothing was shown.

    Probabilities, or canonical values; where one session shows labels alone, 1 for the label of each.
    """
    found = []
    for session in sessions:
        shown = features(session.answers, space, session.scores)
        values = space.shown(shown.values) if space.labelled else shown.values.astype(np.float64)
        found.append(np.where(shown.mask, values, np.nan))
    stacked = np.stack(found)
    if not any(session.scores is ScoreKind.LABEL for session in sessions):
        return stacked
    steps = [_step_of(session, space) for session in sessions]
    shares = np.where(np.isnan(stacked), -np.inf, stacked)
    # Rounded scores that tie name either label.
    named = shares >= shares.max(axis=-1, keepdims=True) - np.array(steps)[:, None, None] * (1 + 1e-6) - _EXACT
    return np.where(named & ~np.isnan(stacked), 1.0, np.nan)


def tolerance_of(sessions: Sequence[Session], space: OutputSpace) -> float:
    """Return by how much answers may differ that are the same: half as much again as a step of the last decimal."""
    return max(TOLERANCE, *(1.5 * _step_of(session, space) for session in sessions))


def _step_of(session: Session, space: OutputSpace) -> float:
    """Return the step of the last decimal that a session shows; 0 where it shows all of them, or labels alone."""
    view = find_view(session.answers, space, session.scores)
    return 0.0 if view.decimals is None else 10.0**-view.decimals


def _too_little(told: _Told) -> str:
    if len(told.plan.sessions) < LEAST_SESSIONS:
        return (
            f"{len(told.plan.sessions)} sessions are enrolled, and at least {LEAST_SESSIONS} are needed to know how "
            "the deployment drifts: metav-audit enrol"
        )
    if told.answered < LEAST_ANSWERED * len(told.plan.inputs):
        return f"only {told.answered} of {len(told.plan.inputs)} inputs were answered; at least half are needed"
    return ""


def _changed(told: _Told, share: float, most: float) -> str:
    hint = ""
    if share >= _NEARLY_ALL and told.view == "the label alone":
        hint = (
            "; so many that the endpoint may be asked wrongly, or name its labels otherwise: see that it was asked as "
            "when it was enrolled"
        )
    return (
        f"{len(told.unseen)} of {told.answered} answers ({share:.0%}) were never given in the "
        f"{len(told.plan.sessions)} enrolled sessions, of which none has more than {most:.0%} that others lack{hint}"
    )


def _unchanged(told: _Told, share: float) -> str:
    return (
        f"{share:.0%} of {told.answered} answers were never given in the {len(told.plan.sessions)} enrolled sessions, "
        "no more than these differ among themselves"
    )


def _blunted(told: _Told) -> str:
    if told.moved_before < LEAST_MOVED:
        return ""
    return (
        f"; but the deployment gives labels other than the model's own to {told.moved_before:.0%} of the inputs: "
        "something before it, a JPEG or a resizing, moves them away from where they react, and a change may not show: "
        "enrol and audit where scores are shown"
    )


def _between(share: float, most: float, *, moved: bool) -> str:
    if moved:
        return (
            f"{share:.0%} of the answers were never seen, but an enrolled session has {most:.0%} that the others did "
            "not give: the enrolled sessions differ too much among themselves to tell a change"
        )
    return (
        f"{share:.0%} of the answers were never seen, more than any enrolled session has and less than the "
        f"{LEAST_MOVED:.0%} that a change is told by: ask again, or enrol this as the same if you know that it is"
    )


def _guarantee(sessions: int, rate: float) -> str:
    if sessions + 1 >= 1 / rate:
        return f"exact over sessions: of those drawn like the enrolled ones at most 1 in {sessions + 1} is accused"
    return (
        f"proven is that of sessions drawn like the {sessions} enrolled ones at most 1 in {sessions + 1} is accused; "
        "that a fifth of the answers has to be new keeps it rarer, which is measured (docs/integrity.md), not proven"
    )
