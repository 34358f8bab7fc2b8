"""The request log of a language model: prompts and answers as texts, and how each was drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.errors import DataError
from metav_audit.transcript.log import BROKEN, Drawn, LogFormat, Row, inputs_of
from tests.transcript.test_log import TASK, seal

DAY = "2026-03-01T10:00:00Z"
SAID = {"time": DAY, "account": "acme", "input": "What \u2192 is\nit?", "answer": "", "model": "m-1",
        "sampler": "top-p 0.9", "temperature": 0.7}  # fmt: skip


def test_a_log_of_texts_keeps_them_as_they_are(tmp_path):
    """Prompt, answer, and how it was drawn; an answer may be empty, other columns are named."""
    log, _ = seal(tmp_path, [SAID, {**SAID, "answer": '\U0001f600 "quoted"'}], LogFormat(None))
    first, second = log.rows()
    assert (first.input.decode(), first.answer, first.how) == (SAID["input"], "", Drawn("m-1", "top-p 0.9", 0.7))
    assert second.answer == '\U0001f600 "quoted"'
    log.check()
    with pytest.raises(DataError, match="language model's log"):
        inputs_of([first], TASK)


@pytest.mark.parametrize(("change", "words"), [
    ({"input": ""}, "prompt is empty"), ({"input": 3}, "no text but int"), ({"answer": None}, "no answer"),
    ({"input": "x" * 100_001}, "at most 100000"), ({"temperature": -1}, "no temperature"),
    ({"temperature": "warm"}, "no temperature"),
    ({"model": ["m"]}, "no text but list"), ({"sampler": None}, "no sampler"),
    ({"account": ""}, "no name"), ({"answer": "\ud800"}, "surrogate"),
])  # fmt: skip
def test_a_text_that_is_none_is_left_out_and_named(tmp_path, change, words):
    """With its reason."""
    log, done = seal(tmp_path, [SAID, {**SAID, **change}], LogFormat(None))
    assert (log.count, done.broken) == (1, 1)
    assert words in (log.path / BROKEN).read_text()


@given(prompt=st.text(min_size=1, max_size=30), answer=st.text(max_size=30), temperature=st.floats(0, 100))
def test_a_row_of_texts_comes_back_as_it_was(prompt, answer, temperature):
    """Line by line, whatever characters there are."""
    row = Row("acme", answer, DAY, prompt.encode(), Drawn("m", "s", temperature))
    assert Row.from_line(row.to_line()) == row


@pytest.mark.parametrize("line", [
    b'{"account":"a","answer":"x","at":"2026-03-01","how":{"model":"m","sampler":"s","temperature":1.0},"input":3}',
    b'{"account":"a","answer":[1.0],"at":"2026-03-01","how":{"model":"m","sampler":"s","temperature":1.0},"input":"p"}',
    b'{"account":"a","answer":"x","at":"2026-03-01","how":{"model":"m"},"input":"p"}',
])  # fmt: skip
def test_a_line_that_is_no_row_of_texts_is_none(line):
    """Whatever stands in the place of a text."""
    with pytest.raises((ValueError, TypeError)):
        Row.from_line(line)
