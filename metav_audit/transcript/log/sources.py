"""Records of the owner's log as its export has them: JSON lines, CSV, Parquet; one at a time, whatever the size.

Whatever cannot be read is a record with a problem and no fields; reading goes on behind it.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, cast

from metav_audit.errors import ConfigurationError
from metav_audit.files import open_regular

MAX_LINE_BYTES = 16 << 20
"""A longer line is a broken record."""

_PARQUET_ROWS = 4096
_TOO_LONG = f"longer than {MAX_LINE_BYTES >> 20} MiB"


class Record(NamedTuple):
    """One record of a file.

    Attributes:
        number: its place in the file, from 1.
        fields: what it holds by name; None where it cannot be read.
        problem: why not; empty where it can.
    """

    number: int
    fields: Mapping[str, Any] | None
    problem: str = ""


class Source(NamedTuple):
    """A file of the export.

    Attributes:
        name: its path or address, as named.
        size: in bytes.
        open: opens it.
        read: takes records from the opened file.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]
    read: Callable[[IO[bytes]], Iterator[Record]]

    def records(self) -> Iterator[Record]:
        """Yield the file's records in their order.

        Raises:
            ConfigurationError: the file cannot be read, or what reads such is not installed.
        """
        try:
            with self.open() as file:
                yield from self.read(file)
        except (OSError, EOFError) as error:
            raise ConfigurationError(f"cannot read {self.name}: {error}") from error


def find_sources(names: Sequence[str]) -> list[Source]:
    """Return the files named, those in folders sorted by name, and those at addresses that fsspec knows (s3://...).

    Raises:
        ConfigurationError: one is not there, is no such file, or is a link.
    """
    found = [source for name in names for source in _sources(name)]
    if not found:
        raise ConfigurationError(f"no file of a log is in {', '.join(names)}: give {_KINDS_TOLD}")
    return found


def _sources(name: str) -> Iterator[Source]:
    if "://" in name:
        yield _remote(name)
        return
    path = Path(name)
    if not path.is_dir():
        yield _local(path)
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.is_symlink() and _reader(file.name) is not None:
            yield _local(file)


def _local(path: Path) -> Source:
    try:
        with open_regular(path, follow=True) as file:
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    return Source(str(path), size, lambda: open_regular(path, follow=True), _reader_of(str(path)))


def _remote(address: str) -> Source:
    try:
        import fsspec

        system, path = fsspec.url_to_fs(address)
        return Source(address, int(system.size(path)), lambda: system.open(path, "rb"), _reader_of(address))
    except ImportError as error:
        raise ConfigurationError(
            f"{address} needs fsspec and what it reads such addresses with ({error}): pip install 'metav-audit[log]'"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {address}: {error}") from error


def _reader_of(name: str) -> Callable[[IO[bytes]], Iterator[Record]]:
    read = _reader(name)
    if read is None:
        raise ConfigurationError(f"{name} is no file of a log by its name: give {_KINDS_TOLD}")
    return read


def _reader(name: str) -> Callable[[IO[bytes]], Iterator[Record]] | None:
    plain = name.removesuffix(".gz")
    read = next((read for suffix, read in _KINDS.items() if plain.endswith(suffix)), None)
    if read is None or plain == name:
        return read
    return lambda file: read(cast(IO[bytes], gzip.GzipFile(fileobj=file)))


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Yield lines, None for one that is too long; no more than that much is ever in memory."""
    while line := file.readline(MAX_LINE_BYTES):
        if len(line) < MAX_LINE_BYTES or line.endswith(b"\n"):
            yield line
            continue
        while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass
        yield None


def _json_lines(file: IO[bytes]) -> Iterator[Record]:
    for number, line in enumerate(_lines(file), 1):
        if line is None:
            yield Record(number, None, _TOO_LONG)
        elif line.strip():
            yield _from_json(number, line)


def _from_json(number: int, line: bytes) -> Record:
    try:
        fields = _DECODER.decode(line.decode())
    except (ValueError, RecursionError):
        return Record(number, None, "no JSON")
    return Record(number, fields) if isinstance(fields, dict) else Record(number, None, "no JSON object")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
"""Numbers that are too large for a float come out infinite, which no time, input or answer may be."""


def _csv(file: IO[bytes]) -> Iterator[Record]:
    rows = csv.reader(_text(file), strict=True)
    names: list[str] | None = None
    number = 0
    while True:
        number += 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(number, None, f"no CSV: {error}")
            continue
        if names is None:
            names = row
        elif row:
            yield _from_cells(number, names, row)


def _text(file: IO[bytes]) -> Iterator[str]:
    for line in _lines(file):
        yield _TOO_LONG if line is None else line.decode("utf-8-sig", "surrogateescape")


def _from_cells(number: int, names: list[str], row: list[str]) -> Record:
    if len(row) != len(names):
        told = _TOO_LONG if row == [_TOO_LONG] else f"{len(row)} cells under {len(names)} names"
        return Record(number, None, told)
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return Record(number, None, "not UTF-8")
    return Record(number, dict(zip(names, row, strict=True)))


def _parquet(file: IO[bytes]) -> Iterator[Record]:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError:
        raise ConfigurationError("Parquet needs pyarrow: pip install 'metav-audit[log]'") from None
    number = 0
    try:
        for batch in parquet.ParquetFile(file).iter_batches(_PARQUET_ROWS):
            for fields in batch.to_pylist():
                number += 1
                yield Record(number, fields)
    except (ArrowException, OSError, ValueError) as error:
        yield Record(number + 1, None, f"no Parquet from here on: {' '.join(str(error).split())[:200]}")


_KINDS: Mapping[str, Callable[[IO[bytes]], Iterator[Record]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv,
    ".parquet": _parquet,
}
_KINDS_TOLD = ".jsonl, .ndjson, .csv or .parquet, .gz behind it if need be, or a folder of them"
