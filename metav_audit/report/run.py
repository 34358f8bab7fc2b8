"""A whole run as one value: what other programs are told of it, whatever format they read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from metav_audit.progress import printable
from metav_audit.report.entries import Entry
from metav_audit.statistics import ratio_text
from metav_audit.verdict import ControlRecord, Verdict


class Standing(StrEnum):
    """What became of an endpoint, once the run's positive control is taken into account."""

    MATCH = "match"
    NO_MATCH = "no_match"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"
    """There is no verdict: it could not be asked, or its answers could not be read."""
    VOID = "void"
    """The run's positive control failed: whatever verdict there is does not stand."""
    CONTROL = "control"
    """It is the positive control, and matched, as it must."""

    @property
    def comparable(self) -> bool:
        """Whether the endpoint was compared with the owner's model, and the comparison counts."""
        return self not in (Standing.INCONCLUSIVE, Standing.FAILED, Standing.VOID)


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of one endpoint.

    Attributes:
        entry: what became of it.
        standing: what that is worth.
        sentence: the same in words, on one line, with nothing in it that a terminal or a file would trip over.
        line: of its table in the endpoint file, from 1; None where it has none.
    """

    entry: Entry
    standing: Standing
    sentence: str
    line: int | None

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, where there is one and it stands."""
        stands = self.entry.report is not None and self.standing is not Standing.VOID
        return self.entry.report.verdict if stands and self.entry.report is not None else None


@dataclass(frozen=True, slots=True)
class Run:
    """A run of ``metav-audit audit``.

    Attributes:
        name: the run's, by the time at which it began.
        ended: when it ended, aware.
        exit_code: of the command.
        bundle: the owner's name for the protected model, printable.
        bundle_sha256: the bundle's hash.
        source: the endpoint file's path, with slashes.
        lines: on which line of it each endpoint's table begins.
        entries: what became of each endpoint.
        control: what became of the positive control; None without one.
    """

    name: str
    ended: datetime
    exit_code: int
    bundle: str
    bundle_sha256: str
    source: str
    lines: Mapping[str, int]
    entries: tuple[Entry, ...]
    control: ControlRecord | None

    @property
    def told(self) -> tuple[Told, ...]:
        """What is told of each endpoint, in the order of the entries."""
        return tuple(self._told(entry) for entry in self.entries)

    @property
    def whole(self) -> bool:
        """Whether every endpoint has a verdict, and the positive control did not fail."""
        return all(each.standing not in (Standing.FAILED, Standing.VOID) for each in self.told)

    def _told(self, entry: Entry) -> Told:
        standing = self._standing(entry)
        sentence = " ".join(printable(part) for part in self._parts(entry, standing))
        return Told(entry, standing, sentence, self.lines.get(entry.name))

    def _standing(self, entry: Entry) -> Standing:
        if entry.report is None:
            return Standing.FAILED
        if self.control is not None and not self.control.passed:
            return Standing.VOID
        return Standing.CONTROL if entry.is_control else Standing(entry.outcome)

    def _parts(self, entry: Entry, standing: Standing) -> Iterator[str]:
        """Yield what is said of an endpoint, a sentence each."""
        if entry.report is None:
            yield f"There is no verdict: {entry.error}."
        elif standing not in (Standing.VOID, Standing.CONTROL):
            yield entry.report.wording.headline
            yield from _figures(entry.report.verdict)
        if standing in (Standing.VOID, Standing.CONTROL) and self.control is not None:
            yield self.control.sentence
        if standing is Standing.INCONCLUSIVE and entry.report is not None:
            yield "Why: " + "; ".join(entry.report.verdict.reasons) + "."


def _figures(verdict: Verdict) -> Iterator[str]:
    """Yield the figures that a verdict rests on, as a sentence, where there are any."""
    if verdict.score is None or verdict.log10_lr is None or verdict.p_value is None:
        return
    siblings = "" if verdict.p_value_siblings is None else f", among siblings {verdict.p_value_siblings:.4f}"
    yield (
        f"Score {verdict.score:.4f}, likelihood ratio {ratio_text(verdict.log10_lr)}, "
        f"p = {verdict.p_value:.4f} if independent{siblings}; "
        f"{verdict.answered} of {verdict.queries} queries answered."
    )
