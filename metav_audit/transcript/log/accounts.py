"""Who asked enough, and which of their inputs a suspect may be asked."""

from __future__ import annotations

import hashlib
import heapq
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from metav_audit.errors import ConfigurationError, DataError, EvidenceError
from metav_audit.transcript.log.folder import SealedLog, read_row
from metav_audit.transcript.log.rows import Row

ENOUGH = 100
"""Requests that an account must have sent to be looked at."""

MOST_ACCOUNTS = 50
"""Accounts that are looked at: those that sent most."""

MOST_INPUTS = 4000
"""Different inputs of an account that are looked at, drawn among all."""

_ACCOUNT = re.compile(rb'\{"account":("(?:[^"\\]|\\.)*"),')
"""How a row begins, as it is written."""

Groups = Mapping[str, Sequence[str]]
"""Accounts by the name of the group that they form."""


class Logged(NamedTuple):
    """A row and where it stands in the sealed log.

    Attributes:
        day: its day.
        place: its number among the day's rows, from 0.
        row: the row.
    """

    day: str
    place: int
    row: Row


@dataclass(frozen=True, slots=True)
class Account:
    """An account, or a group of accounts that are taken as one.

    Attributes:
        name: the account's, or the group's.
        members: the accounts; one where it is no group.
        requests: how many they sent.
        rows: the first request of each of the inputs drawn, in the order of the draw.
    """

    name: str
    members: tuple[str, ...]
    requests: int
    rows: tuple[Logged, ...]


def count_requests(log: SealedLog) -> Counter[str]:
    """Return how many requests each account sent; of a row nothing but its account is looked at.

    Raises:
        EvidenceError: the log cannot be read, or holds a line that is no row.
    """
    written: Counter[bytes] = Counter()
    for day in log.days:
        for line in log.lines(day.day):
            found = _ACCOUNT.match(line)
            if found is None:
                raise EvidenceError(f"the log of {day.day} holds a row that is none: it names no account")
            written[found[1]] += 1
    return Counter({json.loads(account): count for account, count in written.items()})


def find_accounts(log: SealedLog, draw: str, groups: Groups | None = None, most: int = MOST_ACCOUNTS) -> list[Account]:
    """Return the groups, and the accounts that sent most, at least ``ENOUGH`` requests each.

    Which of an account's inputs are looked at follows from ``draw``, which the owner does not choose: an input's turn
    is the SHA-256 of the draw and the input. Two passes over the log; in memory are the rows drawn alone.

    Args:
        log: as opened.
        draw: 32 bytes in hexadecimal, chosen by someone else after the log was sealed.
        groups: accounts that the owner takes together, by the group's name.
        most: so many accounts beside the groups, at most.

    Raises:
        ConfigurationError: a group names an account that the log lacks, or has an account's name.
        DataError: no account sent enough.
        EvidenceError: the log cannot be read.
    """
    sent = count_requests(log)
    members = _members(sent, groups or {}, most)
    requests = {name: sum(sent[each] for each in accounts) for name, accounts in members.items()}
    looked_at = [name for name in members if requests[name] >= ENOUGH]
    if not looked_at:
        raise DataError(
            f"no account of the log sent {ENOUGH} requests: whoever extracts a model asks more, and fewer tell little"
        )
    of: dict[str, list[_Draw]] = {}
    draws = {name: _Draw(bytes.fromhex(draw)) for name in looked_at}
    for name in looked_at:
        for account in members[name]:
            of.setdefault(account, []).append(draws[name])
    for day in log.days:
        for place, line in enumerate(log.lines(day.day)):
            row = read_row(line, day.day)
            for each in of.get(row.account, ()):
                each.offer(Logged(day.day, place, row))
    return [Account(name, members[name], requests[name], draws[name].drawn()) for name in looked_at]


def _members(sent: Counter[str], groups: Groups, count: int) -> dict[str, tuple[str, ...]]:
    """Return groups and the accounts that sent most, each with its members."""
    for name, accounts in groups.items():
        missing = [account for account in accounts if account not in sent]
        if missing:
            raise ConfigurationError(f"the group {name!r} names the account {missing[0]!r}, which the log lacks")
        if name in sent:
            raise ConfigurationError(f"the group {name!r} has the name of an account: give it another")
    most = sorted(sent, key=lambda account: (-sent[account], account))[:count]
    return {name: tuple(accounts) for name, accounts in groups.items()} | {account: (account,) for account in most}


class _Draw:
    """Keeps the inputs whose turn comes first, each with its first request."""

    def __init__(self, draw: bytes) -> None:
        self._draw = draw
        self._kept: dict[bytes, Logged] = {}
        self._last: list[tuple[int, bytes]] = []

    def offer(self, logged: Logged) -> None:
        turn = hashlib.sha256(self._draw + logged.row.input).digest()
        if turn in self._kept or (len(self._kept) == MOST_INPUTS and turn > self._last[0][1]):
            return
        self._kept[turn] = logged
        heapq.heappush(self._last, (-int.from_bytes(turn), turn))
        if len(self._kept) > MOST_INPUTS:
            del self._kept[heapq.heappop(self._last)[1]]

    def drawn(self) -> tuple[Logged, ...]:
        return tuple(self._kept[turn] for turn in sorted(self._kept))
