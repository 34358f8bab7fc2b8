"""The contract an adapter fulfils, and all that its author needs: nothing else has to be imported."""

from __future__ import annotations

from metav_audit.adapter.check import AdapterContractError, check_adapter
from metav_audit.adapter.contract import (
    Adapter,
    AdapterOptions,
    Guess,
    Hints,
    Outcome,
    Place,
    Refusal,
    Request,
    Response,
    Wait,
)
from metav_audit.adapter.discovery import InstalledAdapter, find_adapter, installed_adapters
from metav_audit.adapter.flow import Flow, Step, classify
from metav_audit.adapter.reading import (
    flatten,
    parse,
    parse_once,
    read_json,
    read_rows,
    read_scores,
    read_values,
    said_in,
)
from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.task import (
    Answer,
    GeneratedTensor,
    ImageDomain,
    Inputs,
    OutputSpace,
    ScoreKind,
    TabularDomain,
    TaskSpec,
)
from metav_audit.task.texts import Passage, Shows, TextDomain, likenesses

__all__ = [
    "Adapter",
    "AdapterContractError",
    "AdapterOptions",
    "Answer",
    "AnswerError",
    "ConfigurationError",
    "Flow",
    "GeneratedTensor",
    "Guess",
    "Hints",
    "ImageDomain",
    "Inputs",
    "InstalledAdapter",
    "Outcome",
    "OutputSpace",
    "Passage",
    "Place",
    "Refusal",
    "Request",
    "Response",
    "ScoreKind",
    "Shows",
    "Step",
    "TabularDomain",
    "TaskSpec",
    "TextDomain",
    "Wait",
    "check_adapter",
    "classify",
    "find_adapter",
    "flatten",
    "installed_adapters",
    "likenesses",
    "parse",
    "parse_once",
    "read_json",
    "read_rows",
    "read_scores",
    "read_values",
    "said_in",
]
