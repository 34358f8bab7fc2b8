"""Texts: what a language model is asked, and what may follow."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from metav_audit.task.texts.likeness import LONGEST_RUN, MOST_WORDS, likenesses
from metav_audit.task.texts.passage import (
    LONGEST_TEXT,
    MOST_CONTINUATIONS,
    SCALE,
    Passage,
    Shows,
    TextDomain,
    check_text,
    passages,
    served_task,
)

TEXT_LIMITS: Mapping[str, float] = MappingProxyType(
    {
        "longest_text": LONGEST_TEXT,
        "most_continuations": MOST_CONTINUATIONS,
        "scale_nats": SCALE,
        "longest_run": LONGEST_RUN,
        "most_words": MOST_WORDS,
    }
)
"""Limits that decide what texts are compared by; a served plan states them."""

__all__ = [
    "LONGEST_TEXT",
    "TEXT_LIMITS",
    "Passage",
    "Shows",
    "TextDomain",
    "check_text",
    "likenesses",
    "passages",
    "served_task",
]
