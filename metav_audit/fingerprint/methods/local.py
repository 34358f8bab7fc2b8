"""One linear verifier a query, averaged (after LiteGuard, arXiv 2603.24982, ICLR 2026).

Query n's verifier says v_n(y) = sigmoid(<w_n, y> + b_n) of the answer y to x_n; the score is their mean. Each query and
its verifier are optimised by themselves, with binary cross-entropy weighted .5 for the target, 1 for derived and 1.5
for independent models. Where this departs from the paper: y are canonical features relative to the target's own, and
the queries start from real inputs, both as in ``joint``; the zoo holds no training checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metav_audit.bundle import MetaVerifier, VerifierKind
from metav_audit.fingerprint.methods.base import ANY_OUTPUT, Materials, Method
from metav_audit.fingerprint.methods.descent import Zoo, descend_queries
from metav_audit.fingerprint.methods.features import features_of
from metav_audit.progress import Progress, silent
from metav_audit.task import Inputs, OutputSpace
from metav_audit.zoo.project import Workshop


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Settings of the optimisation.

    Attributes:
        steps: optimisation steps.
        models: derived and independent models drawn in each step, of each side as many.
        input_rate: Adam's rate for the queries, in units of the domain's range.
        verifier_rate: Adam's rate for the verifiers.
        on_target: weight of the target's loss.
        on_derived: weight of the derived models' mean loss.
        on_independent: weight of the independent models' mean loss.
    """

    steps: int = 1000
    models: int = 12
    input_rate: float = 1e-3
    verifier_rate: float = 1e-3
    on_target: float = 0.5
    on_derived: float = 1.0
    on_independent: float = 1.5


class LocalVerifiers(nn.Module):
    """A linear verifier for each query, on its answer relative to the target's."""

    def __init__(self, queries: int, space: OutputSpace) -> None:
        super().__init__()
        self.scale = space.spread
        self.weight = nn.Parameter(torch.randn(queries, space.size) / space.size**0.5)
        self.bias = nn.Parameter(torch.zeros(queries))

    def forward(self, features: Tensor, reference: Tensor) -> Tensor:
        """Return logits of shape (M, N) from features of shape (M, N, D) and the target's own of shape (N, D)."""
        return ((features - reference) / self.scale * self.weight).sum(dim=2) + self.bias

    def export(self, reference: Tensor) -> MetaVerifier:
        """Return the numpy meta-verifier with the target's answers ``reference`` built in."""
        tensors = {name: parameter.detach().numpy().copy() for name, parameter in self.named_parameters()}
        tensors["reference"] = reference.detach().numpy().copy()
        tensors["scale"] = np.full_like(tensors["reference"], self.scale)
        return MetaVerifier(VerifierKind.LOCAL, tensors)


def optimise_locally(
    zoo: Zoo,
    starts: Inputs,
    settings: LocalSettings,
    seed: int,
    progress: Progress = silent,
) -> tuple[Inputs, MetaVerifier]:
    """Optimise each query with its own verifier; deterministic for one torch thread.

    The arguments and what is returned are those of ``joint.optimise_jointly``.
    """
    space = zoo.task.output
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        queries = torch.from_numpy(starts.copy()).requires_grad_()
        verifiers = LocalVerifiers(len(starts), space)
        optimizers = (
            torch.optim.Adam([queries], lr=settings.input_rate * zoo.task.domain.extent),
            torch.optim.Adam(verifiers.parameters(), lr=settings.verifier_rate),
        )
        fingerprint = descend_queries(
            zoo, queries, optimizers,
            lambda answers, positives: local_loss(verifiers(answers, answers[0]), positives, settings),
            steps=settings.steps, models=settings.models, seed=seed, progress=progress, decay=False,
        )  # fmt: skip
        with torch.no_grad():
            reference = features_of(zoo.target, torch.from_numpy(fingerprint), space)
        return fingerprint, verifiers.export(reference)


def local_loss(logits: Tensor, positives: int, settings: LocalSettings) -> Tensor:
    """Return the objective, summed over queries, from logits (target, ``positives`` derived, independent) by query.

    Summed, since Adam's steps for one query do not depend on the others: each is optimised by itself.
    """
    on_target = functional.softplus(-logits[0])
    on_derived = functional.softplus(-logits[1 : 1 + positives]).mean(dim=0)
    on_independent = functional.softplus(logits[1 + positives :]).mean(dim=0)
    each = settings.on_target * on_target + settings.on_derived * on_derived + settings.on_independent * on_independent
    return each.sum()


def _settings(workshop: Workshop) -> LocalSettings:
    """LiteGuard's 1,000 steps where the project asks for the usual 400."""
    return LocalSettings(steps=round(2.5 * workshop.project.settings.fingerprint.steps))


def _optimise(given: Materials, settings: LocalSettings) -> tuple[Inputs, MetaVerifier]:
    return optimise_locally(given.zoo, given.starts, settings, given.seed, given.progress)


METHOD = Method(
    name="local",
    summary="a linear verifier a query, averaged (LiteGuard, ICLR 2026)",
    settings=_settings,
    optimise=_optimise,
    outputs=ANY_OUTPUT,
)
