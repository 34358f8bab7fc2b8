"""The task: what goes in and what comes out."""

from __future__ import annotations

import pytest

from metav_audit.errors import ConfigurationError
from metav_audit.task import ClassScores, TaskSpec
from tests.builders import make_task

GOOD = make_task().to_json()


def test_a_task_survives_its_description():
    """to_json and from_json are inverse."""
    assert TaskSpec.from_json(GOOD) == make_task()


def test_labels_are_counted():
    """The size of one output is the number of labels."""
    assert ClassScores(("a", "b", "c")).size == 3


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"output": {"kind": "classification", "labels": ["a"]}}, "at least two labels"),
        ({"output": {"kind": "classification", "labels": ["a", "b", "a"]}}, "not distinct"),
        ({"output": {"kind": "poetry", "labels": ["a", "b"]}}, "poetry"),
        ({"output": {"kind": "classification"}}, "labels"),
        ({"output": {"kind": "classification", "labels": None}}, "not described rightly"),
        ({"output": None}, "not described rightly"),
        ({"input": None}, "not described rightly"),
        ({"input": {"kind": "image"}}, "not described rightly"),
    ],
)
def test_a_task_that_cannot_be_is_refused(fields, said):
    """A missing or impossible field is a configuration error of one line."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        TaskSpec.from_json({**GOOD, **fields})
    assert "\n" not in str(caught.value)
