"""The methods, behind one interface: what makes a fingerprint and a meta-verifier from the owner's side of the zoo."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from metav_audit.bundle import FITPRINT, MetaVerifier, OwnerMark, target_bits
from metav_audit.errors import ConfigurationError
from metav_audit.fingerprint.methods.committee import CommitteeSettings, optimise_committee
from metav_audit.fingerprint.methods.descent import Zoo
from metav_audit.fingerprint.methods.fitprint import SpellingSettings, optimise_spelling
from metav_audit.fingerprint.methods.ipguard import optimise_boundary
from metav_audit.fingerprint.methods.joint import JointSettings, optimise_jointly
from metav_audit.fingerprint.methods.local import LocalSettings, optimise_locally
from metav_audit.fingerprint.methods.natural import (
    choose_mistakes,
    choose_undecided,
    compare_correlations,
    compare_labels,
)
from metav_audit.progress import Progress
from metav_audit.task import Inputs, OutputKind
from metav_audit.zoo.data import OwnerData
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
        seed: of all chance.
        progress: told of every step.
    """

    zoo: Zoo
    starts: Inputs
    data: OwnerData
    seed: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Method:
    """One way to make a fingerprint and its meta-verifier.

    Attributes:
        name: its name on the command line and in bundles.
        summary: one line on what it is.
        settings: its settings, a dataclass, from the project; None where it has none.
        optimise: makes the fingerprint, valid in the domain, and the meta-verifier from materials and settings.
        uses_zoo: whether it learns from the zoo's models.
        outputs: the kinds of output that it can serve.
    """

    name: str
    summary: str
    settings: Callable[[Workshop], Any]
    optimise: Callable[[Materials, Any], tuple[Inputs, MetaVerifier]]
    uses_zoo: bool = True
    outputs: frozenset[OutputKind] = LABELS

    def serves(self, kind: OutputKind) -> bool:
        """Say whether it can serve outputs of this kind."""
        return kind in self.outputs

    def parts(self, workshop: Workshop) -> dict[str, Any]:
        """Describe in JSON types the settings that decide a bundle of this method."""
        settings = self.settings(workshop)
        return {} if settings is None else asdict(settings)


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


def joint_settings(workshop: Workshop) -> JointSettings:
    """Return the settings of the joint optimisation that the project asks for."""
    return JointSettings(steps=workshop.project.settings.fingerprint.steps)


def _targeted_settings(workshop: Workshop) -> TargetedSettings:
    """C classes can spell no more than C - 1 bits a query."""
    asked, mark = workshop.project.settings.fingerprint, workshop.project.owner_mark
    bits = min(asked.bits, workshop.target.task.output.size - 1)
    return TargetedSettings(steps=asked.steps, bits=bits, **asdict(mark))


def _local_settings(workshop: Workshop) -> LocalSettings:
    """LiteGuard's 1,000 steps where the project asks for the usual 400."""
    return LocalSettings(steps=round(2.5 * workshop.project.settings.fingerprint.steps))


def _committee_settings(workshop: Workshop) -> CommitteeSettings:
    return CommitteeSettings(steps=workshop.project.settings.fingerprint.steps)


def _no_settings(_: Workshop) -> None:
    return None


def _metav(given: Materials, settings: JointSettings) -> tuple[Inputs, MetaVerifier]:
    return optimise_jointly(given.zoo, given.starts, settings, given.seed, given.progress)


def _fitprint(given: Materials, settings: TargetedSettings) -> tuple[Inputs, MetaVerifier]:
    mark = OwnerMark(settings.identity, settings.nonce)
    wanted = target_bits(mark, len(given.starts), settings.bits, given.zoo.task.output.size)
    return optimise_spelling(given.zoo, given.starts, wanted, settings, given.seed, given.progress)


def _local(given: Materials, settings: LocalSettings) -> tuple[Inputs, MetaVerifier]:
    return optimise_locally(given.zoo, given.starts, settings, given.seed, given.progress)


def _best(given: Materials, settings: CommitteeSettings) -> tuple[Inputs, MetaVerifier]:
    starts = given.starts
    if given.zoo.task.output.kind in LABELS:
        pool = given.data.validation.inputs
        starts = choose_undecided(given.zoo.target, given.zoo.task, pool, len(starts), given.seed)
    return optimise_committee(given.zoo, starts, settings, given.seed, given.progress)


def _ipguard(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    return optimise_boundary(given.zoo.target, given.zoo.task, given.starts, given.progress)


def _akh(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    return compare_labels(given.zoo.target, given.zoo.task, _mistakes(given))


def _sac(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    return compare_correlations(given.zoo.target, given.zoo.task, _mistakes(given))


def _random(given: Materials, _: None) -> tuple[Inputs, MetaVerifier]:
    return compare_labels(given.zoo.target, given.zoo.task, given.starts)


def _mistakes(given: Materials) -> Inputs:
    return choose_mistakes(given.zoo.target, given.zoo.task, given.data, len(given.starts))


_REGISTERED = (
    Method(
        name="metav",
        summary="inputs and one verifier on all answers, optimised together (MetaV, KDD 2022)",
        settings=joint_settings,
        optimise=_metav,
        outputs=ANY_OUTPUT,
    ),
    Method(
        name="ipguard",
        summary="labels near the decision boundary (IPGuard, AsiaCCS 2021)",
        settings=_no_settings,
        optimise=_ipguard,
        uses_zoo=False,
    ),
    Method(
        name=FITPRINT,
        summary="answers that spell bits fixed beforehand (after FIT-Print)",
        settings=_targeted_settings,
        optimise=_fitprint,
    ),
    Method(
        name="best",
        summary="several verifiers vote on the same answers, taught by virtual copies (docs/methods.md)",
        settings=_committee_settings,
        optimise=_best,
        outputs=ANY_OUTPUT,
    ),
    Method(
        name="local",
        summary="a linear verifier a query, averaged (LiteGuard, ICLR 2026)",
        settings=_local_settings,
        optimise=_local,
        outputs=ANY_OUTPUT,
    ),
    Method(
        name="akh",
        summary="labels on inputs that the target gets wrong (QuRD, AAAI 2025)",
        settings=_no_settings,
        optimise=_akh,
        uses_zoo=False,
    ),
    Method(
        name="sac",
        summary="how outputs correlate over the queries (SAC, NeurIPS 2022)",
        settings=_no_settings,
        optimise=_sac,
        uses_zoo=False,
    ),
    Method(
        name="random",
        summary="labels on inputs drawn at random",
        settings=_no_settings,
        optimise=_random,
        uses_zoo=False,
    ),
)
METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _REGISTERED})


USUAL = ("best", "metav", "ipguard")
"""Methods that are compared where nothing else is asked for."""


def choose_methods(asked: Sequence[str], kinds: Collection[OutputKind]) -> tuple[str, ...]:
    """Return the methods asked for, or the usual ones that can serve all these kinds of output.

    Raises:
        ConfigurationError: one of those asked for is unknown, or cannot serve one of the kinds.
    """
    for name in asked:
        for kind in kinds:
            find_method(name, kind)
    return tuple(asked) or tuple(name for name in USUAL if all(METHODS[name].serves(kind) for kind in kinds))


def default_method(kind: OutputKind, *, scarce: bool = False) -> str:
    """Return the name of the method that does best where nothing else is asked for; docs/methods.md has the figures.

    Args:
        kind: of the task.
        scarce: whether the zoo has few independent lineages, from which metav learns nothing.
    """
    return "best" if kind is OutputKind.CLASSIFICATION or scarce else "metav"


def find_method(name: str, kind: OutputKind | None = None) -> Method:
    """Return the method of that name.

    Raises:
        ConfigurationError: there is none, or it cannot serve outputs of this kind.
    """
    if name not in METHODS:
        raise ConfigurationError(f"method {name!r} is unknown: use one of {', '.join(METHODS)}")
    method = METHODS[name]
    if kind is not None and not method.serves(kind):
        able = ", ".join(one.name for one in METHODS.values() if one.serves(kind))
        raise ConfigurationError(f"method {name!r} compares classes, and a {kind} has none: use one of {able}")
    return method
