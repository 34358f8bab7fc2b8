"""The bundle's table of likelihood ratios, fitted with ``lir`` (Netherlands Forensic Institute)."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from metav_audit.errors import DataError
from metav_audit.statistics import NEUTRAL, USUAL_RATIOS, WeightTable, log_odds, tabulate
from metav_audit.verdict import RULES, CalibrationScores

LIR_VERSION = version("lir")
"""Part of a bundle's provenance."""


def fit_table(held_out: CalibrationScores) -> WeightTable:
    """Fit with lir what ``metav_audit.statistics.ratios`` fits without it, and hold the two against each other.

    Raises:
        DataError: the two differ, so that an auditor would refuse the table.
    """
    table = _fit_with_lir(held_out)
    difference = table.difference(held_out.fit_weight())
    if difference > RULES.ratio_table_tolerance:
        raise DataError(
            f"the log10 likelihood ratios of lir {LIR_VERSION} and of metav-audit differ by {difference:.3f}: "
            "install the version of lir that constraints.txt names"
        )
    return table


def _fit_with_lir(held_out: CalibrationScores) -> WeightTable:
    # lir takes seconds to import, for plots that are not drawn here.
    from lir.algorithms.bayeserror import elub
    from lir.algorithms.logistic_regression import LogitCalibrator

    sides = [log_odds(held_out.lineage_scores(derived)) for derived in (True, False)]
    if not all(map(len, sides)):
        return NEUTRAL
    inputs, labels = np.concatenate(sides), np.repeat([1, 0], [len(side) for side in sides])
    calibrator = LogitCalibrator(tol=1e-10, max_iter=10_000).fit(inputs.reshape(-1, 1), labels)
    # A line is known by two points.
    start, end = np.ravel(calibrator.transform(np.array([[0.0], [1.0]]))).tolist()
    slope, intercept = (end - start, start) if end > start else (0.0, 0.0)
    return tabulate(slope, intercept, elub(slope * inputs + intercept, labels), USUAL_RATIOS.edge)
