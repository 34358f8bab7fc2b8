"""Is the target a stranger among its siblings? Then they were not trained as it was, and their ranks say nothing.

Where there are no siblings the same is asked beside the zoo's independent models of its own architecture: a target that
behaves like none of them has rivals, trained as it was, of whom the zoo's error rates say nothing.

Each model's natural behaviour is put into a dozen figures: on validation data, on blends of two of them, on noise and
on the training data. Its distance from the others is Mahalanobis', with the covariance shrunk (Ledoit and Wolf, Journal
of Multivariate Analysis 88, 2004), each model left out in its turn. If the siblings were trained as the target was, the
target's distance has every rank with the same chance; it is a stranger where that rank is among the highest 5 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metav_audit.errors import DataError
from metav_audit.task import Inputs, OutputSpace
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.project import Workshop
from metav_audit.zoo.shown import shown_of

STRANGE = 0.05
"""The target is a stranger where its rank has a p-value of at most this."""

Figures = dict[str, float]
"""A model's behaviour, by name."""

_HINTS = {
    "confidence": ("trained longer, or without smoothed labels", "trained more briefly, or with smoothed labels"),
    "entropy": ("trained more briefly, or with smoothed labels", "trained longer, or without smoothed labels"),
    "margin": ("trained longer, or without smoothed labels", "trained more briefly, or with smoothed labels"),
    "accuracy": ("trained longer, on more data, or chosen as the best of several", "trained more briefly, or on less"),
    "agreement": ("averaged, or chosen as the best of several", "trained by another optimiser, rate or augmentation"),
    "loss": ("trained more briefly, or with augmentation", "trained longer, or on more data"),
    "error": ("trained more briefly, or on less data", "trained longer, or on more data"),
    "deviation": ("trained by another optimiser, rate or augmentation", "averaged, or with more weight decay"),
    "spread": ("trained longer, or with less weight decay", "trained more briefly, or with more weight decay"),
}
"""What the figure of a model would be higher by, and lower by."""


@dataclass(frozen=True, slots=True)
class Strangeness:
    """How strange the target is among its siblings, or among others of its architecture.

    Attributes:
        p_value: the share of the models, the target counted among them, that lie at least as far from the others.
        figure: the figure in which it differs most, in words.
        own: the target's.
        usual: the others' mean.
        deviation: by how many of the others' standard deviations the target's lies off.
        hint: habits that would move it so.
    """

    p_value: float
    figure: str
    own: float
    usual: float
    deviation: float
    hint: str

    @property
    def is_stranger(self) -> bool:
        """Whether the others cannot stand for the target."""
        return self.p_value <= STRANGE

    def __str__(self) -> str:
        """Say in what it differs."""
        return (
            f"its {self.figure} is {self.own:.4g}, the others' {self.usual:.4g} on average "
            f"({self.deviation:+.1f} standard deviations), as if it were {self.hint}"
        )


def find_strangeness(workshop: Workshop, siblings: Sequence[nn.Module]) -> Strangeness:
    """Compare the target's natural behaviour with its siblings'."""
    told = behaviour_of([workshop.target.network, *siblings], workshop)
    return strangeness_of(told)


def check_no_stranger(workshop: Workshop, siblings: Sequence[nn.Module]) -> Strangeness:
    """Return the target's strangeness.

    Raises:
        DataError: it is a stranger, so that its siblings' ranks would accuse rivals who train as it was trained.
    """
    found = find_strangeness(workshop, siblings)
    if found.is_stranger:
        raise DataError(
            f"the target is a stranger among the reruns of its training program (p = {found.p_value:.3f}): {found}. "
            "Siblings that were trained otherwise promise nothing: name the true program below [training], or fit with "
            "--method committee, whose promise holds for suspects like the zoo's alone"
        )
    return found


def strangeness_of(told: Sequence[Figures]) -> Strangeness:
    """Rank the first model's distance from the others among all such distances.

    Args:
        told: the figures of K + 1 models, the target first.
    """
    names = list(told[0])
    table = np.array([[one[name] for name in names] for one in told])
    distances = np.array([_distance(table[at], np.delete(table, at, axis=0)) for at in range(len(table))])
    p_value = float((distances >= distances[0] - 1e-12).mean())
    spread = table[1:].std(axis=0, ddof=1)
    away = (table[0] - table[1:].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    at = int(np.abs(away).argmax())
    higher, lower = _HINTS[names[at].split()[0]]
    return Strangeness(
        p_value=p_value,
        figure=names[at],
        own=float(table[0, at]),
        usual=float(table[1:, at].mean()),
        deviation=float(away[at]),
        hint=higher if away[at] > 0 else lower,
    )


def _distance(one: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    from sklearn.covariance import LedoitWolf

    mean, spread = others.mean(axis=0), others.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    fitted = LedoitWolf(assume_centered=True).fit((others - mean) / spread)
    return float(fitted.mahalanobis(((one - mean) / spread)[None])[0])


def behaviour_of(models: Sequence[nn.Module], workshop: Workshop) -> list[Figures]:
    """Return the figures of each model's natural behaviour, under the same names for all.

    Args:
        models: of the workshop's task, giving logits or values.
        workshop: whose data they are shown.
    """
    task, data = workshop.target.task, workshop.data
    natural, known, blends, noise = shown_of(data, task.domain)
    shown = {"natural inputs": natural.inputs, "blends": blends, "noise": noise}
    told: list[Figures] = [{} for _ in models]
    tell = _tell_classes if task.output.labelled else _tell_values
    for where, inputs in shown.items():
        tell([_features(model, inputs, task.output) for model in models], where, told)
    if not trained(task.output).adversarial:
        for where, part in (("natural inputs", natural), ("the training data", known)):
            for model, figures in zip(models, told, strict=True):
                answers = _features(model, part.inputs, task.output)
                figures.update(_against(answers, part.labels, task.output, where))
    return told


def _tell_classes(answers: Sequence[NDArray[np.float64]], where: str, told: Sequence[Figures]) -> None:
    votes = np.sum([np.eye(each.shape[1])[each.argmax(axis=1)] for each in answers], axis=0)
    for each, figures in zip(answers, told, strict=True):
        highest = np.sort(each, axis=1)
        shares, labels = np.exp(each), each.argmax(axis=1)
        own = np.eye(each.shape[1])[labels]
        figures[f"confidence on {where}"] = float(np.exp(highest[:, -1]).mean())
        figures[f"entropy on {where}"] = float(-(shares * each).sum(axis=1).mean())
        figures[f"margin on {where}"] = float((highest[:, -1] - highest[:, -2]).mean())
        # With all others' votes, and not with its own.
        figures[f"agreement on {where}"] = float(((votes - own).argmax(axis=1) == labels).mean())


def _tell_values(answers: Sequence[NDArray[np.float64]], where: str, told: Sequence[Figures]) -> None:
    total = np.sum(answers, axis=0)
    for each, figures in zip(answers, told, strict=True):
        others = (total - each) / (len(answers) - 1)
        figures[f"deviation on {where}"] = float(np.sqrt(((each - others) ** 2).mean()))
        figures[f"spread on {where}"] = float(each.std())


def _against(answers: NDArray[np.float64], labels: NDArray[np.float64], space: OutputSpace, where: str) -> Figures:
    if space.labelled:
        right = answers[np.arange(len(labels)), labels]
        accuracy = float((answers.argmax(axis=1) == labels).mean())
        return {f"accuracy on {where}": accuracy, f"loss on {where}": float(-right.mean())}
    wanted = space.canonical(labels.reshape(len(labels), -1).astype(np.float64), space.score_kinds[0])
    return {f"error on {where}": float(np.sqrt(((answers - wanted) ** 2).mean()))}


@torch.no_grad()
def _features(model: nn.Module, inputs: Inputs, space: OutputSpace) -> NDArray[np.float64]:
    features: Callable[[torch.Tensor], torch.Tensor] = trained(space).features
    return features(model(torch.from_numpy(inputs))).numpy().astype(np.float64)
