"""How long a large request log takes to seal, and how much memory; killed half way, it goes on where it was.

    python -m tests.bench.sealing --rows 10000000

Rows are of a table of eight numbers, by a thousand accounts over thirty days, as JSON lines.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = """[task]
kind = "classification"
labels = ["no", "yes"]

[task.input]
kind = "tabular"
"""
COLUMN = '[[task.input.columns]]\nname = "c{at}"\nlow = 0.0\nhigh = 100.0\n'
_BLOCK = 10_000
_POLL_S = 0.2


def write_export(path: Path, rows: int) -> None:
    """Write an export; a block of rows is the same day's."""
    with path.open("w") as file:
        for start in range(0, rows, _BLOCK):
            day = 1 + start * 30 // rows
            file.writelines(
                json.dumps(
                    {
                        "time": f"2026-03-{day:02d}T10:{at % 60:02d}:00Z",
                        "account": f"a{at * 7919 % 1000}",
                        "input": {f"c{column}": (at * (column + 3)) % 101 for column in range(8)},
                        "answer": "yes" if at % 3 else "no",
                    }
                )
                + "\n"
                for at in range(start, min(start + _BLOCK, rows))
            )


def seal(export: Path, folder: Path, kill_at: int | None) -> float:
    """Seal, and kill it once so many records are read; return the seconds."""
    words = [sys.executable, "-m", "metav_audit", "log", "seal", export, "-o", folder / "sealed", "--project", folder]
    start = time.monotonic()
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    note = folder / "sealed" / "sealing" / "note.json"
    while process.poll() is None:
        time.sleep(_POLL_S)
        if kill_at is not None and note.exists() and sum(json.loads(note.read_text())["read"]) >= kill_at:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return time.monotonic() - start
    assert process.returncode == 0, f"sealing ended with {process.returncode}"
    return time.monotonic() - start


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "project.toml").write_text(PROJECT + "".join(COLUMN.format(at=at) for at in range(8)))
        write_export(folder / "export.jsonl", rows)
        size = (folder / "export.jsonl").stat().st_size
        first = seal(folder / "export.jsonl", folder, rows // 2)
        second = seal(folder / "export.jsonl", folder, None)
        days = [json.loads(line) for line in (folder / "sealed" / "days.jsonl").read_text().splitlines()]
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        kept, peak = sum(day["rows"] for day in days), used.ru_maxrss / 1024
        cpu = used.ru_utime + used.ru_stime
        took = f"killed after {first:.0f} s, {second:.0f} s more"
        print(f"{kept} of {rows} rows, {len(days)} days, {size / 1e9:.2f} GB, {took}")
        print(f"{cpu:.0f} s of one processor in all, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
