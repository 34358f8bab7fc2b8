"""From a sealed request log to queries: which of each account's inputs a suspect is asked.

One rule for every account, which does not know which of the models is the target: the inputs whose answers tell most
about which of target and siblings gave them. An owner chooses none of them: what is looked at is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import nn

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.methods.siblings import information
from metav_audit.task import FloatArray, Inputs, TaskSpec
from metav_audit.transcript.log import (
    MOST_ACCOUNTS,
    Account,
    AskedLog,
    Groups,
    Logged,
    SealedLog,
    find_accounts,
    inputs_of,
)

LEAST_QUERIES = 16
"""Queries of an account at least, however many accounts there are."""

LIMIT = "accounts"
"""Where a bundle's provenance says how many accounts were asked about at most."""

SAME = 0.95
"""The share of served labels that the target has to give again: else another model was served."""


@dataclass(frozen=True, slots=True)
class Requests:
    """A sealed log to take queries from.

    Attributes:
        log: as opened.
        draw: 32 bytes in hexadecimal, chosen by someone else after the log was sealed; see ``find_accounts``.
        groups: accounts that are taken together.
        seals: the log's seals, as attestations in JSON types.
        most: accounts beside the groups that are asked about: those with the most requests.
    """

    log: SealedLog
    draw: str
    groups: Groups = field(default_factory=dict)
    seals: Sequence[dict[str, object]] = ()
    most: int = MOST_ACCOUNTS

    @property
    def parts(self) -> dict[str, object]:
        """What decides the queries, in JSON types."""
        groups = {name: list(accounts) for name, accounts in self.groups.items()}
        return {"log": self.log.head, "draw": self.draw, "groups": groups, **self.limit}

    @property
    def limit(self) -> dict[str, object]:
        """How many accounts are asked about, where it is not as many as usual; a bundle's provenance says so, too."""
        return {} if self.most == MOST_ACCOUNTS else {LIMIT: self.most}


@dataclass(frozen=True, slots=True)
class Queries:
    """The queries that were chosen.

    Attributes:
        inputs: float32 of shape (N, *domain.shape).
        owners: the number of each one's account.
        looked_at: all inputs of each account that they were chosen among.
        asked: what a bundle tells of the log.
    """

    inputs: Inputs
    owners: tuple[int, ...]
    looked_at: tuple[Inputs, ...]
    asked: AskedLog


def choose_queries(requests: Requests, models: Sequence[nn.Module], task: TaskSpec, count: int, seed: int) -> Queries:
    """Choose the inputs of the log that are asked.

    Args:
        requests: the log.
        models: the target, then its siblings.
        task: of them.
        count: queries in all; an account gets its share of them, ``LEAST_QUERIES`` at least.
        seed: of the order of the draw where answers are values, of which none tells more than another.

    Raises:
        ConfigurationError: the log is of another task, or a group of none of its accounts.
        DataError: no account sent enough, or another model was served than the target.
        EvidenceError: the log is damaged.
    """
    if requests.log.format.task != task:
        raise ConfigurationError(
            f"the log {requests.log.path} is of another task than the project's: seal it with this one"
        )
    accounts = find_accounts(requests.log, requests.draw, requests.groups, requests.most)
    asked: list[tuple[int, Logged]] = []
    looked_at: list[Inputs] = []
    for number, account in enumerate(accounts):
        inputs = inputs_of([logged.row for logged in account.rows], task)
        looked_at.append(inputs)
        answers = features_of_all(models, inputs, task.output)
        _check_served(account, answers[0], task)
        chosen = _most_telling(answers, task, seed)[: max(LEAST_QUERIES, count // len(accounts))]
        asked += [(number, account.rows[at]) for at in chosen]
    inputs = inputs_of([logged.row for _, logged in asked], task)
    told = AskedLog.of(requests.log, requests.draw, accounts, asked, requests.seals)
    return Queries(inputs, tuple(number for number, _ in asked), tuple(looked_at), told)


def _most_telling(answers: FloatArray, task: TaskSpec, seed: int) -> NDArray[np.int64]:
    """Return the rows of inputs, those that tell most of which model answered before others."""
    if not task.output.labelled:
        # Where models differ most, inputs are outliers.
        return np.random.default_rng(seed).permutation(answers.shape[1])
    told = information(np.exp(answers.astype(np.float64)))
    return np.argsort(-told, kind="stable")


def _check_served(account: Account, answers: FloatArray, task: TaskSpec) -> None:
    """Raise DataError where the target does not give the labels that were served to an account."""
    if not task.output.labelled:
        return
    labels = task.output.labels
    served = [logged.row.answer for logged in account.rows]
    told = np.array([labels.index(each) if isinstance(each, str) else int(np.argmax(each)) for each in served])
    same = float((told == answers.argmax(axis=1)).mean())
    if same < SAME:
        raise DataError(
            f"of the labels served to {account.name!r} the target gives {same:.0%} again: another model was served. "
            "Seal the log of the time when it was this one"
        )
