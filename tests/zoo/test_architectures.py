"""The built-in architectures: each serves the tasks that it is offered for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metav_audit.task import ClassScores, GeneratedTensor, ImageDomain, Quantities, TaskSpec
from metav_audit.task.domains import LatentDomain, NumberColumn, TabularDomain
from metav_audit.task.outputs import Quantity
from metav_audit.zoo.architectures import BUILT_IN, GENERATORS, built_in_for

TASKS = {
    "odd colour pictures": TaskSpec(ImageDomain(3, 9, 13), ClassScores(("a", "b", "c"))),
    "rows": TaskSpec(TabularDomain((NumberColumn("x", 0, 1),) * 1), Quantities((Quantity("y", 0.0, 1.0),))),
    "generated pictures": TaskSpec(LatentDomain(4), GeneratedTensor((3, 9, 13), -2.0, 3.0)),
    "generated vectors": TaskSpec(LatentDomain(4), GeneratedTensor((7,), 0.0, 1.0)),
}
OFFERED = [(kind, name) for kind, task in TASKS.items() for name in built_in_for(task)]


def test_every_architecture_is_offered_for_some_task():
    """None stands in the table that nobody gets."""
    assert {name for _, name in OFFERED} == {*BUILT_IN, *GENERATORS}


@pytest.mark.parametrize(("kind", "name"), OFFERED)
def test_an_architecture_answers_its_task(kind, name):
    """One output an input, in the range of what is generated; gradients reach every weight."""
    task = TASKS[kind]
    inputs = torch.from_numpy(task.domain.sample(5, np.random.default_rng(0)))
    model = {**BUILT_IN, **GENERATORS}[name](task)
    outputs = model(inputs)
    assert outputs.shape == (5, *task.output.shape)
    if isinstance(task.output, GeneratedTensor):
        assert task.output.low <= outputs.min() <= outputs.max() <= task.output.high
    (outputs * torch.randn(outputs.shape)).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
