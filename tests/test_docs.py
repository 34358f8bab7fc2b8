"""The documentation names what is there: links lead somewhere, formats have the fields that the program writes."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from metav_audit.bundle.coins import _FIELDS as PLAN_FIELDS
from metav_audit.bundle.coins import _QUERY_FIELDS as QUERY_FIELDS
from metav_audit.bundle.folder import _FIELDS as MANIFEST_FIELDS
from metav_audit.bundle.served import _FIELDS as SERVED_FIELDS
from metav_audit.bundle.served import _QUERY_FIELDS as SERVED_QUERY_FIELDS
from metav_audit.report.as_csv import COLUMNS, SUMMARY_COLUMNS
from metav_audit.transcript import Finished, Header, Received, Resumed, Sent, Unanswered
from metav_audit.verdict import Verdict
from metav_audit.verdict.coins import CoinFinding, CoinVerdict
from metav_audit.verdict.served import ServedFinding, ServedVerdict
from metav_audit.zoo.formats.registry import FORMATS as MODEL_FORMATS
from metav_audit.zoo.formats.registry import known_endings
from metav_audit.zoo.recipes.registry import RECIPES

SOURCE = Path(__file__).parents[1]
PAGES = [*SOURCE.glob("*.md"), *(SOURCE / "docs").rglob("*.md")]
FORMATS = SOURCE / "docs" / "reference" / "formats.md"


def section(title: str) -> str:
    (text,) = re.findall(rf"^## {title}.*?$(.*?)(?=^## |\Z)", FORMATS.read_text(), re.MULTILINE | re.DOTALL)
    return text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SOURCE)))
def test_every_link_to_a_file_leads_to_one(page):
    """Of the README, the changelog, the other pages at the top, and all of docs."""
    targets = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", page.read_text())
    local = [name.split("#")[0] for pair in targets for name in pair if name and "://" not in name]
    assert not [name for name in local if not (page.parent / name).exists()]


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("A bundle", MANIFEST_FIELDS | {"sha256", "tensors_sha256"}),
        ("`verdict.json`", {each.name for each in fields(Verdict)}),
        (
            "An audit by coins",
            {each.name for kind in (CoinVerdict, CoinFinding) for each in fields(kind)} | PLAN_FIELDS | QUERY_FIELDS,
        ),
        (
            "An audit of served answers",
            {each.name for kind in (ServedVerdict, ServedFinding) for each in fields(kind)}
            | SERVED_FIELDS
            | SERVED_QUERY_FIELDS,
        ),
        ("`report.csv`", {*COLUMNS, *SUMMARY_COLUMNS}),
    ],
)
def test_formats_name_every_field(title, names):
    """Of manifest, verdict and tables."""
    assert not [name for name in names if f"`{name}`" not in section(title)]


@pytest.mark.parametrize("kind", [Header, Sent, Received, Unanswered, Resumed, Finished], ids=lambda kind: kind.kind)
def test_formats_name_every_field_of_a_record(kind):
    """Each in its own row."""
    text = section("`transcript.jsonl`")
    row = next(line for line in text.splitlines() if line.startswith(f"| `{kind.kind}` |"))
    assert not [each.name for each in fields(kind) if f"`{each.name}`" not in (row if each.name != "at" else text)]


def test_every_page_stands_in_the_site_s_navigation():
    """A page that nobody is led to is not read."""
    site = (SOURCE / "mkdocs.yml").read_text()
    named = {path.relative_to(SOURCE / "docs").as_posix() for path in (SOURCE / "docs").rglob("*.md")}
    assert not [name for name in named if not re.search(rf"(- |: ){re.escape(name)}$", site, re.MULTILINE)]


THREATS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (SOURCE / "docs" / "security.md").read_text())


@pytest.mark.parametrize(("file", "name"), THREATS, ids=lambda text: text)
def test_every_promise_of_the_threat_model_names_a_test(file, name):
    """The page names tests that are there."""
    assert f"\ndef {name}(" in (SOURCE / file).read_text()


def test_every_row_of_the_threat_model_names_its_test():
    """A promise without a test is none."""
    text = (SOURCE / "docs" / "security.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and line.count("|") == 3]
    assert not [row for row in rows if "::" not in row and row != "| promise | test |"]


PAGE = SOURCE / "docs" / "formats.md"


def table_after(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose first heading is this."""
    lines = text[text.index(f"| {first} |") :].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_of_formats_has_every_format_with_its_endings_and_its_extra():
    """Whatever the registry reads from a file stands in the table, and nothing else; the extras are pyproject's."""
    told = {
        row[0]: (set(re.findall(r"`(\.\w+)`", row[1])), row[2].strip("`"))
        for row in table_after(PAGE.read_text(), "format")
    }
    extras = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for form in MODEL_FORMATS.values():
        if form.endings:
            assert told[form.title] == (set(form.endings), form.extra)
    assert {extra for _, extra in told.values()} <= set(extras)
    assert set().union(*(endings for endings, _ in told.values())) - {".safetensors", ".ckpt"} == known_endings()


def test_every_line_of_the_owners_side_names_its_test():
    """What is promised there is held by a test that is there."""
    told = table_after(PAGE.read_text(), "what is said, and what is refused")
    assert len(told) >= 17
    for _, where in told:
        file, _, name = where.strip("`").partition("::")
        assert f"\ndef {name}(" in (SOURCE / file).read_text(), where


def test_the_page_of_formats_has_every_recipe_without_gradients():
    """By name, in its table."""
    named = {row[0].strip("`") for row in table_after(PAGE.read_text(), "recipe")}
    assert named == {name for name, recipe in RECIPES.items() if recipe.opaque}
