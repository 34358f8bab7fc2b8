"""The database: opened, brought up to date, and written to by one at a time; SQLite or PostgreSQL, by address."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from metav_audit.audit import fill_in
from metav_audit.errors import ConfigurationError, EvidenceError, RemoteError
from metav_audit.watch.fleet import Fleet
from metav_audit.watch.tables import GATE

_WAIT_S = 60.0
"""Seconds that a writer waits for its turn."""
_MIGRATING = 8_311_009
"""The number of PostgreSQL's advisory lock under which tables are made."""
_KINDS = ("sqlite", "postgresql", "postgres")
_BEGIN = {True: "BEGIN", False: "BEGIN IMMEDIATE"}


class History:
    """An open database; close it, or use it as a context manager.

    Args:
        engine: where it is.
        name: what messages call it; no password stands in it.
        fleet: whose rows are read and written; several fleets may share a database.
    """

    def __init__(self, engine: sa.Engine, name: str, fleet: str) -> None:
        self.engine, self.name, self.fleet = engine, name, fleet

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a transaction in which nobody else writes; it is undone where the block fails.

        Raises:
            RemoteError: the database cannot be reached, or is busy for a minute.
        """
        with self._told(), self.engine.begin() as connection:
            connection.execute(GATE.update().values(turn=GATE.c.turn + 1))
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a transaction that sees one state of all tables; errors are those of ``writing``."""
        options: dict[str, Any] = {"reading": True}
        if self.engine.dialect.name == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"
        with self._told(), self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise RemoteError(f"the history at {self.name} cannot be used: {_first_line(error)}") from error


def fleet_of(connection: sa.Connection) -> str:
    """Return whose rows a history's connection reads and writes."""
    return str(connection.info["fleet"])


def open_history(address: str, beside: Path, environment: Mapping[str, str] = os.environ, fleet: str = "") -> History:
    """Open a history, and make or migrate its tables where they are missing or older.

    Args:
        address: a file's name, or a URL such as ``postgresql://user:${PASSWORD}@host/name``.
        beside: the folder that a file's name counts from.
        environment: where variables are looked up.
        fleet: whose rows are read and written.

    Raises:
        ConfigurationError: the address is wrong, or its driver is not installed.
        SecretError: a variable is not set.
        EvidenceError: the tables are a newer program's.
        RemoteError: it cannot be reached.
    """
    url = _url(address, beside, environment)
    try:
        engine = sa.create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite", **_options(url))
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"the history's driver {url.drivername} is not installed: pip install 'metav-audit[postgresql]'"
        ) from error
    if engine.dialect.name == "sqlite":
        _take_over_transactions(engine)
    sa.event.listen(engine, "connect", lambda _, record: record.info.update(fleet=fleet))
    history = History(engine, url.render_as_string(hide_password=True).removeprefix("sqlite:///"), fleet)
    try:
        _migrate(history)
    except BaseException:
        engine.dispose()
        raise
    return history


def open_standing(fleet: Fleet, environment: Mapping[str, str] = os.environ) -> History:
    """Open the history of a fleet that was watched before; for the errors see ``open_history``."""
    address = fleet.file.database
    if "://" not in address and not fleet.place(address).exists():
        raise ConfigurationError(
            f"there is no history at {fleet.place(address)}: 'metav-audit watch {fleet.path}' makes it"
        )
    return open_history(address, fleet.path.parent, environment, fleet.name)


def _url(address: str, beside: Path, environment: Mapping[str, str]) -> sa.URL:
    if "://" not in address:
        return sa.URL.create("sqlite", database=str(beside / address))
    try:
        url = make_url(fill_in(address, environment))
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "the history's address is none: write a file's name, or postgresql://user@host/name"
        ) from None
    if url.get_backend_name() not in _KINDS:
        raise ConfigurationError(
            f"the history's address begins with {url.drivername[:20]!r}: it may be a file's name, or postgresql://"
        )
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _options(url: sa.URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": _WAIT_S}}
    return {"connect_args": {"connect_timeout": 10}, "pool_size": 5, "max_overflow": 59}


def _take_over_transactions(engine: sa.Engine) -> None:
    """Let a transaction that writes be one from its beginning: Python's driver begins it at the first write."""

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql(_BEGIN[bool(connection.get_execution_options().get("reading"))])


def _migrate(history: History) -> None:
    """Run the migrations that are missing; of two programs that begin at once, one does and the other waits."""
    script = _migrations()
    head = script.get_current_head()
    with history.reading() as connection:
        standing = _revision(connection)
    if standing == head:
        return
    if standing is not None and standing not in {each.revision for each in script.walk_revisions()}:
        raise EvidenceError(
            f"the history at {history.name} is a newer program's (tables of {standing}): update this one"
        )
    try:
        with history.engine.connect() as connection, _references_unchecked(connection), connection.begin():
            if history.engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
            _run_migrations(connection, script)
    except OperationalError as error:
        raise RemoteError(f"the history at {history.name} cannot be made: {_first_line(error)}") from error


@contextmanager
def _references_unchecked(connection: sa.Connection) -> Iterator[None]:
    """Let SQLite put a table in another's place: what refers to it would be checked in between."""
    raw = connection.connection.dbapi_connection if connection.dialect.name == "sqlite" else None
    if raw is not None:
        raw.cursor().execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        if raw is not None:
            raw.cursor().execute("PRAGMA foreign_keys = ON")


def _migrations() -> ScriptDirectory:
    folder = str(Path(__file__).with_name("migrations"))
    return ScriptDirectory(folder, version_locations=[folder])


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _run_migrations(connection: sa.Connection, script: ScriptDirectory) -> None:
    def missing(revision: Any, _context: object) -> Any:
        return script._upgrade_revs("head", revision)

    with EnvironmentContext(Config(), script, fn=missing, destination_rev="head") as environment:
        environment.configure(connection=connection)
        environment.run_migrations()


def _first_line(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
