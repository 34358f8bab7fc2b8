"""Targeted fingerprints (after FIT-Print): queries whose answers spell bits that were fixed before any optimisation.

The verifier is not learned. A split of the classes reads one bit from an answer: 1 where the plus side's mean
log-probability is above the minus side's. The score is the share of target bits read right. Only the queries are
optimised, with MetaV's objective on a soft count of the right bits,

    s(A) = mean over bits of tanh(margin), the margin in nats, positive where the bit is right;

target and derived models are to have a high s, independent ones at most 0, which is chance. Where this departs from
FIT-Print, which optimises on the target alone, and why: queries made so are spelled by independent models as well, with
one wrong bit in ten; the zoo's independents teach them not to be. The objective is one of s, not of each bit, since a
loss of each bit loses distilled copies. Both were seen on the calibration split of four digits targets, never on a test
split.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from metav_audit.bundle import FITPRINT, MetaVerifier, OwnerMark, TargetBits, VerifierKind, target_bits
from metav_audit.fingerprint.methods.base import Materials, Method
from metav_audit.fingerprint.methods.descent import Zoo, descend_queries
from metav_audit.progress import Progress, silent
from metav_audit.task import Inputs
from metav_audit.zoo.project import Workshop


@dataclass(frozen=True, slots=True)
class SpellingSettings:
    """Settings of the optimisation.

    Attributes:
        steps: optimisation steps.
        models: derived and independent models drawn in each step, of each side as many.
        input_rate: Adam's rate for the queries, in units of the domain's range.
        goal: the soft count that derived models are to reach, in (0, 1).
        sharpness: slope of the logistic loss of the soft count.
    """

    steps: int = 400
    models: int = 12
    input_rate: float = 0.006
    goal: float = 0.8
    sharpness: float = 8.0


def optimise_spelling(
    zoo: Zoo,
    starts: Inputs,
    wanted: TargetBits,
    settings: SpellingSettings,
    seed: int,
    progress: Progress = silent,
) -> tuple[Inputs, MetaVerifier]:
    """Optimise queries whose answers spell the wanted bits; deterministic for one torch thread.

    Args:
        zoo: who answers.
        starts: valid inputs to start from, of shape (N, *domain.shape).
        wanted: bits and splits of N queries.
        settings: of the optimisation.
        seed: of the draws.
        progress: told of every step.

    Returns:
        The fingerprint, valid in the domain, and the verifier that counts the right bits.
    """
    queries = torch.from_numpy(starts.copy()).requires_grad_()
    fingerprint = descend_queries(
        zoo, queries, [torch.optim.Adam([queries], lr=settings.input_rate * zoo.task.domain.extent)],
        lambda answers, positives: spelling_loss(margins(answers, wanted), positives, settings),
        steps=settings.steps, models=settings.models, seed=seed, progress=progress,
    )  # fmt: skip
    return fingerprint, MetaVerifier(VerifierKind.BITS, {"bits": wanted.bits, "splits": wanted.splits})


def margins(answers: Tensor, wanted: TargetBits) -> Tensor:
    """Return by how many nats each bit is right, of shape (M, N, K), from features of shape (M, N, C)."""
    plus = torch.from_numpy(wanted.splits) > 0
    weights = plus / plus.sum(2, keepdim=True) - ~plus / (~plus).sum(2, keepdim=True)
    return torch.from_numpy(wanted.bits) * torch.einsum("mnc,nkc->mnk", answers, weights)


def spelling_loss(margin: Tensor, positives: int, settings: SpellingSettings) -> Tensor:
    """Return the objective from the margins of (target, ``positives`` derived models, independent models).

    MetaV's three terms, with the fixed verifier; and the target, which is to spell every bit, by a margin of a nat.
    """
    soft = torch.tanh(margin).mean(dim=(1, 2))
    high = functional.softplus(settings.sharpness * (settings.goal - soft[: 1 + positives])).mean()
    low = functional.softplus(settings.sharpness * soft[1 + positives :]).mean()
    return high + low + functional.softplus(1 - margin[0]).mean()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetedSettings(SpellingSettings):
    """Settings of the method fitprint, with what its target bits follow from.

    Attributes:
        identity: of the owner.
        nonce: 32 bytes in hexadecimal.
        bits: target bits a query.
    """

    identity: str
    nonce: str
    bits: int


def _settings(workshop: Workshop) -> TargetedSettings:
    """C classes can spell no more than C - 1 bits a query."""
    asked, mark = workshop.project.settings.fingerprint, workshop.project.owner_mark
    bits = min(asked.bits, workshop.target.task.output.size - 1)
    return TargetedSettings(steps=asked.steps, bits=bits, **asdict(mark))


def _optimise(given: Materials, settings: TargetedSettings) -> tuple[Inputs, MetaVerifier]:
    mark = OwnerMark(settings.identity, settings.nonce)
    wanted = target_bits(mark, len(given.starts), settings.bits, given.zoo.task.output.size)
    return optimise_spelling(given.zoo, given.starts, wanted, settings, given.seed, given.progress)


METHOD = Method(
    name=FITPRINT,
    summary="answers that spell bits fixed beforehand (after FIT-Print)",
    settings=_settings,
    optimise=_optimise,
    marks_owner=True,
)
