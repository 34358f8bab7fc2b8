"""The joint optimisation, its parts and its outcome."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from metav_audit.fingerprint.methods.descent import Zoo
from metav_audit.fingerprint.methods.features import (
    clip_in_place,
    features_of,
    features_of_all,
    project_straight_through,
)
from metav_audit.fingerprint.methods.ipguard import optimise_boundary
from metav_audit.fingerprint.methods.metav import JointSettings, answers_of_nobody, metav_loss, optimise_jointly
from metav_audit.task import LOG_FLOOR, Answer, ClassScores, ImageDomain, ScoreKind, TaskSpec, features

DOMAIN = ImageDomain(1, 3, 3, -1.0, 1.0, levels=16)
SPACE = ClassScores(tuple("abcd"))
TASK = TaskSpec(DOMAIN, SPACE)


def model(seed, base=0, distance=1.0):
    """A linear model with sharp answers, one ``distance`` away from model ``base``."""
    torch.manual_seed(base)
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 4))
    torch.manual_seed(1000 + seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(4).add_(distance * torch.randn_like(parameter))
            parameter.requires_grad = False
    return network


TARGET = model(0, distance=0.0)
DERIVED = [model(seed, distance=0.1) for seed in range(8)]
INDEPENDENT = [model(seed, distance=3.0) for seed in range(100, 108)]
STARTS = DOMAIN.sample(5, np.random.default_rng(0))
ZOO = Zoo(TARGET, DERIVED, INDEPENDENT, TASK)
SETTINGS = JointSettings(steps=60, models=3, hidden=16)


def optimise(seed=0, settings=SETTINGS, starts=STARTS, **more):
    torch.set_num_threads(1)
    return optimise_jointly(ZOO, starts, settings, seed, **more)


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=6), st.lists(st.floats(-30, 30), min_size=1, max_size=6))
def test_the_loss_is_the_paper_s(positive, negative):
    """-log V(F(X)) - mean log V(F+(X)) - mean log(1 - V(F-(X))), by hand."""
    own = 0.3

    def log_sigmoid(logit):
        return -math.log1p(math.exp(-logit)) if logit > -30 else logit

    by_hand = -log_sigmoid(own)
    by_hand -= sum(map(log_sigmoid, positive)) / len(positive)
    by_hand -= sum(log_sigmoid(-logit) for logit in negative) / len(negative)
    loss = metav_loss(torch.tensor([own, *positive, *negative], dtype=torch.float64), len(positive))
    assert float(loss) == pytest.approx(by_hand, rel=1e-9, abs=1e-12)


def test_gradients_pass_the_projection_unchanged():
    """Forward is the projection exactly, backward the identity."""
    inputs = torch.linspace(-1.2, 1.2, 18).reshape(2, 1, 3, 3).requires_grad_()
    arriving = project_straight_through(inputs, DOMAIN)
    slope = torch.randn(arriving.shape, generator=torch.Generator().manual_seed(0))
    (arriving * slope).sum().backward()
    assert np.allclose(arriving.detach().numpy(), DOMAIN.project(inputs.detach().numpy()), atol=1e-6)
    assert torch.equal(inputs.grad, slope)


def test_clipping_stays_in_place():
    """Relaxed inputs are brought back into the range, in the same tensor."""
    inputs = torch.full((1, 1, 3, 3), 5.0, requires_grad=True)
    clip_in_place(inputs, DOMAIN)
    assert inputs.requires_grad
    assert (inputs == 1).all()


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.floats(0.1, 30))
def test_features_in_torch_equal_those_of_an_api_s_answers(seed, scale):
    """The differentiable features are those that the auditor computes from the same model's logits."""
    network, inputs = model(seed, distance=scale), DOMAIN.sample(3, np.random.default_rng(seed))
    with torch.no_grad():
        logits = network(torch.from_numpy(inputs))
    shown = features([Answer(tuple(row)) for row in logits.tolist()], SPACE, ScoreKind.LOGIT)
    assert np.allclose(features_of_all([network], inputs, SPACE)[0], shown.values, atol=1e-5)
    assert float(features_of(network, torch.from_numpy(inputs), SPACE).min()) >= np.float32(LOG_FLOOR)


def test_the_fingerprint_is_valid_and_the_verifier_separates():
    """The inputs lie on the domain's grid; target and derived models score above every independent."""
    fingerprint, verifier = optimise()
    assert np.array_equal(DOMAIN.project(fingerprint), fingerprint)
    assert not np.array_equal(fingerprint, STARTS)
    fresh = [TARGET, *(model(seed, distance=0.1) for seed in range(20, 28))]
    strangers = [model(seed, distance=3.0) for seed in range(200, 208)]
    high, low = (features_of_all(side, fingerprint, SPACE) for side in (fresh, strangers))
    scores = [verifier.scores(side, np.ones(side.shape, bool)) for side in (high, low)]
    assert scores[0].min() > scores[1].max()


def test_answers_of_nobody_are_answers_that_no_model_gave():
    """Uniform, drawn, and others' answers: distributions all, and no query keeps its own answer."""
    torch.manual_seed(0)
    answers = torch.log_softmax(5 * torch.randn(3, 5, 4), dim=2)
    uniform, drawn, shuffled, labels = answers_of_nobody(answers, answers[0], SPACE).split(3)
    for each in (uniform, drawn, shuffled):
        assert torch.allclose(each.exp().sum(dim=2), torch.ones(3, 5), atol=1e-4)
    assert uniform.unique().numel() == 1
    for before, after in zip(answers, shuffled, strict=True):
        assert sorted(map(tuple, after.tolist())) == sorted(map(tuple, before.tolist()))
        assert not any(torch.equal(own, other) for own, other in zip(before, after, strict=True))
    shown = torch.nn.functional.one_hot(shuffled.argmax(dim=2), 4).bool()
    assert (labels[shown] == 0).all()
    assert torch.equal(labels[~shown], answers[0].expand_as(labels)[~shown])
    assert answers_of_nobody(answers[:, :1], answers[0, :1], SPACE).shape == (6, 1, 4)


def test_the_verifier_does_not_take_nobody_s_answers_for_derived():
    """Uniform answers, and a derived model's answers to other queries, score low."""
    fingerprint, verifier = optimise()
    own = features_of_all(DERIVED, fingerprint, SPACE)
    nobody = np.concatenate([np.full_like(own[:1], -math.log(4)), np.roll(own, 1, axis=1)])
    assert verifier.scores(nobody, np.ones(nobody.shape, bool)).max() < 0.5


def test_the_seed_decides_and_leaves_torch_s_own_alone():
    """The same seed gives the same bits, another seed others, and the global generator does not move."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = optimise(), optimise(), optimise(seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(first[0], again[0])
    assert all(np.array_equal(array, again[1].tensors[name]) for name, array in first[1].tensors.items())
    assert not np.array_equal(first[1].tensors["hidden.weight"], other[1].tensors["hidden.weight"])


def test_the_reference_is_the_target_s_own_answer():
    """What the verifier compares with are the target's features on the final inputs."""
    fingerprint, verifier = optimise()
    assert np.allclose(verifier.tensors["reference"], features_of_all([TARGET], fingerprint, SPACE)[0], atol=1e-6)


def test_progress_is_told_of_every_step():
    """Steps are counted from one to the end."""
    told = []
    optimise(settings=JointSettings(steps=5), progress=lambda done, total: told.append((done, total)))
    assert told == [(step, 5) for step in range(1, 6)]


def test_boundary_queries_lie_nearer_to_the_boundary():
    """IPGuard's queries are valid, their two highest logits closer than before, and the target agrees with itself."""
    fingerprint, verifier = optimise_boundary(TARGET, TASK, STARTS)

    def gaps(inputs):
        with torch.no_grad():
            high, low = TARGET(torch.from_numpy(inputs)).topk(2, dim=1).values.T
        return (high - low).mean()

    own = features_of_all([TARGET], fingerprint, SPACE)
    assert np.array_equal(DOMAIN.project(fingerprint), fingerprint)
    assert gaps(fingerprint) < gaps(STARTS)
    assert verifier.scores(own, np.ones(own.shape, bool)).tolist() == [1.0]


def test_boundary_queries_of_two_classes():
    """With two classes there is no third logit to keep below."""
    torch.manual_seed(0)
    two = nn.Sequential(nn.Flatten(), nn.Linear(9, 2)).requires_grad_(requires_grad=False)
    fingerprint, _ = optimise_boundary(two, TaskSpec(DOMAIN, ClassScores(("a", "b"))), STARTS)
    assert np.isfinite(fingerprint).all()
