"""The owner's side of dithered serving: what coins cost, and what a suspect is asked of what accounts were served."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import CoinPlan, CoinQuery
from metav_audit.errors import ConfigurationError
from metav_audit.task import Dither, Inputs, TaskSpec, leads
from metav_audit.transcript.log import Row, inputs_of

LEAST_INPUTS = 5
"""With fewer coins no p-value is below .05: an account of fewer inputs is not asked."""

_BATCH = 1024

Predict = Callable[[Inputs], NDArray[np.float64]]
"""From inputs of shape (n, *domain.shape) to probabilities of shape (n, classes)."""


@dataclass(frozen=True, slots=True)
class DitherCost:
    """What a dither costs on labelled data, as a mean over all coins: no coin is thrown for it.

    Attributes:
        epsilon: nats by which coins move leads.
        undecided: nats of lead below which labels may change.
        accuracy: the model's own.
        lost: how much of it is lost; negative where something is won.
        error: of ``lost``, its standard error over the data.
        changed: the share of labels that change.
        moved: by how much the likeliest class's probability moves, on average.
    """

    epsilon: float
    undecided: float
    accuracy: float
    lost: float
    error: float
    changed: float
    moved: float

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"epsilon {self.epsilon:g}, undecided {self.undecided:g}: accuracy {self.accuracy:.4f}, lost "
            f"{100 * self.lost:.2f} +/- {100 * self.error:.2f} points, {100 * self.changed:.2f} % of labels change, "
            f"probabilities move by {self.moved:.4f}"
        )


def dither_costs(own: NDArray[np.float64], labels: NDArray[np.int64], dithers: Iterable[Dither]) -> list[DitherCost]:
    """Measure what dithers cost on data that the model was not trained on.

    Args:
        own: the model's own probabilities, of shape (n, classes).
        labels: the true classes, of shape (n,).
        dithers: whose sizes are measured; their keys are not used.
    """
    first = own.argmax(axis=1)
    right = (first == labels).astype(np.float64)
    costs = []
    for dither in dithers:
        sides = [dither.served(own.astype(np.float64), np.full(len(own), coin)) for coin in (1.0, -1.0)]
        told = [side.argmax(axis=1) for side in sides]
        lost = right - np.mean([each == labels for each in told], axis=0)
        moved = [np.abs(side.max(axis=1) - own.max(axis=1)) for side in sides]
        costs.append(
            DitherCost(
                epsilon=dither.epsilon,
                undecided=dither.undecided,
                accuracy=float(right.mean()),
                lost=float(lost.mean()),
                error=float(lost.std() / np.sqrt(len(lost))),
                changed=float(np.mean([each != first for each in told])),
                moved=float(np.mean(moved)),
            )
        )
    return costs


def most_undecided(costs: Sequence[DitherCost], most: float) -> DitherCost | None:
    """Return the cost of the largest ``undecided`` that loses at most ``most`` of accuracy, as all smaller ones do.

    None where even the smallest loses more.
    """
    ordered = sorted(costs, key=lambda cost: cost.undecided)
    cheap = list(takewhile(lambda cost: cost.lost <= most, ordered))
    return cheap[-1] if cheap else None


def busiest_accounts(rows: Iterable[Row], most: int) -> tuple[str, ...]:
    """Return the accounts with the most rows, at most so many, the busiest first."""
    return tuple(account for account, _ in Counter(row.account for row in rows).most_common(most))


def plan_coins(
    rows: Iterable[Row],
    dither: Dither,
    task: TaskSpec,
    predict: Predict,
    accounts: Sequence[str],
    queries: int,
    *,
    log: str = "0" * 64,
    commitment: bytes | None = None,
) -> CoinPlan:
    """Plan to ask what accounts were served: of each, the inputs where the model was least decided.

    Which inputs those are follows from the model alone, and from no coin.

    Args:
        rows: of the log; an input that an account sent again counts once.
        dither: what the accounts were served with.
        task: the model's.
        predict: the model itself, without dither.
        accounts: which are asked.
        queries: inputs of each account at most.
        log: the head of the sealed log.
        commitment: the attestation of the dither's key; None without one.

    Raises:
        ConfigurationError: an account sent fewer than ``LEAST_INPUTS`` different inputs.
        DataError: a row is none of the task's.
    """
    sent: dict[str, dict[bytes, Row]] = defaultdict(dict)
    for row in rows:
        if row.account in accounts:
            sent[row.account].setdefault(row.input, row)
    chosen: list[CoinQuery] = []
    for account in accounts:
        mine = list(sent[account].values())
        if len(mine) < LEAST_INPUTS:
            raise ConfigurationError(
                f"the account {account!r} sent {len(mine)} different inputs; so few coins show nothing, "
                f"{LEAST_INPUTS} at least are needed"
            )
        batches = [mine[at : at + _BATCH] for at in range(0, len(mine), _BATCH)]
        own = np.concatenate([predict(inputs_of(batch, task)) for batch in batches])
        for at in np.argsort(leads(own), kind="stable")[:queries].tolist():
            row = mine[at]
            served = row.answer if isinstance(row.answer, str) else tuple(row.answer)
            chosen.append(CoinQuery(account, row.at, row.input, tuple(own[at].tolist()), served))
    return CoinPlan(task, dither, tuple(chosen), log, commitment=commitment)
