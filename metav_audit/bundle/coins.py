"""A plan of coins: what accounts asked, the coins that their answers were served with, and the model's own answers.

Where answers were dithered, whoever trained on what one account was served carries that account's coins, and no one
else does. A plan names the inputs of which most can be learned: those where the model was least decided. It holds the
dither's key, so that anyone can draw the coins again: serve under another key from then on.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle.plans import canonical, load_plan
from metav_audit.errors import BundleError, ConfigurationError
from metav_audit.files import write_atomically
from metav_audit.task import Dither, Inputs, OutputSpace, TaskSpec, input_bytes

FORMAT = "metav-audit-coins"
SCHEMA_VERSION = 1
MAX_PLAN_BYTES = 256 << 20
MAX_QUERIES = 100_000
_FIELDS = {"format", "schema_version", "task", "dither", "rate", "log", "commitment", "queries"}
_QUERY_FIELDS = {"account", "at", "input", "own", "served"}


@dataclass(frozen=True, slots=True)
class CoinQuery:
    """One input that an account asked.

    Attributes:
        account: who asked, as the log names it.
        at: when, as the log has it.
        input: float32, little-endian.
        own: the model's own probabilities, before any coin.
        served: a label, or the numbers that the log has.
    """

    account: str
    at: str
    input: bytes
    own: tuple[float, ...]
    served: str | tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Describe the query in JSON types."""
        served = self.served if isinstance(self.served, str) else list(self.served)
        sent = base64.b64encode(self.input).decode()
        return {"account": self.account, "at": self.at, "input": sent, "own": list(self.own), "served": served}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError, TypeError: a field is missing, unknown or misstated.
        """
        if fields.keys() != _QUERY_FIELDS or not all(isinstance(fields[name], str) for name in ("account", "at")):
            raise ValueError("a query lacks a field, or misstates one")
        served = fields["served"]
        return cls(
            account=fields["account"],
            at=fields["at"],
            input=base64.b64decode(fields["input"], validate=True),
            own=_numbers(fields["own"]),
            served=served if isinstance(served, str) else _numbers(served),
        )


@dataclass(frozen=True, slots=True)
class CoinPlan:
    """Queries of accounts, and the dither that they were answered with.

    Attributes:
        task: what the model takes and gives, a classification.
        dither: key and epsilon.
        queries: by account, at least one; no account has the same input twice.
        log: the head of the sealed log that they come from, SHA-256.
        rate: the promised rate of false matches, over all accounts together.
        commitment: the attestation of the key's hash, unread; None where there is none.
        inputs: of the queries, float32 of shape (N, *domain.shape).
        sha256: of the plan's canonical JSON, the commitment aside.

    Raises:
        BundleError: the parts do not fit each other.
    """

    task: TaskSpec
    dither: Dither
    queries: tuple[CoinQuery, ...]
    log: str
    rate: float = 0.05
    commitment: bytes | None = field(default=None, compare=False, repr=False)
    inputs: Inputs = field(init=False, compare=False, repr=False)
    sha256: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", _check(self))
        object.__setattr__(self, "sha256", hashlib.sha256(canonical(self._stated())).hexdigest())

    @property
    def natural(self) -> None:
        """None: every input of a plan is one that an account sent."""

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts, in the order of their queries."""
        return tuple(dict.fromkeys(query.account for query in self.queries))

    @property
    def own(self) -> NDArray[np.float64]:
        """The model's own probabilities, of shape (N, classes)."""
        return np.array([query.own for query in self.queries])

    @property
    def coins(self) -> NDArray[np.float64]:
        """The coins, 1.0 or -1.0, of shape (N,)."""
        return np.concatenate([self.dither.coins(query.account, [query.input]) for query in self.queries])

    def places(self, account: str) -> NDArray[np.int64]:
        """Return where an account's queries stand."""
        return np.array([at for at, query in enumerate(self.queries) if query.account == account], dtype=np.int64)

    def strays(self) -> NDArray[np.bool_]:
        """Say of each query whether the label served is another than the coin makes of the model's own answer."""
        due = self.dither.served(self.own, self.coins).argmax(axis=1)
        labels = self.task.output.labels
        told = [
            labels.index(query.served) if isinstance(query.served, str) else int(np.argmax(query.served))
            for query in self.queries
        ]
        return np.asarray(due != np.array(told), dtype=np.bool_)

    def to_json(self) -> dict[str, Any]:
        """Describe the plan in JSON types; ``from_json`` reads it back."""
        commitment = None if self.commitment is None else base64.b64encode(self.commitment).decode()
        return {**self._stated(), "commitment": commitment}

    def _stated(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "task": self.task.to_json(),
            "dither": self.dither.to_json(),
            "rate": self.rate,
            "log": self.log,
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
            committed = fields["commitment"]
            return cls(
                task=TaskSpec.from_json(fields["task"]),
                dither=Dither.from_json(fields["dither"]),
                rate=float(fields["rate"]),
                queries=tuple(CoinQuery.from_json(each) for each in fields["queries"]),
                log=str(fields["log"]),
                commitment=None if committed is None else base64.b64decode(committed, validate=True),
            )
        except (ValueError, KeyError, TypeError, AttributeError, ConfigurationError) as error:
            raise BundleError(f"the plan is damaged, or none of this program's: {error}") from None

    def save(self, path: Path) -> None:
        """Write the plan, for its owner's eyes alone: it holds the key."""
        write_atomically(path, self.to_bytes(), mode=0o600)

    def to_bytes(self) -> bytes:
        """Write the plan as the canonical JSON that ``load`` takes."""
        return canonical(self.to_json()) + b"\n"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a plan; the errors are those of ``load_plan``."""
        return load_plan(path, MAX_PLAN_BYTES, cls.from_json)


def _check(plan: CoinPlan) -> Inputs:
    """Return the queries' inputs."""
    space = plan.task.output
    if not space.labelled:
        raise BundleError("coins are of classifications: this task has no labels")
    if not 0 < plan.rate < 1:
        raise BundleError(f"a rate of false matches lies between 0 and 1, not at {plan.rate}")
    if not 1 <= len(plan.queries) <= MAX_QUERIES:
        raise BundleError(f"a plan has 1 to {MAX_QUERIES} queries, not {len(plan.queries)}")
    if len({(query.account, query.input) for query in plan.queries}) < len(plan.queries):
        raise BundleError("an account's input stands in the plan twice: its coin would count twice")
    for query in plan.queries:
        _check_answers(query, space)
    return _inputs(plan.queries, plan.task)


def _check_answers(query: CoinQuery, space: OutputSpace) -> None:
    own, served = np.array(query.own), query.served
    if own.shape != (space.size,) or not (np.isfinite(own).all() and (own >= 0).all() and own.any()):
        raise BundleError(f"the model's own answers are no probabilities of {space.size} classes")
    if served not in space.labels if isinstance(served, str) else len(served) != space.size:
        raise BundleError(f"an answer served is no label of the task, nor {space.size} scores")


def _inputs(queries: Sequence[CoinQuery], task: TaskSpec) -> Inputs:
    try:
        inputs = np.frombuffer(b"".join(query.input for query in queries), "<f4").astype(np.float32)
        inputs = inputs.reshape(len(queries), *task.domain.shape)
    except ValueError:
        raise BundleError("an input has not the task's shape") from None
    if input_bytes(task.domain.project(inputs)) != [query.input for query in queries]:
        raise BundleError("an input is not valid in the task's input domain")
    return inputs


def _numbers(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError("scores are no list of numbers")
    return tuple(float(value) for value in values)
