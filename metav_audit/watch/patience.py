"""How long a watch waits, and how often it tries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long who has a claim is waited for.

    Attributes:
        lease: seconds that a claim holds unless it is renewed.
        retry: seconds before an audit that failed is tried again.
        tries: runs that try one audit.
        lost_after: failed audits in a row that make an endpoint lost.
        warn: the share at which a budget is near its end.
    """

    lease: float
    retry: float
    tries: int
    lost_after: int
    warn: float
