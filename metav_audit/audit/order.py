"""The order in which an audit asks what is open: batches of queries, and the canaries between them."""

from __future__ import annotations

import itertools

from metav_audit.audit.asking import Queries
from metav_audit.bundle import ROUNDS
from metav_audit.transcript import Transcript


def with_canaries(batches: list[Queries], so_far: Transcript) -> list[Queries | None]:
    """Put rounds of canaries (None) before and between the batches; the one at the end is not among them.

    Two rounds in a row at first show whether the same input gets the same answer. A run that goes on needs one: it is
    compared with those of the earlier runs.
    """
    if not batches:
        return []
    first = [None] if sum(each.whole for each in so_far.canaries) >= 2 else [None, None]
    parts = ROUNDS - 2
    bounds = [len(batches) * part // parts for part in range(parts + 1)]
    between = [[*batches[start:end], None] for start, end in itertools.pairwise(bounds)]
    return [*first, *itertools.chain.from_iterable(between)][:-1]


def open_batches(transcript: Transcript, size: int) -> list[Queries]:
    """Divide the queries that were neither answered nor given up."""
    still_open = [each.query for each in transcript.exchanges if each.answer is None and each.reason is None]
    return [tuple(still_open[start : start + size]) for start in range(0, len(still_open), size)]
