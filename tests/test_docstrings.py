"""The examples in docstrings, run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import metav_audit

OF_THE_AUDITOR = (
    "adapter",
    "audit",
    "bundle",
    "casework",
    "evidence",
    "report",
    "statistics",
    "task",
    "transcript",
    "verdict",
    "verify",
    "watch",
)
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(metav_audit.__path__, "metav_audit.")
    if name.split(".")[1] in OF_THE_AUDITOR
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name):
    """Each prints what its docstring says."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    """At least twenty, in every part of the auditor's side that has numbers or files."""
    tried = {name: doctest.testmod(importlib.import_module(name)).attempted for name in MODULES}
    assert sum(tried.values()) >= 20
    for part in ("statistics", "task", "transcript", "verdict"):
        assert any(count for name, count in tried.items() if name.startswith(f"metav_audit.{part}."))
