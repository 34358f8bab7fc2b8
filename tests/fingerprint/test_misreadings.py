"""Wrong ways to send an input: each is what its words say, by an arrangement made here."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from metav_audit.fingerprint.misreadings import misread_answers
from metav_audit.task import ClassScores, TabularDomain, TaskSpec
from metav_audit.task.domains import CategoryColumn, NumberColumn

ROWS = TaskSpec(
    TabularDomain(
        (
            NumberColumn("weight", 40, 140),
            CategoryColumn("colour", ("red", "green", "blue")),
            NumberColumn("age", 0, 90),
        )
    ),
    ClassScores(("no", "yes")),
)


class Linear(nn.Module):
    """Scores that tell every element of a row apart."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        seen = rows @ torch.tensor([0.1, 0.02, 0.3, 0.5, 0.7])
        return torch.stack([seen, -seen], dim=1)


def test_rows_are_misread_as_the_words_say():
    """Columns in another order, numbers in their own units, standardised ones: weight, colour (three), age."""
    rows = ROWS.domain.sample(20, np.random.default_rng(0))
    weight, colour, age = rows[:, :1], rows[:, 1:4], rows[:, 4:]
    expected = {
        "columns stand in the reverse order": [age, colour, weight],
        "columns stand in the order of their names": [age, colour, weight],
        "columns are shifted by one": [colour, age, weight],
        "numbers in their own units were sent where 0..1 are meant": [40 + 100 * weight, colour, 90 * age],
        "numbers were standardised where 0..1 are meant": [(rows - rows.mean(0)) / (rows.std(0) + 1e-6)],
    }
    found = dict(misread_answers(Linear(), ROWS, rows, rows))
    assert found.keys() == {*expected, "a sigmoid a class was taken for a softmax"}
    for name, parts in expected.items():
        with torch.no_grad():
            logits = Linear()(torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32)))
        wanted = torch.log_softmax(logits.double(), dim=1).clamp(
            min=ROWS.output.canonical(np.zeros((1, 2)), "probability").min()
        )
        np.testing.assert_allclose(found[name], wanted, atol=1e-4)
