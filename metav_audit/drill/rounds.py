"""The rounds of a drill: how bundles came about, what exposes them, and the table of all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a bundle came about."""

    RIVAL = "rival as derived"
    CONSTANT = "constant verifier"
    TUNED = "tuned after the fact"
    LUCKY = "lucky seed"
    TRANSFERABLE = "transferable queries"
    INVENTED = "made-up calibration"
    TWICE = "two committed"
    HONEST = "honest"


class Check(StrEnum):
    """What may expose a bundle."""

    SANITY = "sanity"
    """A sanity control failed: verify and report say so, and need nothing but the audit's folder."""
    MODELS = "zoo"
    """The calibration's models are none of the task, or none is near the target; verify and report say so."""
    CONTROLS = "blind"
    """A third party's blind controls match more often than promised; verify and report say so."""
    REBUILD = "rebuild"
    """The project, rebuilt by someone else, gives another bundle."""
    FRESH_SEEDS = "reseed"
    """The match is gone under most of the seeds that the accuser did not choose."""
    COMMITMENT = "commit"
    """The bundle is not the one that was committed to before the first query, or another commitment is missing."""


@dataclass(frozen=True, slots=True)
class Round:
    """One bundle, shown to one suspect.

    Attributes:
        kind: how the bundle came about.
        number: the round, from 0.
        suspect: the innocent model accused; for an honest bundle, a derived one.
        accuses: whether its score alone would be a match.
        exposed_by: the checks that failed.
        detail: what was seen.
    """

    kind: StrEnum
    number: int
    suspect: str
    accuses: bool
    exposed_by: tuple[StrEnum, ...]
    detail: str


@dataclass(frozen=True, slots=True)
class Row:
    """One kind's line of the table.

    Attributes:
        kind: how its bundles came about.
        made: rounds played.
        accuses: bundles by which the suspect's score alone would be a match.
        exposed: bundles that at least one check exposes.
        by_check: bundles that each check exposes.
    """

    kind: StrEnum
    made: int
    accuses: int
    exposed: int
    by_check: dict[StrEnum, int]


def summarise(rounds: Sequence[Round], kinds: type[StrEnum] = Kind, checks: type[StrEnum] = Check) -> list[Row]:
    """Count the rounds kind by kind."""
    rows = []
    for kind in kinds:
        own = [one for one in rounds if one.kind is kind]
        by_check = {check: sum(check in one.exposed_by for one in own) for check in checks}
        exposed = sum(bool(one.exposed_by) for one in own)
        rows.append(Row(kind, len(own), sum(one.accuses for one in own), exposed, by_check))
    return rows


def passed(rows: Sequence[Row]) -> bool:
    """Say whether every rigged bundle was exposed and no honest one was."""
    return all(row.exposed == (0 if row.kind == Kind.HONEST else row.made) for row in rows)


def as_text(rows: Sequence[Row], what: str = "bundle") -> str:
    """Write the table; a line a kind, 80 columns at most."""
    lines = [[what, "made", "accuse", "exposed", *(check.value for check in rows[0].by_check)]]
    for row in rows:
        counts = [row.made, row.accuses, row.exposed, *row.by_check.values()]
        lines.append([row.kind.value, *map(str, counts)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    cells = ([cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)] for line in lines)
    return "".join(f"{line[0]:<{widths[0]}}  {' '.join(right)}\n" for line, right in zip(lines, cells, strict=True))
