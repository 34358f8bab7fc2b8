"""Who vouches for an audit's folder, and since when: the commitment before it, the seal behind it, the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attested:
    """What a signed and time-stamped statement is worth.

    Attributes:
        status: in one or two words, such as "pre-registered", "late" or "none".
        sentence: the same in words.
        at: the time stamp's time, ISO 8601, UTC; None without one that holds.
        key_id: of the key that signed; None where no signature holds.
        authority: the time-stamp authority's name; None without a time stamp that holds.
    """

    status: str
    sentence: str
    at: str | None = None
    key_id: str | None = None
    authority: str | None = None

    @property
    def holds(self) -> bool:
        """Whether it is what it claims to be; one that is not there claims nothing."""
        return self.status not in ("invalid", "late")


@dataclass(frozen=True, slots=True)
class Custody:
    """The chain of custody of one audit.

    Attributes:
        commitment: to the bundle, before the first query.
        seal: of the transcript, the bundle and the verdict, at the end.
        operator: who asked, on whose behalf and by what authority, in the operator's own words.
        clock: how far the answering server's clock and the auditor's lay apart, in words.
        bodies: requests and responses whose bytes are kept.
    """

    commitment: Attested
    seal: Attested
    operator: Mapping[str, str]
    clock: str
    bodies: int
