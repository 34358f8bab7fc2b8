"""How large a test is: small for whoever waits for it, whole in the soak.

``make test`` runs every test but those marked ``soak``, and those marked ``scaled`` at a smaller count; ``make
test-soak`` runs both kinds whole.
"""

from __future__ import annotations

import os

SOAK = "SOAK" in os.environ
"""Whether this is the soak."""


def at_scale(quick: int, whole: int) -> int:
    """Return a count: ``quick`` for ``make test``, ``whole`` for ``make test-soak``."""
    return whole if SOAK else quick
