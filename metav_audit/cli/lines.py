"""What ``metav-audit audit`` prints of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metav_audit.cli.echo import ascii_json, clear, complain, echo, echo_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from metav_audit.audit import Endpoint
    from metav_audit.casework import Casework, Result
    from metav_audit.errors import MetavAuditError
    from metav_audit.verdict import Verdict
    from metav_audit.verify import Step

_EXIT_CODES = {"match": 1, "changed": 1, "no_match": 0, "unchanged": 0, "inconclusive": 3}
_SURE = ("match", "no_match")
_GRAVITY = (0, 3, 1)
_CONTROL_FAILED, _SOME_FAILED = 4, 5


class Lines:
    """A line an endpoint.

    Args:
        form: "text" or "json".
        control: the control's name, or None.
        run: the run's name, the same in all of its lines.
        now: tells the time.
    """

    def __init__(self, form: str, control: str | None, run: str, now: Callable[[], datetime]) -> None:
        self._form, self._control, self._run, self._now = form, control, run, now

    def finish(self, result: Result) -> None:
        """Print what became of an endpoint; an error is a line on stderr, and as JSON on stdout, too."""
        if result.error is not None:
            complain(str(result.error))
        clear()
        if self._form == "json":
            echo_json(self._json(result))
        elif result.verdict is not None:
            echo(self._line(result, result.verdict))
            for reason in () if result.verdict.outcome.value in _SURE else result.verdict.reasons:
                echo(f"  {reason}")

    def outlook(self, endpoint: Endpoint, queries: int, beside: int, bundle: str = "", shared: int = 0) -> str:
        """Say what an audit would send at least and at most, and what that costs where a price is given.

        Args:
            endpoint: who would be asked.
            queries: queries of the fingerprint.
            beside: what is asked beside them: natural inputs, repetitions, near-duplicates.
            bundle: the name of the bundle, where there are several.
            shared: inputs of both that a bundle before it asks, too.
        """
        limits, is_control = endpoint.limits, endpoint.name == self._control
        least, most = endpoint.requests_needed(queries + beside - shared), endpoint.budget(queries + beside)
        # Nothing was asked yet, so nothing is known of the endpoint's speed: a second an answer is a round figure.
        seconds = max(least / limits.concurrency, least / limits.per_second if limits.per_second else 0.0)
        host = urlsplit(endpoint.url).netloc
        sent = dict.fromkeys(endpoint.variables(os.environ), host)
        source = endpoint.credentials
        used = {} if source is None else {source.name: host}
        figures = {"endpoint": endpoint.name, "control": is_control, "url": endpoint.url, "queries": queries,
                   "beside": beside, "variables": sent, "credentials": used, "requests": least,
                   "requests_at_most": most, "seconds_at_a_second_an_answer": seconds,
                   "seconds_at_most": limits.wall_s}  # fmt: skip
        if limits.price is not None:
            figures |= {"cost": least * limits.price, "cost_at_most": most * limits.price}
        if bundle:
            figures |= {"bundle": bundle, "shared": shared}
        if self._form == "json":
            return ascii_json(figures)
        once = f", {shared} of them answered for a bundle before," if shared else ""
        cost = f", cost {figures['cost']:g} to {figures['cost_at_most']:g}" if limits.price is not None else ""
        secrets = f"; {', '.join({**sent, **used})} would go to {host}" if sent or used else ""
        return (
            f"{self._name(endpoint.name)}{'@' if bundle else ''}{bundle}: "
            f"{queries} queries and {beside} inputs beside them{once} in {least} requests, "
            f"{most} at most with retries, "
            f"about {seconds:.0f} s if an answer takes one, {limits.wall_s:g} s at most{cost}{secrets}; "
            "nothing was sent"
        )

    def _json(self, result: Result) -> dict[str, Any]:
        # Of the control itself it is known as well whether it passed.
        own = result.verdict is not None and result.verdict.outcome.value == "match"
        more = {
            "run": self._run,
            "time": self._now().isoformat(),
            "folder": str(result.folder.path),
            **({"bundle": result.entry.bundle} if result.entry.bundle else {}),
            "control": result.is_control,
            "control_passed": own if result.is_control else result.stands,
            "error": None if result.error is None else str(result.error),
        }
        failed = {"endpoint": result.endpoint.name, "url": result.endpoint.url, "outcome": None}
        told = failed if result.verdict is None else result.verdict.to_json()
        return {**told, **more}

    def _line(self, result: Result, verdict: Verdict) -> str:
        folder, passed = result.folder.path, result.stands
        from metav_audit.statistics import ratio_text
        from metav_audit.verdict import NOT_ASKED

        numbers = [f"{verdict.answered} of {verdict.queries} queries answered", f"{verdict.requests} requests"]
        if verdict.log10_lr is not None:
            ratio = f"LR {ratio_text(verdict.log10_lr)}"
            numbers = [f"score {verdict.score:.4f}", ratio, f"p = {verdict.p_value:.4f}", *numbers]
            if verdict.p_value_siblings is not None:
                numbers.insert(3, f"among siblings {verdict.p_value_siblings:.4f}")
            if verdict.p_value_family is not None:
                numbers.insert(4, f"if not of the family {verdict.p_value_family:.4f}")
        if verdict.natural == NOT_ASKED:
            numbers.append("no natural inputs asked")
        if verdict.view not in ("all classes", "all values"):
            numbers.append(f"seen through: {verdict.view}")
        doubt = "; does not stand, the control failed" if passed is False else ""
        name = f"{self._name(verdict.endpoint)}{'@' if result.entry.bundle else ''}{result.entry.bundle}"
        return f"{name}: {verdict.outcome.value} ({', '.join(numbers)}) -> {folder}{doubt}"

    def _name(self, endpoint: str) -> str:
        return f"{endpoint} (control)" if endpoint == self._control else endpoint


def exit_code(case: Casework) -> int:
    """Say at last whether the control failed, and return the exit code of a run.

    A match is told whatever else failed; then that an endpoint failed; then the gravest of all outcomes. A control
    that failed takes all verdicts with it, one that passed does not count.
    """
    if case.control is not None and not case.control.passed:
        complain(case.control.complaint)
        return _CONTROL_FAILED
    suspects = [result for result in case.results if not result.is_control]
    outcomes = [each.verdict.outcome.value for each in suspects if each.verdict is not None]
    return gravest(outcomes, [each.error for each in suspects if each.error is not None], len(suspects))


def gravest(outcomes: Sequence[str], errors: Sequence[MetavAuditError], asked: int) -> int:
    """Return the exit code of so many endpoints that were asked, from their verdicts' outcomes and their errors."""
    codes = [_EXIT_CODES[each] for each in outcomes]
    if errors and 1 not in codes:
        return errors[0].exit_code if asked == 1 else _SOME_FAILED
    return max(codes, default=0, key=_GRAVITY.index)


def step_line(step: Step) -> str:
    """Write a verification's step as a line."""
    return f"{step.number}. {step.status}  {step.name}: {' '.join(step.detail.split())}"
