"""The databases that the watch is tested on: SQLite in a file, and a real PostgreSQL where it is installed."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.servers import free_port


def _programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    beside = shutil.which("initdb")
    return None if beside is None else Path(beside).parent


PROGRAMS = _programs()
HAS_POSTGRESQL = PROGRAMS is not None and find_spec("psycopg") is not None
NO_POSTGRESQL = pytest.mark.skipif(not HAS_POSTGRESQL, reason="PostgreSQL or psycopg is not installed: make test-watch")
BACKENDS = ["sqlite", pytest.param("postgresql", marks=NO_POSTGRESQL)]


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Start a server of its own in a folder, and stop it at the end; yield its address without a database."""
    port, data = free_port(), folder / "data"
    as_other = ["runuser", "-u", "postgres", "--"] if getpass.getuser() == "root" else []
    if as_other:
        shutil.chown(folder, "postgres")
        for above in folder.parents:
            if above.owner() == "root" and above.stat().st_mode & 0o005 != 0o005 and above != Path("/"):
                above.chmod(above.stat().st_mode | 0o001)

    def run(program: str, *words: object) -> None:
        command = [*as_other, str(PROGRAMS / program), *map(str, words)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, timeout=120)

    run("initdb", "-D", data, "-A", "trust", "-U", "watch", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=100 -p {port}"
    run("pg_ctl", "-D", data, "-w", "-t", "60", "-l", folder / "log", "-o", options, "start")
    try:
        yield f"postgresql://watch@127.0.0.1:{port}"
    finally:
        run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


class Databases:
    """Gives addresses of empty databases."""

    def __init__(self, folder: Path, server: str | None) -> None:
        self._folder, self._server, self._count = folder, server, 0

    def new(self) -> str:
        """Return the address of an empty database."""
        self._count += 1
        name = f"watch_{os.getpid()}_{self._count}"
        if self._server is None:
            return str(self._folder / f"{name}.sqlite3")
        import psycopg

        with psycopg.connect(f"{self._server}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"{self._server}/{name}"
