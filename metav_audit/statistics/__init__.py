"""Statistics that verdicts, reports and evaluations share: pure functions of arrays."""

from __future__ import annotations

from metav_audit.statistics.coins import DRAWS, coin_gains, coin_test
from metav_audit.statistics.cost import cllr, cllr_min
from metav_audit.statistics.error_rates import (
    CONFIDENCE,
    benjamini_hochberg,
    clopper_pearson,
    conformal_tail,
    holm,
    most_by_chance,
    rare_boundary,
    tolerance_limit,
)
from metav_audit.statistics.looks import place_over, quota_of
from metav_audit.statistics.plots import (
    DERIVED,
    INDEPENDENT,
    INK,
    QUIET,
    Form,
    in_style,
    pav_plot,
    robustness_plot,
    tippett_plot,
)
from metav_audit.statistics.ratios import (
    NEUTRAL,
    USUAL_RATIOS,
    RatioRules,
    WeightTable,
    fit_weight,
    log_odds,
    ratio_text,
    tabulate,
    verbal,
    weigh_held_out,
)
from metav_audit.statistics.roc import Scores, aruc, mean_interval, roc_auc, tpr_at_fpr
from metav_audit.statistics.served import served_gains, served_test
from metav_audit.statistics.sessions import session_p_value, unseen_answers

__all__ = [
    "CONFIDENCE",
    "DERIVED",
    "DRAWS",
    "INDEPENDENT",
    "INK",
    "NEUTRAL",
    "QUIET",
    "USUAL_RATIOS",
    "Form",
    "RatioRules",
    "Scores",
    "WeightTable",
    "aruc",
    "benjamini_hochberg",
    "cllr",
    "cllr_min",
    "clopper_pearson",
    "coin_gains",
    "coin_test",
    "conformal_tail",
    "fit_weight",
    "holm",
    "in_style",
    "log_odds",
    "mean_interval",
    "most_by_chance",
    "pav_plot",
    "place_over",
    "quota_of",
    "rare_boundary",
    "ratio_text",
    "robustness_plot",
    "roc_auc",
    "served_gains",
    "served_test",
    "session_p_value",
    "tabulate",
    "tippett_plot",
    "tolerance_limit",
    "tpr_at_fpr",
    "unseen_answers",
    "verbal",
    "weigh_held_out",
]
