"""Whom the drill plays with: a project's bundle, its test models as suspects and as a third party's controls."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from metav_audit.bundle import FingerprintBundle, Schedule, asked_inputs
from metav_audit.fingerprint.fit import models_of
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.task import Answer, Features, FloatArray, ScoreKind
from metav_audit.transcript import EndpointRecord, Exchange, Transcript
from metav_audit.verdict import (
    ControlModel,
    Controls,
    Decision,
    Rule,
    Scored,
    VerdictOutcome,
    conclude,
    scores_in_full,
)
from metav_audit.version import __version__
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import Workshop
from metav_audit.zoo.surrogates import Surrogate, SurrogateZoo

KIND = ScoreKind.LOG_PROBABILITY
_NOWHERE = EndpointRecord("suspect", "drill", "drill:model", KIND, {})


@dataclass(frozen=True, slots=True)
class Player:
    """A test model with its name: a suspect, or a control."""

    surrogate: Surrogate
    model: nn.Module

    @property
    def name(self) -> str:
        """Lineage and recipe."""
        return f"{self.surrogate.plan.lineage}, {self.surrogate.card.recipe}"

    @property
    def lineage(self) -> str:
        """Its lineage's name."""
        return self.surrogate.plan.lineage


@dataclass(frozen=True, slots=True)
class Stage:
    """One project's drill.

    Attributes:
        workshop: the owner's model and data.
        zoo: the trained surrogates.
        bundle: the bundle that is drilled.
        seed: of the project, and of the bundle it makes.
        independents: the test split's independent models: innocent suspects, and a third party's controls.
        derived: its derived models: rightly accused.
    """

    workshop: Workshop
    zoo: SurrogateZoo
    bundle: FingerprintBundle
    seed: int
    independents: tuple[Player, ...]
    derived: tuple[Player, ...]

    @property
    def roots(self) -> tuple[Player, ...]:
        """One independent a lineage: the model that was trained from scratch."""
        return tuple(player for player in self.independents if player.surrogate.plan.parent is None)

    def accuse(self, bundle: FingerprintBundle, suspect: Player) -> Decision:
        """Audit a suspect, with the other lineages' independents as blind controls."""
        others = [player for player in self.roots if player.lineage != suspect.lineage]
        return conclude(bundle, transcript_of(bundle, suspect.model), controls_of(bundle, others))


def open_stage(workshop: Workshop, zoo: SurrogateZoo, bundle: FingerprintBundle) -> Stage:
    """Load the test models."""
    sides = (_players(workshop, zoo.select(Split.TEST, derived=derived)) for derived in (False, True))
    return Stage(workshop, zoo, bundle, workshop.project.settings.seed, *sides)


def is_match(decision: Decision) -> bool:
    """Say whether the score alone would be a match, whatever the controls say."""
    verdict = decision.verdict
    if verdict.score is None:
        return False
    scored = Scored(verdict.score, verdict.p_value_siblings)
    return Rule.of(decision.bundle, decision.reading).conclude(scored).outcome is VerdictOutcome.MATCH


def matches_of(bundle: FingerprintBundle, players: Sequence[Player]) -> list[bool]:
    """Say of each player whether its score alone would be a match."""
    answers = features_of_all([player.model for player in players], bundle.inputs, bundle.task.output)
    rule = Rule.through(bundle)
    scored = rule.score_all(Features(answers, np.ones(answers.shape, dtype=np.bool_)))
    return [rule.conclude(one).outcome is VerdictOutcome.MATCH for one in scored]


def with_table(bundle: FingerprintBundle) -> FingerprintBundle:
    """Write a table of likelihood ratios that fits the rest, as a careful forger does."""
    return replace(bundle, weight=scores_in_full(bundle.verifier, bundle.calibration).fit_weight())


def transcript_of(bundle: FingerprintBundle, model: nn.Module) -> Transcript:
    """Return what an undisturbed audit of a model leaves, without the network."""
    schedule = Schedule.for_bundle(bundle, _EMPTY.nonce)
    own = features_of_all([model], asked_inputs(bundle), bundle.task.output)[0][list(schedule.numbers)]
    exchanges = tuple(Exchange(place, answer, None, (), place) for place, answer in enumerate(_answers(own)))
    head = hashlib.sha256(own.tobytes()).hexdigest()
    return replace(_EMPTY, bundle_sha256=bundle.sha256, exchanges=exchanges, requests=len(own), head=head)


def controls_of(bundle: FingerprintBundle, players: Iterable[Player]) -> Controls:
    """Return the players' answers as a third party hands them in."""
    models = []
    for player in players:
        own = features_of_all([player.model], bundle.inputs, bundle.task.output)[0]
        models.append(ControlModel(player.name, KIND, _answers(own), hashlib.sha256(own.tobytes()).hexdigest()))
    return Controls(bundle.sha256, tuple(models))


_EMPTY = Transcript(
    bundle_sha256="",
    endpoint=_NOWHERE,
    software=f"metav-audit {__version__}",
    started="",
    finished="",
    exchanges=(),
    requests=0,
    nonce="00" * 16,
    identities=(),
    head="",
    operator={},
)


def _players(workshop: Workshop, surrogates: tuple[Surrogate, ...]) -> tuple[Player, ...]:
    return tuple(map(Player, surrogates, models_of(workshop, surrogates)))


def _answers(features: FloatArray) -> tuple[Answer, ...]:
    return tuple(Answer(tuple(row)) for row in features.astype(np.float64).tolist())
