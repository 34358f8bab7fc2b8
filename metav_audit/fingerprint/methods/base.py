"""What a method is: it makes a fingerprint and a meta-verifier from the owner's side of the zoo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from metav_audit.bundle import MetaVerifier
from metav_audit.fingerprint.methods.descent import Zoo
from metav_audit.progress import Progress
from metav_audit.task import Inputs, OutputKind
from metav_audit.zoo.data import OwnerData
from metav_audit.zoo.learners import Predict
from metav_audit.zoo.project import Workshop

ANY_OUTPUT = frozenset(OutputKind)
LABELS = frozenset({OutputKind.CLASSIFICATION})
"""The outputs that have a label: what compares labels serves no other."""


@dataclass(frozen=True, slots=True)
class Materials:
    """What a method may use; nothing of it is of the calibration or the test split.

    Attributes:
        zoo: the protected model and the zoo's models of the fit split; none of these where the method uses no zoo.
        starts: valid inputs to start from, as many as the fingerprint has, drawn from the validation data.
        data: the owner's labelled data.
        siblings: reruns of the target's training; none where the method uses none.
        learners: reference suspects of other kinds of learner, likewise.
        seed: of all chance.
        progress: told of every step.
        owners: where the starts are inputs of the request log, the number of each one's account.
        kin: of each independent model of the zoo, whether it starts from the target's ancestor; empty where no ancestor
            is named.
        picked: whether queries have to be picked from the validation data as they stand, because the answers of some
            model are all that is at hand.
    """

    zoo: Zoo
    starts: Inputs
    data: OwnerData
    siblings: Sequence[nn.Module]
    learners: Sequence[Predict]
    seed: int
    progress: Progress
    owners: Sequence[int] = ()
    kin: Sequence[bool] = ()
    picked: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """One way to make a fingerprint and its meta-verifier.

    Attributes:
        name: its name on the command line and in bundles.
        summary: one line on what it is.
        settings: its settings, a dataclass, from the project; None where it has none.
        optimise: makes the fingerprint, valid in the domain, and the meta-verifier from materials and settings.
        queries: how many it usually takes.
        uses_zoo: whether it learns from the zoo's models.
        uses_siblings: whether it needs reruns of the target's training.
        outputs: the kinds of output that it can serve.
        by_gradients: whether it moves its queries along the target's gradients.
        marks_owner: whether its queries follow from the owner's identity and a nonce, which the bundle then names.
    """

    name: str
    summary: str
    settings: Callable[[Workshop], Any]
    optimise: Callable[[Materials, Any], tuple[Inputs, MetaVerifier]]
    queries: int = 32
    uses_zoo: bool = True
    uses_siblings: bool = False
    outputs: frozenset[OutputKind] = LABELS
    by_gradients: bool = True
    marks_owner: bool = False

    def serves(self, kind: OutputKind) -> bool:
        """Say whether it can serve outputs of this kind."""
        return kind in self.outputs

    def parts(self, workshop: Workshop) -> dict[str, Any]:
        """Describe in JSON types the settings that decide a bundle of this method."""
        settings = self.settings(workshop)
        return {} if settings is None else asdict(settings)


def no_settings(_: Workshop) -> None:
    """Say that a method has no settings."""
    return
