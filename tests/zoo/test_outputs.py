"""What an output is in training: its loss, its features in torch, its figure, and what its labels may be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from metav_audit.errors import DataError
from metav_audit.task import ClassScores, GeneratedTensor, Quantities, ScoreKind, TaskSpec
from metav_audit.task.domains import ImageDomain
from metav_audit.task.outputs import Quantity
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.training import seeded

CLASSES = ClassScores(("a", "b", "c"))
DOSES = Quantities((Quantity("dose", 30.0, 10.0), Quantity("days", 5.0, 2.0)))
PICTURE = GeneratedTensor((1, 4, 4), -1.0, 1.0, levels=256)


@pytest.mark.parametrize(
    ("space", "outputs"),
    [
        (CLASSES, torch.randn(20, 3, generator=seeded(0))),
        (DOSES, torch.tensor([30.0, 5.0]) + 40 * torch.randn(20, 2, generator=seeded(0))),
        (PICTURE, torch.rand(20, 1, 4, 4, generator=seeded(0)) * 3 - 1.5),
    ],
    ids=["classes", "quantities", "generated"],
)
def test_features_in_torch_are_those_in_numpy(space, outputs):
    """What training descends on is what an auditor computes from an answer, up to rounding on the wire."""
    ours = trained(space).shown(trained(space).features(outputs).numpy())
    answers = outputs.softmax(1) if space is CLASSES else outputs.flatten(1)
    given = answers.double().numpy().clip(-1, 1) if space is PICTURE else answers.double().numpy()
    theirs = space.canonical(given, ScoreKind.PROBABILITY if space is CLASSES else ScoreKind.VALUE)
    assert np.abs(ours - theirs).max() <= space.tolerance


def test_a_regression_is_measured_by_r_squared():
    """1 for the values themselves, 0 for their mean, as scikit-learn has it."""
    from sklearn.metrics import r2_score

    wanted = torch.tensor([30.0, 5.0]) + torch.randn(50, 2, generator=seeded(1))
    model = nn.Linear(2, 2)
    given = model(wanted).detach().numpy()
    assert trained(DOSES).performance(nn.Identity(), wanted, wanted) == pytest.approx(1)
    assert trained(DOSES).performance(model, wanted, wanted) == pytest.approx(r2_score(wanted, given), rel=1e-5)


def test_losses_are_in_scales_and_widths():
    """An error of one scale, or of one width of the range, is a loss of 1."""
    values = torch.tensor([[30.0, 5.0]])
    assert float(trained(DOSES).loss()(values + torch.tensor([10.0, 2.0]), values)) == pytest.approx(1)
    made = torch.zeros(2, 1, 4, 4)
    assert float(trained(PICTURE).loss()(made + 2.0, made)) == pytest.approx(1)


def test_a_regressions_head_gives_values_in_their_units():
    """A number of 0 is the center, 1 a scale above it."""
    (units,) = trained(DOSES).head()
    assert units(torch.tensor([[0.0, 1.0]])).tolist() == [[30.0, 7.0]]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros((4, 3)), "has shape"),
        (np.array([[1.0, np.nan]] * 4), "no finite number"),
        (np.array([["x", "y"]] * 4), "no finite number"),
        (np.array([[1.0, 2.0]] * 4), "same value throughout"),
    ],
    ids=["shape", "nan", "text", "constant"],
)
def test_labels_that_are_no_quantities_are_refused(raw, message):
    """With what is wrong and where."""
    with pytest.raises(DataError, match=f"the labels.*{message}"):
        trained(DOSES).labels(raw, 4, "the labels")


def test_one_quantity_may_be_a_plain_list():
    """A column is made of it."""
    one = Quantities((Quantity("dose", 30.0, 10.0),))
    assert trained(one).labels(np.array([1, 2, 3]), 3, "the labels").tolist() == [[1.0], [2.0], [3.0]]


def test_a_generator_has_no_labels_and_takes_its_own_architectures():
    """DCGANs for pictures alone."""
    with pytest.raises(DataError, match="have no labels"):
        trained(PICTURE).labels(np.zeros(3), 3, "the labels")
    task = TaskSpec(ImageDomain(1, 4, 4), PICTURE)
    vector = TaskSpec(ImageDomain(1, 4, 4), GeneratedTensor((7,)))
    suits = [
        trained(each.output).suits(name, each) for each in (task, vector) for name in ("decoder-s", "dcgan", "mlp")
    ]
    assert suits == [True, True, False, True, False, False]
