"""The task: what goes into a model and what comes out, the one thing the method assumes about models."""

from __future__ import annotations

from metav_audit.task.answers import Answer, BoolArray, Features, FloatArray, check_answer, features
from metav_audit.task.dither import Dither, input_bytes, leaders, leads
from metav_audit.task.dither_file import make_dither, read_dither
from metav_audit.task.domains.base import InputDomain, Inputs
from metav_audit.task.domains.image import ImageDomain
from metav_audit.task.domains.tabular import TabularDomain
from metav_audit.task.outputs.base import OutputKind, OutputSpace, ScoreKind
from metav_audit.task.outputs.scores import LOG_FLOOR, ROUNDING, ClassScores
from metav_audit.task.outputs.values import GeneratedTensor, Quantities
from metav_audit.task.spec import TaskSpec, read_task
from metav_audit.task.views import FULL_VIEW, USUAL_VIEWS, OutputView, ViewRules, find_noise, find_view, with_noise

__all__ = [
    "FULL_VIEW",
    "LOG_FLOOR",
    "ROUNDING",
    "USUAL_VIEWS",
    "Answer",
    "BoolArray",
    "ClassScores",
    "Dither",
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
    "ViewRules",
    "check_answer",
    "features",
    "find_noise",
    "find_view",
    "input_bytes",
    "leaders",
    "leads",
    "make_dither",
    "read_dither",
    "read_task",
    "with_noise",
]
