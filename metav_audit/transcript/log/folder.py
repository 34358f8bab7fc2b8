"""The sealed log: a folder with a file of rows a day, and a chain of the days' roots.

``log.json`` says how the export was read; ``days/2026-11-30.jsonl`` holds a day's rows in the order of the export;
``days.jsonl`` a line a day: how many rows, their Merkle root (RFC 6962), and the hash of the line before. So the last
line's hash stands for every row of every day: that is what is signed and time-stamped. ``broken.jsonl`` names what was
left out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.files import open_regular, read_regular, strict_json
from metav_audit.transcript.log.merkle import leaf_hash, root_of
from metav_audit.transcript.log.rows import LogFormat, Row

FORMAT = "metav-audit-log"
SCHEMA_VERSION = 1
HEADER, DAYS, ROWS, BROKEN, SEALS = "log.json", "days.jsonl", "days", "broken.jsonl", "seals"
CHAIN_START = "0" * 64
MAX_HEADER_BYTES = 4 << 20
MAX_ROW_BYTES = 64 << 20
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Day:
    """One link of the chain of days; hashes are SHA-256 in hexadecimal.

    Attributes:
        day: the date, in UTC.
        rows: how many there are.
        root: the Merkle root over them.
        previous: the hash of the link before; ``CHAIN_START`` for the first.
        sha256: of this link's canonical JSON without this field.
    """

    day: str
    rows: int
    root: str
    previous: str
    sha256: str

    @classmethod
    def after(cls, chain: Sequence[Day], day: str, rows: int, root: bytes) -> Day:
        """Return the link that follows a chain."""
        previous = chain[-1].sha256 if chain else CHAIN_START
        fields = {"day": day, "rows": rows, "root": root.hex(), "previous": previous}
        return cls(sha256=hashlib.sha256(canonical(fields)).hexdigest(), **fields)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class SealedLog:
    """A sealed log that was opened; its rows are read when they are asked for.

    Attributes:
        path: the folder.
        format: how its rows were read.
        days: the chain.
    """

    path: Path
    format: LogFormat
    days: tuple[Day, ...]

    @property
    def head(self) -> str:
        """The hash that stands for all of it."""
        return self.days[-1].sha256 if self.days else CHAIN_START

    @property
    def count(self) -> int:
        """How many rows it has."""
        return sum(day.rows for day in self.days)

    @property
    def header_sha256(self) -> str:
        """SHA-256 of ``log.json``, which says how the rows were read, in hexadecimal.

        Raises:
            EvidenceError: it cannot be read.
        """
        return hashlib.sha256(_read(self.path / HEADER)).hexdigest()

    def lines(self, day: str) -> Iterator[bytes]:
        """Yield a day's rows as they stand, without line ends.

        Raises:
            EvidenceError: the file is missing, or a line is too long.
        """
        path = day_path(self.path, day)
        try:
            with open_regular(path) as file:
                while line := file.readline(MAX_ROW_BYTES):
                    if not line.endswith(b"\n"):
                        raise EvidenceError(f"{path} holds a row without an end, or of more than {MAX_ROW_BYTES} bytes")
                    yield line[:-1]
        except OSError as error:
            raise EvidenceError(f"cannot read the log's {path}: {error.strerror}") from error

    def rows(self) -> Iterator[Row]:
        """Yield all rows, day by day.

        Raises:
            EvidenceError: one cannot be read.
        """
        for day in self.days:
            for line in self.lines(day.day):
                yield read_row(line, day.day)

    def check(self) -> None:
        """Raise EvidenceError unless every day's file holds the rows that the chain names."""
        for day in self.days:
            root, count = root_of(leaf_hash(line) for line in self.lines(day.day))
            if (root.hex(), count) != (day.root, day.rows):
                raise EvidenceError(
                    f"the rows of {day.day} are not those that were sealed: {count} rows with the root {root.hex()}, "
                    f"where {day.rows} with {day.root} were"
                )


def open_log(path: Path) -> SealedLog:
    """Open a sealed log and check its chain; ``SealedLog.check`` holds the rows against it.

    Raises:
        ConfigurationError: there is none.
        EvidenceError: it is damaged, of another schema, or its chain does not hold.
    """
    if not (path / HEADER).is_file():
        raise ConfigurationError(f"{path} is no sealed log: 'metav-audit log seal FILES -o {path}' makes one")
    try:
        header = strict_json(_read(path / HEADER))
        if header.get("format") != FORMAT or header.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"no {FORMAT} of schema version {SCHEMA_VERSION}")
        log = LogFormat.from_json(header["log"])
        days = read_chain(path)
    except (ValueError, TypeError, KeyError, AttributeError, ConfigurationError) as error:
        raise EvidenceError(f"the log {path} is damaged, or of another program: {error}") from None
    return SealedLog(path, log, days)


def read_chain(path: Path) -> tuple[Day, ...]:
    """Read the chain of a log's folder; none yet where there is no file.

    Raises:
        ValueError, KeyError, TypeError: a line is no link, or does not follow the one before.
        EvidenceError: the file cannot be read.
    """
    if not (path / DAYS).exists():
        return ()
    chain = tuple(Day(**strict_json(line)) for line in _read(path / DAYS, 1 << 30).splitlines())
    check_chain(chain)
    return chain


def check_chain(chain: Sequence[Day]) -> None:
    """Raise ValueError unless each day is a link that follows the one before, and none stands twice."""
    for at, told in enumerate(chain):
        if not (type(told.day) is str and _DAY.fullmatch(told.day) and type(told.rows) is int and told.rows > 0):
            raise ValueError("a day in it is no date, or has no number of rows")
        if told != Day.after(chain[:at], told.day, told.rows, bytes.fromhex(told.root)):
            raise ValueError(f"the chain of days does not hold at {told.day}")
    if len({one.day for one in chain}) != len(chain):
        raise ValueError("a day is sealed twice")


def day_path(path: Path, day: str) -> Path:
    """Return where a day's rows stand."""
    return path / ROWS / f"{day}.jsonl"


def read_row(line: bytes, day: str) -> Row:
    """Read one row of a day.

    Raises:
        EvidenceError: it is none, or of another day.
    """
    try:
        row = Row.from_line(line)
        if row.day != day:
            raise ValueError(f"it is of {row.day}")
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"the log of {day} holds a row that is none: {error}") from None
    return row


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Return canonical JSON: keys in order, no spaces, UTF-8."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def link_line(day: Day) -> bytes:
    """Write one link of the chain as a line."""
    return canonical(asdict(day)) + b"\n"


def _read(path: Path, limit: int = MAX_HEADER_BYTES) -> bytes:
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise EvidenceError(f"cannot read the log's {path}: {error.strerror}") from error
