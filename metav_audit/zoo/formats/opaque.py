"""A model of another library as a module of torch: it answers, and gives no gradient.

Its only state are the bytes of its own file and a few words on how it is asked, as buffers. So stores, hashes and
addresses treat it as they treat any network. It gives log-probabilities of classes, which serve as logits, or values.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metav_audit.errors import FOREIGN, DataError, MetavAuditError
from metav_audit.task import TaskSpec
from metav_audit.zoo.formats import answers
from metav_audit.zoo.formats.base import Feed, Given, Outputs, Said
from metav_audit.zoo.formats.registry import FORMATS
from metav_audit.zoo.outputs.registry import trained

LEAST = 1e-12
"""Probabilities below it count as it."""

CHANGED = "changed"
"""The format of models that are others with changes."""

Form = dict[str, Any]
"""How a model is asked: format, feed, outputs, the classes that its columns stand for where they are not all, and what
is shown of its answers where that is not all."""

Shows = dict[str, Any]
"""What is shown of answers: {"label": true}, or {"decimals": 2, "cut": false}."""


def has_gradients(model: nn.Module) -> bool:
    """Say whether a model's answers have a gradient by its inputs."""
    return not isinstance(model, Opaque)


def answers_anything(model: nn.Module) -> bool:
    """Say whether a model can be asked anything, and not only what it was asked beforehand."""
    return not isinstance(model, Opaque) or model.told.get("format") != answers.NAME


def knows(model: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say of each of n inputs whether a model answers it: all, unless its answers alone are at hand."""
    if isinstance(model, Opaque) and not answers_anything(model):
        return answers.Book.read(_as_bytes(model.content)).knows(inputs, model.task)
    return np.ones(len(inputs), dtype=np.bool_)


def is_cut(model: nn.Module) -> bool:
    """Say whether less is shown of a model's answers than all."""
    return isinstance(model, Opaque) and "shows" in model.told


def shown_like(model: nn.Module, other: nn.Module) -> nn.Module:
    """Return a model whose answers are cut to what those of another one show: rounded as these are, or labels alone."""
    if not isinstance(model, Opaque) or not isinstance(other, Opaque) or not is_cut(other):
        return model
    form = {**model.told, "shows": other.told["shows"]}
    return Opaque(model.task, form, _as_bytes(model.content), trusted=model.trusted)


class Opaque(nn.Module):
    """A model of another library.

    Args:
        task: what it takes and gives.
        form: how it is asked.
        content: its own file.
        trusted: whether its owner lets its file run code.
    """

    def __init__(self, task: TaskSpec, form: Form, content: bytes = b"", *, trusted: bool = False) -> None:
        super().__init__()
        self.task, self.trusted = task, trusted
        self._model: Any = None
        self.content: Tensor
        self.form: Tensor
        self.register_buffer("content", _as_tensor(content))
        self.register_buffer("form", _as_tensor(json.dumps(form, sort_keys=True).encode()))
        self.eval()

    def shell(self) -> Self:
        """Return a model of the same task that holds nothing yet: whatever is loaded into it, it becomes."""
        return type(self)(self.task, {}, trusted=self.trusted)

    @property
    def told(self) -> Form:
        """How it is asked."""
        form: Form = json.loads(_as_bytes(self.form))
        return form

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy what it holds; the library's own object is made anew when it is asked."""
        return type(self)(self.task, self.told, _as_bytes(self.content), trusted=self.trusted)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the library's own object behind."""
        return {**self.__dict__, "_model": None}

    def _load_from_state_dict(  # torch's own signature
        self, state_dict: dict[str, Any], prefix: str, _1: Any, _2: Any, missing: list[str], *_3: Any
    ) -> None:
        for name in ("content", "form"):
            if prefix + name in state_dict:
                # Of another size than what stands here: one model's file is no other's.
                setattr(self, name, state_dict[prefix + name].detach().clone())
            else:
                missing.append(prefix + name)
        self._model = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return log-probabilities of shape (n, classes), or values of shape (n, quantities), without a gradient.

        Raises:
            DataError: the model fails, or gives what the task has not.
        """
        given = self.asked(inputs.detach().cpu().numpy())
        try:
            if self.told["format"] == CHANGED:
                return torch.from_numpy(self._seen(self._changed(inputs)))
            said = self.answer(given)
        except MetavAuditError:
            raise
        except FOREIGN as error:
            raise DataError(f"the {self.told['format']} model fails: {type(error).__name__}: {error}") from error
        return torch.from_numpy(self._seen(settled(said, self.told.get("classes"), self.task)))

    def _seen(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut what it says to what is shown of it."""
        shows: Shows | None = self.told.get("shows")
        return numbers if shows is None else cut_to(numbers, shows, self.task)

    def _changed(self, inputs: Tensor) -> NDArray[np.float32]:
        told, space = self.told, self.task.output
        if self._model is None:
            self._model = self.parts()
        canonical = trained(space).features
        answers = [canonical(part(inputs)).double().numpy() for part in self._model[: len(told["weights"])]]
        mean = np.einsum("p,pnd->nd", told["weights"], np.stack(answers))
        for part in self._model[len(told["weights"]) :]:
            mean = mean + np.asarray(part.answer(part.asked(inputs.numpy())).numbers, dtype=np.float64)
        mean = mean * told["slope"] + np.asarray(told["shift"])
        if told["step"]:
            mean = np.round((mean - mean[:, :1] if space.labelled else mean) / told["step"]) * told["step"]
        said = Said("logits", mean) if space.labelled else Said("values", space.shown(mean))
        return settled(said, None, self.task)

    def parts(self) -> list[Self]:
        """Return the models that a changed one is made of."""
        content, found = _as_bytes(self.content), []
        for told in self.told["parts"]:
            piece, content = content[: told["size"]], content[told["size"] :]
            found.append(type(self)(self.task, told["form"], piece, trusted=self.trusted))
        return found

    def asked(self, inputs: NDArray[np.float32]) -> Given:
        """Return inputs as this model takes them."""
        form = self.told
        feed: Feed = form.get("feed", "array")
        usual: Outputs = "probabilities" if self.task.output.labelled else "values"
        return Given(inputs, self.task, feed, form.get("outputs", usual))

    def answer(self, given: Given) -> Said:
        """Ask the library's own object."""
        form = FORMATS[self.told["format"]]
        if self._model is None:
            form.check_installed()
            self._model = form.unpack(_as_bytes(self.content), self.trusted)
        return form.answer(self._model, given)

    def own(self) -> Any:
        """Return the library's own object, to be made over: a copy that nobody else holds."""
        return FORMATS[self.told["format"]].unpack(_as_bytes(self.content), self.trusted)


def changed(
    parts: Sequence[Opaque],
    *,
    steps: Opaque | None = None,
    weights: Sequence[float] = (1.0,),
    slope: float = 1.0,
    shift: Sequence[float] | float = 0.0,
    step: float = 0.0,
) -> Opaque:
    """Return a model that answers as others do, with changes: what is done to a model whose insides are closed.

    Its features are the weighted mean of the parts' (log-probabilities, or values in scales from their center), to
    which what ``steps`` says is added; times ``slope``, plus ``shift``; rounded to whole steps of ``step``, of classes
    relative to the first.
    """
    first, pieces = parts[0], [*parts, *([] if steps is None else [steps])]
    contents = [_as_bytes(piece.content) for piece in pieces]
    told = [{"form": piece.told, "size": len(content)} for piece, content in zip(pieces, contents, strict=True)]
    form = {
        "format": CHANGED, "parts": told, "weights": list(weights), "slope": slope, "shift": shift, "step": step,
    }  # fmt: skip
    return Opaque(first.task, form, b"".join(contents), trusted=first.trusted)


def settled(said: Said, classes: Sequence[int] | None, task: TaskSpec) -> NDArray[np.float32]:
    """Return what a model said as log-probabilities of all classes, or as values: float32 of shape (n, size).

    One probability, or one logit, of a binary task is the second class's. A class that a model never saw has the least
    probability.

    Raises:
        DataError: it is none of the task's.
    """
    size, numbers = task.output.size, np.asarray(said.numbers, dtype=np.float64)
    table = numbers.reshape(len(numbers), -1) if numbers.size else np.zeros((0, size))
    if not task.output.labelled:
        return _checked(table, size, task).reshape(len(table), *task.output.shape).astype(np.float32)
    if table.shape[1] == 1 and size == 2 and classes is None:
        table = np.hstack([1 - table if said.outputs == "probabilities" else 0 * table, table])
    columns = list(range(size)) if classes is None else list(classes)
    table = _checked(table, len(columns), task)
    if said.outputs == "logits":
        table = table - table.max(axis=1, keepdims=True)
        table = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
    shares = np.zeros((len(table), size))
    shares[:, columns] = table
    return np.log(np.clip(shares, LEAST, None)).astype(np.float32)


def cut_to(numbers: NDArray[np.float32], shows: Shows, task: TaskSpec) -> NDArray[np.float32]:
    """Return log-probabilities, or values, as whoever shows so much of them would have told them."""
    labelled = task.output.labelled
    shown = np.exp(numbers.astype(np.float64)) if labelled else numbers.astype(np.float64)
    if shows.get("label"):
        shown = np.eye(task.output.size)[shown.argmax(axis=1)]
    else:
        step = 10.0 ** shows["decimals"]
        # A hair above, lest a number that has just so many decimals loses its last one.
        shown = np.floor(shown * step + 1e-6) / step if shows.get("cut") else np.round(shown, shows["decimals"])
    return (np.log(np.clip(shown, LEAST, None)) if labelled else shown).astype(np.float32)


def _checked(table: NDArray[np.float64], columns: int, task: TaskSpec) -> NDArray[np.float64]:
    if table.shape[1] != columns:
        raise DataError(
            f"the model gives {table.shape[1]} numbers an input, the task has {task.output.size} "
            f"{'classes' if task.output.labelled else 'quantities'}: mend the task, or the model's outputs"
        )
    if not np.isfinite(table).all():
        raise DataError("the model gives NaN or infinite values")
    return table


def _as_tensor(content: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy())


def _as_bytes(buffer: Tensor) -> bytes:
    return buffer.numpy().tobytes()
