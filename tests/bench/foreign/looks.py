"""Stopping early on strangers: what is found, who is accused, and after how many queries, beside one look at all.

python -m tests.bench.foreign.looks digits-1 warfarin-1 --root /tmp/fb --queries 64
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import click
import numpy as np

from metav_audit.bundle import FingerprintBundle, usual_looks
from metav_audit.evaluation.conditions import VIEWS
from metav_audit.task import Features, OutputView
from metav_audit.verdict import Rule, VerdictOutcome
from metav_audit.verdict.looks import OverLooks
from metav_audit.watch.glances import QUERIES, telling
from tests.bench.foreign.measure import shown_by
from tests.bench.foreign.suspects import Suspect, make_suspects


def ends(bundle: FingerprintBundle, view: OutputView, shown: Features) -> Iterator[tuple[VerdictOutcome, int]]:
    """Yield how each suspect's audit ends that may stop early, and after how many queries."""
    looks = usual_looks(len(bundle.inputs))
    masks = [np.arange(len(bundle.inputs)) < look for look in looks]
    rules = [OverLooks.through(bundle, view, masks[: at + 1], last=at + 1 == len(looks)) for at in range(len(looks))]
    for values, mask in zip(shown.values, shown.mask, strict=True):
        for look, rule in zip(looks, rules, strict=True):
            outcome = rule.weighed(Features(values, mask)).outcome
            if outcome is not VerdictOutcome.INCONCLUSIVE or look == looks[-1]:
                yield outcome, look
                break


def swaps_seen(bundle: FingerprintBundle, view: OutputView, suspects: Sequence[Suspect]) -> float:
    """Return the share of pairs of suspects whose answers to a glance's queries differ by more than the tolerance."""
    shown, queries = shown_by(suspects, bundle, view), telling(bundle)[:QUERIES]
    values = np.where(shown.mask, shown.values, np.nan)[:, queries].reshape(len(suspects), -1)
    tolerance = bundle.task.output.tolerance
    pairs = [
        np.array_equal(np.isnan(one), np.isnan(other)) and np.nanmax(np.abs(one - other)) <= tolerance
        for one, other in combinations(values, 2)
    ]
    return 1 - float(np.mean(pairs))


def told(bundle: FingerprintBundle, suspects: Sequence[Suspect], name: str) -> str:
    """Compare stopping early with one look through one view."""
    view, match = VIEWS[name], VerdictOutcome.MATCH
    shown, rule = shown_by(suspects, bundle, view), Rule.through(bundle, view)
    once = [rule.conclude(each).outcome for each in rule.score_all(shown)]
    early = list(ends(bundle, view, shown))
    derived = [suspect.derived for suspect in suspects]
    found = [
        f"{sum(o is match for o, own in zip(outcomes, derived, strict=True) if own)}/{sum(derived)} found, "
        f"{sum(o is match for o, own in zip(outcomes, derived, strict=True) if not own)}/{len(derived) - sum(derived)} "
        f"accused"
        for outcomes in (once, [outcome for outcome, _ in early])
    ]
    asked = [look for outcome, look in early if outcome is not VerdictOutcome.INCONCLUSIVE]
    middle = f"{np.median(asked):.0f}" if asked else "-"
    return (
        f"{name:6} all at once: {found[0]}; by looks: {found[1]}, median queries to a verdict {middle} of "
        f"{len(bundle.inputs)}, of all audits {np.mean([look for _, look in early]):.0f} on average; a glance sees "
        f"{swaps_seen(bundle, view, suspects):.1%} of swaps between two of them"
    )


@click.command()
@click.argument("targets", nargs=-1, required=True)
@click.option("--root", type=click.Path(path_type=Path), required=True, help="where the bench of strangers keeps all")
@click.option("--queries", default=64, show_default=True)
@click.option("--view", "views", multiple=True, default=("full", "label"), show_default=True)
def main(targets: Sequence[str], root: Path, queries: int, views: Sequence[str]) -> None:
    """Print a line a target and view; the bundles and suspects of ``make bench-foreign`` have to be there."""
    for target in targets:
        bundle = FingerprintBundle.load(root / target / "bundles" / f"siblings-{queries}.bundle")
        suspects = make_suspects(root / target / "project.toml")
        for view in views:
            if view != "label" or bundle.task.output.labelled:
                print(target, told(bundle, suspects, view), flush=True)


if __name__ == "__main__":
    main()
