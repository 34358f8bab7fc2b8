"""A real browser for the page: Chromium, with axe-core's rules, where both are installed."""

from __future__ import annotations

import shutil
from importlib.resources import files
from importlib.util import find_spec

import pytest

CHROMIUM = shutil.which("chromium")
HAS_BROWSER = CHROMIUM is not None and all(find_spec(name) for name in ("playwright", "axe_playwright_python"))
NO_BROWSER = pytest.mark.skipif(not HAS_BROWSER, reason="Chromium, playwright or axe is not installed: make test-watch")
WINDOWS = {"wide": (1280, 900), "phone": (390, 844)}


def axe() -> str:
    """The script that finds what hinders people."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
