"""A plan of served answers: what accounts were served at random, and alternatives drawn afterwards from the same model.

Whoever trained on what an account was served finds the served answer likelier, against its alternatives, than chance
has it; no one else can, not the model itself. A plan holds every text that a suspect is asked about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.plans import canonical, load_plan
from metav_audit.errors import BundleError, ConfigurationError, DataError
from metav_audit.files import write_atomically
from metav_audit.task import Inputs, TaskSpec
from metav_audit.task.texts import TEXT_LIMITS, Passage, Shows, check_text, passages, served_task

FORMAT = "metav-audit-served"
SCHEMA_VERSION = 1
CHANGED = "another version of the model served"
"""Why rows are left out that a log itself shows to be no use."""

MAX_PLAN_BYTES = 256 << 20
MAX_QUERIES = 100_000
_FIELDS = {"format", "schema_version", "shows", "model", "rate", "limits", "left_out", "log", "queries"}
_TEXTS = ("account", "at", "prompt", "sampler", "answer", "said")
_QUERY_FIELDS = {*_TEXTS, "temperature", "continuations", "own"}


@dataclass(frozen=True, slots=True)
class ServedQuery:
    """One answer that an account was served, and what else the model might have said.

    Attributes:
        account: who asked: an account, or a group of them.
        at: when, as the log has it.
        prompt: what was asked.
        sampler: how the answer was drawn, in the owner's words.
        temperature: at which.
        answer: the whole answer served.
        said: the beginning of it after which the continuations stand; empty for none.
        continuations: the one served first, then the alternatives: whole answers, or single tokens.
        own: the model's own log-probabilities of them, in nats.
    """

    account: str
    at: str
    prompt: str
    sampler: str
    temperature: float
    answer: str
    said: str
    continuations: tuple[str, ...]
    own: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Describe the query in JSON types."""
        texts: dict[str, Any] = {name: getattr(self, name) for name in _TEXTS}
        rest = {"continuations": list(self.continuations), "own": list(self.own)}
        return {**texts, "temperature": self.temperature, **rest}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError, TypeError, DataError: a field is missing, unknown or misstated.
        """
        if fields.keys() != _QUERY_FIELDS or not isinstance(fields["continuations"], list):
            raise ValueError("a query lacks a field, or misstates one")
        numbers = [fields["temperature"], *fields["own"]]
        if not all(type(each) in (int, float) and isfinite(each) for each in numbers):
            raise ValueError("a temperature or a log-probability is no number")
        return cls(
            **{name: check_text(fields[name]) for name in _TEXTS},
            temperature=float(fields["temperature"]),
            continuations=tuple(map(check_text, fields["continuations"])),
            own=tuple(map(float, fields["own"])),
        )


@dataclass(frozen=True, slots=True)
class ServedPlan:
    """Queries of accounts, drawn alternatives beside what was served.

    Attributes:
        shows: what the suspect is asked for.
        model: the version of the model that served and drew, as the log names it.
        queries: by account, at least one; all with as many continuations.
        log: what is told of the sealed log, as ``AskedLog`` in JSON types; a row a query, in their order.
        left_out: rows that were drawn and left out, by why.
        rate: the promised rate of false matches, over all accounts together.
        task: what is asked: passages in, a number a continuation out.
        inputs: the passages, an array of objects of shape (N,).
        sha256: of the plan's canonical JSON.

    Raises:
        BundleError: the parts do not fit each other.
    """

    shows: Shows
    model: str
    queries: tuple[ServedQuery, ...]
    log: Mapping[str, Any]
    left_out: Mapping[str, int] = field(default_factory=dict)
    rate: float = 0.05
    task: TaskSpec = field(init=False, compare=False, repr=False)
    inputs: Inputs = field(init=False, compare=False, repr=False)
    sha256: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "task", served_task(self.shows, len(self.queries[0].continuations)))
        asked = passages(Passage(each.prompt, each.said, each.continuations) for each in self.queries)
        try:
            object.__setattr__(self, "inputs", self.task.domain.check(asked, "the plan"))
        except DataError as error:
            raise BundleError(str(error)) from None
        object.__setattr__(self, "sha256", hashlib.sha256(canonical(self.to_json())).hexdigest())

    @property
    def natural(self) -> None:
        """None: every prompt of a plan is one that an account sent."""

    @property
    def commitment(self) -> None:
        """None: what vouches for a plan is the seal of its log, and the auditor's draw."""

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts, in the order of their queries."""
        return tuple(dict.fromkeys(query.account for query in self.queries))

    @property
    def own(self) -> NDArray[np.float64]:
        """The model's own log-probabilities, of shape (N, continuations)."""
        return np.array([query.own for query in self.queries])

    def places(self, account: str) -> NDArray[np.int64]:
        """Return where an account's queries stand."""
        return np.array([at for at, query in enumerate(self.queries) if query.account == account], dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """Describe the plan in JSON types; ``from_json`` reads it back."""
        return {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "shows": self.shows.value,
            "model": self.model,
            "rate": self.rate,
            "limits": dict(TEXT_LIMITS),
            "left_out": dict(self.left_out),
            "log": dict(self.log),
            "queries": [query.to_json() for query in self.queries],
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
            if fields["limits"] != TEXT_LIMITS:
                raise ValueError("it was made by a version that compares texts otherwise: make the plan again")
            return cls(
                shows=Shows(fields["shows"]),
                model=check_text(fields["model"]),
                queries=tuple(ServedQuery.from_json(each) for each in fields["queries"]),
                log=dict(fields["log"]),
                left_out=dict(fields["left_out"]),
                rate=float(fields["rate"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, ConfigurationError, DataError) as error:
            raise BundleError(f"the plan is damaged, or none of this program's: {error}") from None

    def save(self, path: Path) -> None:
        """Write the plan, for the owner's and the auditor's eyes: it holds what customers asked and were served."""
        write_atomically(path, self.to_bytes(), mode=0o600)

    def to_bytes(self) -> bytes:
        """Write the plan as the canonical JSON that ``load`` takes."""
        return canonical(self.to_json()) + b"\n"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a plan; the errors are those of ``load_plan``."""
        return load_plan(path, MAX_PLAN_BYTES, cls.from_json)


def _check(plan: ServedPlan) -> None:
    if not 0 < plan.rate < 1:
        raise BundleError(f"a rate of false matches lies between 0 and 1, not at {plan.rate}")
    if not 1 <= len(plan.queries) <= MAX_QUERIES:
        raise BundleError(f"a plan has 1 to {MAX_QUERIES} queries, not {len(plan.queries)}")
    if not all(type(count) is int and count > 0 and isinstance(why, str) for why, count in plan.left_out.items()):
        raise BundleError("what was left out is not counted by reasons")
    if len({(query.account, query.prompt) for query in plan.queries}) < len(plan.queries):
        raise BundleError("an account's prompt stands in the plan twice: its answer would count twice")
    for number, query in enumerate(plan.queries):
        _check_query(query, number, plan)


def _check_query(query: ServedQuery, number: int, plan: ServedPlan) -> None:
    size = len(plan.queries[0].continuations)
    if not len(query.continuations) == len(query.own) == size:
        raise BundleError(f"query {number} has not {size} continuations, each with a log-probability")
    if plan.shows is not Shows.TOKENS and query.said:
        raise BundleError(f"query {number} begins within an answer, which is asked for tokens alone")
    served = query.said + query.continuations[0]
    begins = plan.shows is Shows.TOKENS and query.continuations[0] and query.answer.startswith(served)
    if served != query.answer and not begins:
        raise BundleError(f"the first continuation of query {number} is not what was served")
