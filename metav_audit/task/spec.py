"""TaskSpec: what goes into every model of a task and what comes out, the one thing the method assumes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from metav_audit.errors import ConfigurationError
from metav_audit.files import read_regular
from metav_audit.task.domains import InputDomain, domain_from_json
from metav_audit.task.outputs import OutputKind, OutputSpace, output_from_json

_MAX_PROJECT_BYTES = 1 << 20


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

    @classmethod
    def from_table(cls, fields: Mapping[str, Any]) -> Self:
        """Build the task from the table ``[task]`` of a project file: the output's fields, and ``input`` among them.

        Raises:
            ConfigurationError: a kind is unknown, or a field is missing or out of range.
        """
        output = {"kind": OutputKind.CLASSIFICATION, **fields}
        domain = output.pop("input", None)
        return cls.from_json({"input": domain, "output": output})


def read_task(project: Path) -> TaskSpec:
    """Read the task alone of a project file, or of the one in a folder: no model and no data are looked at.

    Raises:
        ConfigurationError: there is none, or it is no TOML, or has no task.
    """
    file = project / "project.toml" if project.is_dir() else project
    try:
        fields = tomllib.loads(read_regular(file, _MAX_PROJECT_BYTES, follow=True).decode("utf-8-sig")).get("task")
    except OSError as error:
        raise ConfigurationError(f"cannot read the project file {file}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"the project file {file} is not TOML: {error}") from error
    if not isinstance(fields, dict):
        raise ConfigurationError(f"the project file {file} has no table [task]")
    return TaskSpec.from_table(fields)
