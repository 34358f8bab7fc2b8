from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from metav_audit.adapter import installed_adapters
from metav_audit.audit import Grant, load_endpoints
from metav_audit.audit.client import check_ready
from metav_audit.audit.endpoint.credentials.registry import SOURCES
from metav_audit.task import ClassScores, ImageDomain, TaskSpec
from tests.builders import make_bundle

DOCS = Path(__file__).parents[2] / "docs" / "adapters"
TASK = TaskSpec(ImageDomain(3, 5, 5), ClassScores(("cat", "dog", "horse", "ship")))
BUNDLE = make_bundle(queries=2, task=TASK)
FILES = [
    pytest.param(page.stem, text, id=f"{page.stem}-{place}")
    for page in sorted(DOCS.glob("*.md"))
    for place, text in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize(("name", "text"), FILES)
def test_every_endpoint_file_in_the_docs_is_ready_to_be_used(tmp_path, monkeypatch, name, text):
    """It parses, opens its page's adapter, and with its variables set and granted nothing stands in an audit's way."""
    path = tmp_path / "endpoints.toml"
    path.write_text(text)
    names = [*re.findall(r"\$\{(\w+)\}", text), "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    for variable in names:
        monkeypatch.setenv(variable, "a-value-for-the-test")
    for source in SOURCES.values():
        monkeypatch.setitem(sys.modules, source.library, ModuleType(source.library))
        names.append(f"{source.kind}-credentials")
    (tmp_path / "my_model.py").write_text("def predict(inputs):\n    return inputs\n")
    monkeypatch.syspath_prepend(tmp_path)
    (endpoint,) = load_endpoints(path, TASK, Grant(frozenset(names), functions=True))
    assert endpoint.adapter.name == name
    check_ready(BUNDLE, endpoint, tmp_path / "new")
    assert endpoint.adapter.encode(BUNDLE.inputs[: min(2, endpoint.batch)]).content


def test_every_built_in_adapter_has_a_page_and_a_line_in_the_index():
    """Its page says what it loses, its errors and what was checked."""
    index = (DOCS / "README.md").read_text()
    names = {each.name for each in installed_adapters() if each.package == "metav-audit"}
    assert {page.stem for page in DOCS.glob("*.md")} - {"README"} == names
    for name in names:
        page = (DOCS / f"{name}.md").read_text()
        assert f"[{name}]({name}.md)" in index
        assert page.startswith(f"# {name}\n")
        for part in ("**Loses**", "**Quirks.**", "**Errors.**", "**Checked**", "```toml"):
            assert part in page, (name, part)


def test_the_docs_hold_no_literal_secret():
    """Every value of a header comes from a variable."""
    for _, text in (parameter.values for parameter in FILES):
        for table in tomllib.loads(text)["endpoints"].values():
            assert all("${" in value for value in table.get("headers", {}).values())
