"""Among how many audits one was begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from metav_audit.transcript import parts


@dataclass(frozen=True, slots=True)
class Campaign:
    """Among how many audits with its bundle one was begun: the more there are, the likelier chance finds one.

    Attributes:
        endpoints: suspects asked in the same run, this one among them.
        earlier: audits with the bundle that stood in the auditor's folder before.
    """

    endpoints: int = 1
    earlier: int = 0

    @property
    def audits(self) -> int:
        """All of them."""
        return self.endpoints + self.earlier

    def to_json(self) -> dict[str, int]:
        """Describe it in JSON types."""
        return {"endpoints": self.endpoints, "earlier": self.earlier}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote; for the errors see ``parse_record``."""
        return cls(
            parts.whole_of(fields, "endpoints", 1, parts.MAX_QUERIES),
            parts.whole_of(fields, "earlier", 0, parts.MAX_QUERIES),
        )
