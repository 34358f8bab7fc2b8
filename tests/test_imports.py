"""The public surface, and what importing it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

import metav_audit
from metav_audit.errors import MetavAuditError

HEAVY = ("torch", "httpx", "pandas", "matplotlib", "joblib", "sklearn", "scipy", "numpy", "pydantic", "typst")


def loaded(statement):
    """Which heavy packages a fresh interpreter has loaded after a statement."""
    program = f"{statement}\nimport sys\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_importing_the_package_loads_nothing_heavy():
    """Neither torch nor httpx nor pandas nor matplotlib, nor anything else that takes time."""
    assert loaded("import metav_audit") == []


def test_the_auditor_s_side_never_loads_torch():
    """Everything an auditor needs is there without torch, joblib and scikit-learn."""
    statement = (
        "import metav_audit, metav_audit.evidence\nfor name in metav_audit.__all__: getattr(metav_audit, name)\n"
        "from importlib.metadata import entry_points\n"
        "for each in entry_points(group='metav_audit.adapters'): each.load()"
    )
    assert not {"torch", "joblib", "sklearn", "scipy"} & set(loaded(statement))


def test_every_public_name_is_there_and_documented():
    """Each name of __all__ can be fetched and has a docstring; __all__ is sorted; others are no attributes."""
    assert metav_audit.__all__ == sorted(metav_audit.__all__)
    for name in metav_audit.__all__:
        assert getattr(metav_audit, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'surprise'"):
        _ = metav_audit.surprise


def test_every_error_has_an_exit_code_of_the_table():
    """The tree's exit codes are 2 and 4, and 70 for a fault of ours, and the docstring draws every class."""
    from metav_audit import errors

    def family(kind):
        return [kind, *(each for child in kind.__subclasses__() for each in family(child))]

    for kind in family(MetavAuditError):
        assert kind.exit_code in (2, 4, 70)
        if kind.__module__ == "metav_audit.errors":
            assert f"{kind.__name__} " in errors.__doc__
