"""When an endpoint is due: fixed slots, each a little late by chance, that no late run and no clock moves apart."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

_SLACK_SHARE, _MOST_SLACK_S = 0.05, 3600.0


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often an endpoint is audited.

    Attributes:
        every: seconds from slot to slot.
        jitter: seconds that an audit may lie behind its slot; how many follows from its number.
    """

    every: float
    jitter: float = 0.0

    @property
    def slack(self) -> float:
        """Seconds before its time at which an audit counts as due: a nightly job begins a second earlier or later."""
        return min(_SLACK_SHARE * self.every, _MOST_SLACK_S)

    def due_at(self, slot: float, key: str, number: int) -> float:
        """Return when the ``number``-th audit of a target is due, in seconds since 1970.

        >>> Rhythm(86400.0).due_at(1000.0, "suspect", 3)
        1000.0
        """
        digest = hashlib.sha256(f"{key}\0{number}".encode()).digest()
        return slot + self.jitter * int.from_bytes(digest[:8], "big") / 2**64

    def is_due(self, slot: float, key: str, number: int, now: float) -> bool:
        """Say whether it is due now."""
        return now + self.slack >= self.due_at(slot, key, number)

    def slot_after(self, slot: float, now: float) -> float:
        """Return the slot after the one that is audited now: slots that were missed are not made up for.

        >>> Rhythm(10.0).slot_after(100.0, 100.2), Rhythm(10.0).slot_after(100.0, 134.0)
        (110.0, 140.0)
        """
        return slot + self.every * (max(0, math.floor((now + self.slack - slot) / self.every)) + 1)

    def settled(self, slot: float, now: float) -> float:
        """Return a slot that a clock which was wrong, then or now, cannot put off by more than one interval.

        >>> Rhythm(10.0).settled(105.0, 100.0), Rhythm(10.0).settled(900.0, 100.0)
        (105.0, 110.0)
        """
        return now + self.every if slot > now + self.every + self.slack else slot
