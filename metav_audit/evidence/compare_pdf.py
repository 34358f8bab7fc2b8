"""Comparing a PDF report with one typeset anew, where other programs made it than those installed here."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from metav_audit.errors import FOREIGN, EvidenceError
from metav_audit.evidence.compare import POINT, NotComparedError

_PLACES = frozenset({b"m", b"l", b"c", b"v", b"y", b"re", b"cm", b"Td", b"TD", b"Tm"})
"""PDF's operators that say where something is drawn (ISO 32000-1, annex A); colours and glyphs stay the same."""

Drawn = list[tuple[Any, bytes]]
"""Operands and operator, one after the other."""


def pdf_agreement(recorded: bytes, recomputed: bytes) -> str:
    """Compare two PDF files: what is attached byte for byte, the words page by page, the points of all that is drawn.

    Args:
        recorded: a stranger's file; whatever reading it raises is an error of the file.
        recomputed: our own.

    Returns:
        In words how far they agree.

    Raises:
        EvidenceError: they say, carry or draw different things, or ``recorded`` cannot be read.
        NotComparedError: the words and what is attached agree, and what is drawn cannot be compared.
    """
    theirs, ours = _opened(recorded), _opened(recomputed)
    if theirs.attached != ours.attached:
        names = sorted(theirs.attached | ours.attached)
        other = next(name for name in names if theirs.attached.get(name) != ours.attached.get(name))
        raise EvidenceError(f"it carries another {other[:80]} than this folder")
    pages = max(len(theirs.words), len(ours.words))
    for number in range(1, pages + 1):
        for is_, was in zip_longest(theirs.page(number), ours.page(number), fillvalue="nothing"):
            if is_ != was:
                raise EvidenceError(f"page {number} says {is_[:60]!r} where {was[:60]!r} is recomputed")
    for number, drawn in enumerate(zip(theirs.drawn, ours.drawn, strict=True), 1):
        _compare_drawn(number, *drawn)
    return "every word and all that is attached agree; other programs made it, and every point of what they drew agrees"


@dataclass(frozen=True, slots=True)
class _Pages:
    """What a PDF says: its attachments by name, the words of each page, and how each page is drawn."""

    attached: dict[str, tuple[bytes, ...]]
    words: list[list[str]]
    drawn: list[Drawn]

    def page(self, number: int) -> list[str]:
        """Return a page's words, from 1; none where there is no such page."""
        return self.words[number - 1] if number <= len(self.words) else []


def _opened(content: bytes) -> _Pages:
    from pypdf import PdfReader

    # It warns of what it meets, in a stranger's own words: none of these belong on a terminal.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(content))
        attached = {name: tuple(each) for name, each in reader.attachments.items()}
        words = [page.extract_text().split() for page in reader.pages]
        contents = [page.get_contents() for page in reader.pages]
        return _Pages(attached, words, [[] if each is None else list(each.operations) for each in contents])
    except FOREIGN as error:
        raise EvidenceError(f"it cannot be read as a PDF file: {type(error).__name__}") from None


def _compare_drawn(number: int, recorded: Drawn, recomputed: Drawn) -> None:
    if [operator for _, operator in recorded] != [operator for _, operator in recomputed]:
        raise NotComparedError(f"every word agrees; page {number} was drawn by another program in another way")
    for (is_, operator), (was, _) in zip(recorded, recomputed, strict=True):
        if is_ != was and not (operator in _PLACES and _near(is_, was)):
            what = "other points" if operator in _PLACES else "other colours, lines or glyphs"
            raise EvidenceError(f"page {number} shows {what} than one drawn anew")


def _near(is_: Any, was: Any) -> bool:
    try:
        pairs = [(float(one), float(other)) for one, other in zip(is_, was, strict=True)]
    except (TypeError, ValueError, OverflowError):
        return False
    return all(abs(one - other) <= POINT for one, other in pairs)
