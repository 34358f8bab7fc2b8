"""``metav-audit history``: an endpoint over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metav_audit.cli.echo import echo, echo_json

if TYPE_CHECKING:
    from metav_audit.watch.events import Event
    from metav_audit.watch.history import AuditRow, Standing, Untaken

MOST_WHY = 200
"""Characters of an inconclusive verdict's reason in an endpoint's line."""


@click.command()
@click.argument("fleet", type=click.Path(path_type=Path))
@click.argument("endpoint", required=False)
@click.option("--bundle", help="Name of a bundle; all by default.")
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, metavar="N",
              help="Audits of an endpoint that are shown.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How it is printed; as JSON one line a target, and one of the fleet.")  # fmt: skip
def command(fleet: Path, endpoint: str | None, bundle: str | None, last: int, form: str) -> None:
    """Show what the watch of FLEET found: every endpoint in a line, or one ENDPOINT over time.

    An audit's line begins with its number, which 'metav-audit compare' takes.
    """
    from metav_audit.errors import ConfigurationError
    from metav_audit.watch.database import open_standing
    from metav_audit.watch.fleet import load_fleet
    from metav_audit.watch.history import discoveries, happened, standings, untaken

    with open_standing(load_fleet(fleet)) as history:
        found, events = standings(history, endpoint, bundle), happened(history, endpoint, bundle)
        every, waiting = standings(history), untaken(history)
    adjusted = discoveries(every)
    if endpoint is not None and not found:
        raise ConfigurationError(
            f"{fleet}: no endpoint {endpoint!r} was audited: 'metav-audit history {fleet}' names all"
        )
    for each in found:
        mine = [event for event in events if (event.endpoint, event.bundle) == (each.endpoint, each.bundle)]
        if form == "json":
            echo_json({**_json(each, mine, last), "q_value": adjusted.get(each.id)})
        elif endpoint is None:
            echo(_line(each, adjusted.get(each.id)))
        else:
            _show(each, mine, last)
    if endpoint is None and bundle is None:
        _show_fleet([event for event in events if event.endpoint is None], waiting, len(adjusted), form)


def _show_fleet(events: list[Event], waiting: list[Untaken], tested: int, form: str) -> None:
    """Show what is no endpoint's: budgets, bundles, and messages that were not taken."""
    from dataclasses import asdict

    if form == "json":
        if events or waiting:
            echo_json(
                {"happened": [event.to_json() for event in events], "untaken": [asdict(each) for each in waiting]}
            )
        return
    for event in events:
        echo(f"{_moment(event.at)} {event.kind}: {event.words}")
    for each in waiting:
        echo(f"{_moment(each.since)} not delivered to {each.channel}, sent {each.tries} times: {each.error}")
    if tested:
        echo(f"q: the last audit's p-value, adjusted for all {tested} that have one (Benjamini and Hochberg)", err=True)


def _json(each: Standing, events: list[Event], last: int) -> dict[str, Any]:
    from dataclasses import asdict

    told = asdict(each)
    told["audits"] = told["audits"][-last:]
    return {**told, "happened": [event.to_json() for event in events]}


def _line(each: Standing, q: float | None) -> str:
    state = {"new": "not audited yet", "failing": f"cannot be asked, {each.failing}"}.get(each.state, each.state)
    if each.state == "inconclusive" and each.last is not None and each.last.why:
        why = each.last.why
        state = f"{state}, {why}" if len(why) <= MOST_WHY else f"{state}, {why[: MOST_WHY - 1]}…"
    state += "" if q is None else f", q = {q:.3f}"
    state = state if each.watched else f"watched no more; {state}"
    when = "" if each.last is None or each.last.ended is None else f", {_moment(each.last.ended)}"
    events = ", ".join(f"{count} {kind}" for kind, count in sorted(each.events.items())) or "no events"
    return f"{each.endpoint} ({each.bundle}): {state}{when}; {len(each.audits)} audits, {events}"


def _show(each: Standing, events: list[Event], last: int) -> None:
    echo(
        f"{each.endpoint} ({each.bundle}) at {each.url}, "
        + (f"next due {_moment(each.slot)} UTC" if each.watched else "watched no more")
    )
    if each.failing is not None:
        echo(f"cannot be asked: {each.failing}")
    for audit in each.audits[-last:]:
        echo(_audit_line(audit))
        for event in events:
            if event.audit == audit.id:
                echo(f"        {event.kind}: {event.words}")


def _audit_line(audit: AuditRow) -> str:
    numbers = [f"score {audit.score:.4f}"] if audit.score is not None else []
    numbers += [f"p = {audit.p_value_match:.4f}"] if audit.p_value_match is not None else []
    numbers += [f"{audit.answered} of {audit.queries} answered"] if audit.queries is not None else []
    numbers += [f"{1000 * audit.latency:.0f} ms"] if audit.latency is not None else []
    numbers += [audit.view] if audit.view not in (None, "all classes", "all values") else []
    numbers += [each for each in (audit.error, audit.why) if each is not None]
    return f"{audit.id:6}  {_moment(audit.ended or audit.claimed)}  {audit.word:12}  {', '.join(map(str, numbers))}"


def _moment(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
