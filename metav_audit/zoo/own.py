"""Own surrogates: models that the owner trained elsewhere, or what these answered, with a card beside each.

A folder of files and of cards, ``NAME.toml`` or ``NAME.json``. Their lineages join the zoo's splits, in the shares that
the preset gives them, in an order that follows from the lineages' names.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from metav_audit.config import first_problem
from metav_audit.errors import ConfigurationError, DataError, MetavAuditError
from metav_audit.files import read_regular, strict_json
from metav_audit.task import TaskSpec
from metav_audit.zoo.data import LabelledData, performance_on, read_answered
from metav_audit.zoo.formats import answers
from metav_audit.zoo.formats.answers import Book
from metav_audit.zoo.formats.base import Feed, Outputs
from metav_audit.zoo.formats.opaque import Opaque, knows
from metav_audit.zoo.formats.registry import known_endings
from metav_audit.zoo.plan import Own, Plan, Split
from metav_audit.zoo.store import content_address, weights_hash
from metav_audit.zoo.target import load_target

if TYPE_CHECKING:
    from metav_audit.zoo.project import Project, Workshop

MOST = 1000
"""Cards in one folder."""

MOST_BYTES = 1 << 16
_CARDS = (".toml", ".json")
_ANSWERS = ".npz"


class OwnCard(BaseModel):
    """What an owner says of a model that they trained elsewhere.

    Attributes:
        derived: whether the target is among its ancestors.
        lineage: models that share it are no independent witnesses of each other; the card's name by default.
        recipe: how it was made, in a few words.
        family: of such recipes; ``recipe`` by default.
        architecture: its architecture's name, or "target" for the target's own.
        data: whose data it was trained on, the owner's ("train") or others.
        split: what its lineage is used for; drawn by default.
        model: as below ``[target]``: a file beside the card, or ``module:function``; or an ``.npz`` of its answers. By
            default the one file of the card's name.
        weights: as below ``[target]``.
        outputs: the same.
        feed: the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    derived: bool
    lineage: str = Field(default="", max_length=200)
    recipe: str = Field(min_length=1, max_length=200)
    family: str = Field(default="", max_length=200)
    architecture: str = Field(min_length=1, max_length=200)
    data: Literal["train", "heldout"]
    split: Split | None = None
    model: str = Field(default="", max_length=1000)
    weights: str | None = None
    outputs: Outputs | None = None
    feed: Feed = "array"


@dataclass(frozen=True, slots=True, eq=False)
class OwnModel:
    """A model that was trained elsewhere, and its card."""

    card: OwnCard
    lineage: str
    network: nn.Module
    sha256: str

    @property
    def answers_only(self) -> bool:
        """Whether its answers alone are at hand."""
        return isinstance(self.network, Opaque) and self.network.told["format"] == answers.NAME

    def plan(self, split: Split) -> Plan:
        """Return it as a plan that is carried out."""
        card = self.card
        return Plan(
            self.lineage, split, f"own: {card.recipe}", card.architecture, card.data, 0, {}, None, not card.derived,
            card.family or card.recipe, own=Own(self.sha256, self.answers_only),
        )  # fmt: skip


def own_models(project: Project) -> Mapping[str, OwnModel]:
    """Read the models of the folder that a project names, by content; none where it names none.

    Raises:
        ConfigurationError: the folder or a card cannot be read.
        DataError: a model does not fit the task.
    """
    named = project.settings.zoo.own
    if named is None:
        return {}
    folder = project.folder / named
    try:
        stands = tuple(sorted((each.name, each.stat().st_mtime_ns, each.stat().st_size) for each in folder.iterdir()))
    except OSError as error:
        raise ConfigurationError(f"cannot read the folder of own surrogates {folder}: {error.strerror}") from None
    return _own_models(project, folder, stands)


@lru_cache(maxsize=4)
def _own_models(project: Project, folder: Path, stands: tuple[tuple[str, int, int], ...]) -> Mapping[str, OwnModel]:
    """Read a folder's models, again whenever other files stand in it."""
    names = (folder / name for name, _, _ in stands)
    cards = [each for each in names if each.suffix in _CARDS and not _is_model(each, folder)]
    if not cards or len(cards) > MOST:
        raise ConfigurationError(
            f"{folder} holds {len(cards)} cards of own surrogates: there has to be one, NAME.toml or NAME.json, beside "
            f"each model, and {MOST} at most"
        )
    trusted = project.settings.target.trust or project.trust
    found = [_read(path, project.task, trusted=trusted) for path in cards]
    _check_lineages(found, folder)
    return {each.sha256: each for each in found}


def own_plans(workshop: Workshop, split_sizes: Mapping[bool, Mapping[Split, int]]) -> list[tuple[Plan, float]]:
    """Return own surrogates as plans in the zoo's splits, each with its performance on the validation data.

    Args:
        workshop: the owner's.
        split_sizes: of derived (True) and independent lineages, how many the preset has in each split.

    Raises:
        ConfigurationError, DataError: those of ``own_models``, or one answers none of the validation data.
    """
    models = list(own_models(workshop.project).values())
    splits = {side: _shared_out([one for one in models if one.card.derived is side], sizes)
              for side, sizes in split_sizes.items()}  # fmt: skip
    return [
        (one.plan(splits[one.card.derived][one.lineage]), _performance(one, workshop.data.validation, workshop))
        for one in models
    ]


def own_lines(project: Project) -> Iterator[str]:
    """Yield what is to be said of own surrogates before anything is trained; errors are those of ``own_models``."""
    models = own_models(project).values()
    if not models:
        return
    derived, independent = ({one.lineage for one in models if one.card.derived is side} for side in (True, False))
    yield f"own surrogates: {len(models)} models, {len(derived)} derived and {len(independent)} independent lineages"
    if alone := sum(one.answers_only for one in models):
        yield f"of {alone} of them the answers alone are at hand: queries are picked from the data, and not moved"


def load_own(project: Project, own: Own) -> nn.Module:
    """Return an own surrogate's model by its content.

    Raises:
        DataError: it is there no more.
    """
    found = own_models(project).get(own.sha256)
    if found is None:
        raise DataError(f"the own surrogate {own.sha256[:12]} is there no more: run 'metav-audit zoo' again")
    return found.network


def _shared_out(models: Iterable[OwnModel], sizes: Mapping[Split, int]) -> dict[str, Split]:
    """Give each lineage a split: the stated one, or the one that lacks most of its share so far."""
    stated = {one.lineage: one.card.split for one in models}
    shares = {split: count for split, count in sizes.items() if count} or {Split.CALIBRATION: 1}
    held = Counter(split for split in stated.values() if split is not None)
    given: dict[str, Split] = {}
    for lineage in sorted(stated, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        split = stated[lineage]
        if split is None:
            split = min(shares, key=lambda each: (held[each] + 1) / shares[each])
            held[split] += 1
        given[lineage] = split
    return given


def _check_lineages(models: Iterable[OwnModel], folder: Path) -> None:
    """Raise ConfigurationError where a lineage is stated in two ways."""
    seen: dict[str, tuple[bool, Split | None]] = {}
    for one in models:
        told = (one.card.derived, one.card.split)
        if seen.setdefault(one.lineage, told) != told:
            raise ConfigurationError(
                f"{folder}: the lineage {one.lineage!r} is derived on one card and independent on another, or in two "
                "splits: a lineage lies on one side and in one split whole"
            )


def _performance(one: OwnModel, data: LabelledData, workshop: Workshop) -> float:
    known = np.flatnonzero(knows(one.network, data.inputs))
    if not len(known):
        raise DataError(
            f"the own surrogate of lineage {one.lineage!r} answers none of the validation data, from which queries are "
            "picked: have it answer them all, as x of its .npz"
        )
    return performance_on(data.take(known), one.network, workshop.target.task.output)


def _is_model(path: Path, folder: Path) -> bool:
    """Say whether a .json is XGBoost's own file: another card of its name says so."""
    return path.suffix == ".json" and (folder / f"{path.stem}.toml").exists()


def _read(path: Path, task: TaskSpec, *, trusted: bool) -> OwnModel:
    try:
        content = read_regular(path, MOST_BYTES, follow=True)
        card = OwnCard.model_validate(
            tomllib.loads(content.decode()) if path.suffix == ".toml" else strict_json(content), strict=False
        )
    except OSError as error:
        raise ConfigurationError(f"cannot read the card {path}: {error.strerror}") from None
    except ValidationError as error:
        raise ConfigurationError(f"the card {path}: {first_problem(error, model=OwnCard)}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"the card {path} is no {path.suffix[1:].upper()}: {error}") from None
    try:
        network = _load(path, card, task, trusted=trusted)
    except MetavAuditError as error:
        raise type(error)(f"the card {path}: {error}") from error
    lineage = f"own-{card.lineage or path.stem}"
    told = {**card.model_dump(mode="json", exclude={"model", "weights"}), "lineage": lineage}
    return OwnModel(card, lineage, network, content_address({"card": told, "model": weights_hash(network)}))


def _load(path: Path, card: OwnCard, task: TaskSpec, *, trusted: bool) -> nn.Module:
    model = card.model or _beside(path)
    resolved = model if ":" in model else str(path.parent / model)
    if resolved.endswith(_ANSWERS):
        inputs, given = read_answered(Path(resolved), task)
        return Opaque(task, {"format": answers.NAME}, Book.of(inputs, given, task).written())
    weights = None if card.weights is None else path.parent / card.weights
    return load_target(resolved, weights, card.outputs, task, card.feed, trusted=trusted).network


def _beside(path: Path) -> str:
    """Return the name of the one model beside a card."""
    endings = known_endings() | {_ANSWERS}
    found = [name for ending in sorted(endings) if (name := path.with_suffix(ending)) != path and name.is_file()]
    if len(found) != 1:
        raise ConfigurationError(
            f"{len(found)} models of its name stand beside it: there has to be one ({', '.join(sorted(endings))}), or "
            'model = "FILE" in the card'
        )
    return found[0].name
