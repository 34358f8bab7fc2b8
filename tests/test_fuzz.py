"""A little of the fuzzing that ``python -m tests.bench.fuzz`` does for ten minutes a target."""

from __future__ import annotations

import pytest

from tests.bench.fuzz import MAKERS, NAMES, Target, fuzz


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    return {each.name: each for maker in MAKERS for each in maker(tmp_path_factory.mktemp("fuzz"))}


@pytest.mark.parametrize("name", NAMES)
def test_what_others_wrote_is_taken_or_refused(targets, name):
    """By an error of its own kind, whatever was changed."""
    read, found = fuzz(targets[name], 0.2)
    assert read > 0
    assert not found


def test_the_fuzzer_finds_what_is_there(targets):
    """A reader that raises something else is a finding, with the smallest example."""

    def reader(example):
        if len(example[1]) > 2:
            raise ZeroDivisionError("here")

    spoilt = Target("broken", targets["audit-folder"].examples, reader)
    _, found = fuzz(spoilt, 0.2)
    assert [each.what for each in found.values()] == ["ZeroDivisionError: here"]
