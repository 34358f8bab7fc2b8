"""Glances: how often three queries ask for an audit in vain, and how often they miss a swapped model.

python -m tests.bench.glances --nights 3000
"""

from __future__ import annotations

import click
import numpy as np

from metav_audit.statistics import clopper_pearson
from metav_audit.task import OutputView
from metav_audit.watch.glances import QUERIES, has_moved
from tests.watch.fleets import sighting

VIEWS = {
    "all scores": OutputView(),
    "noise of 0.01": OutputView(noise=0.01),
    "two decimals": OutputView(decimals=2),
    "the top three": OutputView(top=3),
    "labels alone": OutputView(label_only=True),
}


@click.command()
@click.option("--nights", default=3000, show_default=True)
def main(nights: int) -> None:
    """Print a line a view: of nights without a swap and after one, the share in which an audit is asked for."""
    for name, view in VIEWS.items():
        rng, queries = np.random.default_rng(0), np.arange(QUERIES)
        counts = [0, 0]
        for night in range(nights):
            reference = sighting(model=night, view=view, seed=2 * night)
            for swapped in (0, 1):
                seen = sighting(model=night + swapped * 10**6, view=view, seed=int(rng.integers(1 << 31)))
                counts[swapped] += has_moved(reference, queries, seen.answers[:QUERIES])
        (low, high), share = clopper_pearson(counts[0], nights), counts[0] / nights
        found = counts[1] / nights
        print(f"{name:14} false alarms {share:.2%} [{low:.2%}, {high:.2%}], swaps seen in the first night {found:.2%}")


if __name__ == "__main__":
    main()
