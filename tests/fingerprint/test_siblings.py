"""The method siblings: shared queries that treat target and siblings alike, on a bundle that says what it stands on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import BundleError, ConfigurationError, DataError
from metav_audit.fingerprint.fit import make_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.methods.siblings import blend, choose_shared, information
from metav_audit.fingerprint.proof import replay_bundle
from metav_audit.task import Features
from metav_audit.verdict import Rule, VerdictOutcome
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.replay import ReplayStatus
from tests.toy import TASK, TRAINING, install_presets, write_toy


@pytest.fixture(scope="module")
def made(toy, tmp_path_factory):
    """The toy with nine siblings: its workshop, zoo and bundle."""
    install_presets()
    written = load_project(write_toy(tmp_path_factory.mktemp("siblings"), TRAINING, queries="8"))
    project = dataclasses.replace(written, other_store=toy.workshop.project.store)
    zoo = build_zoo(project, jobs=1)
    making = Making.of(open_workshop(project), zoo)
    return making, make_bundle(making)


def test_a_project_with_a_program_is_fitted_with_siblings(made):
    """By default, with the target first in the table, and what it stands on in the provenance."""
    making, bundle = made
    assert (making.method.name, bundle.method, bundle.verifier.siblings) == ("siblings", "siblings", 9)
    assert np.array_equal(bundle.verifier.tensors["models"][0], bundle.reference)
    training = bundle.provenance["training"]
    assert training["seeds"] == list(making.workshop.project.sibling_seeds)
    assert training["status"] == "reproduced"
    assert training["stranger_p_value"] > 0.05
    assert "tests.toy" in training["sources"]
    assert training["libraries"]["torch"] == torch.__version__


def test_the_same_project_gives_the_same_bundle(made, tmp_path):
    """And it is read back as it was written."""
    making, bundle = made
    assert make_bundle(making).sha256 == bundle.sha256
    bundle.save(tmp_path / "bundle")
    assert FingerprintBundle.load(tmp_path / "bundle").verifier.siblings == 9


def test_which_model_is_the_target_plays_no_part_in_the_queries():
    """With the models in any other order the same inputs tell as much, and the same are chosen."""
    answers = np.random.default_rng(0).dirichlet(np.ones(3), (10, 50))
    told, turned = information(answers), information(answers[::-1])
    assert np.allclose(told, turned)
    assert choose_shared(told.round(9), 30, 12).tolist() == choose_shared(turned.round(9), 30, 12).tolist()


def test_natural_inputs_that_tell_enough_go_before_blends():
    """After the best few; and where there are too few inputs all are taken."""
    told = np.array([0.3, 0.01, 0.26, *np.linspace(1, 0.5, 20)])
    assert choose_shared(told, 3, 8).tolist() == [3, 4, 5, 6, 0, 2, 7, 8]
    assert sorted(choose_shared(told, 3, 99).tolist()) == list(range(23))


def test_blends_lie_between_two_pictures():
    """Valid in the domain, with as many as asked for."""
    pool = TASK.domain.sample(2, np.random.default_rng(0))
    blends = blend(TASK.domain, pool, 20, np.random.default_rng(1))
    assert blends.shape == (20, *TASK.domain.shape)
    assert (blends >= pool.min(axis=0) - 1 / 255).all()
    assert (blends <= pool.max(axis=0) + 1 / 255).all()


def test_the_target_is_a_match(made):
    """First among its siblings, and above all independents."""
    making, bundle = made
    answers = features_of_all([making.workshop.target.network], bundle.inputs, bundle.task.output)
    rule = Rule.through(bundle)
    (target,) = rule.score_all(Features(answers, np.ones(answers.shape, bool)))
    assert target.p_value_siblings == 0.1
    assert target.score > 0.9
    assert rule.conclude(target).outcome is VerdictOutcome.MATCH


def test_siblings_too_few_for_the_promise_are_refused(tmp_path):
    """With how many it takes; and without a program the method says how one is named."""
    install_presets()
    few = load_project(write_toy(tmp_path / "few", TRAINING, preset='"mini"', false_match="0.05"))
    with pytest.raises(ConfigurationError, match=r"rate of 0\.05 takes 19 siblings at least, and 9 are asked for"):
        build_zoo(few, jobs=1)
    none = load_project(write_toy(tmp_path / "none", preset='"mini"'))
    with pytest.raises(ConfigurationError, match=r"name its program below \[training\]"):
        Making.of(open_workshop(none), build_zoo(none, jobs=1), "siblings")


def test_a_seed_that_does_not_give_the_target_is_refused(made):
    """By fit, and by a replay of the bundle, which finds the target's own seed again."""
    making, bundle = made
    found = replay_bundle(bundle, making.workshop)
    assert (found.status, found.furthest) == (ReplayStatus.REPRODUCED, 0.0)
    text = making.workshop.project.text.replace("seed = 1\n", "seed = 2\n")
    project = dataclasses.replace(making.workshop.project, text=text)
    wrong = dataclasses.replace(making.workshop, project=project)
    assert replay_bundle(bundle, wrong).status is ReplayStatus.NOT_REPRODUCED
    with pytest.raises(DataError, match="does not give the target again"):
        make_bundle(dataclasses.replace(making, workshop=wrong))


def test_a_bundle_without_siblings_cannot_be_replayed(made):
    """And says so."""
    from tests.builders import make_bundle as built

    with pytest.raises(BundleError, match="made without siblings"):
        replay_bundle(built(), made[0].workshop)
