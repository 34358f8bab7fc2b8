"""Glances: three queries a night, and an audit where they moved or its time has come; no swap is missed for it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from metav_audit.audit import glance
from metav_audit.task import OutputView
from metav_audit.watch.glances import QUERIES, Glanced, chosen, has_moved, telling
from metav_audit.watch.history import standings
from metav_audit.watch.run import World, run_due
from tests.audit.helpers import endpoint
from tests.audit.test_cli import BUNDLE, FAR, TARGET, table
from tests.builders import linear_model
from tests.servers import ModelServer
from tests.watch.fleets import DAY, PATIENCE, START, plan, sighting
from tests.watch.test_claims import DRAW, TELLER, kinds
from tests.watch.test_cli import FLEET, later, run  # noqa: F401

MONTHLY = replace(plan(rhythm=replace(plan().rhythm, every=DAY)), full_every=30 * DAY, glance=3)


def nights(history, models, count, view=OutputView()):  # noqa: B008
    """Watch an endpoint whose model follows from the night; return what was asked each night."""
    asked, rng = [], np.random.default_rng(7)

    def ask(claim):
        night = len(asked)
        seen = sighting(model=models(night), seed=night, view=view)
        if claim.reference is not None:
            queries = np.arange(QUERIES)
            if not has_moved(claim.reference, queries, seen.answers[queries]):
                asked.append("glance")
                return Glanced(QUERIES)
        asked.append("audit")
        return seen

    for night in range(count):
        world = World(lambda at=START + night * DAY: at, DRAW, ask, lambda _: 0)
        run_due(history, [MONTHLY], world, PATIENCE, TELLER, parallel=1)
    assert rng is not None
    return asked


def test_where_nothing_moves_one_night_in_thirty_is_an_audit(history):
    """All others are glances, which leave neither verdict nor event."""
    asked = nights(history, lambda night: 1, 61)
    assert [night for night, each in enumerate(asked) if each == "audit"] == [0, 30, 60]
    (standing,) = standings(history)
    assert (standing.last.status, len(standing.audits), kinds(history)) == ("done", 61, [])


@pytest.mark.parametrize("view", [OutputView(), OutputView(noise=0.01), OutputView(decimals=2), OutputView(top=3)])
def test_a_swap_is_told_in_the_night_after_it(history, view):
    """Once; the glance saw it, and an audit followed in the same night."""
    asked = nights(history, lambda night: int(night >= 17), 30, view)
    assert [night for night, each in enumerate(asked) if each == "audit"] == [0, 17]
    assert kinds(history) == ["change"]


def test_who_fails_or_changes_is_audited_and_not_glanced_at(history):
    """A glance compares with what is known to be one model's."""
    asked = nights(history, lambda night: 1, 3)
    assert asked == ["audit", "glance", "glance"]


def test_the_queries_are_the_bundle_s_most_telling_that_were_answered():
    """In a fixed order; an audit that stopped early has answered the first ones alone."""
    order = telling(BUNDLE)
    assert sorted(order.tolist()) == list(range(len(BUNDLE.inputs)))
    answers = BUNDLE.reference.copy()
    answers[order[0]] = np.nan
    assert chosen(BUNDLE, replace(sighting(), answers=answers)).tolist() == order[1 : 1 + QUERIES].tolist()


def test_a_glance_asks_each_query_once_and_an_ended_one_nothing(tmp_path):
    """Its transcript goes on where it stopped."""
    with ModelServer(TARGET) as server:
        for _ in range(2):
            answers, transcript = glance(
                BUNDLE.inputs[:3], "0" * 64, BUNDLE.task.output, endpoint(server.url, BUNDLE.task), tmp_path
            )
        assert (len(server.log), transcript.requests) == (3, 3)
    assert np.allclose(answers, BUNDLE.reference[:3], atol=1e-4)


def test_a_fleet_that_glances_asks_three_queries_and_tells_a_swap(run, tmp_path):  # noqa: F811
    """From the command line, against a server: an audit, a glance, and where it moved a whole audit."""
    (tmp_path / "fleet.toml").write_text(FLEET + 'full_every = "30d"\n')
    with ModelServer(FAR) as other:
        (tmp_path / "endpoints.toml").write_text(table("other", other.url))
        run("watch", "fleet.toml")
        first = len(other.log)
        later(tmp_path)
        code, lines, told = run("watch", "fleet.toml")
        assert (code, lines, len(other.log) - first) == (0, [], QUERIES)
        assert "other (toy): nothing moved" in told
        assert list((tmp_path / "evidence").glob("*/*/glance")) == []
        later(tmp_path)
        other.model = linear_model(BUNDLE.task, 12, distance=3.0)
        _, lines, _ = run("watch", "fleet.toml")
        assert [json.loads(line)["kind"] for line in lines] == ["change"]
        assert len(other.log) == 2 * first + 2 * QUERIES
    _, lines, _ = run("history", "fleet.toml", "other")
    assert "glanced" in lines[2]
    assert run("page", "fleet.toml")[0] == 0
