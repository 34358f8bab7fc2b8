"""The making of a bundle: all that decides it, resolved once."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch

from metav_audit.errors import ConfigurationError
from metav_audit.fingerprint.methods import accounts
from metav_audit.fingerprint.methods.base import Method
from metav_audit.fingerprint.methods.registry import METHODS, default_method, find_method
from metav_audit.fingerprint.requests import Requests
from metav_audit.fingerprint.weight import LIR_VERSION
from metav_audit.version import __version__
from metav_audit.zoo.formats.opaque import answers_anything, has_gradients
from metav_audit.zoo.own import own_models
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import Workshop, load_public
from metav_audit.zoo.siblings import siblings_address
from metav_audit.zoo.store import content_address
from metav_audit.zoo.surrogates import SurrogateZoo
from metav_audit.zoo.target_files import files_of_target

FIT_VERSION = 6
"""Part of what a bundle remembers of its making: raise it when the same project would give another bundle."""

WITHOUT_GRADIENTS = 512
"""Queries beside a target that gives no gradients, where nothing else is asked for: docs/formats.md has the figures."""

FEW_LINEAGES = 4
"""With fewer of them, what independent models have in common cannot be told from what one of them is."""


@dataclass(frozen=True, slots=True)
class Making:
    """How a bundle is made; ``Making.of`` fills in what is usual.

    Attributes:
        workshop: the owner's model and data.
        zoo: the trained surrogates.
        method: the method.
        seed: of the optimisation.
        queries: how many the fingerprint has.
        requests: the request log that its queries are taken from; None for other methods.
    """

    workshop: Workshop
    zoo: SurrogateZoo
    method: Method
    seed: int
    queries: int
    requests: Requests | None = None

    @classmethod
    def of(
        cls,
        workshop: Workshop,
        zoo: SurrogateZoo,
        method: str | None = None,
        *,
        seed: int | None = None,
        queries: int | None = None,
        requests: Requests | None = None,
    ) -> Self:
        """Fill in the task's default method, and the project's own seed and number of queries.

        Raises:
            ConfigurationError: the method is unknown, or cannot serve the task; or it needs siblings, and there are
                none; or it takes its queries from elsewhere than the log that was given.
        """
        kind, settings = workshop.target.task.output.kind, workshop.project.settings
        usual = default_method(kind, siblings=workshop.project.training is not None, scarce=is_scarce(zoo))
        if requests is not None and method not in (None, accounts.METHOD.name):
            raise ConfigurationError(f"the method {method} makes its own queries: leave it out, or the request log")
        found = accounts.METHOD if requests is not None else find_method(method or usual, kind)
        if found.uses_siblings:
            check_siblings(workshop)
        check_gradients(found, gradients=has_gradients(workshop.target.network))
        check_answered(found, workshop)
        return cls(
            workshop,
            zoo,
            found,
            settings.seed if seed is None else seed,
            queries or settings.fingerprint.queries or _usual_queries(found, workshop),
            requests,
        )

    @property
    def address(self) -> str:
        """The hash of everything that decides the bundle; the zoo's own tells what was filtered out of it."""
        settings = self.workshop.project.settings
        return content_address(
            {
                "zoo": self.zoo.sha256,
                "method": self.method.name,
                "name": settings.name,
                "seed": self.seed,
                "queries": self.queries,
                "settings": self.method.parts(self.workshop),
                "files": files_of_target(self.workshop.project),
                **({"siblings": siblings_address(self.workshop)} if self.method.uses_siblings else {}),
                **({"requests": self.requests.parts} if self.requests else {}),
                "rates": settings.rates.model_dump(),
                "natural": {**settings.natural.model_dump(), **self._public},
                "version": FIT_VERSION,
                "torch": torch.__version__,
            }
        )

    @property
    def _public(self) -> dict[str, str]:
        """The hash of the public data among which natural inputs are chosen."""
        project = self.workshop.project
        return {"sha256": load_public(project).sha256()} if project.settings.natural.source == "public" else {}

    @property
    def provenance(self) -> dict[str, Any]:
        """What the bundle says of its making, in JSON types."""
        mark = asdict(self.workshop.project.owner_mark) if self.method.marks_owner else {}
        return {
            **mark,
            **files_of_target(self.workshop.project),
            "target_sha256": self.zoo.target_sha256,
            "zoo_sha256": self.zoo.sha256,
            "zoo_left_out": self.zoo.left_out,
            "making_sha256": self.address,
            "seed": self.seed,
            "versions": {
                "metav_audit": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "lir": LIR_VERSION,
            },
            "platform": f"{platform.system()} {platform.machine()}",
        }


def check_siblings(workshop: Workshop) -> None:
    """Raise ConfigurationError unless the project names a training program."""
    if workshop.project.training is None:
        raise ConfigurationError(
            "siblings are reruns of the target's own training: name its program below [training] in "
            f'{workshop.project.path}: program = "module:function", taking (seed, data) and returning the model'
        )


def _usual_queries(method: Method, workshop: Workshop) -> int:
    """Return how many queries a method usually takes; natural ones tell less of trees than of networks."""
    return method.queries if has_gradients(workshop.target.network) else max(method.queries, WITHOUT_GRADIENTS)


def check_gradients(method: Method, *, gradients: bool) -> None:
    """Raise ConfigurationError where a method moves its queries along gradients that the target does not give."""
    if method.by_gradients and not gradients:
        able = ", ".join(one.name for one in METHODS.values() if not one.by_gradients)
        raise ConfigurationError(
            f"the method {method.name} moves its queries along the target's gradients, and a target of another library "
            f"gives none: use one of {able}"
        )


def must_be_picked(workshop: Workshop) -> bool:
    """Say whether queries have to be picked from the validation data: of some model its answers alone are at hand."""
    return not answers_anything(workshop.target.network) or _answers_alone(workshop)


def check_answered(method: Method, workshop: Workshop) -> None:
    """Raise ConfigurationError where own surrogates were never asked what a method will ask."""
    if (method.by_gradients or method is accounts.METHOD) and _answers_alone(workshop):
        able = ", ".join(one.name for one in METHODS.values() if not one.by_gradients)
        raise ConfigurationError(
            f"the method {method.name} makes queries that own surrogates of answers alone were never asked: use one of "
            f"{able}, whose queries are picked from the data, or bring the models themselves below [zoo] own"
        )


def _answers_alone(workshop: Workshop) -> bool:
    return any(one.answers_only for one in own_models(workshop.project).values())


def is_scarce(zoo: SurrogateZoo) -> bool:
    """Say whether the fit split has fewer than ``FEW_LINEAGES`` independent lineages."""
    return len({one.plan.lineage for one in zoo.select(Split.FIT, derived=False)}) < FEW_LINEAGES
