"""Two audits compared: a swap is seen through every view, and the same model is never called another."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from metav_audit.task import OutputView
from metav_audit.watch.compare import compare
from tests.watch.fleets import answers_of, sighting

VIEWS = {
    "all": OutputView(),
    "noise": OutputView(noise=0.01),
    "much noise": OutputView(noise=0.02),
    "2 decimals": OutputView(decimals=2),
    "top 3": OutputView(top=3),
    "label": OutputView(label_only=True),
}
PAIRS = 400


def near(model, by, seed=5):
    """A fine-tuned copy: logits moved by so much."""
    shares = np.log(answers_of(model)) + by * np.random.default_rng(seed).normal(size=answers_of(model).shape)
    shares = np.exp(shares)
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_another_model_is_another(view):
    """However little is shown."""
    found = compare(sighting(0, view, 1), sighting(1, view, 2))
    assert found.changed
    assert "inputs are answered otherwise" in found.signs[0]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_the_same_model_is_the_same(view):
    """In 400 pairs of audits, with inputs unanswered in each, and noise that is known to a tenth."""
    rng = np.random.default_rng(3)
    for seed in range(PAIRS):
        one, other = (
            sighting(seed, dataclasses.replace(view, noise=view.noise), 2 * seed + side, 0.1) for side in (0, 1)
        )
        told = [
            dataclasses.replace(each, view=dataclasses.replace(view, noise=view.noise * rng.normal(1.0, 0.1)))
            for each in (one, other)
        ]
        assert compare(*told).changed is False, seed


@pytest.mark.parametrize("name", ["all", "noise", "2 decimals", "top 3"])
def test_a_fine_tuned_copy_is_another(name):
    """A model that moved a little in all of its answers."""
    assert compare(sighting(0, VIEWS[name], 1), sighting(near(0, 0.5), VIEWS[name], 2)).changed


def test_the_last_digits_are_no_change():
    """Servers batch, and their arithmetic with them."""
    assert compare(sighting(0), sighting(near(0, 1e-4))).changed is False


def test_other_queries_cannot_be_compared():
    """Another bundle asks other inputs: names and view alone can tell."""
    other = sighting(1, bundle_sha256="1" * 64)
    found = compare(sighting(0), other)
    assert (found.answers, found.changed) == (None, None)
    named = compare(
        sighting(0, identities={"x-model-version": ("1",)}),
        dataclasses.replace(other, identities={"x-model-version": ("2",)}),
    )
    assert named.changed
    assert named.signs == ("x-model-version was 1, is 2",)


def test_names_of_the_machine_mean_nothing():
    """Balanced servers differ in them."""
    one, other = (sighting(0, identities={"address": (each,)}) for each in ("10.0.0.1", "10.0.0.2"))
    found = compare(one, other)
    assert found.machine == {"address": ("10.0.0.1", "10.0.0.2")}
    assert found.changed is False


def test_a_view_that_changed_is_a_sign():
    """An API that rounds from today on."""
    found = compare(sighting(0), sighting(0, OutputView(decimals=2), view_words="all classes, 2 decimals"))
    assert found.view_changed
    assert found.signs == ("it showed all classes, shows all classes, 2 decimals",)


def test_too_few_answers_or_several_models_tell_nothing():
    """Nothing is claimed of what was not seen."""
    assert compare(sighting(0), sighting(1, lost=1.0)).changed is None
    assert compare(sighting(0), sighting(1, steady=False)).changed is None


def test_a_score_moves_beyond_its_noise():
    """A hint, and no sign by itself."""
    within = compare(sighting(0, score=0.3, score_noise=0.02), sighting(0, score=0.35, score_noise=0.02))
    beyond = compare(sighting(0, score=0.3), sighting(0, score=0.35))
    assert (within.score_moved, beyond.score_moved) == (False, True)
    assert beyond.changed is False
