"""The registry of methods, and the methods that are no joint optimisation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from metav_audit.bundle import VerifierKind
from metav_audit.errors import ConfigurationError
from metav_audit.fingerprint.fit import make_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.methods import registry as methods
from metav_audit.fingerprint.methods.anafp import StretchSettings, ways_over
from metav_audit.fingerprint.methods.base import Materials
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.methods.local import LocalSettings, local_loss, optimise_locally
from metav_audit.fingerprint.methods.natural import choose_mistakes, choose_undecided
from metav_audit.fingerprint.methods.registry import METHODS, USUAL, default_method, find_method
from metav_audit.progress import silent
from metav_audit.task import OutputKind
from metav_audit.zoo.data import LabelledData, OwnerData
from tests.fingerprint.test_metav import DOMAIN, SPACE, STARTS, TARGET, TASK, ZOO, model


def test_every_method_is_known_by_its_name_and_one_line():
    """Names are the registry's keys, summaries are short, and an unknown name is answered with all that there are."""
    assert all(name == method.name and 0 < len(method.summary) < 90 for name, method in METHODS.items())
    with pytest.raises(ConfigurationError, match=f"use one of {', '.join(METHODS)}"):
        find_method("magic")


@pytest.mark.parametrize("kind", [OutputKind.REGRESSION, OutputKind.GENERATION])
def test_what_compares_labels_is_refused_where_there_are_none(kind):
    """The message names the methods that can serve such an output."""
    with pytest.raises(
        ConfigurationError, match=f"'akh' compares classes, and a {kind} has none: use one of metav, committee, local"
    ):
        find_method("akh", kind)
    assert find_method("committee", kind).name == "committee"


def test_the_settings_of_a_method_decide_its_bundle_and_no_other(toy, monkeypatch):
    """Other steps of the method local are another making of its own, and the same of metav."""
    before = {name: Making.of(toy.workshop, toy.zoo, name, seed=7).address for name in ("metav", "local")}
    other = dataclasses.replace(METHODS["local"], settings=lambda _: LocalSettings(steps=3))
    monkeypatch.setattr(methods, "METHODS", {**METHODS, "local": other})
    after = {name: Making.of(toy.workshop, toy.zoo, name, seed=7).address for name in ("metav", "local")}
    assert after["metav"] == before["metav"]
    assert after["local"] != before["local"]


@pytest.mark.parametrize("name", ["irisfp", "anafp"])
def test_restated_baselines_tell_copies_from_strangers_by_labels_alone(name):
    """Fresh derived models score above fresh independent ones; the inputs are valid; the seed decides."""
    torch.set_num_threads(1)
    chance, starts = np.random.default_rng(1), DOMAIN.sample(12, np.random.default_rng(0))
    pool = LabelledData(DOMAIN.sample(60, chance), np.zeros(60, np.int64))
    given = Materials(ZOO, starts, OwnerData(pool, pool, pool), (), (), 0, silent)
    method = METHODS[name]
    inputs, verifier = method.optimise(given, method.settings(None))
    assert inputs.shape == starts.shape
    assert np.array_equal(DOMAIN.project(inputs), inputs)
    fresh = [TARGET, *(model(seed, distance=0.1) for seed in range(20, 28))]
    strangers = [model(seed, distance=3.0) for seed in range(200, 208)]
    sides = [features_of_all(side, inputs, SPACE) for side in (fresh, strangers)]
    scores = [verifier.scores(side, np.ones(side.shape, bool)) for side in sides]
    assert scores[0][0] == 1.0
    assert scores[0].mean() > scores[1].max()
    assert np.array_equal(method.optimise(given, method.settings(None))[0], inputs)


def test_points_stretched_over_the_boundary_have_another_label():
    """Every point lies on the far side of the target's boundary, and the way back to the start's side is short."""
    anchors = DOMAIN.sample(9, np.random.default_rng(5))
    settings = StretchSettings()
    over = ways_over(TARGET, DOMAIN, anchors, settings)
    labels = [features_of_all([TARGET], each, SPACE)[0].argmax(axis=1) for each in (anchors, over)]
    assert (labels[0] != labels[1]).all()
    before = features_of_all([TARGET], (anchors + 0.999 * (over - anchors)).astype(np.float32), SPACE)[0]
    assert (before.argmax(axis=1) == labels[0]).all()


def test_the_local_loss_weighs_its_three_terms():
    """0.5 for the target, 1 for the mean of derived, 1.5 for the mean of independent models, summed over queries."""
    logits = torch.tensor([[0.3, -2.0], [1.0, 0.0], [3.0, 1.0], [-1.0, 0.5]], dtype=torch.float64)

    def cost(logit):
        return math.log1p(math.exp(-logit))

    by_hand = sum(
        0.5 * cost(own) + (cost(first) + cost(second)) / 2 + 1.5 * cost(-rival)
        for own, first, second, rival in logits.T.tolist()
    )
    assert float(local_loss(logits, 2, LocalSettings())) == pytest.approx(by_hand)


def test_local_verifiers_separate():
    """Fresh derived models score above every fresh independent one; the inputs are valid; the seed decides."""
    torch.set_num_threads(1)
    settings = LocalSettings(steps=80, models=3, input_rate=6e-3, verifier_rate=1e-2)
    given = (ZOO, STARTS, settings)
    fingerprint, verifier = optimise_locally(*given, 0)
    assert verifier.kind is VerifierKind.LOCAL
    assert np.array_equal(DOMAIN.project(fingerprint), fingerprint)
    fresh = [TARGET, *(model(seed, distance=0.1) for seed in range(20, 28))]
    strangers = [model(seed, distance=3.0) for seed in range(200, 208)]
    high, low = (features_of_all(side, fingerprint, SPACE) for side in (fresh, strangers))
    scores = [verifier.scores(side, np.ones(side.shape, bool)) for side in (high, low)]
    assert scores[0].min() > scores[1].max()
    assert np.array_equal(optimise_locally(*given, 0)[0], fingerprint)
    assert not np.array_equal(optimise_locally(*given, 1)[0], fingerprint)


def labelled(seed, count, wrong):
    """Inputs with the target's labels, the first ``wrong`` of them wrong."""
    inputs = DOMAIN.sample(count, np.random.default_rng(seed))
    labels = features_of_all([TARGET], inputs, SPACE)[0].argmax(axis=1)
    labels[:wrong] = (labels[:wrong] + 1) % 4
    return LabelledData(inputs, labels)


def test_mistakes_come_first_and_narrow_escapes_follow():
    """The validation data's mistakes, the held-out ones', then validation data by rising margin, then noise."""
    validation, heldout = labelled(1, 8, 2), labelled(2, 8, 3)
    chosen = choose_mistakes(TARGET, TASK, OwnerData(heldout, heldout, validation), 13)
    known = {each.tobytes(): name for name, part in (("v", validation), ("h", heldout)) for each in part.inputs}
    assert "".join(known.get(each.tobytes(), "n") for each in chosen) == "vvhhhvvvvvvnn"
    ranked = np.sort(features_of_all([TARGET], chosen[5:11], SPACE)[0], axis=1)
    gaps = ranked[:, -1] - ranked[:, -2]
    assert (np.diff(gaps) >= 0).all()


def test_baselines_ask_the_same_mistakes_and_random_ones_ask_the_starts(toy):
    """akh and sac share their queries; a model that answers like the target has the score 1 with each."""
    bundles = {name: make_bundle(Making.of(toy.workshop, toy.zoo, name)) for name in ("akh", "sac", "random")}
    assert np.array_equal(bundles["akh"].inputs, bundles["sac"].inputs)
    assert not np.array_equal(bundles["akh"].inputs, bundles["random"].inputs)
    for bundle in bundles.values():
        own = bundle.reference[None]
        assert bundle.verifier.scores(own, np.ones(own.shape, bool))[0] == pytest.approx(1.0)


def test_undecided_starts_lie_between_two_classes():
    """Half of the twice as many least decided inputs; the seed draws them, and noise fills up."""
    pool = labelled(3, 40, 0).inputs
    chosen = choose_undecided(TARGET, TASK, pool, 5, 0)
    ranked = np.sort(features_of_all([TARGET], pool, SPACE)[0], axis=1)
    undecided = {pool[row].tobytes() for row in np.argsort(ranked[:, -1] - ranked[:, -2])[:10]}
    assert len({each.tobytes() for each in chosen} & undecided) == 5
    assert not np.array_equal(choose_undecided(TARGET, TASK, pool, 5, 1), chosen)
    assert choose_undecided(TARGET, TASK, pool, 45, 0).shape == (45, 1, 3, 3)


@pytest.mark.parametrize("kind", OutputKind)
def test_the_default_method_can_serve_the_task(kind):
    """What is taken where nothing is asked for is in the registry, and so are the methods that are compared."""
    assert METHODS[default_method(kind)].serves(kind)
    assert set(USUAL) <= set(METHODS)
    assert any(METHODS[name].serves(kind) for name in USUAL)


def test_nothing_asked_for_is_the_default(toy):
    """A fit without a method's name is the default's, to the hash."""
    bundle = make_bundle(Making.of(toy.workshop, toy.zoo))
    assert (
        bundle.sha256
        == make_bundle(
            Making.of(toy.workshop, toy.zoo, default_method(OutputKind.CLASSIFICATION, siblings=True))
        ).sha256
    )
