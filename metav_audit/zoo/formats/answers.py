"""What a model answered, in the place of the model: an endpoint is asked beforehand, once, and not again.

A book's inputs stand in it by the SHA-256 of what arrives over the wire, so that it gives none of them away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from metav_audit.errors import DataError
from metav_audit.task import Inputs, TaskSpec
from metav_audit.zoo.formats.base import Format, Given, Said

NAME = "answers"


@dataclass(frozen=True, slots=True)
class Book:
    """Answers by input.

    Attributes:
        pages: by the SHA-256 of an input as it arrives, probabilities of all classes or values, float64 of shape (D,).
    """

    pages: Mapping[bytes, NDArray[np.float64]]

    @classmethod
    def of(cls, inputs: Inputs, answers: NDArray[np.float64], task: TaskSpec) -> Self:
        """Write down answers of shape (n, D) to inputs of shape (n, *domain.shape)."""
        return cls(dict(zip(keys_of(inputs, task), answers, strict=True)))

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Read what ``written`` wrote.

        Raises:
            DataError: it is damaged.
        """
        try:
            parts = safetensors.numpy.load(content)
            keys, answers = parts["keys"], parts["answers"]
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"a book of answers is damaged ({type(error).__name__}): have it asked again") from error
        fits = keys.ndim == answers.ndim == 2 and keys.shape == (len(answers), 32) and keys.dtype == np.uint8
        if not fits or answers.dtype != np.float64 or not np.isfinite(answers).all():
            raise DataError("a book of answers holds something else: have it asked again")
        return cls({key.tobytes(): answer for key, answer in zip(keys, answers, strict=True)})

    def written(self, metadata: dict[str, str] | None = None) -> bytes:
        """Return it as bytes, the same for the same answers and the same metadata of one key."""
        keys = sorted(self.pages)
        index = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 32)
        answers = np.array([self.pages[key] for key in keys], dtype=np.float64)
        return safetensors.numpy.save({"keys": index, "answers": answers}, metadata=metadata)

    def knows(self, inputs: Inputs, task: TaskSpec) -> NDArray[np.bool_]:
        """Say of each of n inputs whether it was answered."""
        return np.array([key in self.pages for key in keys_of(inputs, task)], dtype=np.bool_)

    def answers(self, inputs: Inputs, task: TaskSpec) -> NDArray[np.float64]:
        """Return the answers to inputs, of shape (n, D).

        Raises:
            DataError: some were never asked.
        """
        keys = keys_of(inputs, task)
        if lacking := sum(key not in self.pages for key in keys):
            raise DataError(
                f"{lacking} of {len(keys)} inputs were never asked of a model whose answers alone are at hand: only "
                "queries picked from the validation data can be asked of it; give more of them, or fewer queries"
            )
        return np.array([self.pages[key] for key in keys]).reshape(len(keys), -1)

    def only(self, inputs: Inputs, task: TaskSpec) -> Self:
        """Return what it says of these inputs alone; errors are those of ``answers``."""
        return type(self).of(inputs, self.answers(inputs, task), task)


def keys_of(inputs: Inputs, task: TaskSpec) -> list[bytes]:
    """Return what inputs stand under: the SHA-256 of each as it arrives at the other end of the wire."""
    if not len(inputs):
        return []
    arriving = np.ascontiguousarray(task.domain.project(inputs), dtype=np.float32) + np.float32(0)
    return [hashlib.sha256(each.tobytes()).digest() for each in arriving]


def _pack(model: Any) -> bytes:
    book: Book = model
    return book.written()


def _answer(book: Book, given: Given) -> Said:
    if not len(given.inputs):
        return given.shares(np.zeros((0, given.task.output.size)))
    return given.shares(book.answers(given.inputs, given.task))


FORMAT = Format(
    name=NAME,
    title="a book of answers",
    package="safetensors",
    extra="train",
    endings=(),
    owns=lambda model: isinstance(model, Book),
    pack=_pack,
    unpack=lambda content, _: Book.read(content),
    answer=_answer,
)
