"""Owners whose model is an endpoint: what serves it, its file, its project."""

from __future__ import annotations

from pathlib import Path

import tomlkit

from metav_audit.zoo.formats.opaque import Opaque
from metav_audit.zoo.formats.reading import as_opaque
from tests.tables import PROGRAMS, TABLE, rows, write_table

OWN = """
[endpoints.{name}]
adapter = "json-template"
url = "{url}/own/{form}"
body = {{ rows = "{{{{inputs}}}}" }}
encoding = "rows"
answer = "said"
batch = 64
scores = "{scores}"
{more}
"""
SCORES = {"two": "probability", "one": "probability", "rounded": "probability", "label": "label"}


def served() -> dict[str, Opaque]:
    """The owner's own model, which the copy is, and a rival's."""
    made = PROGRAMS["pickle"]
    own, rival = made(1, rows(1, 160)), made(5, rows(9, 160))
    told = (("own", own), ("copy", own), ("rival", rival))
    return {name: as_opaque(each, TABLE, "array", None) for name, each in told}


def own_endpoint(url: str, form: str = "two", name: str = "own", more: str = "") -> str:
    """The owner's endpoint file, of an API that shows its answers in one form."""
    return OWN.format(url=url, form=form, name=name, scores=SCORES[form], more=more)


def write_owned(folder: Path, url: str, form: str = "two") -> Path:
    """Write a project whose target is an endpoint and nothing else; return project.toml."""
    project = write_table(folder, "pickle")
    told = tomlkit.parse(project.read_text())
    told["target"] = {"endpoint": "own.toml"}
    project.write_text(tomlkit.dumps(told))
    (folder / "target.joblib").unlink()
    (folder / "own.toml").write_text(own_endpoint(url, form))
    return project
