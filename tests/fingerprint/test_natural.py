"""The natural inputs that a bundle gets: right, agreed upon, of whom the owner says, with near-duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from metav_audit.errors import ConfigurationError
from metav_audit.fingerprint.fit import models_of
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.natural import choose_natural
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import Project, Workshop, load_project
from tests.toy import TASK, write_toy

QUERIES = TASK.domain.sample(5, np.random.default_rng(0))


def of(toy, section):
    """The workshop of the toy project with a section [natural]."""
    project = toy.workshop.project
    text = f"{project.text}\n[natural]\n{section}\n"
    return Workshop(Project(project.path, text), toy.workshop.target, toy.workshop.data)


@pytest.fixture(scope="module")
def models(toy):
    held_out = toy.zoo.select(Split.CALIBRATION, derived=True) + toy.zoo.select(Split.CALIBRATION, derived=False)
    return models_of(toy.workshop, held_out)


@pytest.mark.parametrize("source", ["validation", "public", "synthetic"])
def test_natural_inputs_are_right_and_agreed_upon(toy, models, source):
    """The target names the true label, and nine tenths of the zoo name it, too; the labels take turns."""
    section = f'source = "{source}"\ncount = 9\n' + ('data = "heldout.npz"' if source == "public" else "")
    workshop = of(toy, section)
    natural = choose_natural(workshop, models, QUERIES, 3)
    natural.check(TASK, 5, len(models))
    assert natural.source == source
    labels = natural.reference.argmax(axis=1)
    assert np.bincount(labels).min() >= 2
    assert (natural.models.argmax(axis=2) == labels).mean() > 0.9
    pool = {"validation": workshop.data.validation, "public": workshop.data.heldout}.get(source)
    known = workshop.data.validation.inputs if pool is None else pool.inputs
    taken = [(known == one).reshape(len(known), -1).all(axis=1) for one in natural.inputs]
    assert all(found.any() for found in taken) is (source != "synthetic")
    if pool is not None:
        assert [int(pool.labels[found.argmax()]) for found in taken] == labels.tolist()


def test_near_duplicates_are_one_step_apart_and_move_no_model_far(toy, models):
    """One element by one level; what is said of how far answers lie apart holds for the target."""
    natural = choose_natural(toy.workshop, models, QUERIES, 3)
    inputs = np.concatenate([QUERIES, natural.inputs])
    moved = (natural.twins != inputs).reshape(len(inputs), -1)
    assert moved.sum(axis=1).tolist() == [1] * len(inputs)
    assert np.abs(natural.twins - inputs).max() < 1.01 / 255
    own, other = (
        features_of_all([toy.workshop.target.network], each, TASK.output)[0] for each in (inputs, natural.twins)
    )
    drift = [TASK.output.drift(one, two) for one, two in zip(own, other, strict=True)]
    assert (np.array(drift) <= natural.apart + 1e-6).all()


def test_the_owner_may_give_none(toy, models):
    """Then the bundle has none."""
    assert choose_natural(of(toy, 'source = "none"'), models, QUERIES, 3) is None


def test_public_inputs_have_to_be_named(tmp_path):
    """A source that is public needs its place, and a place needs such a source."""
    for section in ('source = "public"', 'data = "heldout.npz"'):
        path = write_toy(tmp_path, f"[natural]\n{section}\n")
        with pytest.raises(ConfigurationError, match="name public inputs"):
            _ = load_project(path).settings


def test_of_a_public_file_no_larger_than_wanted_all_that_are_right_are_taken(toy, models):
    """Whatever the seed: owners who agree on such a file have them in common."""
    workshop = of(toy, 'source = "public"\ncount = 1000\ndata = "heldout.npz"')
    chosen = [choose_natural(workshop, models[:1], QUERIES, seed).inputs for seed in (3, 4)]
    one, other = ({each.tobytes() for each in inputs} for inputs in chosen)
    held = workshop.data.heldout
    own = features_of_all([toy.workshop.target.network], held.inputs, TASK.output)[0]
    assert one == other == {each.tobytes() for each in held.inputs[own.argmax(axis=1) == held.labels]}
