"""Who was asked, as a transcript says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from metav_audit.task import ScoreKind


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """Which endpoint was asked and how, without any secret."""

    name: str
    adapter: str
    url: str
    scores: ScoreKind
    options: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Describe the endpoint in JSON types."""
        shared = {"name": self.name, "adapter": self.adapter, "url": self.url}
        return {**shared, "scores": self.scores.value, "options": dict(self.options)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        name, adapter, url = texts = [fields[part] for part in ("name", "adapter", "url")]
        if len(fields) != 5 or not all(isinstance(each, str) for each in texts):
            raise ValueError("the endpoint's name, adapter or address")
        if not isinstance(fields["options"], dict):
            raise ValueError("the endpoint's options")
        return cls(name, adapter, url, ScoreKind(fields["scores"]), fields["options"])

    @property
    def concurrency(self) -> int | None:
        """How many requests may be under way at once; None where nothing is said of it."""
        limits = self.options.get("limits")
        most = limits.get("concurrency") if isinstance(limits, Mapping) else None
        return most if isinstance(most, int) else None

    def lasting(self) -> dict[str, Any]:
        """Describe what cannot change while an audit goes on: all but limits, headers and source of credentials."""
        changing = ("limits", "headers", "credentials", "way")
        options = {name: value for name, value in self.options.items() if name not in changing}
        return {**self.to_json(), "options": options}
