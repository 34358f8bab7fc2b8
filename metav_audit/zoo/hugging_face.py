"""Folders of Hugging Face's transformers: networks that classify pictures, from files at hand and safetensors alone."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metav_audit.errors import FOREIGN, ConfigurationError, DataError, MetavAuditError
from metav_audit.files import read_regular, strict_json
from metav_audit.task import ImageDomain, TaskSpec

CONFIG = "config.json"
PROCESSING = "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_NORMAL = ("image_mean", "image_std")
_MOST_JSON = 1 << 24
_RESAMPLES = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""PIL's numbers, as far as torch knows the same."""


class Pictures(nn.Module):
    """A network of transformers that takes pictures as the task has them, and gives logits in the task's order.

    What the folder says of processing is done inside, so that gradients pass: size, scale, mean and deviation.
    """

    def __init__(self, model: nn.Module, domain: ImageDomain, processing: dict[str, Any], order: list[int]) -> None:
        super().__init__()
        self.model, self.size, self.resample = model, _size(processing, domain), _resample(processing)
        channels = domain.shape[0]
        scale = float(processing.get("rescale_factor", 1 / 255)) * 255 if processing.get("do_rescale", True) else 255.0
        normal = bool(processing.get("do_normalize", not processing.keys().isdisjoint(_NORMAL)))
        mean, deviation = (
            _channels(processing.get(name, usual) if normal else usual, channels, name)
            for name, usual in (("image_mean", 0.0), ("image_std", 1.0))
        )
        width = domain.high - domain.low
        # (unit * scale - mean) / deviation, with unit = (x - low) / width, as one product and one sum.
        factor = scale / (width * deviation)
        self.register_buffer("factor", factor)
        self.register_buffer("summand", -domain.low * factor - mean / deviation)
        self.register_buffer("order", torch.tensor(order))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits of shape (n, classes)."""
        if inputs.shape[2:] != self.size:
            how: dict[str, Any] = {"mode": self.resample}
            if self.resample != "nearest":
                how |= {"align_corners": False, "antialias": True}
            inputs = nn.functional.interpolate(inputs, size=self.size, **how)
        given = inputs * self.get_buffer("factor") + self.get_buffer("summand")
        logits: Tensor = self.model(pixel_values=given).logits
        return logits[:, self.get_buffer("order")]


def load_folder(folder: Path, task: TaskSpec) -> nn.Module:
    """Load a folder that ``save_pretrained`` wrote; nothing is fetched, and no code of the folder runs.

    Args:
        folder: with ``config.json``, safetensors and, where pictures are prepared, ``preprocessor_config.json``.
        task: a classification of pictures; its labels are the configuration's, in any order, or as many.

    Raises:
        ConfigurationError: transformers is not installed, or the folder lacks a file.
        DataError: the model is none of the task, or is damaged.
    """
    if not isinstance(task.domain, ImageDomain) or not task.output.labelled:
        raise ConfigurationError(
            f"{folder}: of Hugging Face's folders those that classify pictures can be brought, no texts yet: bring "
            "another model as module:function"
        )
    config, processing = _json(folder / CONFIG), {}
    if (folder / PROCESSING).exists():
        processing = _json(folder / PROCESSING)
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise ConfigurationError(
            f"{folder} holds no model.safetensors: save it again, save_pretrained(..., safe_serialization=True); "
            "pickled weights are not opened"
        )
    if "auto_map" in config or (folder / "adapter_config.json").exists():
        raise DataError(
            f"{folder} needs code of its own, or another model to which it is an adapter: merge it, and save it as a "
            "model of transformers; or bring it as module:function"
        )
    order = _order(config, task, folder)
    try:
        with torch.random.fork_rng(devices=[]):
            model = _quietly(folder)
    except MetavAuditError:
        raise
    except FOREIGN as error:
        first = next(iter(str(error).strip().splitlines()), "")
        raise DataError(
            f"{folder} is no picture classifier of transformers, or is damaged ({type(error).__name__}: {first[:300]})"
        ) from error
    return Pictures(model, task.domain, processing, order).eval()


def _quietly(folder: Path) -> nn.Module:
    try:
        transformers = importlib.import_module("transformers")
    except ImportError:
        raise ConfigurationError(
            "a folder of Hugging Face needs the package transformers: pip install 'metav-audit[hugging-face]' brings it"
        ) from None
    logging = transformers.utils.logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model, told = transformers.AutoModelForImageClassification.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, use_safetensors=True,
            attn_implementation="eager", dtype=torch.float32, output_loading_info=True,
        )  # fmt: skip
    finally:
        logging.set_verbosity(level)
    if absent := sorted(told.get("missing_keys", ())):
        # transformers would go on with random numbers in their place.
        raise DataError(f"{folder} lacks weights of the model: {', '.join(absent[:4])}")
    network: nn.Module = model
    return network


def _json(path: Path) -> dict[str, Any]:
    try:
        told = strict_json(read_regular(path, _MOST_JSON, follow=True))
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path}: {error.strerror or error}; a folder as a target is one that transformers' "
            "save_pretrained wrote"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {error}") from None
    if not isinstance(told, dict):
        raise DataError(f"{path} is no JSON object")
    return told


def _order(config: dict[str, Any], task: TaskSpec, folder: Path) -> list[int]:
    """Return the model's output of each of the task's labels."""
    named = config.get("id2label") or {str(at): f"LABEL_{at}" for at in range(int(config.get("num_labels", 2)))}
    known = [named.get(str(at)) for at in range(len(named))]
    labels = list(task.output.labels)
    if len(known) != len(labels):
        raise DataError(f"{folder} knows {len(known)} classes, the task has {len(labels)}: mend the task's labels")
    if set(known) == set(labels):
        return [known.index(label) for label in labels]
    if all(label == f"LABEL_{at}" for at, label in enumerate(known)):
        return list(range(len(labels)))
    strange = ", ".join(map(repr, [each for each in known if each not in labels][:4]))
    raise DataError(f"{folder} knows classes that the task has not ({strange}): write the task's labels as they are")


def _size(processing: dict[str, Any], domain: ImageDomain) -> tuple[int, int]:
    told = processing.get("size")
    own: tuple[int, int] = (domain.shape[1], domain.shape[2])
    if not told or not processing.get("do_resize", True):
        return own
    if processing.get("do_center_crop"):
        raise DataError(
            f"{PROCESSING} crops pictures to their centre: let the task's pictures be as large as the model takes them"
            " and take do_center_crop out, or bring the model as module:function"
        )
    if isinstance(told, int):
        return (told, told)
    if {"height", "width"} <= told.keys():
        return (int(told["height"]), int(told["width"]))
    edge = int(told.get("shortest_edge", 0))
    if edge and own[0] == own[1]:
        return (edge, edge)
    raise DataError(f"{PROCESSING} states a size that is none of pictures of {own[0]} x {own[1]}: {told!r:.100}")


def _resample(processing: dict[str, Any]) -> str:
    number = processing.get("resample", 2)
    if number not in _RESAMPLES:
        raise DataError(f"{PROCESSING} resizes by PIL's filter {number!r:.20}: use 0, 2 or 3, nearest to bicubic")
    return _RESAMPLES[number]


def _channels(told: Any, channels: int, name: str) -> Tensor:
    numbers = told if isinstance(told, list) else [told] * channels
    if len(numbers) != channels or not all(isinstance(each, int | float) and math.isfinite(each) for each in numbers):
        raise DataError(f"{PROCESSING}: {name} has to be {channels} numbers, one a channel")
    if name == "image_std" and min(numbers) <= 0:
        raise DataError(f"{PROCESSING}: {name} has to be above 0")
    return torch.tensor(numbers, dtype=torch.float32).reshape(channels, 1, 1)
