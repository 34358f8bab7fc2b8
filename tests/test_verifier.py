"""The meta-verifier's forward pass in numpy equals torch's."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.fingerprint.joint import JointSettings, JointVerifier
from metav_audit.responses import LOG_FLOOR
from metav_audit.verifier import MetaVerifier, VerifierKind

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 40), st.integers(2, 20), st.integers(1, 150))


def random_verifier(queries, classes, hidden, seed, spread=1.0):
    """A verifier with random weights in evaluation mode, and the target's random answers."""
    torch.manual_seed(seed)
    verifier = JointVerifier(queries, classes, JointSettings(hidden=hidden)).eval()
    with torch.no_grad():
        for parameter in verifier.parameters():
            parameter.mul_(spread)
    return verifier, torch.rand(queries, classes) * LOG_FLOOR


@settings(max_examples=80)
@given(SIZES, st.integers(0, 2**31), st.sampled_from([0.1, 1.0, 5.0]))
def test_numpy_equals_torch(sizes, seed, spread):
    """Random verifiers of many sizes score within 1e-5 of torch in evaluation mode."""
    models, queries, classes, hidden = sizes
    verifier, reference = random_verifier(queries, classes, hidden, seed, spread)
    answers = torch.rand(models, queries, classes) * LOG_FLOOR
    with torch.no_grad():
        expected = torch.sigmoid(verifier(answers, reference)).numpy()
    scores = verifier.export(reference).scores(answers.numpy(), np.ones(answers.shape, bool))
    assert scores.shape == (models,)
    assert scores.dtype == np.float64
    assert np.abs(scores - expected).max() <= 1e-5


@settings(max_examples=40)
@given(SIZES, st.integers(0, 2**31))
def test_what_is_masked_counts_as_equal_to_the_target(sizes, seed):
    """Whatever stands under the mask, the score is that of the target's own answer in its place."""
    models, queries, classes, hidden = sizes
    verifier, reference = random_verifier(queries, classes, hidden, seed)
    exported, rng = verifier.export(reference), np.random.default_rng(seed)
    values = (rng.random((models, queries, classes)) * LOG_FLOOR).astype(np.float32)
    mask = rng.random(values.shape) < 0.5
    filled = np.where(mask, values, reference.numpy())
    garbage = np.where(mask, values, 1e6).astype(np.float32)
    expected = exported.scores(filled, np.ones_like(mask))
    assert np.allclose(exported.scores(values, mask), expected, atol=1e-12)
    assert np.array_equal(exported.scores(garbage, mask), exported.scores(values, mask))


def test_scores_stay_in_range_for_huge_logits():
    """A verifier of huge weights saturates at 0 and 1 and overflows nowhere."""
    tensors = {
        "reference": np.zeros((1, 2), np.float32),
        "scale": np.ones((1, 2), np.float32),
        "hidden.weight": np.array([[1e15, 0], [0, 1e15]], np.float32),
        "hidden.bias": np.zeros(2, np.float32),
        "output.weight": np.array([[1e15, -1e15]], np.float32),
        "output.bias": np.zeros(1, np.float32),
    }
    values = np.array([[[5.0, 0.0]], [[0.0, 5.0]]], np.float32)
    assert MetaVerifier(VerifierKind.JOINT, tensors).scores(values, np.ones(values.shape, bool)).tolist() == [1.0, 0.0]


def agreement(labels):
    return MetaVerifier(VerifierKind.AGREEMENT, {"labels": np.array(labels, np.float32)})


def test_agreement_is_the_share_of_equal_labels():
    """Two of four labels equal the target's."""
    values = np.log(np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8]], np.float32))[None]
    assert agreement([0, 1, 1, 0]).scores(values, np.ones(values.shape, bool)).tolist() == [0.5]


def test_agreement_is_taken_over_what_was_shown():
    """Unanswered queries do not count, hidden classes cannot win, and nothing shown is a score of 0."""
    values = np.log(np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8]], np.float32))
    answered = np.array([True, True, False, False])[:, None] & np.ones((4, 2), bool)
    first_hidden = np.tile([False, True], (4, 1))
    masks = np.stack([answered, first_hidden, np.zeros((4, 2), bool)])
    scores = agreement([0, 1, 1, 0]).scores(np.stack([values] * 3), masks)
    assert scores.tolist() == [1.0, 0.5, 0.0]
