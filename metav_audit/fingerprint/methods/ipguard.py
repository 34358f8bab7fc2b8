"""A baseline: queries near the target's decision boundary, by label (IPGuard: Cao, Jia, Gong, AsiaCCS 2021)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from metav_audit.bundle import MetaVerifier, VerifierKind
from metav_audit.fingerprint.methods.base import Materials, Method, no_settings
from metav_audit.fingerprint.methods.descent import move_queries
from metav_audit.fingerprint.methods.features import features_of_all, project_straight_through
from metav_audit.progress import Progress, silent
from metav_audit.task import Inputs, TaskSpec

MARGIN = 0.1
STEPS = 300


def optimise_boundary(
    target: nn.Module, task: TaskSpec, starts: Inputs, progress: Progress = silent
) -> tuple[Inputs, MetaVerifier]:
    """Move each start towards the boundary between its own class i and its runner-up j (section 4.2).

    Minimises ``relu(z_i - z_j + margin) + relu(max of the others - min(z_i, z_j))`` over the logits z.

    Returns:
        The queries, valid in the domain, and a verifier that counts the labels equal to the target's.
    """
    domain = task.domain
    queries = torch.from_numpy(starts.copy()).requires_grad_()
    with torch.no_grad():
        first, second = target(queries).topk(2, dim=1).indices.T
    rows = torch.arange(len(queries))

    def off_the_boundary(moved: Tensor) -> Tensor:
        logits = target(project_straight_through(moved, domain))
        own, rival = logits[rows, first], logits[rows, second]
        others = logits.clone()
        others[rows, first] = -torch.inf
        others[rows, second] = -torch.inf
        crowd = torch.relu(others.amax(dim=1) - torch.minimum(own, rival)) if logits.shape[1] > 2 else own * 0
        return torch.relu(own - rival + MARGIN) + crowd

    move_queries(queries, domain, off_the_boundary, rate=0.01, steps=STEPS, progress=progress)
    fingerprint = domain.project(queries.detach().numpy())
    labels = features_of_all([target], fingerprint, task.output)[0].argmax(axis=1)
    return fingerprint, MetaVerifier(VerifierKind.AGREEMENT, {"labels": labels.astype(np.float32)})


def _optimise(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    return optimise_boundary(given.zoo.target, given.zoo.task, given.starts, given.progress)


METHOD = Method(
    name="ipguard",
    summary="labels near the decision boundary (IPGuard, AsiaCCS 2021)",
    settings=no_settings,
    optimise=_optimise,
    uses_zoo=False,
)
