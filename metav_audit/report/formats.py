"""What reports can be written as."""

from __future__ import annotations

from typing import Literal

FORMATS = ("json", "csv", "html", "pdf")

Paper = Literal["a4", "letter"]
"""A PDF's paper."""
