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
        kind = ScoreKind(fields["scores"])
        return cls(fields["name"], fields["adapter"], fields["url"], kind, fields["options"])
