"""A whole folder changed in one place: a field, a record, a byte or a file altered, deleted, doubled or swapped.

Whoever changes it also mends what needs no key: the list of hashes always, the transcript's chain every other time.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metav_audit.evidence import write_sums
from metav_audit.transcript import CHAIN_START, record_line
from metav_audit.transcript.lines import line_hash
from metav_audit.verdict import AuditFolder

OPERATIONS = ("alter", "delete", "double", "swap")
_TWICE = "\ufdd0twice"

Files = dict[str, bytes]


@dataclass(frozen=True)
class Mutation:
    """One change: what was done, and the files it changes, None for those that go."""

    said: str
    files: dict[str, bytes | None]


def files_of(folder: Path) -> Files:
    names = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", "SHA256SUMS"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}


def mutations(files: Files, seed: int = 0) -> Iterator[Mutation]:
    """Draw mutations without end, no two alike."""
    rng, seen = random.Random(seed), set()
    while True:
        name = rng.choice(sorted(files))
        kind = rng.choice((_file, _bytes, _of(name)))
        made = kind(name, files, rng)
        if made is not None and any(files.get(each) != content for each, content in made.files.items()):
            key = tuple(sorted((each, content) for each, content in made.files.items() if content is not None))
            key = key or tuple(made.files)
            if hash(key) not in seen:
                seen.add(hash(key))
                yield made


def apply(mutation: Mutation, folder: Path, files: Files) -> Callable[[], None]:
    """Make the change, write the list of hashes anew, and return what takes the change back."""
    for name, content in mutation.files.items():
        _write(folder / name, content)
    write_sums(AuditFolder(folder))

    def undo() -> None:
        for name in mutation.files:
            _write(folder / name, files.get(name))

    return undo


def _write(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


def _of(name: str) -> Callable[[str, Files, random.Random], Mutation | None]:
    return _records if name.endswith(".jsonl") else _fields if name.endswith(".json") else _bytes


def _file(name: str, files: Files, rng: random.Random) -> Mutation:
    operation = rng.choice(OPERATIONS)
    other = rng.choice(sorted(files))
    changed: dict[str, dict[str, bytes | None]] = {
        "alter": {name: files[name] + bytes([rng.randrange(256)])},
        "delete": {name: None},
        "double": {f"{name}.{rng.randrange(1000)}": files[name]},
        "swap": {name: files[other], other: files[name]},
    }
    return Mutation(f"{operation} the file {name}", changed[operation])


def _bytes(name: str, files: Files, rng: random.Random) -> Mutation | None:
    content = bytearray(files[name])
    if len(content) < 2:
        return None
    at, other = rng.randrange(len(content)), rng.randrange(len(content))
    operation = rng.choice(OPERATIONS)
    if operation == "alter":
        content[at] ^= rng.randint(1, 255)
    elif operation == "delete":
        del content[at]
    elif operation == "double":
        content.insert(at, content[at])
    else:
        content[at], content[other] = content[other], content[at]
    return Mutation(f"{operation} byte {at} of {name}", {name: bytes(content)})


def _fields(name: str, files: Files, rng: random.Random) -> Mutation | None:
    value = json.loads(files[name])
    said = _change(value, rng)
    return said and Mutation(f"{said} of {name}", {name: _dumped(value, files[name])})


def _records(name: str, files: Files, rng: random.Random) -> Mutation | None:
    records = [json.loads(line) for line in files[name].splitlines()]
    at, other = rng.randrange(len(records)), rng.randrange(len(records))
    operation, chained = rng.choice((*OPERATIONS, "change")), rng.random() < 0.5
    said: str | None = f"{operation} record {at}"
    if operation == "delete":
        del records[at]
    elif operation == "double":
        records.insert(at, copy.deepcopy(records[at]))
    elif operation == "swap":
        records[at], records[other] = records[other], records[at]
    elif operation == "alter":  # One field is exchanged with the same one of another record.
        shared = sorted(records[at].keys() & records[other].keys() - {"previous"})
        field = rng.choice(shared)
        records[at][field], records[other][field] = records[other][field], records[at][field]
        said = f"swap {field} of records {at} and {other}"
    else:
        said = _change(records[at], rng)
    return said and Mutation(f"{said} of {name}", {name: _lines(records, chained=chained)})


def _lines(records: list[dict[str, Any]], *, chained: bool) -> bytes:
    lines, head = [], CHAIN_START
    for record in records:
        line = record_line(record, head if chained else record.get("previous", ""))
        lines.append(line.replace(_TWICE.encode(), b""))
        head = line_hash(lines[-1])
    return b"".join(lines)


def _dumped(value: Any, before: bytes) -> bytes:
    indent = 2 if before.startswith(b'{\n  "') else 1 if before.startswith(b"{\n") else None
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, indent=indent, sort_keys=indent != 2, ensure_ascii=False, separators=separators)
    return text.replace(_TWICE, "").encode() + b"\n"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every field and every element, as a container and a key in it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield value, key
        yield from _places(one)


def _change(value: Any, rng: random.Random) -> str | None:
    places = list(_places(value))
    if not places:
        return None
    holder, key = rng.choice(places)
    operation = rng.choice(OPERATIONS)
    if operation == "alter":
        holder[key] = _altered(holder[key], rng)
    elif operation == "delete":
        del holder[key]
    elif operation == "double":
        if isinstance(holder, dict):  # The same key twice, which no dictionary holds: the mark goes when it is written.
            holder[f"{key}{_TWICE}"] = holder[key] if rng.random() < 0.5 else _altered(holder[key], rng)
        else:
            holder.insert(key, copy.deepcopy(holder[key]))
    else:
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        other = rng.choice(list(keys))
        holder[key], holder[other] = holder[other], holder[key]
    return f"{operation} field {str(key)[:40]}"


def _altered(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return rng.choice((value + 1, value * 1.5, -value, value + 1e-6))
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice("a0Z \u00e9") + value[at + 1 :]
    return rng.choice((None, [], {}, 0, ""))
