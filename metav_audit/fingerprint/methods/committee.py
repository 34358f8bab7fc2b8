"""A committee of verifiers on one fingerprint, taught by virtual copies.

Held-out families show what each kind of verifier is good for (see docs/methods.md): MetaV's joint one knows the zoo's
families, a weighted distance to the target's own answers finds soft extraction, a distance that ignores small
probabilities finds retrained layers, and labels survive whatever an API hides. So the queries are optimised for all of
them together, and the score is the mean of their votes, each measured in standard deviations of independent models:

- *distance*: the weighted mean of |F(x) - F0(x)|, F0 the target, weights at least 0;
- *coarse*: the same, with log-probabilities below that of 1/200 taken as equal;
- *local*: the mean over queries of a linear verifier's sigmoid (LiteGuard);
- *joint*: a perceptron on all answers (MetaV), with answers of nobody as negatives;
- *labels*: the weighted share of labels equal to the target's.

Coarse and labels are for classifications alone. Each verifier's loss is MetaV's, on the zoo and on the virtual copies
and twins of ``virtual``. Settings were chosen on the calibration split of five digits targets with a family left out of
the fit, never on a test split.

Where the zoo is scarce, local and joint have no vote: they would know a single independent model, and take any other
for a copy. The other votes are then measured beside virtual twins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metav_audit.bundle import COARSE_FLOOR, LEAST_SHARPNESS, MOST_SHARPENED, MetaVerifier, VerifierKind
from metav_audit.fingerprint.methods.base import ANY_OUTPUT, LABELS, Materials, Method
from metav_audit.fingerprint.methods.descent import Zoo, descend_together
from metav_audit.fingerprint.methods.features import features_of
from metav_audit.fingerprint.methods.local import LocalVerifiers
from metav_audit.fingerprint.methods.metav import JointSettings, JointVerifier, answers_of_nobody
from metav_audit.fingerprint.methods.natural import choose_undecided
from metav_audit.fingerprint.methods.virtual import as_log_probabilities, bend, mix
from metav_audit.progress import Progress, silent
from metav_audit.task import Inputs, OutputSpace
from metav_audit.zoo.project import Workshop


@dataclass(frozen=True, slots=True)
class CommitteeSettings:
    """Settings of the optimisation.

    Attributes:
        steps: optimisation steps.
        models: derived and independent models drawn in each step, of each side as many.
        mixed: mixed copies in each step, and as many twins.
        low: smallest share of the target in a mixed copy.
        high: largest share of the target in a mixed copy.
        bent: bent copies in each step, and as many twins.
        noise: standard deviation of the bending maps' elements, at most.
        input_rate: Adam's rate for the queries, in units of the domain's range.
        verifier_rate: Adam's rate for the verifiers.
        hidden: width of the joint verifier's hidden layer.
        dropout: share of the joint verifier's inputs dropped in training.
        weight_decay: of the verifiers.
        sharpness: by how much labels are sharpened in training, where they must have a slope.
        decided: log-odds of the score of an average copy of the zoo; an average independent model has their negative.
    """

    steps: int = 400
    models: int = 12
    mixed: int = 12
    low: float = 0.2
    high: float = 0.8
    bent: int = 8
    noise: float = 0.3
    input_rate: float = 0.006
    verifier_rate: float = 3e-3
    hidden: int = 128
    dropout: float = 0.4
    weight_decay: float = 1e-4
    sharpness: float = 3.0
    decided: float = 7.0


class Committee(nn.Module):
    """The verifiers, with what training needs beside their votes: a line from each distance to log-odds."""

    def __init__(self, queries: int, space: OutputSpace, settings: CommitteeSettings) -> None:
        super().__init__()
        self.sharpness, self.spread = settings.sharpness, space.spread
        self.labelled = space.labelled
        weights = ("distance", "coarse") if self.labelled else ("distance",)
        self.weights = nn.ParameterDict({name: nn.Parameter(torch.zeros(queries, space.size)) for name in weights})
        if self.labelled:
            self.weights["labels"] = nn.Parameter(torch.zeros(queries))
        self.local = LocalVerifiers(queries, space)
        self.joint = JointVerifier(queries, space, JointSettings(hidden=settings.hidden, dropout=settings.dropout))
        self.slopes = nn.ParameterDict({name: nn.Parameter(torch.tensor(0.5)) for name in self.weights})
        self.offsets = nn.ParameterDict({name: nn.Parameter(torch.tensor(start)) for name, start in _STARTS.items()})

    def votes(self, answers: Tensor, reference: Tensor) -> dict[str, Tensor]:
        """Return each verifier's vote, of shape (M,), from answers of shape (M, N, D) and the target's own."""
        weights = {name: functional.softplus(weight) for name, weight in self.weights.items()}
        given = answers
        if self.labelled:
            answers = match_sharpness(answers, reference)
        relative = (answers - reference).abs() / self.spread
        found = {"distance": -_mean(relative, weights["distance"])}
        if self.labelled:
            coarse = answers.clamp(min=COARSE_FLOOR) - reference.clamp(min=COARSE_FLOOR)
            found["coarse"] = -_mean(coarse.abs() / self.spread, weights["coarse"])
        share = torch.sigmoid(self.local(answers, reference)).mean(dim=1)
        found["local"] = torch.logit(share.clamp(1e-4, 1 - 1e-4))
        found["joint"] = self.joint(answers, reference)
        if self.labelled:
            agree = self._agreement(given, reference)
            found["labels"] = (agree * weights["labels"]).sum(dim=1) / weights["labels"].sum()
        return found

    def logits(self, answers: Tensor, reference: Tensor) -> dict[str, Tensor]:
        """Return log-odds that each vote stands for, for training."""
        return {
            name: self._line(name, vote) if name in self.slopes else vote
            for name, vote in self.votes(answers, reference).items()
        }

    def _line(self, name: str, vote: Tensor) -> Tensor:
        odds: Tensor = functional.softplus(self.slopes[name]) * _STEEPNESS[name] * (vote + self.offsets[name])
        return odds

    def _agreement(self, answers: Tensor, reference: Tensor) -> Tensor:
        """Return of shape (M, N) whether labels agree; in training, the sharpened probability of the target's label."""
        own = reference.argmax(dim=1)
        if not self.training:
            return (answers.argmax(dim=2) == own).to(answers.dtype)
        sharp = torch.softmax(self.sharpness * answers, dim=2)
        return sharp.gather(2, own.expand(len(answers), -1)[..., None])[..., 0]

    def export(self, reference: Tensor, lines: Mapping[str, Tensor]) -> MetaVerifier:
        """Return the numpy meta-verifier; a vote's line is its slope and intercept to log-odds, and its weight."""
        tensors = {f"{name}.weight": functional.softplus(weight) for name, weight in self.weights.items()}
        tensors |= {f"local.{name}": each for name, each in self.local.named_parameters()}
        tensors |= {f"joint.{name}": each for name, each in self.joint.named_parameters()}
        tensors |= {"reference": reference, "scale": torch.full_like(reference, self.spread)}
        tensors |= {f"line.{name}": each for name, each in lines.items()}
        arrays = {name: tensor.detach().numpy().astype(np.float32) for name, tensor in tensors.items()}
        return MetaVerifier(VerifierKind.COMMITTEE, arrays)


def match_sharpness(answers: Tensor, reference: Tensor) -> Tensor:
    """Return each model's log-probabilities at the temperature at which they are as sharp as the target's own.

    Sharpness is the standard deviation over classes, averaged over queries. One factor a model, between a quarter and
    four: how sure of itself a model is depends on how it was trained, not on whom it is derived from.
    """
    own, theirs = (each.std(dim=-1).mean(dim=-1) for each in (reference, answers))
    factor = (own / (theirs + LEAST_SHARPNESS)).clamp(1 / MOST_SHARPENED, MOST_SHARPENED)
    return as_log_probabilities(answers * factor[:, None, None])


_STARTS = {"distance": 0.5, "coarse": 0.25, "labels": -0.5}
_STEEPNESS = {"distance": 16.0, "coarse": 32.0, "labels": 16.0}
"""Where the lines from votes to log-odds start, and their unit of slope."""


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum(dim=(1, 2)) / weights.sum()


def optimise_committee(
    zoo: Zoo,
    starts: Inputs,
    settings: CommitteeSettings,
    seed: int,
    progress: Progress = silent,
) -> tuple[Inputs, MetaVerifier]:
    """Optimise fingerprint and committee together; deterministic for one torch thread.

    Args:
        zoo: who answers.
        starts: valid inputs to start from, of shape (N, *domain.shape).
        settings: of the optimisation.
        seed: of the verifiers' start, the draws, the virtual models and the dropout.
        progress: told of every step.

    Returns:
        The fingerprint, valid in the domain, and the meta-verifier.
    """
    space = zoo.task.output
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        committee = Committee(len(starts), space, settings)

        def objective(answers: Tensor, positives: int) -> Tensor:
            # 1. Virtual copies and their twins join the zoo's models.
            high, low = with_virtual_models(
                answers[: 1 + positives], answers[1 + positives :], settings, labelled=committee.labelled
            )
            # 2. The three terms of MetaV's objective, the target among the copies, for each verifier by itself.
            logits = committee.logits(torch.cat([high, low]), answers[0])
            loss = sum((_cost(each, len(high)) for each in logits.values()), torch.zeros(()))
            # 3. What nobody answers is not derived, whichever verifier reads it; labels need not be told.
            nobody = answers_of_nobody(answers[::2].detach(), answers[0].detach(), space)
            told = committee.logits(nobody, answers[0].detach())
            return loss + sum(functional.softplus(told[name]).mean() for name in told if name != "labels")

        fingerprint = descend_together(zoo, starts, committee, settings, objective, seed, progress)
        return fingerprint, _finish(committee.eval(), zoo, torch.from_numpy(fingerprint), settings)


def with_virtual_models(
    derived: Tensor, independent: Tensor, settings: CommitteeSettings, *, labelled: bool
) -> tuple[Tensor, Tensor]:
    """Return the answers of both sides with those of virtual copies and their twins; the target's stand first."""
    copies, twins = mix(derived[0], independent, settings.mixed, (settings.low, settings.high))
    high, low = torch.cat([derived, copies]), torch.cat([independent, twins])
    if not labelled:
        return high, low
    bent = [bend(side, settings.bent, settings.noise) for side in (high, low)]
    return tuple(as_log_probabilities(torch.cat(pair)) for pair in zip((high, low), bent, strict=True))  # type: ignore[return-value]


def _cost(logits: Tensor, positives: int) -> Tensor:
    return functional.softplus(-logits[:positives]).mean() + functional.softplus(logits[positives:]).mean()


def _weight(name: str, zoo: Zoo) -> float:
    return 0.0 if zoo.scarce and name in _LEARNED else _WEIGHTS.get(name, 1.0)


@torch.no_grad()
def _finish(committee: Committee, zoo: Zoo, queries: Tensor, settings: CommitteeSettings) -> MetaVerifier:
    """Measure each vote in standard deviations of independent models, and bring the mean vote to log-odds.

    The average independent model gets ``-settings.decided``, the average copy, virtual ones too, its opposite.
    """
    sides = ((zoo.target, *zoo.derived), zoo.independent)
    high, low = (torch.stack([features_of(model, queries, zoo.task.output) for model in side]) for side in sides)
    reference = high[0]
    high, beside_twins = with_virtual_models(high, low, settings, labelled=committee.labelled)
    low = beside_twins if zoo.scarce else low
    found = [committee.votes(side, reference) for side in (high, low)]
    votes = [torch.stack(list(side.values())) for side in found]
    weight = torch.tensor([_weight(name, zoo) for name in found[0]])
    centre, spread = votes[1].mean(dim=1), votes[1].std(dim=1) + _LEAST_SPREAD
    usual = ((votes[0].mean(dim=1) - centre) / spread * weight).sum() / weight.sum()
    slope = 2 * settings.decided / usual.clamp(min=_LEAST_SPREAD) / spread
    lines = torch.stack([slope, -slope * centre - settings.decided, weight], dim=1)
    return committee.export(reference, dict(zip(found[0], lines, strict=True)))


_WEIGHTS = {"distance": 2.0, "joint": 2.0}
"""Votes that count more than once."""
_LEARNED = {"local", "joint"}
"""Verifiers that are all learned from the zoo; the others compare with the target's own answers."""
_LEAST_SPREAD = 1e-3


def _settings(workshop: Workshop) -> CommitteeSettings:
    return CommitteeSettings(steps=workshop.project.settings.fingerprint.steps)


def _optimise(given: Materials, settings: CommitteeSettings) -> tuple[Inputs, MetaVerifier]:
    starts = given.starts
    if given.zoo.task.output.kind in LABELS:
        pool = given.data.validation.inputs
        starts = choose_undecided(given.zoo.target, given.zoo.task, pool, len(starts), given.seed)
    return optimise_committee(given.zoo, starts, settings, given.seed, given.progress)


METHOD = Method(
    name="committee",
    summary="several verifiers vote on the same answers, taught by virtual copies (docs/methods.md)",
    settings=_settings,
    optimise=_optimise,
    outputs=ANY_OUTPUT,
)
