"""An evaluation's tables and figures, written for people and for programs."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from metav_audit.bundle import ErrorRates, ModelCard
from metav_audit.errors import ConfigurationError
from metav_audit.evaluation import scores as evaluated
from metav_audit.evaluation.conditions import Condition
from metav_audit.evaluation.curves import write_curves
from metav_audit.evaluation.figures import error_rows, target_rows
from metav_audit.evaluation.tables import as_csv, as_markdown
from metav_audit.statistics import WeightTable
from metav_audit.verdict import VerdictOutcome

CARDS = tuple(
    ModelCard(str(at), side, "finetune" if side else "train", "mlp", "heldout", 0.9, "tuning")
    for at, side in enumerate((True, True, False, False))
)
OUTCOMES = (VerdictOutcome.MATCH, VerdictOutcome.INCONCLUSIVE, VerdictOutcome.MATCH, VerdictOutcome.NO_MATCH)
TABLE = WeightTable((-1.0, 1.0), (-1.0, 1.0), -1.5, 1.5)


def scores(project="digits 10", condition=None):
    more = {} if condition is None else {"condition": condition}
    return evaluated.TestScores(
        project, "metav", CARDS, np.array([0.9, 0.4, 0.6, 0.1]), OUTCOMES, TABLE, ErrorRates(0.1, 0.2), **more
    )


def test_a_row_is_the_same_in_csv_and_markdown():
    """CSV has all digits, Markdown three; both name the same columns."""
    rows = target_rows([scores()])
    header, *lines = csv.reader(io.StringIO(as_csv(rows)))
    told = dict(zip(header, lines[0], strict=True))
    assert float(told["AUC"]) == rows[0].figures["AUC"]
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in as_markdown(rows).splitlines()]
    assert shown[0] == header
    assert shown[2][header.index("AUC")] == f"{rows[0].figures['AUC']:.3f}"
    errors = error_rows([scores()])
    assert as_csv(errors).startswith(errors[0].head)


def test_every_target_gets_its_figures(tmp_path):
    """Three plots a target and method, as SVG and PNG, of what was shown and asked as usual alone."""
    found = write_curves([scores("a/../b c"), scores(condition=Condition("label", 8))], tmp_path)
    names = {f"a-..-b-c-metav-{plot}.{form}" for plot in ("tippett", "pav", "robustness") for form in ("svg", "png")}
    assert {path.name for path in found} == names == {path.name for path in tmp_path.iterdir()}
    for path in found:
        assert path.read_bytes().lstrip().startswith(b"<?xml" if path.suffix == ".svg" else b"\x89PNG")


def test_figures_that_cannot_be_written_are_one_error(tmp_path):
    """A file stands where the folder should be."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigurationError, match="taken"):
        write_curves([scores()], tmp_path / "taken")
