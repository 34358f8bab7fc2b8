"""Passages: a prompt, what was said so far, and continuations of which a suspect is asked how likely they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.task.domains.base import InputDomain, Inputs
from metav_audit.task.outputs.values import Quantities, Quantity
from metav_audit.task.spec import TaskSpec

LONGEST_TEXT = 100_000
"""Characters of a text."""

MOST_CONTINUATIONS = 1000
"""Of one passage."""

SCALE = 1000.0
"""Nats; log-probabilities twenty times as low are lost in a feature, and so improbable that it does not matter."""


class Shows(StrEnum):
    """What a language model's API shows."""

    LOG_PROBABILITIES = "log-probabilities"
    """Of given continuations."""
    TOKENS = "tokens"
    """The likeliest next tokens, with their log-probabilities."""
    TEXT = "text"
    """What the model says, and nothing else."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One question.

    Attributes:
        prompt: what was asked, at least one character.
        said: the beginning of the answer; empty where nothing was said yet.
        continuations: what may follow: whole texts, or single tokens; an empty one is the end.
    """

    prompt: str
    said: str
    continuations: tuple[str, ...]


def check_text(text: Any) -> str:
    """Return a text that every wire carries.

    Raises:
        DataError: it is no text, too long, or holds what is no Unicode character.
    """
    if not isinstance(text, str):
        raise DataError(f"it is no text but {type(text).__name__}")
    if len(text) > LONGEST_TEXT:
        raise DataError(f"it has {len(text)} characters, at most {LONGEST_TEXT} are taken")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError("it holds half of a surrogate pair, which is no character") from None
    return text


def passages(each: Iterable[Passage]) -> Inputs:
    """Return passages as an array of objects, of shape (n,)."""
    told = list(each)
    array = np.empty(len(told), dtype=object)
    array[:] = told
    return array


@dataclass(frozen=True, slots=True)
class TextDomain(InputDomain):
    """Passages with so many continuations each; an array of them holds objects, of shape (n,).

    Attributes:
        shows: what a suspect is asked of them.
        continuations: how many each passage has, at least 2.
    """

    kind: ClassVar[str] = "text"

    shows: Shows
    continuations: int

    def __post_init__(self) -> None:
        if type(self.continuations) is not int or not 2 <= self.continuations <= MOST_CONTINUATIONS:
            raise ConfigurationError(f"a passage has 2 to {MOST_CONTINUATIONS} continuations, not {self.continuations}")

    @property
    def shape(self) -> tuple[int, ...]:
        """No dimension: a passage is one object."""
        return ()

    def sample(self, count: int, rng: np.random.Generator) -> Inputs:
        """Draw passages of random words."""
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))

        def word() -> str:
            return "".join(rng.choice(letters, 5))

        return passages(
            Passage(word(), "", tuple(f" {word()} {at}" for at in range(self.continuations))) for _ in range(count)
        )

    def clip(self, inputs: Inputs) -> Inputs:
        """Return them as they are: texts have no range."""
        return inputs

    def project(self, inputs: Inputs) -> Inputs:
        """Return them as they are: a valid text arrives as it was sent."""
        return inputs

    def png(self, inputs: Inputs) -> None:
        """Return None: a text has no picture."""

    def check(self, inputs: NDArray[Any], what: str) -> Inputs:
        """Return ``inputs`` if they are passages of this domain.

        Raises:
            DataError: nothing in it, no passages, or a text that is none.
        """
        if inputs.ndim != 1 or not len(inputs):
            raise DataError(f"{what} is no list of passages: give at least one")
        for passage in inputs:
            if not isinstance(passage, Passage) or len(passage.continuations) != self.continuations:
                raise DataError(f"{what} holds no passage with {self.continuations} continuations")
            for text in (passage.prompt, passage.said, *passage.continuations):
                try:
                    check_text(text)
                except DataError as error:
                    raise DataError(f"{what} holds a text that is none: {error}") from None
            if not passage.prompt:
                raise DataError(f"{what} holds a passage without a prompt")
        return inputs

    def to_json(self) -> dict[str, Any]:
        """Describe the domain in JSON types."""
        return {"kind": self.kind, "shows": self.shows.value, "continuations": self.continuations}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build the domain from ``to_json``'s fields without ``kind``."""
        return cls(Shows(fields["shows"]), fields["continuations"])


def served_task(shows: Shows, continuations: int) -> TaskSpec:
    """Return the task of telling continuations apart: passages in, a number a continuation out.

    The numbers are log-probabilities in nats, or, of texts, likenesses.
    """
    names = ("served", *(f"alternative {at}" for at in range(1, continuations)))
    return TaskSpec(TextDomain(shows, continuations), Quantities(tuple(Quantity(name, 0.0, SCALE) for name in names)))
