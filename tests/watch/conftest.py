"""Databases, real ones, once a test session."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from metav_audit.watch.database import open_history
from tests.watch.databases import BACKENDS, Databases, postgresql


@pytest.fixture(scope="session", params=BACKENDS)
def databases(request):
    """Empty databases of one kind and then the other; PostgreSQL's server is started here."""
    with tempfile.TemporaryDirectory(prefix="watch-") as folder:
        if request.param == "sqlite":
            yield Databases(Path(folder), None)
        else:
            with postgresql(Path(folder)) as server:
                yield Databases(Path(folder), server)


@pytest.fixture
def history(databases, tmp_path):
    """An empty history."""
    with open_history(databases.new(), tmp_path) as opened:
        yield opened
