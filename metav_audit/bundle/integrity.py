"""An integrity plan: inputs that react to any change of a model, and what an approved deployment answered to them.

It asks another question than a fingerprint: not whether a model is made from ours, but whether an endpoint still serves
exactly what was approved. What hosts do between calls, other hardware, other batches, half precision, is no change as
far as it was enrolled: every *session* is one run over all inputs, and the spread between sessions is part of the plan.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from metav_audit.bundle.plans import canonical, load_plan
from metav_audit.errors import AnswerError, BundleError, ConfigurationError
from metav_audit.files import read_regular, write_atomically
from metav_audit.task import Answer, Inputs, ScoreKind, TaskSpec, check_answer, input_bytes

FORMAT = "metav-audit-integrity"
SCHEMA_VERSION = 1
MAX_PLAN_BYTES = 256 << 20
MAX_QUERIES = 4096
MAX_SESSIONS = 1000
LEAST_SESSIONS = 5
"""Fewer sessions say too little of how a host drifts."""
_FORMAT = re.compile(rb'"format"\s*:\s*"' + FORMAT.encode())
_FIELDS = {"format", "schema_version", "task", "rate", "inputs", "own", "catches", "sessions"}
_SESSION_FIELDS = {"at", "endpoint", "url", "scores", "answers", "transcript_sha256"}
_CATCH_FIELDS = {"change", "copies", "by_label", "by_scores"}


@dataclass(frozen=True, slots=True)
class Catch:
    """How the inputs react to one kind of change, measured on changed copies that chose none of them.

    Attributes:
        change: its name, as "one step of fine-tuning".
        copies: how many were tried.
        by_label: those found by labels alone, among them.
        by_scores: those found where all scores are shown.
    """

    change: str
    copies: int
    by_label: int
    by_scores: int

    def to_json(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {
            "change": self.change, "copies": self.copies, "by_label": self.by_label, "by_scores": self.by_scores,
        }  # fmt: skip

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError, TypeError: a field is missing, unknown or misstated.
        """
        counts = [fields[name] for name in ("copies", "by_label", "by_scores")]
        if fields.keys() != _CATCH_FIELDS or not isinstance(fields["change"], str):
            raise ValueError("what the inputs catch is misstated")
        if not all(type(count) is int and 0 <= count <= counts[0] for count in counts):
            raise ValueError("what the inputs catch is more than was tried")
        return cls(fields["change"], *counts)


@dataclass(frozen=True, slots=True)
class Session:
    """What an approved deployment answered in one run.

    Attributes:
        at: when it was begun, ISO 8601.
        endpoint: its name.
        url: where it was asked.
        scores: the form in which it wrote its answers.
        answers: one a query; None where it gave none.
        transcript_sha256: the head of the transcript's chain.
    """

    at: str
    endpoint: str
    url: str
    scores: ScoreKind
    answers: tuple[Answer | None, ...]
    transcript_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {
            "at": self.at,
            "endpoint": self.endpoint,
            "url": self.url,
            "scores": self.scores.value,
            "answers": [None if answer is None else list(answer.scores) for answer in self.answers],
            "transcript_sha256": self.transcript_sha256,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError, TypeError: a field is missing, unknown or misstated.
        """
        words = [fields[name] for name in ("at", "endpoint", "url", "transcript_sha256")]
        if fields.keys() != _SESSION_FIELDS or not all(isinstance(word, str) for word in words):
            raise ValueError("a session lacks a field, or misstates one")
        answers = tuple(None if each is None else Answer(tuple(each)).in_floats() for each in fields["answers"])
        at, endpoint, url, transcript = words
        return cls(at, endpoint, url, ScoreKind(fields["scores"]), answers, transcript)


@dataclass(frozen=True, slots=True)
class IntegrityPlan:
    """Inputs, the model's own answers to them, and the sessions that were enrolled.

    Attributes:
        task: what the model takes and gives.
        inputs: float32 of shape (N, *domain.shape), valid in the domain.
        own: the model's own answers, all probabilities or values of each, shape (N, size).
        catches: what the inputs react to.
        sessions: what was enrolled, in that order; none of a plan fresh from ``fit``.
        rate: the promised rate of false alarms.
        sha256: of the canonical JSON.

    Raises:
        BundleError: the parts do not fit each other.
    """

    task: TaskSpec
    inputs: Inputs = field(repr=False)
    own: tuple[tuple[float, ...], ...] = field(repr=False)
    catches: tuple[Catch, ...] = ()
    sessions: tuple[Session, ...] = ()
    rate: float = 0.01
    sha256: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "sha256", hashlib.sha256(self.to_bytes()).hexdigest())

    @property
    def natural(self) -> None:
        """None: there are no other inputs beside its own."""

    @property
    def commitment(self) -> None:
        """None: nobody attests a plan."""

    @property
    def bare(self) -> IntegrityPlan:
        """The plan without its sessions: what a deployment is enrolled with."""
        return replace(self, sessions=())

    def with_sessions(self, sessions: Sequence[Session]) -> IntegrityPlan:
        """Return the plan with further sessions.

        Raises:
            BundleError: one does not fit the plan, or was enrolled before.
        """
        return replace(self, sessions=(*self.sessions, *sessions))

    def to_json(self) -> dict[str, Any]:
        """Describe the plan in JSON types; ``from_json`` reads it back."""
        return {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "task": self.task.to_json(),
            "rate": self.rate,
            "inputs": [base64.b64encode(each).decode() for each in input_bytes(self.inputs)],
            "own": [list(each) for each in self.own],
            "catches": [each.to_json() for each in self.catches],
            "sessions": [each.to_json() for each in self.sessions],
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            BundleError: a field is missing, unknown or misstated.
        """
        try:
            if (fields["format"], fields["schema_version"]) != (FORMAT, SCHEMA_VERSION) or fields.keys() != _FIELDS:
                raise ValueError(f"no {FORMAT} of schema version {SCHEMA_VERSION}")
            task = TaskSpec.from_json(fields["task"])
            sent = b"".join(base64.b64decode(each, validate=True) for each in fields["inputs"])
            inputs = np.frombuffer(sent, "<f4").astype(np.float32).reshape(len(fields["inputs"]), *task.domain.shape)
            return cls(
                task=task,
                inputs=inputs,
                own=tuple(tuple(map(float, each)) for each in fields["own"]),
                catches=tuple(map(Catch.from_json, fields["catches"])),
                sessions=tuple(map(Session.from_json, fields["sessions"])),
                rate=float(fields["rate"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, ConfigurationError) as error:
            raise BundleError(f"the integrity plan is damaged, or none of this program's: {error}") from None

    def to_bytes(self) -> bytes:
        """Write the plan as the canonical JSON that ``load`` takes."""
        return canonical(self.to_json()) + b"\n"

    def save(self, path: Path) -> None:
        """Write the plan: whole or not at all."""
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a plan; the errors are those of ``load_plan``."""
        return load_plan(path, MAX_PLAN_BYTES, cls.from_json)


def is_integrity_plan(path: Path) -> bool:
    """Say whether a file calls itself an integrity plan; a bundle is a folder."""
    try:
        return path.is_file() and _FORMAT.search(read_regular(path, MAX_PLAN_BYTES, follow=True)) is not None
    except OSError:
        return False


def check_enrolled(plan: IntegrityPlan) -> None:
    """Raise ConfigurationError if a plan has too few sessions for any verdict."""
    if len(plan.sessions) < LEAST_SESSIONS:
        raise ConfigurationError(
            f"{len(plan.sessions)} of the {LEAST_SESSIONS} sessions that are needed at least are enrolled: ask the "
            "approved deployment with 'metav-audit enrol' first"
        )


def _check(plan: IntegrityPlan) -> None:
    task, count = plan.task, len(plan.inputs)
    if not 1 <= count <= MAX_QUERIES or plan.inputs.shape[1:] != task.domain.shape:
        raise BundleError(f"an integrity plan has 1 to {MAX_QUERIES} inputs of the task's shape")
    if input_bytes(task.domain.project(plan.inputs)) != input_bytes(plan.inputs):
        raise BundleError("an input is not valid in the task's input domain")
    if len(set(input_bytes(plan.inputs))) < count:
        raise BundleError("an input stands in the plan twice")
    fitting = len(plan.own) == count and all(len(each) == task.output.size for each in plan.own)
    if not fitting or not np.isfinite(np.array(plan.own)).all():
        raise BundleError("the model's own answers do not fit inputs and task, or are not finite")
    if not 0 < plan.rate < 1:
        raise BundleError(f"a rate of false alarms lies between 0 and 1, not at {plan.rate}")
    _check_sessions(plan)


def _check_sessions(plan: IntegrityPlan) -> None:
    if len(plan.sessions) > MAX_SESSIONS:
        raise BundleError(f"a plan has at most {MAX_SESSIONS} sessions")
    if len({each.transcript_sha256 for each in plan.sessions}) < len(plan.sessions):
        raise BundleError("a session was enrolled twice")
    for session in plan.sessions:
        _check_session(session, plan)


def _check_session(session: Session, plan: IntegrityPlan) -> None:
    if len(session.answers) != len(plan.inputs):
        raise BundleError("a session has not one answer a query")
    try:
        for answer in session.answers:
            if answer is not None:
                check_answer(answer, plan.task.output, session.scores)
    except AnswerError as error:
        raise BundleError(f"a session's answer does not fit the task: {error}") from None
