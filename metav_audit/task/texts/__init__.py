"""Texts: what a language model is asked, and what may follow."""

from __future__ import annotations

from metav_audit.task.texts.likeness import likenesses
from metav_audit.task.texts.passage import LONGEST_TEXT, Passage, Shows, TextDomain, check_text, passages, served_task

__all__ = [
    "LONGEST_TEXT",
    "Passage",
    "Shows",
    "TextDomain",
    "check_text",
    "likenesses",
    "passages",
    "served_task",
]
