"""The house: its floors, its rooms, and the picture of them that the README shows."""

from __future__ import annotations

import graphlib
import re
import tomllib
from pathlib import Path

import grimp
import pytest

SOURCE = Path(__file__).parents[1]
PACKAGE = SOURCE / "metav_audit"


@pytest.fixture(scope="module")
def contract():
    """The floors of the import contract, from the roof down."""
    contracts = tomllib.loads((SOURCE / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return next(each["layers"] for each in contracts if each["type"] == "layers")


@pytest.fixture(scope="module")
def graph():
    """Who imports whom, imports for typing alone among them."""
    return grimp.build_graph("metav_audit", exclude_type_checking_imports=False, cache_dir=None)


def test_the_readme_s_picture_is_the_contract(contract):
    """Line by line the same floors with the same rooms."""
    picture = re.search(r"^    cli\n(?:    .+\n)+", (SOURCE / "README.md").read_text(), re.MULTILINE)
    lines = [re.split(r"\s{2,}", line.strip())[0] for line in picture.group().splitlines()]
    assert lines == [floor.replace("metav_audit.", "") for floor in contract]


def test_neighbours_do_not_know_each_other(contract):
    """No floor joins its rooms with a colon, which would let them import each other."""
    assert not [floor for floor in contract if ":" in floor]


def test_every_room_has_its_floor(contract):
    """Whatever stands at the top of the package is in the contract, and nothing else is."""
    rooms = {room.strip().removeprefix("metav_audit.") for floor in contract for room in floor.split("|")}
    doors = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms == doors - {"__init__", "__main__"}


def test_the_top_has_few_doors():
    """At most 18 packages and 7 modules beside the package's own two."""
    packages = [path for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    modules = [path for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")]
    assert len(packages) <= 18
    assert len(modules) <= 7


def test_no_room_is_too_long():
    """No file has more than 320 lines."""
    long = {path.name: count for path in PACKAGE.rglob("*.py") if (count := len(path.read_text().splitlines())) > 320}
    assert not long


def test_no_import_goes_in_a_circle(graph):
    """Not even for typing alone."""
    order = graphlib.TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    )
    order.prepare()


def test_inside_a_package_modules_import_modules(graph):
    """No module imports a package that it lies in: what an ``__init__`` hands on is for outsiders."""
    own = [
        (module, package)
        for module in graph.modules
        for package in graph.find_modules_directly_imported_by(module)
        if module.startswith(f"{package}.") and package != "metav_audit"
    ]
    assert not own
