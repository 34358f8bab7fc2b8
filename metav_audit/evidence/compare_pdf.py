"""Comparing a PDF report with one typeset anew, where other programs made it than those installed here."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from itertools import zip_longest

from metav_audit.errors import FOREIGN, EvidenceError
from metav_audit.evidence.compare import POINT, NotComparedError

_NUMBER = re.compile(rb"-?[0-9]*\.?[0-9]+")


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
    drawn: list[bytes]

    def page(self, number: int) -> list[str]:
        """Return a page's words, from 1; none where there is no such page."""
        return self.words[number - 1] if number <= len(self.words) else []


def _opened(content: bytes) -> _Pages:
    from pypdf import PdfReader

    try:
        reader = PdfReader(io.BytesIO(content))
        attached = {name: tuple(each) for name, each in reader.attachments.items()}
        words = [page.extract_text().split() for page in reader.pages]
        contents = [page.get_contents() for page in reader.pages]
        return _Pages(attached, words, [b"" if each is None else each.get_data() for each in contents])
    except FOREIGN as error:
        raise EvidenceError(f"it cannot be read as a PDF file: {type(error).__name__}") from None


def _compare_drawn(number: int, recorded: bytes, recomputed: bytes) -> None:
    if recorded == recomputed:
        return
    if _NUMBER.sub(b"#", recorded) != _NUMBER.sub(b"#", recomputed):
        raise NotComparedError(f"every word agrees; page {number} was drawn by another program in another way")
    pairs = zip(_NUMBER.findall(recorded), _NUMBER.findall(recomputed), strict=True)
    if any(abs(float(is_) - float(was)) > POINT for is_, was in pairs):
        raise EvidenceError(f"page {number} shows other points than one drawn anew")
