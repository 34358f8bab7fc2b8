"""The committee: virtual copies, votes in numpy and torch, what is hidden, and the outcome."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.bundle import COARSE_FLOOR, MetaVerifier, VerifierKind
from metav_audit.fingerprint.methods.committee import (
    Committee,
    CommitteeSettings,
    optimise_committee,
    with_virtual_models,
)
from metav_audit.fingerprint.methods.descent import Zoo
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.methods.virtual import as_log_probabilities, bend, mix
from metav_audit.task import LOG_FLOOR, Features, OutputView, Quantities, TaskSpec
from metav_audit.task.outputs import Quantity
from tests.builders import make_task, softmax
from tests.bundle.test_verifier import SIZES
from tests.fingerprint.test_metav import DERIVED, DOMAIN, INDEPENDENT, SPACE, STARTS, TARGET, TASK, model

SETTINGS = CommitteeSettings(steps=60, models=3, mixed=3, bent=3, hidden=16)


VALUES = TaskSpec(DOMAIN, Quantities(tuple(Quantity(name, 0.0, 5.0) for name in "abcd")))
"""The same models, taken for regressions."""


def optimise(seed=0, task=TASK):
    torch.set_num_threads(1)
    return optimise_committee(Zoo(TARGET, DERIVED, INDEPENDENT, task), STARTS, SETTINGS, seed)


def distributions(*shape):
    """Random log-probabilities, clipped as features are."""
    return torch.log_softmax(4 * torch.randn(*shape), dim=-1).clamp(min=LOG_FLOOR)


def test_a_mixed_copy_lies_between_the_target_and_an_independent_model():
    """Its twin lies between two independent models, by the same share and with the same other end."""
    torch.manual_seed(0)
    target, independent = torch.zeros(2, 3), torch.arange(1.0, 5.0)[:, None, None].expand(4, 2, 3)
    copies, twins = mix(target, independent, 50, (0.2, 0.8))
    # An independent model k answers k everywhere: a copy is (1 - w) k, its twin (1 - w) k + w l with another l.
    for copy, twin in zip(copies[:, 0, 0].tolist(), twins[:, 0, 0].tolist(), strict=True):
        fits = [
            (first, other)
            for first in range(1, 5)
            for other in range(1, 5)
            if first != other and 0.2 - 1e-6 <= 1 - copy / first <= 0.8 + 1e-6
            and abs(copy + (1 - copy / first) * other - twin) < 1e-5
        ]  # fmt: skip
        assert fits
    assert mix(target, independent[:1], 3, (0.2, 0.8))[1].shape == (3, 2, 3)


def test_bending_keeps_what_a_linear_map_keeps():
    """The same queries' answers of one model stay equal, and without noise the top class stays where it was."""
    torch.manual_seed(0)
    answers = distributions(1, 6, 4)
    answers[:, 3] = answers[:, 0]
    bent = as_log_probabilities(bend(answers, 5, 0.3))
    assert torch.allclose(bent[:, 3], bent[:, 0])
    assert torch.allclose(bent.exp().sum(dim=2), torch.ones(5, 6), atol=1e-4)
    assert not torch.allclose(bent, answers.expand_as(bent), atol=0.1)
    straight = bend(answers, 5, 0.0)
    assert torch.equal(straight.argmax(dim=2), answers.argmax(dim=2).expand(5, 6))


def test_every_virtual_copy_has_a_twin_and_the_target_stands_first():
    """Both sides grow by as many; answers of a task without labels are mixed and not bent."""
    torch.manual_seed(0)
    high, low = distributions(4, 5, 3), distributions(6, 5, 3)
    copies, twins = with_virtual_models(high, low, SETTINGS, labelled=True)
    assert (len(copies), len(twins)) == (4 + 6, 6 + 6)
    assert torch.allclose(copies[:4], high, atol=1e-4)
    plain = with_virtual_models(high, low, SETTINGS, labelled=False)
    assert [len(side) for side in plain] == [4 + 3, 6 + 3]


def random_committee(queries, width, seed, *, labelled):
    """A committee with random weights in evaluation mode, exported with a random line a vote; the target's answers."""
    torch.manual_seed(seed)
    values = Quantities(tuple(Quantity(f"q{index}", 0.0, 1.0) for index in range(width)))
    space = make_task(width).output if labelled else values
    committee = Committee(queries, space, CommitteeSettings(hidden=7)).eval()
    with torch.no_grad():
        for parameter in committee.parameters():
            parameter.add_(torch.randn_like(parameter))
    line = torch.randn(5 if labelled else 3, 3).abs()
    reference = distributions(queries, width)
    names = committee.votes(reference[None], reference)
    return committee, reference, line, committee.export(reference, dict(zip(names, line, strict=True)))


@settings(max_examples=60)
@given(SIZES, st.integers(0, 2**31), st.booleans())
def test_numpy_equals_torch(sizes, seed, labelled):
    """In full, the score is the sigmoid of the weighted mean of torch's votes, each on its line, within 1e-5."""
    models, queries, width, _ = sizes
    committee, reference, line, exported = random_committee(queries, width, seed, labelled=labelled)
    answers = distributions(models, queries, width).clamp(min=LOG_FLOOR + 1e-3)
    with torch.no_grad():
        votes = committee.double().votes(answers.double(), reference.double())
        odds = [
            weight * (slope * vote + offset) for vote, (slope, offset, weight) in zip(votes.values(), line, strict=True)
        ]
        expected = torch.sigmoid(torch.stack(odds).sum(dim=0) / line[:, 2].sum()).numpy()
    scores = exported.scores(answers.numpy(), np.ones(answers.shape, bool))
    assert scores.dtype == np.float64
    assert np.abs(scores - expected).max() <= 1e-5


@settings(max_examples=30)
@given(SIZES, st.integers(0, 2**31), st.booleans())
def test_what_is_hidden_is_not_read(sizes, seed, labelled):
    """Whatever stands under the mask, the score is the same; nothing shown at all is a score of 0."""
    models, queries, width, _ = sizes
    *_, exported = random_committee(queries, width, seed, labelled=labelled)
    values, rng = distributions(models, queries, width).numpy(), np.random.default_rng(seed)
    mask = rng.random(values.shape) < 0.5
    garbage = np.where(mask, values, 1e6).astype(np.float32)
    assert np.array_equal(exported.scores(garbage, mask), exported.scores(values, mask))
    assert exported.scores(values, np.zeros_like(mask)).tolist() == [0.0] * models


@pytest.fixture(scope="module")
def fitted():
    """A fingerprint and its committee, and the answers of fresh models of both sides."""
    fingerprint, verifier = optimise()
    fresh = [TARGET, *(model(seed, distance=0.1) for seed in range(20, 28))]
    strangers = [model(seed, distance=3.0) for seed in range(200, 208)]
    return (
        fingerprint,
        verifier,
        features_of_all(fresh, fingerprint, SPACE),
        features_of_all(strangers, fingerprint, SPACE),
    )


VIEWS = [OutputView(), OutputView(top=2), OutputView(decimals=2), OutputView(label_only=True)]


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_one_committee_separates_through_every_view(fitted, view):
    """Fresh derived models score above fresh independent ones, on average and in most pairs, whatever is hidden."""
    _, verifier, high, low = fitted
    shown = [view.apply(Features(side, np.ones(side.shape, bool)), SPACE) for side in (high, low)]
    scores = [verifier.scores(side.values, side.mask) for side in shown]
    assert (scores[0][:, None] > scores[1]).mean() > 0.9
    assert scores[0][0] == scores[0].max()


def test_the_fingerprint_is_valid_and_the_seed_decides(fitted):
    """The same seed gives the same bits, another seed others; inputs lie on the domain's grid."""
    fingerprint, verifier, *_ = fitted
    again, other = optimise(), optimise(seed=1)
    assert verifier.kind is VerifierKind.COMMITTEE
    assert np.array_equal(DOMAIN.project(fingerprint), fingerprint)
    assert np.array_equal(again[0], fingerprint)
    assert all(np.array_equal(array, verifier.tensors[name]) for name, array in again[1].tensors.items())
    assert not np.array_equal(other[0], fingerprint)


def test_without_labels_there_are_three_votes():
    """An output that is no classification's is read by distance, local and joint verifiers alone."""
    fingerprint, verifier = optimise(task=VALUES)
    assert {name for name in verifier.tensors if name.startswith("line.")} == {
        f"line.{each}" for each in ("distance", "local", "joint")
    }
    assert not {"coarse.weight", "labels.weight"} & set(verifier.tensors)
    own = features_of_all([TARGET, *INDEPENDENT], fingerprint, VALUES.output)
    scores = verifier.scores(own, np.ones(own.shape, bool))
    assert scores[0] > scores[1:].max()


def test_nobody_s_answers_are_not_derived(fitted):
    """Uniform answers, and a derived model's answers to other queries, score low in full and as labels."""
    _, verifier, high, _ = fitted
    nobody = np.concatenate([np.full_like(high[:1], -np.log(4)), np.roll(high, 1, axis=1)])
    assert verifier.scores(nobody, np.ones(nobody.shape, bool)).max() < 0.5


def votes_of(name, reference, weight=1.0):
    """A committee of which one vote alone counts, by the line log-odds = vote."""
    shape = np.shape(reference)
    tensors = {
        "reference": np.array(reference), "scale": np.ones(shape),
        "distance.weight": np.full(shape, weight), "coarse.weight": np.full(shape, weight),
        "local.weight": np.zeros(shape), "local.bias": np.zeros(shape[0]),
        "joint.hidden.weight": np.zeros((1, np.size(reference))), "joint.hidden.bias": np.zeros(1),
        "joint.output.weight": np.zeros((1, 1)), "joint.output.bias": np.zeros(1),
        "labels.weight": np.arange(1.0, shape[0] + 1),
    }  # fmt: skip
    lines = {f"line.{each}": np.zeros(3) for each in ("distance", "coarse", "local", "joint", "labels")}
    lines[f"line.{name}"] = np.array([1.0, 0.0, 1.0])
    arrays = {key: np.asarray(array, np.float32) for key, array in (tensors | lines).items()}
    return MetaVerifier(VerifierKind.COMMITTEE, arrays)


def vote(verifier, values, mask=None):
    """The vote behind a score."""
    values = np.asarray(values, np.float32)[None]
    score = verifier.scores(values, np.ones(values.shape, bool) if mask is None else np.array(mask)[None])[0]
    return np.log(score / (1 - score))


def test_distances_by_hand():
    """The mean difference in nats; to the coarse distance, all below 1/200 is the same."""
    reference, answer = np.log([[0.9, 0.0999, 1e-4]]), np.log([[0.9, 1e-4, 0.0999]])
    fine, coarse = np.log(0.0999 / 1e-4) * 2 / 3, np.log(0.0999 * 200) * 2 / 3
    assert vote(votes_of("distance", reference), answer) == pytest.approx(-fine, rel=2e-3)
    assert vote(votes_of("coarse", reference), answer) == pytest.approx(-coarse, rel=2e-3)
    assert np.exp(COARSE_FLOOR) == pytest.approx(1 / 200)


def test_how_sharp_a_model_is_does_not_count():
    """The target's own answers at another temperature are as near as its own; uniform answers are far."""
    reference = np.log(softmax(np.random.default_rng(0).normal(size=(4, 3))))
    one = votes_of("distance", reference)
    for temperature in (0.5, 1.0, 2.0, 3.5):
        assert vote(one, np.log(softmax(reference / temperature))) == pytest.approx(0.0, abs=5e-3)
    assert vote(one, np.full((4, 3), np.log(1 / 3))) < -0.3


def test_a_hidden_class_is_as_near_as_what_is_shown_allows():
    """At most the least that was shown, at most what is left of the probability, and within that the target's own."""
    other = [0.01, 0.49, 0.5]
    reference, mask = np.log([[0.2, 0.5, 0.3], other]), [[True, False, False], [True] * 3]
    for name in ("distance", "coarse", "local"):
        one = votes_of(name, reference)
        for shown, filled in ((0.45, [0.45, 0.45, 0.3]), (0.9, [0.9, 0.1, 0.1]), (0.2, [0.2, 0.2, 0.2])):
            hidden = vote(one, np.log([[shown, 1, 1], other]), mask)
            assert hidden == pytest.approx(vote(one, np.log([filled, other])), abs=1e-5)


def test_rounding_is_no_distance():
    """A model that answers like the target, to two decimals, is as near as it can be seen to be."""
    reference = np.log([[0.7, 0.299, 1e-3], [0.5, 0.49, 0.01]])
    shown = OutputView(decimals=2).apply(
        Features(reference.astype(np.float32)[None], np.ones((1, 2, 3), bool)), make_task(3).output
    )
    assert vote(votes_of("distance", reference), shown.values[0]) > -0.01


def test_labels_alone_are_the_weighted_share_of_labels():
    """The second of two queries weighs twice the first, and no other vote is counted."""
    reference = np.log([[0.9, 0.1], [0.2, 0.8]])
    one = votes_of("labels", reference)
    for answer, share in (([0, 1], 1.0), ([0, 0], 1 / 3), ([1, 1], 2 / 3), ([1, 0], 0.0)):
        mask = np.eye(2, dtype=bool)[answer]
        assert vote(one, np.zeros((2, 2)), mask) == pytest.approx(share, abs=1e-5)
    assert vote(one, np.zeros((2, 2)), [[True, False], [False, False]]) == pytest.approx(1.0, abs=1e-5)
