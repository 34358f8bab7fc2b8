"""Servers' environments, the owner's bundle, and what is said of a run."""

from __future__ import annotations

import pytest

from tests.peers import auditing, environments
from tests.peers.digits import Digits, make_digits
from tests.peers.processes import last_words

_FOUND = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def digits() -> Digits:
    """The owner's bundle and the suspects."""
    return make_digits()


@pytest.fixture(scope="module")
def folder(request, tmp_path_factory):
    """A folder for the module's servers: logs, models, a home."""
    return tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2])


@pytest.fixture
def audit(request, digits, tmp_path):
    """Audit the suspects through a table of options, see that all is right, and note the verdicts."""

    def call(table, urls, shown=10):
        audits = auditing.audit(digits, tmp_path, table, urls)
        request.config.stash.setdefault(_FOUND, []).extend(_line(request.node.name, each) for each in audits)
        auditing.assert_right(digits, audits, shown)
        return {each.name: each for each in audits}

    return call


@pytest.fixture
def refused(digits, tmp_path):
    """Audit what cannot be asked so; return what the user is told."""

    def call(table, url):
        return auditing.refused(digits, tmp_path, table, url)

    return call


@pytest.fixture(scope="session")
def environment():
    """Make an environment by its name."""
    return environments.make_environment


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the servers' last words beside a test that failed."""
    report = (yield).get_result()
    if report.failed:
        report.sections.extend(last_words())


def pytest_terminal_summary(terminalreporter, config):
    """List every verdict of the run."""
    for line in config.stash.get(_FOUND, []):
        terminalreporter.write_line(line)


def _line(test, audit):
    verdict = audit.verdict
    score = "-" if verdict.score is None else f"{verdict.score:.4f}, p = {verdict.p_value:.4f}"
    told = f"{audit.transcript.endpoint.adapter}, {verdict.requests} requests, {verdict.view}"
    return f"{test.removeprefix('test_')}: {audit.name}: {verdict.outcome} (score {score}; {told})"
