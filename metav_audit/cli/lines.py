"""What ``metav-audit audit`` prints of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from metav_audit.cli.echo import ascii_json, clear, complain, echo

if TYPE_CHECKING:
    from metav_audit.audit import Endpoint
    from metav_audit.casework import Casework, Result
    from metav_audit.verdict import Verdict

_EXIT_CODES = {"match": 1, "no_match": 0, "inconclusive": 3}
_GRAVITY = (0, 3, 1, 2, 4)


class Lines:
    """A line an endpoint.

    Args:
        form: "text" or "json".
        control: the control's name, or None.
    """

    def __init__(self, form: str, control: str | None) -> None:
        self._form, self._control = form, control

    def finish(self, result: Result) -> None:
        """Print what became of an endpoint; an error is a line on stderr."""
        if result.verdict is None:
            complain(str(result.error))
        else:
            clear()
            echo(self._line(result, result.verdict))

    def outlook(self, endpoint: Endpoint, queries: int) -> str:
        """Say what an audit would send at least and at most, and what that costs where a price is given."""
        limits, is_control = endpoint.limits, endpoint.name == self._control
        least, most = endpoint.requests_needed(queries), endpoint.budget(queries)
        # Nothing was asked yet, so nothing is known of the endpoint's speed: a second an answer is a round figure.
        seconds = max(least / limits.concurrency, least / limits.per_second if limits.per_second else 0.0)
        host = urlsplit(endpoint.url).netloc
        sent = dict.fromkeys(endpoint.variables(os.environ), host)
        figures = {"endpoint": endpoint.name, "control": is_control, "url": endpoint.url, "queries": queries,
                   "variables": sent, "requests": least, "requests_at_most": most,
                   "seconds_at_a_second_an_answer": seconds, "seconds_at_most": limits.wall_s}  # fmt: skip
        if limits.price is not None:
            figures |= {"cost": least * limits.price, "cost_at_most": most * limits.price}
        if self._form == "json":
            return ascii_json(figures)
        cost = f", cost {figures['cost']:g} to {figures['cost_at_most']:g}" if limits.price is not None else ""
        secrets = f"; {', '.join(sent)} would go to {host}" if sent else ""
        return (
            f"{self._name(endpoint.name)}: {queries} queries in {least} requests, {most} at most with retries, "
            f"about {seconds:.0f} s if an answer takes one, {limits.wall_s:g} s at most{cost}{secrets}; "
            "nothing was sent"
        )

    def _line(self, result: Result, verdict: Verdict) -> str:
        folder, passed = result.folder.path, result.stands
        if self._form == "json":
            # Of the control itself it is known as well.
            passed = verdict.outcome.value == "match" if result.is_control else passed
            more = {"folder": str(folder), "control": result.is_control, "control_passed": passed}
            return ascii_json({**verdict.to_json(), **more})
        from metav_audit.statistics import ratio_text

        numbers = [f"{verdict.answered} of {verdict.queries} queries answered", f"{verdict.requests} requests"]
        if verdict.log10_lr is not None:
            ratio = f"LR {ratio_text(verdict.log10_lr)}"
            numbers = [f"score {verdict.score:.4f}", ratio, f"p = {verdict.p_value:.4f}", *numbers]
            if verdict.p_value_siblings is not None:
                numbers.insert(3, f"among siblings {verdict.p_value_siblings:.4f}")
        if verdict.view not in ("all classes", "all values"):
            numbers.append(f"seen through: {verdict.view}")
        doubt = "; does not stand, the control failed" if passed is False else ""
        return f"{self._name(verdict.endpoint)}: {verdict.outcome.value} ({', '.join(numbers)}) -> {folder}{doubt}"

    def _name(self, endpoint: str) -> str:
        return f"{endpoint} (control)" if endpoint == self._control else endpoint


def exit_code(case: Casework) -> int:
    """Say at last whether the control failed, and return the exit code of a run: the gravest of all endpoints'."""
    if case.control is not None and not case.control.passed:
        complain(case.control.complaint)
        return 4
    return max(map(_code, case.results), default=0, key=_GRAVITY.index)


def _code(result: Result) -> int:
    if result.error is not None:
        return result.error.exit_code
    assert result.verdict is not None
    # A control that matches does not count.
    return 0 if result.is_control else _EXIT_CODES[result.verdict.outcome.value]
