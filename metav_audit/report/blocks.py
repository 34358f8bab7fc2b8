"""The parts of a page: a paragraph, a table, a figure; each template has one way to set each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

Row = tuple["str | Link | Mark", ...]


@dataclass(frozen=True, slots=True)
class Link:
    """Text that leads to a file beside the document; ``target`` is a relative address, already quoted."""

    text: str
    target: str


class Tone(Enum):
    """What a colour stands for."""

    DERIVED = "derived"
    INDEPENDENT = "independent"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Mark:
    """A word that a colour sets off."""

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column.

    Attributes:
        title: its head.
        width: in millimetres; None to share what the others leave.
        numeric: whether it is set flush right.
    """

    title: str
    width: float | None = None
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text; ``small`` for notes, ``title`` for a heading of its own."""

    text: str
    title: str | None = None
    small: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """Statements, one below the other."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Steps:
    """Numbered steps, each with a title and its text."""

    steps: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """Words and what they mean."""

    terms: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its head stands on every page that it reaches."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures and notes: name, value in bold, what it means."""

    rows: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Names and values; ``code`` for what is read letter by letter, set in a fixed width."""

    rows: tuple[tuple[str, str], ...]
    code: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure, by the name of its file.

    Attributes:
        file: as ``figures.draw`` names it.
        alt: what it shows, for those who cannot see it.
        caption: printed below.
    """

    file: str
    alt: str
    caption: str


@dataclass(frozen=True, slots=True)
class Drawings:
    """Figures side by side."""

    drawings: tuple[Drawing, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """One input: a file, and the query's number."""

    file: str
    number: int


@dataclass(frozen=True, slots=True)
class Pictures:
    """Inputs in a grid."""

    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """What target and suspect give to one class, as shares of the full width; None where it is not shown."""

    label: str
    target: float
    suspect: float | None


@dataclass(frozen=True, slots=True)
class Card:
    """One query: its input, both answers as bars, and what is said of them."""

    number: int
    picture: str | None
    answered: bool
    note: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Cards:
    """Queries side by side; ``label_width`` is the longest label's length in letters."""

    cards: tuple[Card, ...]
    label_width: int


@dataclass(frozen=True, slots=True)
class Form:
    """Text to be completed by hand and signed.

    Attributes:
        opening: before the numbered statements; a run of underscores is a blank.
        statements: numbered; title and text.
        closing: after them.
        blanks: labels of the lines at its foot.
    """

    opening: str
    statements: tuple[tuple[str, str], ...]
    closing: str
    blanks: tuple[str, ...]


Block = Paragraph | Items | Steps | Terms | Table | Figures | Ledger | Drawing | Drawings | Pictures | Cards | Form
