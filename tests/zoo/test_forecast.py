"""How long a zoo takes: told in time, and made to fit."""

from __future__ import annotations

import dataclasses

import pytest

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.zoo.build import build_zoo, choose_share, missing_of, plans_of
from metav_audit.zoo.forecast import (
    SIBLINGS,
    Stopwatch,
    effort_of,
    kind_of,
    largest_share,
    line_of,
    seconds_of,
    tried_first,
)
from metav_audit.zoo.plan import Split
from metav_audit.zoo.presets import plan_zoo
from metav_audit.zoo.project import load_project, open_workshop
from tests.toy import TRAINING, install_presets, write_toy

PLANS = plan_zoo("quick", ("mlp-small", "cnn-small"), 3)
ROWS = {"train": 1000, "heldout": 500}


def test_two_of_each_kind_come_first_and_none_is_lost():
    """The rest stands as it stood."""
    ordered = tried_first(PLANS)
    assert sorted(map(repr, ordered)) == sorted(map(repr, PLANS))
    counts: dict[str, int] = {}
    late = False
    for plan in ordered:
        counts[kind_of(plan)] = counts.get(kind_of(plan), 0) + 1
        late = late or counts[kind_of(plan)] > 2
        assert not late or counts[kind_of(plan)] > 2


def test_a_forecast_is_what_was_timed_times_what_is_left():
    """By part and in total, shared among workers; a kind that was not timed takes what its recipe takes."""
    watch = Stopwatch(workers=2, rows=ROWS)
    ahead = [plan for plan in tried_first(PLANS) if plan.depth == 0]
    for plan in ahead[: 2 * len({kind_of(plan) for plan in ahead})]:
        watch.note(plan, effort_of(plan, ROWS) / 1000)
    watch.note_sibling(10.0)
    assert watch.knows(PLANS)
    parts = watch.parts(PLANS, 39)
    inputs = sum(effort_of(plan, ROWS) for plan in PLANS)
    assert sum(parts.values()) == pytest.approx(inputs / 1000 / 2 + 39 * 10 / 2)
    assert parts[SIBLINGS] == 39 * 10 / 2
    assert line_of(parts).startswith(
        "the zoo will take about 19 min more: independents 8 min, distill 6 min, siblings 3 min, "
    )


def test_a_maker_that_trains_longer_or_on_more_takes_longer():
    """Epochs, the share of a side, that side's own size, blends and an early stop all count; pruning is one step."""
    (one,) = [plan for plan in PLANS if "epochs" in plan.settings and plan.data == "train"][:1]

    def effort(**settings):
        return effort_of(dataclasses.replace(one, settings=settings), ROWS)

    assert effort(epochs=10, share=0.8) == 8000
    assert effort(epochs=10, share=0.8, blends=1.5) == pytest.approx(20_000)
    assert effort(epochs=10, share=0.8, stop=0.25) == 2000
    assert effort(ratio=0.4) == 1
    assert effort_of(dataclasses.replace(one, data="heldout", settings={"epochs": 10}), ROWS) == 5000


def test_nothing_is_known_before_two_of_each_kind():
    """One is not enough."""
    watch = Stopwatch(workers=1, rows=ROWS)
    for plan in {kind_of(plan): plan for plan in PLANS}.values():
        watch.note(plan, 1.0)
    assert not watch.knows(PLANS)


@pytest.mark.parametrize(("budget", "share"), [(1e9, 1.0), (500.0, 0.5), (480.0, 0.45)])
def test_the_largest_share_that_fits_is_chosen(budget, share):
    """A second a lineage, a thousand lineages."""
    assert largest_share(budget, lambda part: [None] * round(1000 * part), len) == share


def test_a_budget_that_nothing_fits_says_what_would():
    """The smallest zoo's own time."""
    with pytest.raises(DataError, match=r"no zoo fits 60 s: the smallest .* takes about 2 min"):
        largest_share(60, lambda part: [None] * round(1000 * part), len)


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "0m", "1 week"])
def test_what_is_no_time_is_refused(text):
    """With how it is written."""
    with pytest.raises(ConfigurationError, match="write a number and s, m, h or d"):
        seconds_of(text)


def test_a_smaller_share_is_part_of_the_larger_one():
    """So that what was trained is trained again for no share; the calibration keeps what the rates need."""
    small = plan_zoo("standard", ("mlp-small",), 3, share=0.3)
    whole = {repr(plan.making()) for plan in plan_zoo("standard", ("mlp-small",), 3)}
    assert all(repr(plan.making()) in whole for plan in small)
    lineages = {plan.lineage for plan in small if plan.split is Split.CALIBRATION and not plan.derived}
    assert len(lineages) >= 19


def test_a_budget_trains_the_trial_alone_and_names_a_share(tmp_path):
    """Two of each kind and the first siblings are timed; the whole preset fits a day, and none fits a moment."""
    install_presets()
    project = load_project(write_toy(tmp_path, TRAINING, preset='"mini"'))
    share, parts = choose_share(project, 86_400.0, jobs=1)
    assert share == 1.0
    assert SIBLINGS in parts
    assert missing_of(open_workshop(project), plans_of(open_workshop(project)))
    zoo = build_zoo(dataclasses.replace(project, share=share), jobs=1)
    assert zoo.surrogates
    other = load_project(write_toy(tmp_path / "other", TRAINING, preset='"mini"', seed="8"))
    with pytest.raises(DataError, match="no zoo fits"):
        choose_share(other, 0.001, jobs=1)
