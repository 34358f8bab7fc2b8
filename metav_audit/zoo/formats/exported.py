"""Networks of torch whose program alone is at hand: reruns of a target that itself is an ONNX file, say."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from metav_audit.zoo.exported import check_exported
from metav_audit.zoo.formats.base import Format, Given, Said


def _pack(model: nn.Module) -> bytes:
    raise NotImplementedError


def pack_network(model: nn.Module, shape: tuple[int, ...]) -> bytes:
    """Export a network of inputs of this shape, for batches of any size."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        count = torch.export.Dim("count", min=1)
        program = torch.export.export(model.eval(), (torch.zeros(2, *shape),), dynamic_shapes=({0: count},))
        torch.export.save(program, buffer)
    return buffer.getvalue()


def _unpack(content: bytes, _: bool) -> Any:
    with tempfile.NamedTemporaryFile(suffix=".pt2") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.write(content)
        file.flush()
        check_exported(Path(file.name))
        return torch.export.load(file.name).module()


def _answer(model: Any, given: Given) -> Said:
    with torch.no_grad():
        return Said(given.outputs, model(torch.from_numpy(np.ascontiguousarray(given.inputs))).numpy())


FORMAT = Format(
    name="exported",
    title="a network of torch",
    package="torch",
    extra="train",
    endings=(),
    owns=lambda model: isinstance(model, nn.Module),
    pack=_pack,
    unpack=_unpack,
    answer=_answer,
)
