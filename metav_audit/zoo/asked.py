"""A target that only an endpoint serves: whatever the zoo will need is asked beforehand, once, and kept.

What is asked follows from the data alone. So the number of requests is known before the first is sent, and a bundle
that is made again asks nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors import SafetensorError

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.files import read_regular, strict_json, write_atomically
from metav_audit.task import Inputs, OutputView, TaskSpec
from metav_audit.zoo.data import LabelledData, OwnerData
from metav_audit.zoo.formats import answers
from metav_audit.zoo.formats.answers import Book, keys_of
from metav_audit.zoo.formats.opaque import Opaque, Shows
from metav_audit.zoo.shown import compared_on, shown_of, twins_of

FILE = "endpoint-answers.safetensors"
"""In the store: what was answered, by whom, and what the endpoint shows."""

MOST_BYTES = 4 << 30
MOST_DECIMALS = 12


@dataclass(frozen=True, slots=True)
class Respondent:
    """Who is asked in the place of the model.

    Attributes:
        identity: names the endpoint by all that decides which model answers.
        ask: from inputs, float32 of shape (n, *domain.shape), to probabilities of all classes or values, float64 of
            shape (n, D), and what the endpoint shows of them.
    """

    identity: str
    ask: Callable[[Inputs], tuple[NDArray[np.float64], OutputView]]


def needed_inputs(data: OwnerData, task: TaskSpec, public: LabelledData | None, *, replayed: bool) -> Inputs:
    """Return every input that zoo and fit will ask of the target, each once, as it arrives over the wire.

    Args:
        data: the owner's.
        task: of the target.
        public: natural inputs from elsewhere, if the project names some.
        replayed: whether the target's own training is to be run again and compared.
    """
    domain, shown = task.domain, shown_of(data, task.domain)
    parts = [data.validation.inputs, data.heldout.inputs, shown.known.inputs, shown.blends, shown.noise]
    natural = [data.validation.inputs, *([] if public is None else [public.inputs])]
    parts += [*natural, *(twins_of(each, domain) for each in natural)]
    parts += [compared_on(data, domain)] if replayed else []
    inputs = domain.project(np.concatenate(parts))
    places: dict[bytes, int] = {}
    for place, key in enumerate(keys_of(inputs, task)):
        places.setdefault(key, place)
    return inputs[list(places.values())]


def ask_beforehand(store: Path, needed: Inputs, task: TaskSpec, respondent: Respondent) -> int:
    """Ask what was not asked before and keep the answers in the store; return how many inputs were asked now.

    Answers of another endpoint are not used. Errors are those of ``respondent.ask``.

    Raises:
        ConfigurationError: the store cannot be written.
        DataError: what stands in it is damaged, or the endpoint now shows something else.
    """
    book, told = _standing(store / FILE)
    if told.get("identity") != respondent.identity:
        book, told = Book({}), {}
    open_inputs = needed[~book.knows(needed, task)]
    if not len(open_inputs):
        return 0
    given, view = respondent.ask(open_inputs)
    shows = _shows(view)
    if told:
        shows = _merged(told["shows"], shows)
    merged = Book({**book.pages, **Book.of(open_inputs, given, task).pages})
    words = json.dumps({"identity": respondent.identity, "shows": shows}, sort_keys=True)
    try:
        store.mkdir(parents=True, exist_ok=True)
        write_atomically(store / FILE, merged.written({"told": words}))
    except OSError as error:
        raise ConfigurationError(f"cannot write {store}: {error.strerror}; choose a folder you may write to") from error
    return len(open_inputs)


def read_asked(store: Path, needed: Inputs, task: TaskSpec) -> Opaque:
    """Return the target as what was answered to the needed inputs, in the form of a model.

    Raises:
        ConfigurationError: it was not asked everything yet.
        DataError: what stands in the store is damaged.
    """
    book, told = _standing(store / FILE)
    if not told or not book.knows(needed, task).all():
        raise ConfigurationError(
            "the target's endpoint was not yet asked all that its zoo needs: run 'metav-audit zoo' first, with "
            "--secret for what the endpoint file sends"
        )
    form: dict[str, Any] = {"format": answers.NAME}
    if told["shows"]:
        form["shows"] = told["shows"]
    return Opaque(task, form, book.only(needed, task).written())


def words_of(told: Shows) -> str:
    """Say in words what an endpoint shows.

    >>> words_of({"decimals": 2})
    'numbers of 2 decimals'
    """
    if told.get("label"):
        return "labels alone"
    return f"numbers of {told['decimals']} decimals{', cut off' * bool(told.get('cut'))}" if told else "numbers in full"


def shown_by(store: Path) -> str:
    """Say in words what the endpoint showed; errors are those of ``read_asked``."""
    return words_of(_standing(store / FILE)[1].get("shows", {}))


def _standing(path: Path) -> tuple[Book, dict[str, Any]]:
    if not path.exists():
        return Book({}), {}
    try:
        content = read_regular(path, MOST_BYTES)
        with safetensors.safe_open(path, framework="numpy") as file:
            told = strict_json(file.metadata()["told"])
        shows = dict(told["shows"])
        if shows and not shows.get("label") and not 0 <= int(shows["decimals"]) <= MOST_DECIMALS:
            raise ValueError("decimals")
        return Book.read(content), {"identity": str(told["identity"]), "shows": shows}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, DataError) as error:
        raise DataError(f"{path} is damaged: remove it, and the endpoint is asked again ({error})") from error


def _shows(view: OutputView) -> Shows:
    if view.label_only:
        return {"label": True}
    if view.decimals is None:
        return {}
    return {"decimals": view.decimals, **({"cut": True} if view.cut else {})}


def _merged(one: Shows, other: Shows) -> Shows:
    """Return what both show: the more decimals, since few answers may have few by chance."""
    if bool(one.get("label")) != bool(other.get("label")):
        raise DataError(
            f"the target's endpoint showed {words_of(one)} before and now shows {words_of(other)}: remove {FILE} from "
            "the store, and everything is asked again"
        )
    if not one or not other:
        return {}
    return one if one.get("label") or one["decimals"] >= other["decimals"] else other
