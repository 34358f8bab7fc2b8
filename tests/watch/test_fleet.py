"""The fleet file: what is wrong with it is said in a line that names the place."""

from __future__ import annotations

import contextlib
import re
from dataclasses import fields
from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from metav_audit.cli.history import _line
from metav_audit.errors import ConfigurationError
from metav_audit.watch.due import Rhythm
from metav_audit.watch.fleet import load_fleet
from metav_audit.watch.history import AuditRow, Standing
from metav_audit.watch.hours import QuietHours, seconds_of, span_words

GOOD = """
timezone = "Europe/Vienna"
[watches.ours]
endpoints = "endpoints.toml"
bundles = ["out/digits.bundle"]
every = "1d"
jitter = "2h"
quiet = ["Mon-Fri 08:00-18:00"]
[budgets]
requests = 1000
[budgets.hosts."api.example.com"]
cost = 12.5
"""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@pytest.fixture
def load(tmp_path):
    """Read a fleet file's text."""

    def call(text):
        (tmp_path / "fleet.toml").write_text(text)
        return load_fleet(tmp_path / "fleet.toml")

    return call


def test_a_fleet_file_is_read(load):
    """Spans are seconds, a folder's name is its bundle's, budgets are by scope."""
    fleet = load(GOOD)
    watch = fleet.file.watches["ours"]
    assert watch.rhythm == Rhythm(86400.0, 7200.0)
    assert list(fleet.bundles) == ["digits"]
    assert fleet.file.budgets.hosts["api.example.com"].cost == 12.5


def test_quiet_hours_are_one_text_or_a_list(load):
    """As docs/watching.md writes them."""
    one, two = (load(GOOD.replace('["Mon-Fri 08:00-18:00"]', text)) for text in ('"22:00-07:00"', '["22:00-07:00"]'))
    assert one.file.watches["ours"].quiet == two.file.watches["ours"].quiet == ("22:00-07:00",)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('every = "1d"', 'every = "daily"', "watches.ours.every: .*'daily' is no span of time"),
        ('every = "1d"', "evry = 1", "watches.ours.evry: this key is unknown"),
        ('jitter = "2h"', 'jitter = "20h"', "jitter is more than half of every"),
        ("Mon-Fri 08:00-18:00", "Mon-Fri 8-18", "watches.ours.quiet: .*is no span of hours"),
        ('["Mon-Fri 08:00-18:00"]', "[22, 7]", "watches.ours.quiet: .*write one text like .*, or a list"),
        ('["Mon-Fri 08:00-18:00"]', '"22-7"', "watches.ours.quiet: .*is no span of hours"),
        ("Europe/Vienna", "Europe/Wien", "timezone: 'Europe/Wien' is unknown"),
        ("requests = 1000", "requests = -1", "budgets.requests: .*greater than or equal to 0"),
        ("[watches.ours]", "[watches.'o/s']", "'o/s' is no name"),
        ("cost = 12.5", "cost = 1\n[budgets.bundles.other]\ncost = 1", "budgets.bundles.other: no watch names"),
        ("[budgets]", '[notify.x]\nkind = "webhook"\n[budgets]', "notify.x.url: this key is missing"),
        ("[budgets]", '[notify.x]\nkind = "pager"\n[budgets]', "notify.x.kind: "),
        ("[watches.ours]", "[watches.ours", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(load, old, new, told):
    """In one line."""
    with pytest.raises(ConfigurationError) as error:
        load(GOOD.replace(old, new, 1))
    assert re.search(told, str(error.value))
    assert "\n" not in str(error.value)


@given(st.integers(1, 999_999), st.sampled_from("smhdw"))
def test_a_span_is_read_as_it_is_written(number, unit):
    """Whatever the unit."""
    seconds = seconds_of(f"{number}{unit}")
    assert seconds == number * UNITS[unit]
    assert seconds_of(span_words(seconds)) == seconds


@given(st.text(max_size=20))
def test_what_is_no_span_is_refused(text):
    """By a ValueError alone."""
    with contextlib.suppress(ValueError):
        assert seconds_of(text) >= 0


@given(st.integers(0, 6), st.integers(0, 23), st.integers(0, 23), st.integers(0, 7 * 24 * 60 - 1))
def test_quiet_hours_cover_what_they_say(day, start, end, minute):
    """Every minute of a week, over midnight, too."""
    if start == end:
        return
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    quiet = QuietHours.of([f"{days[day]} {start:02}:00-{end:02}:00"], UTC)
    monday = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
    begins = (day * 24 + start) * 60
    length = ((end - start) % 24) * 60
    assert quiet.cover(monday + 60 * minute) == ((minute - begins) % (7 * 24 * 60) < length)


@given(st.floats(60, 1e7), st.floats(0, 2e9), st.floats(-1e8, 1e8), st.integers(1, 1000))
def test_a_slot_after_is_ahead_and_no_more_than_an_interval(every, slot, off, number):
    """Whatever the clock says; jitter never makes an audit come early."""
    rhythm = Rhythm(every, every / 3)
    now = max(slot + off, slot - rhythm.slack)
    after = rhythm.slot_after(slot, now)
    assert now < after <= now + every + rhythm.slack + 1e-3
    assert slot <= rhythm.due_at(slot, "key", number) <= slot + rhythm.jitter
    assert rhythm.settled(slot, now) <= now + every + rhythm.slack


@pytest.mark.parametrize(("length", "shown"), [(200, "w" * 200), (201, "w" * 199 + "\u2026")])
def test_a_reason_that_is_cut_ends_in_an_ellipsis(length, shown):
    """One that fits stands whole."""
    told = dict.fromkeys(field.name for field in fields(AuditRow)) | {"status": "done", "outcome": "inconclusive"}
    row = AuditRow(**told | {"why": "w" * length})
    assert f", {shown}; 1 audits" in _line(Standing(1, "a", "b", "u", 0.0, 1, None, lost=False, audits=(row,)), None)
