"""Timelines as inline SVG: every audit is a dot, drawn by one path for each outcome, so that thousands stay small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup, escape

from metav_audit.watch.events import Event
from metav_audit.watch.history import AuditRow

WIDTH, HEIGHT = 720, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 10, 22, 24
_STRIP_WIDTH, _STRIP_HEIGHT = 200, 18
_MOST_TICKS = 8
_ORDER = "fnim"
"""Drawn in this order, so that a match is never hidden."""
_FLAGS = {"change": "c", "lost": "l", "recovered": "r", "match": "h"}
_SHOWN = {"match": "m", "no_match": "n", "inconclusive": "i", "failed": "f", "dropped": "f", "open": "f"}


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a timeline shows.

    Attributes:
        start: in seconds since 1970.
        end: likewise, later.
    """

    start: float
    end: float

    @classmethod
    def of(cls, moments: Iterable[float]) -> Span:
        """Return the span of some moments, at least an hour long."""
        given = sorted(moments)
        start, end = (given[0], given[-1]) if given else (0.0, 0.0)
        return cls(start, max(end, start + 3600.0))

    def x(self, at: float, left: float, right: float) -> float:
        """Return where a moment lies between two edges."""
        return left + (right - left) * (min(max(at, self.start), self.end) - self.start) / (self.end - self.start)


def strip(audits: Sequence[AuditRow], span: Span) -> Markup:
    """Draw an endpoint's audits as a strip of marks; it is beside words that say the same, and hidden from readers."""
    marks: dict[str, list[str]] = {}
    for audit in _audits(audits):
        x = span.x(audit.ended or audit.claimed, 2, _STRIP_WIDTH - 2)
        marks.setdefault(_class_of(audit), []).append(f"M{x:.0f} 3v12")
    paths = "".join(f'<path class="s {name}" d="{"".join(marks[name])}"/>' for name in sorted(marks, key=_ORDER.index))
    return Markup(f'<svg class="strip" viewBox="0 0 {_STRIP_WIDTH} {_STRIP_HEIGHT}" aria-hidden="true">{paths}</svg>')  # noqa: S704 - numbers and our own names


def timeline(audits: Sequence[AuditRow], events: Sequence[Event], label: str) -> Markup:
    """Draw an endpoint's scores over time, with what happened.

    Args:
        audits: that ended, the oldest first.
        events: of the endpoint.
        label: says in words what is drawn.
    """
    span = Span.of([audit.ended or audit.claimed for audit in audits])
    left, right, low = _LEFT, WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = [_grid(left, right, low), _ticks(span, left, right, low)]
    parts += _flags(events, span, left, right, low)
    marks: dict[str, list[str]] = {}
    for audit in _audits(audits):
        y = low + 7 if audit.score is None else _TOP + (low - _TOP) * (1 - audit.score)
        x = span.x(audit.ended or audit.claimed, left, right)
        marks.setdefault(_class_of(audit), []).append(f"M{x:.0f} {y:.0f}h0")
    for name in sorted(marks, key=_ORDER.index):
        drawn = "".join(marks[name])
        parts.append(f'<path class="d {name}" d="{drawn}"/>')
        if name == "i":
            parts.append(f'<path class="d hole" d="{drawn}"/>')
    body = "".join(parts)
    return Markup(  # noqa: S704 - numbers and our own names, and the label is escaped
        f'<svg class="line" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{body}</svg>'
    )


def _flags(events: Sequence[Event], span: Span, left: int, right: int, low: int) -> Iterator[str]:
    """Draw what happened as lines with letters; what falls on one line shares its letters."""
    letters: dict[int, str] = {}
    for event in events:
        if event.kind in _FLAGS:
            x = round(span.x(event.at, left, right))
            yield f'<path class="e {_FLAGS[event.kind]}" d="M{x} {_TOP - 6}V{low}"/>'
            letters[x] = letters.get(x, "") + event.kind[0].upper()
    for x, told in letters.items():
        yield f'<text class="t" x="{x}" y="{_TOP - 9}" text-anchor="middle">{told}</text>'


def _audits(rows: Sequence[AuditRow]) -> Iterator[AuditRow]:
    return (each for each in rows if each.status != "glanced")


def _class_of(audit: AuditRow) -> str:
    return _SHOWN[audit.word]


def _grid(left: int, right: int, low: int) -> str:
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = _TOP + (low - _TOP) * (1 - share)
        lines.append(f'<path class="g" d="M{left} {y:.0f}H{right}"/>')
        lines.append(f'<text class="t" x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{share:g}</text>')
    return "".join(lines)


def _ticks(span: Span, left: int, right: int, low: int) -> str:
    days = (span.end - span.start) / 86400
    # Of few days the same day would stand there twice.
    count, words = (2, "%d %b %H:%M") if days < 2 else (min(_MOST_TICKS, int(days)), "%d %b %y")
    texts = []
    for number in range(count):
        at = span.start + (span.end - span.start) * number / (count - 1)
        anchor = "start" if not number else ("end" if number == count - 1 else "middle")
        day = datetime.fromtimestamp(at, UTC).strftime(words)
        x = span.x(at, left, right)
        texts.append(f'<text class="t" x="{x:.0f}" y="{low + 21}" text-anchor="{anchor}">{day}</text>')
    return "".join(texts)
