"""The task: what goes into a model and what comes out, the one thing the method assumes about models."""

from __future__ import annotations

from metav_audit.task.answers import Answer, BoolArray, Features, FloatArray, check_answer, features
from metav_audit.task.domains import ImageDomain, InputDomain, TabularDomain
from metav_audit.task.domains.base import Inputs
from metav_audit.task.outputs import (
    LOG_FLOOR,
    ClassScores,
    GeneratedTensor,
    OutputKind,
    OutputSpace,
    Quantities,
    ScoreKind,
)
from metav_audit.task.outputs.scores import ROUNDING
from metav_audit.task.spec import TaskSpec
from metav_audit.task.views import FULL_VIEW, OutputView, find_noise, find_view, with_noise

__all__ = [
    "FULL_VIEW",
    "LOG_FLOOR",
    "ROUNDING",
    "Answer",
    "BoolArray",
    "ClassScores",
    "Features",
    "FloatArray",
    "GeneratedTensor",
    "ImageDomain",
    "InputDomain",
    "Inputs",
    "OutputKind",
    "OutputSpace",
    "OutputView",
    "Quantities",
    "ScoreKind",
    "TabularDomain",
    "TaskSpec",
    "check_answer",
    "features",
    "find_noise",
    "find_view",
    "with_noise",
]
