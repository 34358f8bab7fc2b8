"""What ``metav-audit audit`` prints of a run, and how it closes each endpoint's folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.casework import close
from metav_audit.errors import MetavAuditError

if TYPE_CHECKING:
    from metav_audit.audit import Audited, ControlResult, Endpoint
    from metav_audit.evidence import Sealer
    from metav_audit.report import Entry, Paper
    from metav_audit.verdict import Verdict

_EXIT_CODES = {"match": 1, "no_match": 0, "inconclusive": 3}
_GRAVITY = (0, 3, 1, 2, 4)


class Told:
    """What is told of a run: a line an endpoint. The control's comes first, so that the others' say whether they stand.

    Args:
        form: "text" or "json".
        control: the control's name, or None.
        sealer: who seals the audits, or None.
        paper: the reports'.

    Attributes:
        entries: what became of each endpoint so far.
    """

    def __init__(self, form: str, control: str | None, sealer: Sealer | None, paper: Paper) -> None:
        self._form, self._control, self._sealer, self._paper = form, control, sealer, paper
        self._result: ControlResult | None = None
        self._codes: list[int] = []
        self.entries: list[Entry] = []

    def exit_code(self) -> int:
        """Say at last whether the control failed, and return the exit code."""
        if self._result is not None and not self._result.passed:
            complain(self._result.complaint)
            return 4
        return max(self._codes, default=0, key=_GRAVITY.index)

    def finish(self, audited: Audited) -> None:
        """Close an endpoint's folder and write its line; an error is a line on stderr, and no matter for the others."""
        from metav_audit.audit import ControlResult
        from metav_audit.report import Entry

        name = audited.endpoint.name
        is_control = name == self._control
        if is_control:
            self._result = ControlResult.of(audited)
        try:
            if self._result is not None and not is_control:
                self._result.record(audited.folder)
            if audited.error is not None:
                raise audited.error
            report = close(audited.folder, self._sealer, self._paper)
        except MetavAuditError as error:
            complain(str(error))
            self._codes.append(error.exit_code)
            self.entries.append(Entry.failed(name, audited.folder, error, is_control=is_control))
            return
        self.entries.append(Entry(name, audited.folder.name, report, None, is_control))
        assert audited.verdict is not None
        clear()
        click.echo(self._line(audited.verdict, audited.folder))
        if not is_control:
            self._codes.append(_EXIT_CODES[audited.verdict.outcome.value])

    def outlook(self, endpoint: Endpoint, queries: int) -> str:
        """Say what an audit would send at least and at most, and what that costs where a price is given."""
        limits, is_control = endpoint.limits, endpoint.name == self._control
        least, most = endpoint.requests_needed(queries), endpoint.budget(queries)
        # Nothing was asked yet, so nothing is known of the endpoint's speed: a second an answer is a round figure.
        seconds = max(least / limits.concurrency, least / limits.per_second if limits.per_second else 0.0)
        figures = {"endpoint": endpoint.name, "control": is_control, "url": endpoint.url, "queries": queries,
                   "requests": least, "requests_at_most": most, "seconds_at_a_second_an_answer": seconds,
                   "seconds_at_most": limits.wall_s}  # fmt: skip
        if limits.price is not None:
            figures |= {"cost": least * limits.price, "cost_at_most": most * limits.price}
        if self._form == "json":
            return json.dumps(figures)
        cost = f", cost {figures['cost']:g} to {figures['cost_at_most']:g}" if limits.price is not None else ""
        return (
            f"{self._name(endpoint.name)}: {queries} queries in {least} requests, {most} at most with retries, "
            f"about {seconds:.0f} s if an answer takes one, {limits.wall_s:g} s at most{cost}; nothing was sent"
        )

    def _line(self, verdict: Verdict, folder: Path) -> str:
        is_control = verdict.endpoint == self._control
        stands = None if self._result is None else self._result.passed
        if self._form == "json":
            more = {"folder": str(folder), "control": is_control, "control_passed": stands}
            return json.dumps({**verdict.to_json(), **more}, ensure_ascii=False, allow_nan=False)
        from metav_audit.statistics import ratio_text

        numbers = [f"{verdict.answered} of {verdict.queries} queries answered", f"{verdict.requests} requests"]
        if verdict.log10_lr is not None:
            ratio = f"LR {ratio_text(verdict.log10_lr)}"
            numbers = [f"score {verdict.score:.4f}", ratio, f"p = {verdict.p_value:.4f}", *numbers]
        if verdict.view not in ("all classes", "all values"):
            numbers.append(f"seen through: {verdict.view}")
        doubt = "" if is_control or stands in (None, True) else "; does not stand, the control failed"
        return f"{self._name(verdict.endpoint)}: {verdict.outcome.value} ({', '.join(numbers)}) -> {folder}{doubt}"

    def _name(self, endpoint: str) -> str:
        return f"{endpoint} (control)" if endpoint == self._control else endpoint


def complain(what: str) -> None:
    """Write what went wrong to stderr, over any progress."""
    clear()
    click.echo(f"metav-audit: {what}", err=True)


def clear() -> None:
    """Take progress off the terminal's line."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
