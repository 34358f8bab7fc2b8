"""What the pages of an integrity audit say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from metav_audit.bundle.integrity import IntegrityPlan, Session
from metav_audit.report.blocks import Block, Column, Items, Ledger, Mark, Paragraph, Row, Table, Tone
from metav_audit.report.document import Document, Section
from metav_audit.report.layout.values import moment, number, p_value
from metav_audit.report.text import shorten
from metav_audit.task import Answer
from metav_audit.transcript import Transcript
from metav_audit.verdict.integrity import IntegrityOutcome, IntegrityVerdict, session_of

LONGEST_NAME = 60
MOST_ROWS = 400
_HEADINGS = {
    IntegrityOutcome.UNCHANGED: "Unchanged: it answers as the enrolled deployment does",
    IntegrityOutcome.CHANGED: "Changed: it is not the deployment that was enrolled",
    IntegrityOutcome.INCONCLUSIVE: "Inconclusive",
}
_EXPLAINED = Paragraph(
    "The inputs lie where the model can hardly decide, so that the smallest change of the model, or of what stands "
    "before and behind it, shows in some of its answers. The approved deployment was asked them in several sessions. "
    "An answer is new if no session gave it, nor one as near as sessions are to each other. p ranks the share of new "
    "answers among the enrolled sessions, each held against the others by the same rule: hosts drift from one session "
    "to the next, so repetitions within a session would prove nothing. Changed says that something is no longer as "
    "enrolled: the weights, their precision, the preprocessing, or the host. It does not say where a model came from."
)


def lay_out_integrity(plan: IntegrityPlan, transcript: Transcript, verdict: IntegrityVerdict) -> Document:
    """Return the pages."""
    name = shorten(verdict.endpoint, LONGEST_NAME)
    return Document(
        title=f"Integrity audit: {name}",
        header=f"Integrity audit · {name}",
        stamp=f"plan {verdict.bundle_sha256[:12]}",
        footer="metav-audit · does this endpoint still serve what was approved?",
        date=transcript.finished or transcript.started,
        cover=None,
        sections=(
            Section(_HEADINGS[verdict.outcome], tuple(_outcome(plan, transcript, verdict))),
            Section("What was enrolled", tuple(_sessions(plan, verdict))),
            Section("What these inputs react to", tuple(_catches(plan))),
            Section("How to read this", (_EXPLAINED,)),
            Section("Answers", tuple(_answers(plan, transcript, verdict)), new_page=True),
        ),
    )


def _outcome(plan: IntegrityPlan, transcript: Transcript, verdict: IntegrityVerdict) -> Iterator[Block]:
    yield Items(verdict.reasons)
    asked = f"{verdict.answered} of {verdict.queries} inputs answered, {verdict.requests} requests"
    yield Ledger(
        (
            ("Endpoint", f"{shorten(verdict.endpoint, LONGEST_NAME)}, {shorten(verdict.url, 200)}"),
            ("Asked", f"{asked}, from {moment(transcript.started)}"),
            ("Seen", verdict.view),
            ("Share of new answers", number(verdict.score, 3)),
            ("p, over sessions", p_value(verdict.p_value)),
            ("What it rests on", verdict.guarantee),
        )
    )
    yield Ledger(
        (
            ("SHA-256 of the plan", verdict.bundle_sha256),
            ("SHA-256 without its sessions", plan.bare.sha256),
            ("Head of the transcript", verdict.transcript_sha256),
        ),
        code=True,
    )


def _sessions(plan: IntegrityPlan, verdict: IntegrityVerdict) -> Iterator[Block]:
    columns = (
        Column("", 12, numeric=True), Column("begun", 46), Column("endpoint"), Column("answers that others lack", 50),
    )  # fmt: skip
    shares = verdict.enrolled or (None,) * len(plan.sessions)
    rows: list[Row] = [
        (str(place), moment(session.at), shorten(session.endpoint, LONGEST_NAME), number(share, 3))
        for place, (session, share) in enumerate(zip(plan.sessions, shares, strict=True), start=1)
    ]
    if rows:
        yield Table(columns, tuple(rows[:MOST_ROWS]))
    yield Paragraph(
        f"{len(rows)} sessions. What was not enrolled, other hardware, precision or runtimes, is a change here, and "
        "sessions that lie close together in time show little of how a host drifts.",
        small=True,
    )


def _catches(plan: IntegrityPlan) -> Iterator[Block]:
    columns = (
        Column("change"), Column("tried", 20, numeric=True), Column("found by labels alone", 38, numeric=True),
        Column("found by scores", 30, numeric=True),
    )  # fmt: skip
    rows: list[Row] = [
        (each.change, str(each.copies), str(each.by_label), str(each.by_scores)) for each in plan.catches
    ]
    yield Table(columns, tuple(rows))
    yield Paragraph(
        "Changed copies of the owner's model that had no part in the choice of these inputs, beside a deployment that "
        "never drifts: what no longer shows in the answers is found by no query.",
        small=True,
    )


def _answers(plan: IntegrityPlan, transcript: Transcript, verdict: IntegrityVerdict) -> Iterator[Block]:
    columns = (
        Column("", 12, numeric=True), Column("the model itself"), Column("enrolled, usually"), Column("now"),
        Column("", 16),
    )  # fmt: skip
    now, unseen = session_of(plan, transcript), set(verdict.unseen)
    rows: list[Row] = []
    for query, own in enumerate(plan.own):
        usual = Counter(_words(plan, session, query) for session in plan.sessions).most_common(1)
        rows.append(
            (
                str(query),
                _written(plan, Answer(own)),
                usual[0][0] if usual else "-",
                _words(plan, now, query),
                Mark("NEW", Tone.DERIVED) if query in unseen else "",
            )
        )
    yield Table(columns, tuple(rows[:MOST_ROWS]))


def _words(plan: IntegrityPlan, session: Session, query: int) -> str:
    answer = session.answers[query]
    return "unanswered" if answer is None else _written(plan, answer)


def _written(plan: IntegrityPlan, answer: Answer) -> str:
    """Write an answer in a few words: its likeliest class, or its first values."""
    space = plan.task.output
    shown = [(score, place) for place, score in enumerate(answer.scores) if score is not None]
    if not shown:
        return "nothing shown"
    if space.labelled:
        score, place = max(shown)
        return f"{shorten(space.labels[place], 24)} {score:.4g}"
    return ", ".join(f"{score:.4g}" for score, _ in shown[:3])
