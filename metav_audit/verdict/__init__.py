"""The verdict: bundle and transcript in, outcome out; pure, offline, the same every time."""

from __future__ import annotations

from metav_audit.verdict.accounts import AccountFinding
from metav_audit.verdict.asked import Asked
from metav_audit.verdict.blind import MAX_CONTROLS_BYTES, ControlModel, Controls, check_names, load_controls
from metav_audit.verdict.calibration import CalibrationScores, Scored, calibration_scores, scores_in_full
from metav_audit.verdict.decide import decide
from metav_audit.verdict.folder import (
    BLIND_CONTROLS,
    BUNDLE,
    CLOSING,
    CONTROL_FOLDER,
    EVIDENCE,
    LOCK,
    MAX_FILE_BYTES,
    POSITIVE_CONTROL,
    SEAL,
    SUMS,
    SUPPLIER,
    TRANSCRIPT,
    VERDICT,
    AuditFolder,
    Decision,
    audits_in,
    conclude,
    place_beside,
)
from metav_audit.verdict.guarantee import states_ancestor
from metav_audit.verdict.judgement import Judgement, judge
from metav_audit.verdict.positive import ControlRecord
from metav_audit.verdict.reading import Reading, read
from metav_audit.verdict.rightness import least_rightness, rightness, strangeness
from metav_audit.verdict.rule import Rule, check_table, guard, stranger_in
from metav_audit.verdict.rules import RULES, Rules
from metav_audit.verdict.soundness import calibration_doubts, too_little_of_its_own
from metav_audit.verdict.steadiness import first_look
from metav_audit.verdict.understood import NOT_ASKED
from metav_audit.verdict.verdict import Verdict, VerdictOutcome

__all__ = [
    "BLIND_CONTROLS",
    "BUNDLE",
    "CLOSING",
    "CONTROL_FOLDER",
    "EVIDENCE",
    "LOCK",
    "MAX_CONTROLS_BYTES",
    "MAX_FILE_BYTES",
    "NOT_ASKED",
    "POSITIVE_CONTROL",
    "RULES",
    "SEAL",
    "SUMS",
    "SUPPLIER",
    "TRANSCRIPT",
    "VERDICT",
    "AccountFinding",
    "Asked",
    "AuditFolder",
    "CalibrationScores",
    "ControlModel",
    "ControlRecord",
    "Controls",
    "Decision",
    "Judgement",
    "Reading",
    "Rule",
    "Rules",
    "Scored",
    "Verdict",
    "VerdictOutcome",
    "audits_in",
    "calibration_doubts",
    "calibration_scores",
    "check_names",
    "check_table",
    "conclude",
    "decide",
    "first_look",
    "guard",
    "judge",
    "least_rightness",
    "load_controls",
    "place_beside",
    "read",
    "rightness",
    "scores_in_full",
    "states_ancestor",
    "strangeness",
    "stranger_in",
    "too_little_of_its_own",
]
