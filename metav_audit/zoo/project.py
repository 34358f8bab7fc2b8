"""The owner's project file: which model, which data, which zoo, which fingerprint."""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from metav_audit.bundle import ErrorRates, OwnerMark, nonce_of
from metav_audit.config import first_problem
from metav_audit.errors import ConfigurationError
from metav_audit.task import Inputs, OutputKind, TaskSpec
from metav_audit.zoo.architectures import built_in_for
from metav_audit.zoo.asked import Respondent, ask_beforehand, needed_inputs, read_asked
from metav_audit.zoo.data import LabelledData, OwnerData, load_data
from metav_audit.zoo.device import description_of, device_of, jobs_on
from metav_audit.zoo.sections import ProjectFile, TrainingSection
from metav_audit.zoo.target import TargetModel, framed, load_target

_MAX_PROJECT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Project:
    """A project file and the folder that its relative paths start from; hashable, so a worker can cache on it.

    Attributes:
        path: the file.
        text: what it holds.
        identity: in the place of the file's own, or None.
        nonce: the same.
        other_store: a folder for the zoo's models in the place of the file's own, or None.
        trust: whether the target's file may run code, whatever the file says.
        share: of the preset, in the place of the file's own, or None.
        other_crew: backend and address of those who train, in the place of the file's own, or None.
        other_device: where they train, the same.
    """

    path: Path
    text: str
    identity: str | None = None
    nonce: str | None = None
    other_store: Path | None = None
    trust: bool = False
    share: float | None = None
    other_crew: tuple[str, str | None] | None = None
    other_device: str | None = None

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.path.parent

    @property
    def settings(self) -> ProjectFile:
        """The parsed file."""
        return _parse(self.text, str(self.path))

    @property
    def task(self) -> TaskSpec:
        """The task of target, surrogates and suspects."""
        return TaskSpec.from_table(self.settings.task)

    @property
    def architectures(self) -> tuple[str, ...]:
        """The surrogates' architectures beside the target's own; by default all that are built in for such inputs."""
        named = self.settings.zoo.architectures
        return built_in_for(self.task) if named is None else named

    @property
    def rates(self) -> ErrorRates:
        """The error rates that its verdicts promise."""
        return ErrorRates(**self.settings.rates.model_dump())

    @property
    def owner_mark(self) -> OwnerMark:
        """What the method fitprint derives its target bits from; without a nonce, the seed's.

        Raises:
            ConfigurationError: no identity is given, or identity or nonce cannot be one.
        """
        settings = self.settings
        identity = self.identity or settings.fingerprint.identity
        if identity is None:
            raise ConfigurationError(
                'the method fitprint needs the owner\'s identity: give --identity TEXT, or set identity = "..." below '
                f"[fingerprint] in {self.path}"
            )
        nonce = self.nonce or settings.fingerprint.nonce or nonce_of(settings.seed)
        return OwnerMark(unicodedata.normalize("NFC", identity), nonce)

    @property
    def training(self) -> TrainingSection | None:
        """How the target's siblings are trained; None where no training program is named."""
        training = self.settings.training
        return training if training is not None and training.program is not None else None

    @property
    def ancestor(self) -> str | None:
        """The file of the ancestor's weights, or "none", as stated; None where nothing is."""
        return None if self.settings.training is None else self.settings.training.ancestor

    @property
    def sibling_seeds(self) -> tuple[int, ...]:
        """The siblings' seeds, below 2**31; they follow from the nonce, so that no one can choose them.

        None where no training program is named.
        """
        settings, training = self.settings, self.training
        if training is None:
            return ()
        nonce = self.nonce or settings.fingerprint.nonce or nonce_of(settings.seed)
        words = (f"metav-audit sibling {number} {nonce}" for number in range(training.siblings))
        return tuple(int(hashlib.sha256(each.encode()).hexdigest()[:8], 16) >> 1 for each in words)

    @property
    def file_name(self) -> str:
        """The project's name, fit for a file."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.settings.name).strip(".-") or "project"

    @property
    def store(self) -> Path:
        """The folder of the zoo's models, where it is one of this machine's.

        Raises:
            ConfigurationError: it lies elsewhere.
        """
        place = self.store_place
        if isinstance(place, str):
            raise ConfigurationError(f"the zoo's models lie at {place}, and here a folder is needed")
        return place

    @property
    def store_place(self) -> Path | str:
        """The folder of the zoo's models, or its address as the project file has it, such as s3://bucket/zoo."""
        named = self.settings.zoo.store
        return self.other_store or (named if "://" in named else self.folder / named)

    @property
    def crew(self) -> tuple[str, str | None]:
        """Backend and address of those who train; see ``metav_audit.zoo.crew.crew_of``."""
        zoo = self.settings.zoo
        return self.other_crew or (zoo.backend, zoo.address)

    def crew_with(self, jobs: int | None) -> tuple[str, str | None, int | None]:
        """Return the arguments of ``metav_audit.zoo.crew.crew_of``, for so many processes of this machine."""
        backend, address = self.crew
        return backend, address, jobs_on(self.device, jobs) if backend == "local" else jobs

    @property
    def device(self) -> torch.device:
        """Where models are trained.

        Raises:
            ConfigurationError: this machine has no such device.
        """
        return device_of(self.other_device or self.settings.zoo.device)

    @property
    def asked(self) -> Path:
        """The folder of what a target that is an endpoint answered, wherever the zoo's models are."""
        named = self.settings.zoo.store
        return self.folder / ("asked" if "://" in named else named)


@dataclass(frozen=True, slots=True, eq=False)
class Workshop:
    """Everything the owner brings, loaded."""

    project: Project
    target: TargetModel
    data: OwnerData

    def to_json(self) -> dict[str, Any]:
        """Describe by content all that decides a surrogate's weights beside its plan."""
        data = {"train": self.data.train, "heldout": self.data.heldout, "validation": self.data.validation}
        hashes = {name: part.sha256() for name, part in data.items()}
        where = description_of(self.project.device)
        on = {} if where is None else {"device": where}
        return {"target": self.target.sha256, "data": hashes, "task": self.target.task.to_json(), **on}


def load_project(path: Path) -> Project:
    """Read and check a project file.

    Raises:
        ConfigurationError: it is missing, no TOML, or a field is missing, unknown or out of range.
    """
    file = path / "project.toml" if path.is_dir() else path
    try:
        if file.stat().st_size > _MAX_PROJECT_BYTES:
            raise ConfigurationError(f"{file} is larger than {_MAX_PROJECT_BYTES} bytes: this is no project file")
        project = Project(file.resolve(), file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        hint = "'metav-audit init' writes one to start from"
        raise ConfigurationError(f"cannot read the project file {file}: {error.strerror}; {hint}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the project file {file} is not UTF-8 text") from error
    _ = project.task
    return project


def open_target(project: Project) -> TargetModel:
    """Load the target of a project alone, without its data.

    Raises:
        ConfigurationError: it cannot be found, or is an endpoint that was not asked yet.
        DataError: it does not fit the task.
    """
    settings = project.settings.target
    look_beside(project)
    if settings.endpoint is not None:
        return framed(read_asked(project.asked, needed_of(project), project.task), project.task)
    weights = Path(_resolve(project, settings.weights)) if settings.weights else None
    return load_target(
        _resolve(project, settings.model), weights, settings.outputs, project.task, settings.feed,
        trusted=settings.trust or project.trust,
    )  # fmt: skip


def find_project(bundle: Path) -> Path:
    """Return the nearest folder above a bundle that holds a project.toml.

    Raises:
        ConfigurationError: there is none.
    """
    for folder in bundle.resolve().parents:
        if (folder / "project.toml").is_file():
            return folder
    raise ConfigurationError(f"no project.toml stands above {bundle}: say with --project which project made it")


def open_data(project: Project) -> OwnerData:
    """Load the data of a project; errors are those of ``open_workshop``."""
    settings, task = project.settings, project.task
    look_beside(project)
    train = load_data(_resolve(project, settings.data.train), task, "train")
    heldout = load_data(_resolve(project, settings.data.heldout), task, "heldout")
    if settings.data.validation is not None:
        validation = load_data(_resolve(project, settings.data.validation), task, "validation")
    else:
        order = np.random.default_rng(0).permutation(len(heldout))
        aside = max(1, len(heldout) // 5)
        heldout, validation = heldout.take(order[aside:]), heldout.take(order[:aside])
    return OwnerData(train, heldout, validation)


def ask_target(project: Project, respondent: Respondent) -> int:
    """Ask the endpoint that is the target whatever zoo and fit will need of it; see ``ask_beforehand``."""
    open_workshop.cache_clear()
    return ask_beforehand(project.asked, needed_of(project), project.task, respondent)


def needed_of(project: Project) -> Inputs:
    """Return the inputs that zoo and fit will ask of a target that is an endpoint.

    Raises:
        ConfigurationError: its natural inputs would follow from what the target answers.
    """
    settings = project.settings
    if settings.natural.source == "synthetic" or project.task.output.kind is OutputKind.GENERATION:
        raise ConfigurationError(
            "a target that is an endpoint is asked once, before anything is known of it: write source = "
            '"validation", "public" or "none" below [natural]; a generator must be a network of torch'
        )
    public = load_public(project) if settings.natural.source == "public" else None
    replayed = settings.training is not None and settings.training.seed is not None
    return needed_inputs(open_data(project), project.task, public, replayed=replayed)


@lru_cache(maxsize=4)
def open_workshop(project: Project) -> Workshop:
    """Load the target and the data of a project.

    Raises:
        ConfigurationError: something cannot be found.
        DataError: the model or the data do not fit the task.
    """
    data = open_data(project)
    return Workshop(project, open_target(project), data)


def load_public(project: Project) -> LabelledData:
    """Load the public inputs that a project names as its natural ones; errors are those of ``open_workshop``."""
    look_beside(project)
    return load_data(_resolve(project, str(project.settings.natural.data)), project.task, "natural")


def look_beside(project: Project) -> None:
    """Let the owner's own modules be found, which stand beside the project file."""
    if str(project.folder) not in sys.path:
        sys.path.insert(0, str(project.folder))


def _resolve(project: Project, reference: str) -> str:
    """Make a file's path absolute; leave ``module:function`` as it is."""
    return reference if ":" in reference else str(project.folder / reference)


@lru_cache(maxsize=16)
def _parse(text: str, where: str) -> ProjectFile:
    try:
        return ProjectFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"the project file {where} is not TOML: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"the project file {where}: {first_problem(error, model=ProjectFile)}") from None
