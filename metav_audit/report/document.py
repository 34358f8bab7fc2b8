"""A page in parts: what every renderer that prints pages (PDF, HTML) is given, so that all print the same.

A document is a cover and sections, a section a list of blocks. Text from outside is made printable on the way to JSON;
each template escapes it in its own way. Templates hold no words of their own but those of their layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from metav_audit.progress import printable
from metav_audit.report.blocks import Block, Drawing, Tone


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it; ``new_page`` where it begins one."""

    title: str
    blocks: tuple[Block, ...]
    new_page: bool = False


@dataclass(frozen=True, slots=True)
class Cover:
    """The first page.

    Attributes:
        kicker: a short line above all.
        title: what it is about.
        subtitle: its address.
        badge: the outcome in a word or two.
        tone: the outcome's colour.
        headline: the outcome in a sentence.
        reasons: why, and what stands against it; the gravest first.
        warning: why the outcome does not stand; None where it does.
        propositions: name, colour and words of each.
        ruler: the scale with the weight's place on it; None where there is no weight.
        figures: the key figures: value, name, note.
        glance: who asked whom and when, who vouches for it.
    """

    kicker: str
    title: str
    subtitle: str
    badge: str
    tone: Tone
    headline: str
    reasons: tuple[str, ...]
    warning: str | None
    propositions: tuple[tuple[str, Tone, str], ...]
    ruler: Drawing | None
    figures: tuple[tuple[str, str, str], ...]
    glance: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Document:
    """All of it.

    Attributes:
        title: of the document, for catalogues.
        header: runs along the head of all pages but the first, left.
        stamp: the same, right: what the pages belong to.
        footer: runs along the foot.
        date: ISO 8601; where it is no time, the epoch stands for it.
        cover: None where the first section begins at once.
        sections: in order.
        landscape: whether the pages lie on their side.
    """

    title: str
    header: str
    stamp: str
    footer: str
    date: str
    cover: Cover | None
    sections: tuple[Section, ...]
    landscape: bool = False

    def to_json(self) -> dict[str, Any]:
        """Describe it in JSON types, every text printable; a block says its ``kind``, the date its parts."""
        described: dict[str, Any] = _plain(self)
        return {**described, "date": list(when(self.date).timetuple()[:6])}


def when(text: str) -> datetime:
    """Read a time; the epoch where a transcript's time is no time."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return datetime.fromtimestamp(0, UTC)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        described = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {"kind": type(value).__name__.lower(), **described}
    return value
