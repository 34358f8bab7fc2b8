"""``metav-audit compare``: what differs between two audits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo, echo_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metav_audit.watch.compare import Comparison
    from metav_audit.watch.sighting import Sighting

_CHANGED, _CANNOT_TELL = 1, 3


@click.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option("--fleet", type=click.Path(path_type=Path), help="Fleet file; A and B are numbers of its history.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How it is printed.")  # fmt: skip
def command(one: str, other: str, fleet: Path | None, form: str) -> int:
    """Say what differs between the audits A and B of an endpoint, A the earlier one.

    A and B are audits' folders, or archives of them; with --fleet they are
    numbers, as 'metav-audit history' shows them. Compared are the answers to the
    same inputs, the strongest sign of another model; the names that the server
    gives itself; what it shows; and, as a hint alone, score and latency.

    Exit code: 0 the same model answered, 1 another model or API did, 3 that
    cannot be told: other queries, too few answers, several models in one audit.
    """
    from metav_audit.watch.compare import compare

    first, second = _seen(one, other, fleet)
    found = compare(first, second)
    if form == "json":
        echo_json(found.to_json())
    else:
        for line in _lines(found):
            echo(line)
    return _CANNOT_TELL if found.changed is None else (_CHANGED if found.changed else 0)


def _seen(one: str, other: str, fleet: Path | None) -> tuple[Sighting, Sighting]:
    if fleet is None:
        return _in_folder(Path(one)), _in_folder(Path(other))
    from metav_audit.watch.database import open_standing
    from metav_audit.watch.fleet import load_fleet
    from metav_audit.watch.history import audit_seen

    if not all(each.isascii() and each.isdigit() and len(each) < 19 for each in (one, other)):
        raise click.UsageError("with --fleet, A and B are numbers of audits, as 'metav-audit history' shows them.")
    with open_standing(load_fleet(fleet)) as history:
        return audit_seen(history, int(one))[1], audit_seen(history, int(other))[1]


def _in_folder(path: Path) -> Sighting:
    from metav_audit.evidence import unpacked
    from metav_audit.verdict import AuditFolder
    from metav_audit.watch.sighting import Sighting

    with unpacked(path) as folder:
        return Sighting.of(AuditFolder(folder).decided())


def _lines(found: Comparison) -> Iterator[str]:
    yield {True: "changed", False: "the same", None: "cannot be told"}[found.changed]
    yield f"verdict: {' -> '.join(found.outcomes)}"
    scores = ["none" if each is None else f"{each:.4f}" for each in found.scores]
    beyond = {True: "beyond its noise", False: "within its noise", None: "not both given"}[found.score_moved]
    yield f"score: {' -> '.join(scores)}, {beyond}"
    yield f"answers: {_answers(found)}"
    for name, (before, after) in {**found.identities, **found.machine}.items():
        yield f"{name}: {before} -> {after}{', a name of the machine alone' * (name in found.machine)}"
    yield f"view: {found.views[0]}" if not found.view_changed else f"view: {' -> '.join(found.views)}"
    times = ["none" if each is None else f"{1000 * each:.3g} ms" for each in found.latencies]
    yield f"latency: {' -> '.join(times)}{', a hint' * found.slower}"


def _answers(found: Comparison) -> str:
    answers = found.answers
    if answers is None:
        return "not to the same queries: the bundles differ"
    if not answers.shared:
        return "no input was answered in both"
    doubt = "" if answers.moved is not None else "; too few, or not of one model"
    return (
        f"{answers.differ} of {answers.shared} inputs are answered otherwise, by {answers.apart:.2g} in the median, "
        f"{answers.furthest:.2g} at most{doubt}"
    )
