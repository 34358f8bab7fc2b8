"""The rows of a sealed log that a bundle asks, each with the proof that it is one of them: what leaves the house.

Nothing else of the log is told: the proofs are hashes, and the chain has a root and a number of rows a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from metav_audit.errors import EvidenceError
from metav_audit.task import Inputs, TaskSpec
from metav_audit.transcript.log.accounts import Account, Logged
from metav_audit.transcript.log.folder import CHAIN_START, Day, SealedLog, check_chain, read_row
from metav_audit.transcript.log.merkle import leaf_hash, proofs_of, root_by
from metav_audit.transcript.log.rows import Row, inputs_of


@dataclass(frozen=True, slots=True)
class AskedAccount:
    """An account whose inputs are asked.

    Attributes:
        name: the account's, or the group's.
        members: the accounts; one where it is no group.
        requests: how many they sent.
        inputs: how many different inputs of theirs were looked at.
    """

    name: str
    members: tuple[str, ...]
    requests: int
    inputs: int


@dataclass(frozen=True, slots=True)
class AskedRow:
    """A row that is asked; the rows stand in the order of the queries.

    Attributes:
        account: the number of its account, from 0.
        day: its day.
        place: its number among the day's rows, from 0.
        line: the row, as sealed.
        proof: the hashes that lead from it to the day's root, in hexadecimal.
    """

    account: int
    day: str
    place: int
    line: str
    proof: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskedLog:
    """What a bundle tells of the log that its queries are from; in its provenance under ``log``.

    Attributes:
        draw: what the draw of the inputs that were looked at followed from.
        days: the chain of days.
        accounts: whose inputs are asked, by number.
        rows: a row a query.
        seals: the log's seals, as attestations in JSON types; nothing of them is checked here.
    """

    draw: str
    days: tuple[Day, ...]
    accounts: tuple[AskedAccount, ...]
    rows: tuple[AskedRow, ...]
    seals: tuple[Mapping[str, Any], ...]

    @property
    def head(self) -> str:
        """The hash that stands for the whole log."""
        return self.days[-1].sha256 if self.days else CHAIN_START

    @classmethod
    def of(
        cls,
        log: SealedLog,
        draw: str,
        accounts: Sequence[Account],
        asked: Sequence[tuple[int, Logged]],
        seals: Sequence[Mapping[str, Any]],
    ) -> Self:
        """Prove rows of a log.

        Args:
            log: as opened.
            draw: see ``find_accounts``.
            accounts: whose rows they are.
            asked: the rows in the order of the queries, each with its account's number.
            seals: the log's, as attestations in JSON types.

        Raises:
            EvidenceError: the log cannot be read.
        """
        proofs: dict[tuple[str, int], list[bytes]] = {}
        for day in sorted({logged.day for _, logged in asked}):
            places = sorted({logged.place for _, logged in asked if logged.day == day})
            leaves = [leaf_hash(line) for line in log.lines(day)]
            proofs.update(zip(((day, place) for place in places), proofs_of(leaves, places), strict=True))
        rows = tuple(
            AskedRow(
                account,
                logged.day,
                logged.place,
                logged.row.to_line().decode(),
                tuple(each.hex() for each in proofs[logged.day, logged.place]),
            )
            for account, logged in asked
        )
        named = tuple(AskedAccount(one.name, one.members, one.requests, len(one.rows)) for one in accounts)
        return cls(draw, log.days, named, rows, tuple(seals))

    def to_json(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {
            "draw": self.draw,
            "days": [asdict(day) for day in self.days],
            "accounts": [{**asdict(one), "members": list(one.members)} for one in self.accounts],
            "rows": [{**asdict(row), "proof": list(row.proof)} for row in self.rows],
            "seals": [dict(seal) for seal in self.seals],
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; ``check`` says whether it holds.

        Raises:
            EvidenceError: it is damaged.
        """
        try:
            accounts = [{**one, "members": tuple(one["members"])} for one in fields["accounts"]]
            rows = [{**row, "proof": tuple(row["proof"])} for row in fields["rows"]]
            return cls(
                str(fields["draw"]),
                tuple(Day(**day) for day in fields["days"]),
                tuple(AskedAccount(**one) for one in accounts),
                tuple(AskedRow(**row) for row in rows),
                tuple(dict(seal) for seal in fields["seals"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EvidenceError(f"what the bundle tells of the request log is damaged: {error}") from None

    def read_rows(self) -> list[Row]:
        """Return the rows.

        Raises:
            EvidenceError: one is none.
        """
        return [read_row(asked.line.encode(), asked.day) for asked in self.rows]

    def check(self, inputs: Inputs, owners: Sequence[int], task: TaskSpec) -> None:
        """Hold the rows against the chain, and the queries against the rows.

        Args:
            inputs: the queries, of shape (N, *domain.shape).
            owners: the number of each query's account.
            task: of the bundle.

        Raises:
            EvidenceError: a row is not in the log, or a query is no row's input, or another account's.
        """
        self.check_chain()
        rows = self.read_rows()
        if [asked.account for asked in self.rows] != list(owners) or not np.array_equal(inputs_of(rows, task), inputs):
            raise EvidenceError("the queries are not the inputs of the rows that the bundle names")

    def check_chain(self) -> None:
        """Hold the rows against the chain of days, and their accounts against the accounts named.

        Raises:
            EvidenceError: the chain does not hold, a row is not in the log, or another account's.
        """
        try:
            check_chain(self.days)
        except ValueError as error:
            raise EvidenceError(f"the chain of days that the bundle tells of does not hold: {error}") from None
        days = {day.day: day for day in self.days}
        rows = self.read_rows()
        for number, (asked, row) in enumerate(zip(self.rows, rows, strict=True)):
            day = days.get(asked.day)
            if day is None or _root(asked, day.rows) != day.root:
                raise EvidenceError(
                    f"query {number} is no row of the sealed log: its proof does not lead to {asked.day}"
                )
            if not 0 <= asked.account < len(self.accounts) or row.account not in self.accounts[asked.account].members:
                raise EvidenceError(f"query {number} was sent by {row.account!r}, and is asked as another account's")


def _root(asked: AskedRow, count: int) -> str | None:
    try:
        proof = [bytes.fromhex(each) for each in asked.proof]
    except (TypeError, ValueError):
        return None
    root = root_by(leaf_hash(asked.line.encode()), asked.place, count, proof)
    return None if root is None else root.hex()
