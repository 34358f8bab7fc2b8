"""Sealing: an export becomes a sealed log, or days are added to one; killed, the same command goes on.

1. Records are read in batches; rows are appended to their days' files below ``sealing/``, and after each batch a note
   says how far the export was read and how long each of these files then was. Begun again, the files are cut to the
   note, and what was read is passed over.
2. A row of a day that is sealed already is left out: what was sealed stays as it was.
3. At the end each day's root is taken, its file moves below ``days/``, and the chain is written anew, whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path

from metav_audit.errors import ConfigurationError
from metav_audit.files import open_regular, read_regular, strict_json, write_atomically
from metav_audit.transcript.log.folder import (
    BROKEN,
    DAYS,
    FORMAT,
    HEADER,
    ROWS,
    SCHEMA_VERSION,
    Day,
    SealedLog,
    canonical,
    day_path,
    link_line,
    open_log,
)  # fmt: skip
from metav_audit.transcript.log.merkle import leaf_hash, root_of
from metav_audit.transcript.log.rows import LogFormat, RowReader, TextReader, reader_of
from metav_audit.transcript.log.sources import Record, Source

SEALING, NOTE = "sealing", "note.json"
BATCH = 2048
"""Records that are decoded at once."""

MAX_NOTE_BYTES = 64 << 20
MAX_BROKEN_BYTES = 1 << 30
MOST_NAMED = 100_000
"""Broken records that are named; further ones are counted alone."""

MOST_REASONS = 1000
SEALED_BEFORE = "its day is sealed"
"""Why a record of a day is left out that the log has already."""

_MOST_FIELDS = 50

Progress = Callable[[int], None]
"""Told how many records have been read."""


@dataclass(slots=True)
class Sealing:
    """How far a sealing has come; what the note on disk holds.

    Attributes:
        sources: name and size of each of the export's files.
        read: records read of each file, in the same order.
        rows: rows kept.
        broken: records left out.
        lengths: bytes of each file below ``sealing/``.
        why: of records that were left out, how many for each reason; of reasons the first ``MOST_REASONS``.
        fields: names of the fields of the first record that was left out and could be read.
    """

    sources: list[list[str | int]]
    read: list[int]
    rows: int = 0
    broken: int = 0
    lengths: dict[str, int] = field(default_factory=dict)
    why: dict[str, int] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)

    def leave_out(self, why: str) -> None:
        """Count a record that is left out, and why."""
        self.broken += 1
        if why in self.why or len(self.why) < MOST_REASONS:
            self.why[why] = self.why.get(why, 0) + 1

    @property
    def commonest(self) -> str:
        """Why most of the records that were left out were; empty where none was."""
        return max(self.why, key=lambda why: self.why[why], default="")


def seal_log(
    sources: Sequence[Source], log: LogFormat, path: Path, progress: Progress = lambda _: None
) -> tuple[SealedLog, Sealing]:
    """Seal an export into the folder ``path``, or add its days to the log there; see the module.

    Args:
        sources: the export's files.
        log: how they are read.
        path: the folder.
        progress: told of every batch.

    Returns:
        The sealed log, and what became of the records.

    Raises:
        ConfigurationError: a file cannot be read, something else stands at ``path``, the log there is read otherwise,
            or another export was being sealed into it.
        EvidenceError: the log there is damaged.
    """
    standing = _prepare(path, log)
    try:
        done = _resume(path / SEALING, sources)
        if not (path / SEALING / DAYS).exists():
            reader, sealed = reader_of(log), frozenset(day.day for day in standing.days)
            for place, source in enumerate(sources):
                records = islice(source.records(), done.read[place], None)
                while batch := list(islice(records, BATCH)):
                    done.read[place] += len(batch)
                    _keep(path / SEALING, done, _sorted_out(reader, batch, sealed, source.name, done))
                    progress(sum(done.read))
            _plan(path / SEALING, standing)
        _move(path)
    except OSError as error:
        raise ConfigurationError(f"cannot seal into {path}: {error.strerror}") from error
    return open_log(path), done


def _prepare(path: Path, log: LogFormat) -> SealedLog:
    """Open the log at ``path``, or begin one; where nothing is sealed yet, it may be read otherwise than before."""
    if path.exists() and not (path / HEADER).exists() and any(path.iterdir()):
        raise ConfigurationError(f"{path} exists and is no sealed log: choose another place for it")
    if not (path / HEADER).exists():
        _begin(path, log)
    standing = open_log(path)
    if standing.format != log and not standing.days and not (path / SEALING).exists():
        _begin(path, log)
        standing = open_log(path)
    if standing.format != log:
        raise ConfigurationError(
            f"the log {path} was sealed with another task or other columns than these: give the same, or another place"
        )
    return standing


def _begin(path: Path, log: LogFormat) -> None:
    header = {"format": FORMAT, "schema_version": SCHEMA_VERSION, "log": log.to_json()}
    write_atomically(path / HEADER, json.dumps(header, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n")


def _resume(folder: Path, sources: Sequence[Source]) -> Sealing:
    """Return how far the sealing of this export came; nowhere yet if none was begun."""
    fresh = Sealing([[source.name, source.size] for source in sources], [0] * len(sources))
    if not (folder / NOTE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return fresh
    done = Sealing(**strict_json(read_regular(folder / NOTE, MAX_NOTE_BYTES)))
    if done.sources != fresh.sources:
        raise ConfigurationError(
            f"another export was being sealed into {folder.parent}: give the same files in the same order, or remove "
            f"{folder} to begin anew"
        )
    for name, length in done.lengths.items():
        if (folder / name).exists():
            with open_regular(folder / name, write=True) as file:
                file.truncate(length)
    return done


def _sorted_out(
    reader: RowReader | TextReader, batch: Sequence[Record], sealed: frozenset[str], name: str, done: Sealing
) -> dict[str, list[bytes]]:
    """Return the lines that each file gets of a batch."""
    lines: dict[str, list[bytes]] = defaultdict(list)
    unread = [(number, problem) for number, fields, problem in batch if fields is None]
    readable = {one.number: one.fields for one in batch if one.fields is not None}
    for number, row in [*unread, *reader.read(list(readable.items()))]:
        problem = row if isinstance(row, str) else f"its day, {row.day}, is sealed" if row.day in sealed else None
        if problem is None:
            done.rows += 1
            lines[f"{row.day}.jsonl"].append(row.to_line() + b"\n")  # type: ignore[union-attr]
            continue
        done.leave_out(str(row) if isinstance(row, str) else SEALED_BEFORE)
        done.fields = done.fields or [str(name)[:80] for name in islice(readable.get(number, ()), _MOST_FIELDS)]
        if done.broken <= MOST_NAMED:
            lines[BROKEN].append(canonical({"file": name, "record": number, "problem": problem}) + b"\n")
    return lines


def _keep(folder: Path, done: Sealing, lines: dict[str, list[bytes]]) -> None:
    """Append lines to their files, and note how far that was."""
    for name, added in lines.items():
        with open_regular(folder / name, append=True) as file:
            file.writelines(added)
            done.lengths[name] = file.tell()
    write_atomically(folder / NOTE, json.dumps(asdict(done)).encode())


def _plan(folder: Path, standing: SealedLog) -> None:
    """Write the chain that will stand when all files have moved."""
    links = list(standing.days)
    for path in sorted(folder.glob("????-??-??.jsonl")):
        with open_regular(path) as file:
            os.fsync(file.fileno())
            root, count = root_of(leaf_hash(line[:-1]) for line in file)
        links.append(Day.after(links, path.stem, count, root))
    write_atomically(folder / DAYS, b"".join(map(link_line, links)))


def _move(path: Path) -> None:
    """Move days, broken records and the chain to where they stay, in an order that can be begun again anywhere."""
    folder = path / SEALING
    (path / ROWS).mkdir(exist_ok=True)
    for file in sorted(folder.glob("????-??-??.jsonl")):
        os.replace(file, day_path(path, file.stem))
    if (folder / BROKEN).exists():
        kept = [each / BROKEN for each in (path, folder) if (each / BROKEN).exists()]
        named = (read_regular(each, MAX_BROKEN_BYTES).splitlines(keepends=True) for each in kept)
        # The same export given again leaves the same records out: each is named once.
        write_atomically(path / BROKEN, b"".join(dict.fromkeys(chain.from_iterable(named))))
        (folder / BROKEN).unlink()
    os.replace(folder / DAYS, path / DAYS)
    shutil.rmtree(folder)
