"""The history's tables: migrations that were shipped never change, and make just the tables that the code knows."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import metav_audit.watch.migrations
from metav_audit.errors import ConfigurationError, EvidenceError, RemoteError, SecretError
from metav_audit.watch.database import open_history
from metav_audit.watch.tables import METADATA
from tests.servers import free_port

FOLDER = Path(metav_audit.watch.migrations.__file__).parent
SHIPPED = {
    "v0001_history.py": "6f7eda2a2278fa70eb21d1571359a7cf5d1db7908f8a4d2d30be64dd3858b16e",
    "v0002_fleets.py": "71d5906c7e6ce28fec728cd62eacee0ce936b9e30ac5cf81a7e63ed6200d8eb8",
}
"""Of every migration its SHA-256: a file that was shipped is never changed, a new one is appended here."""


def test_migrations_only_append():
    """Every one is what it was when it was shipped."""
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("v*.py")} == SHIPPED


def test_migrations_make_the_tables_that_the_code_knows(history):
    """Column by column."""
    with history.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_two_that_open_an_empty_database_at_once_both_can(databases, tmp_path):
    """One makes the tables, and the other waits."""
    program = "import sys; from pathlib import Path; from metav_audit.watch.database import open_history\n"
    program += "with open_history(sys.argv[1], Path()) as history:\n    with history.writing(): pass"
    words = [sys.executable, "-c", program, databases.new()]
    several = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=tmp_path) for _ in range(4)]
    assert [(each.communicate()[1], each.returncode) for each in several] == [("", 0)] * 4


def test_tables_of_a_newer_program_are_refused(databases, tmp_path):
    """What they mean is not known here."""
    address = databases.new()
    with open_history(address, tmp_path) as history, history.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(EvidenceError, match=r"newer program's \(tables of 9999\)"):
        open_history(address, tmp_path)


def test_a_transaction_that_fails_leaves_nothing(history):
    """Not even its turn."""
    with pytest.raises(ZeroDivisionError), history.writing():
        _ = 1 / 0
    with history.reading() as connection:
        assert connection.execute(sa.text("SELECT turn FROM gate")).scalar() == 0


def test_an_address_that_is_wrong_is_said_without_its_password(tmp_path):
    """Neither a driver that is not there, nor a variable that is not set, nor a server that is down shows it."""
    secret = {"PASSWORD": "hush"}
    with pytest.raises(ConfigurationError, match="begins with 'nosuch'") as error:
        open_history("nosuch://me:${PASSWORD}@127.0.0.1/x", tmp_path, secret)
    assert "hush" not in str(error.value)
    with pytest.raises(SecretError, match="PASSWORD is not set"):
        open_history("postgresql://me:${PASSWORD}@127.0.0.1/x", tmp_path, {})
    with pytest.raises(ConfigurationError, match="the history's address is none"):
        open_history("://x", tmp_path, {})
    with pytest.raises(RemoteError, match="cannot be used"):
        open_history("no/such/folder.sqlite3", tmp_path)


def test_a_server_that_is_down_is_one_line(tmp_path):
    """Of PostgreSQL, where its driver is there."""
    pytest.importorskip("psycopg")
    address = f"postgresql://me:${{PASSWORD}}@127.0.0.1:{free_port()}/x"
    with pytest.raises(RemoteError) as error:
        open_history(address, tmp_path, {"PASSWORD": "hush"})
    assert "hush" not in str(error.value)
    assert "\n" not in str(error.value)
