"""The meta-verifier's forward pass in numpy equals torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.bundle import MetaVerifier, OwnerMark, VerifierKind, target_bits
from metav_audit.fingerprint.methods.fitprint import margins
from metav_audit.fingerprint.methods.local import LocalVerifiers
from metav_audit.fingerprint.methods.metav import JointSettings, JointVerifier
from metav_audit.task import LOG_FLOOR, Features, OutputView
from tests.builders import make_task

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 40), st.integers(2, 20), st.integers(1, 150))


def random_verifier(queries, classes, hidden, seed, spread=1.0):
    """A verifier with random weights in evaluation mode, and the target's random answers."""
    torch.manual_seed(seed)
    verifier = JointVerifier(queries, make_task(classes).output, JointSettings(hidden=hidden)).eval()
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


def test_a_group_agrees_where_as_many_of_its_labels_do_as_it_asks_for():
    """Of two groups of two labels, by thresholds of a half and of all; what was not answered is not asked for."""
    tensors = {"labels": [0, 1, 1, 0], "groups": [0, 0, 1, 1], "thresholds": [0.5, 1.0]}
    verifier = MetaVerifier(
        VerifierKind.COMPOSITE, {name: np.array(each, np.float32) for name, each in tensors.items()}
    )
    same, half, none = [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]
    values = np.log(np.eye(2)[[same, half, none]] * 0.8 + 0.1).astype(np.float32)
    mask = np.ones(values.shape, bool)
    assert verifier.scores(values, mask).tolist() == [1.0, 0.5, 0.0]
    mask[1, 3] = False
    mask[2] = False
    assert verifier.scores(values, mask).tolist() == [1.0, 1.0, 0.0]


def speller(bits, splits):
    tensors = {"bits": np.array(bits, np.float32), "splits": np.array(splits, np.float32)}
    return MetaVerifier(VerifierKind.BITS, tensors)


def logs(*answers):
    return np.log(np.array(answers, np.float32))[None]


@settings(max_examples=60)
@given(SIZES, st.integers(0, 2**31))
def test_bits_read_in_numpy_are_those_read_in_torch(sizes, seed):
    """On full answers the score is the share of margins above 0, as the optimisation has them."""
    models, queries, classes, _ = sizes
    wanted = target_bits(OwnerMark("x", f"{seed:064x}"), queries, min(3, classes - 1), classes)
    answers = torch.rand(models, queries, classes, generator=torch.Generator().manual_seed(seed)) * LOG_FLOOR
    right = margins(answers, wanted).numpy()
    scores = speller(wanted.bits, wanted.splits).scores(answers.numpy(), np.ones(answers.shape, bool))
    assert np.allclose(scores, (right > 0).mean(axis=(1, 2)), atol=1e-12)
    assert scores.dtype == np.float64


def test_a_bit_is_the_side_with_the_higher_mean_log_probability():
    """Two splits of four classes by hand: one bit right, one wrong."""
    values = logs([0.4, 0.4, 0.1, 0.1])
    both = speller([[1, 1]], [[[1, 1, -1, -1], [1, -1, 1, -1]]])
    assert both.scores(values, np.ones(values.shape, bool)).tolist() == [0.5]
    uneven = speller([[1, -1]], [[[1, -1, -1, -1], [-1, -1, -1, 1]]])
    assert uneven.scores(values, np.ones(values.shape, bool)).tolist() == [1.0]


def test_equal_sides_spell_nothing():
    """A tie is wrong whatever the bit, so that uniform answers spell no bit at all."""
    values = logs([1 / 3] * 3)
    for bit in (1, -1):
        assert speller([[bit]], [[[1, -1, -1]]]).scores(values, np.ones(values.shape, bool)).tolist() == [0.0]


def test_a_label_alone_spells_the_bits_of_its_side():
    """Seen as a label, an answer says 1 where its label is on the plus side."""
    full = Features(logs([0.1, 0.6, 0.2, 0.1], [0.5, 0.1, 0.1, 0.3])[0], np.ones((2, 4), bool))
    shown = OutputView(top=1, label_only=True).apply(full, make_task(4).output)
    splits = [[[1, 1, -1, -1]], [[1, 1, -1, -1]]]
    for bits, score in (([[1], [1]], 1.0), ([[1], [-1]], 0.5), ([[-1], [-1]], 0.0)):
        assert speller(bits, splits).scores(shown.values[None], shown.mask[None]).tolist() == [score]


def test_hidden_classes_share_what_is_not_shown():
    """With the top class at .4 hidden classes have .2 each; at .1 they have .3 each, and win."""
    mask = np.array([[[True, False, False, False]]])
    one = speller([[1]], [[[1, 1, -1, -1]]])
    assert one.scores(logs([0.4, 1, 1, 1]), mask).tolist() == [1.0]
    assert one.scores(logs([0.1, 1, 1, 1]), mask).tolist() == [0.0]


def test_unanswered_queries_have_no_bits():
    """The score is taken over the answered queries; without any it is 0."""
    values = logs([0.7, 0.3], [0.7, 0.3], [0.7, 0.3])
    three = speller([[1], [-1], [1]], [[[1, -1]]] * 3)
    masks = np.array([[True, True, True], [True, False, True], [False, False, False]])[:, :, None] & np.ones(2, bool)
    assert np.allclose(three.scores(np.repeat(values, 3, axis=0), masks), [2 / 3, 1.0, 0.0])


@settings(max_examples=60)
@given(SIZES, st.integers(0, 2**31))
def test_local_verifiers_in_numpy_equal_torch(sizes, seed):
    """The score is the mean over queries of the logits' sigmoids, within 1e-5 of torch."""
    models, queries, classes, _ = sizes
    torch.manual_seed(seed)
    verifiers, reference = LocalVerifiers(queries, make_task(classes).output), torch.rand(queries, classes) * LOG_FLOOR
    answers = torch.rand(models, queries, classes) * LOG_FLOOR
    with torch.no_grad():
        expected = torch.sigmoid(verifiers(answers, reference)).mean(dim=1).numpy()
    scores = verifiers.export(reference).scores(answers.numpy(), np.ones(answers.shape, bool))
    assert np.abs(scores - expected).max() <= 1e-5


def test_local_verifiers_are_averaged_over_what_was_shown():
    """A hidden class counts as the target's own, an unanswered query not at all, and nothing shown is a score of 0."""
    tensors = {
        "reference": np.full((2, 2), -1, np.float32),
        "scale": np.ones((2, 2), np.float32),
        "weight": np.ones((2, 2), np.float32),
        "bias": np.array([0, np.log(3)], np.float32),
    }
    values = np.full((4, 2, 2), -1, np.float32)
    values[1, 0] = 1e6
    masks = np.ones((4, 2, 2), bool)
    masks[1:, 0] = False
    masks[3, 1] = False
    masks[2, 1, 0] = False
    scores = MetaVerifier(VerifierKind.LOCAL, tensors).scores(values, masks)
    assert np.allclose(scores, [0.625, 0.75, 0.75, 0.0])


def correlator(*answers):
    return MetaVerifier(VerifierKind.CORRELATION, {"reference": logs(*answers)[0]})


def test_correlations_are_cosines_of_probabilities():
    """Two equal answers where the target's are at a right angle are off by 1, its own by nothing."""
    one = correlator([1.0, 1e-9], [1e-9, 1.0])
    values = np.concatenate([logs([1.0, 1e-9], [1e-9, 1.0]), logs([1.0, 1e-9], [1.0, 1e-9])])
    assert np.allclose(one.scores(values, np.ones(values.shape, bool)), [1.0, 0.0], atol=1e-6)


def test_correlations_do_not_see_a_renaming_of_the_classes():
    """The score of answers with two classes exchanged throughout is that of the answers."""
    reference, other = (
        [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]],
        [[0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [1 / 3] * 3],
    )
    values = np.concatenate([logs(*other), logs(*other)[:, :, [1, 0, 2]]])
    scores = correlator(*reference).scores(values, np.ones(values.shape, bool))
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)
    assert 0 < scores[0] < 1


def test_correlations_are_taken_over_pairs_that_were_shown():
    """A query of which nothing was shown is in no pair; a label alone has the direction of its class."""
    one = correlator([1.0, 1e-9], [1e-9, 1.0], [0.5, 0.5])
    values = np.repeat(logs([1.0, 1e-9], [1e-9, 1.0], [1.0, 1e-9]), 2, axis=0)
    masks = np.ones(values.shape, bool)
    masks[0, 2] = False
    masks[1] = [[True, False], [False, True], [False, False]]
    assert np.allclose(one.scores(values, masks), 1.0, atol=1e-5)
