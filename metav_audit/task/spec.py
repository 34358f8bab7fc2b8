"""TaskSpec: what goes into every model of a task and what comes out, the one thing the method assumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from metav_audit.errors import ConfigurationError
from metav_audit.task.domains import InputDomain, domain_from_json
from metav_audit.task.outputs import OutputSpace, output_from_json


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """An input domain and an output space, shared by target, surrogates and suspects.

    >>> from metav_audit.task.domains import ImageDomain
    >>> from metav_audit.task.outputs import ClassScores
    >>> task = TaskSpec(ImageDomain(1, 8, 8), ClassScores(('0', '1')))
    >>> TaskSpec.from_json(task.to_json()) == task
    True
    """

    domain: InputDomain
    output: OutputSpace

    def to_json(self) -> dict[str, Any]:
        """Describe the task in JSON types; ``from_json`` reads it back."""
        return {"input": self.domain.to_json(), "output": self.output.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build the task from ``to_json``'s fields.

        Raises:
            ConfigurationError: a kind is unknown, or a field is missing or out of range.
        """
        try:
            domain, output = domain_from_json(fields["input"]), output_from_json(fields["output"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"the task is not described rightly: {error}") from error
        return cls(domain, output)
