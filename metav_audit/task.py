"""TaskSpec: what goes into every model of a task and what comes out, the one thing the method assumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from metav_audit.domains import InputDomain, domain_from_json
from metav_audit.errors import ConfigurationError


class OutputKind(StrEnum):
    """What an output is. Regression and generated tensors will join here."""

    CLASSIFICATION = "classification"


class ScoreKind(StrEnum):
    """In which form an API writes the scores of a classification."""

    PROBABILITY = "probability"
    LOG_PROBABILITY = "log_probability"
    PERCENT = "percent"
    LOGIT = "logit"
    LABEL = "label"
    """No score at all: the answer holds 1 for the class named and None for the others."""


@dataclass(frozen=True, slots=True)
class OutputSpace:
    """What comes out of a model: one score for each label, in this order."""

    kind: OutputKind
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.labels) < 2:
            raise ConfigurationError(f"a classification has at least two labels, not {len(self.labels)}")
        if len(set(self.labels)) != len(self.labels):
            raise ConfigurationError("the labels of the output are not distinct: give every class a name of its own")

    @property
    def size(self) -> int:
        """Number of elements of one output."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """An input domain and an output space, shared by target, surrogates and suspects."""

    domain: InputDomain
    output: OutputSpace

    def to_json(self) -> dict[str, Any]:
        """Describe the task in JSON types; ``from_json`` reads it back."""
        output = {"kind": self.output.kind.value, "labels": list(self.output.labels)}
        return {"input": self.domain.to_json(), "output": output}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build the task from ``to_json``'s fields.

        Raises:
            ConfigurationError: a kind is unknown, or a field is missing or out of range.
        """
        try:
            domain, output = domain_from_json(fields["input"]), fields["output"]
            space = OutputSpace(OutputKind(output["kind"]), tuple(str(label) for label in output["labels"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"the task is not described rightly: {error}") from error
        return cls(domain, space)
