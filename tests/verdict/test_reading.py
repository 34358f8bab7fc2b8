"""Answers that are no evidence are named, and lead to no verdict."""

from __future__ import annotations

import numpy as np
import pytest

from metav_audit.bundle import FingerprintBundle
from metav_audit.transcript import load_transcript
from metav_audit.verdict import VerdictOutcome, decide, read
from tests.builders import linear_model, make_bundle, make_task, softmax
from tests.folders import make_folder, rechain
from tests.scale import at_scale

BUNDLE = make_bundle(queries=24, task=make_task(classes=6), spread=0.2)


def reasons_of(folder) -> tuple[str, ...]:
    """Decide on a folder anew; a reason other than the usual four means that no verdict was given."""
    bundle = FingerprintBundle.load(folder / "bundle")
    verdict = decide(bundle, read(bundle, load_transcript(folder / "transcript.jsonl")))
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE
    assert verdict.score is None
    return verdict.reasons


def test_constant_answers_are_inconclusive(tmp_path):
    """An endpoint that answers every input alike is no model of the task."""
    constant = softmax(np.arange(6.0))
    folder = make_folder(tmp_path, lambda inputs: np.tile(constant, (len(inputs), 1)), BUNDLE)
    assert any("every input gets the same answer" in reason for reason in reasons_of(folder))


def test_a_constant_label_is_inconclusive(tmp_path):
    """An API that shows labels alone, and always the same one, is no model of the task either."""

    def one_label(records):
        records[0]["endpoint"]["scores"] = "label"
        for record in records:
            if "answers" in record:
                record["answers"] = [[1.0, None, None, None, None, None] for _ in record["answers"]]

    folder = make_folder(tmp_path, linear_model(BUNDLE.task, 0), BUNDLE)
    rechain(folder / "transcript.jsonl", one_label)
    assert any("every input gets the same answer" in reason for reason in reasons_of(folder))


@pytest.mark.scaled
def test_random_answers_are_inconclusive(tmp_path):
    """Random answers are unlike those of any model of the task, in 100 runs out of 100."""
    for seed in range(at_scale(20, 100)):
        rng = np.random.default_rng(seed)
        folder = make_folder(
            tmp_path / str(seed), lambda inputs, rng=rng: softmax(4 * rng.normal(size=(len(inputs), 6))), BUNDLE
        )
        assert any("unlike those of any model" in reason for reason in reasons_of(folder))


def test_a_server_that_renames_its_model_is_inconclusive(tmp_path):
    """A change in the names by which the server calls its model means that several models may have answered."""
    folder = make_folder(tmp_path, linear_model(BUNDLE.task, 0), BUNDLE)

    def rename(records):
        for number, record in enumerate(record for record in records if record["kind"] == "received"):
            record["identity"] = {"server": f"node {number}", "x-model-version": "1" if number < 9 else "2"}

    rechain(folder / "transcript.jsonl", rename)
    assert reasons_of(folder) == ("the server named itself differently during the run: x-model-version was 1 and 2",)


@pytest.mark.scaled
def test_honest_models_are_not_suspected(tmp_path):
    """Derived and independent models of the task get a verdict, 40 of 40."""
    for seed in range(at_scale(8, 20)):
        for distance in (0.05, 0.2):
            model = linear_model(BUNDLE.task, 5000 + seed, distance=distance)
            folder = make_folder(tmp_path / f"{seed}-{distance}", model, BUNDLE)
            verdict = decide(BUNDLE, read(BUNDLE, load_transcript(folder / "transcript.jsonl")))
            assert verdict.score is not None
