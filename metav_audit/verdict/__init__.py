"""The verdict: bundle and transcript in, outcome out; pure, offline, the same every time."""

from __future__ import annotations

from metav_audit.verdict.blind import (
    CONTROLS,
    MAX_CONTROLS_BYTES,
    MINIMUM_CONTROLS,
    ControlModel,
    Controls,
    check_names,
    load_controls,
)
from metav_audit.verdict.decide import decide
from metav_audit.verdict.reading import MINIMUM_SHARE, first_look, steadiness, view_of
from metav_audit.verdict.rule import (
    TABLE_TOLERANCE,
    CalibrationScores,
    Judgement,
    Rule,
    calibration_scores,
    check_table,
    guard,
    judge,
    scores_in_full,
)
from metav_audit.verdict.sanity import SHUFFLES
from metav_audit.verdict.verdict import Verdict, VerdictOutcome

__all__ = [
    "CONTROLS",
    "MAX_CONTROLS_BYTES",
    "MINIMUM_CONTROLS",
    "MINIMUM_SHARE",
    "SHUFFLES",
    "TABLE_TOLERANCE",
    "CalibrationScores",
    "ControlModel",
    "Controls",
    "Judgement",
    "Rule",
    "Verdict",
    "VerdictOutcome",
    "calibration_scores",
    "check_names",
    "check_table",
    "decide",
    "first_look",
    "guard",
    "judge",
    "load_controls",
    "scores_in_full",
    "steadiness",
    "view_of",
]
