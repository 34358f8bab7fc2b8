"""How an input is written in JSON: nested or flat lists of numbers in either layout, a PNG picture, or a row."""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from metav_audit.adapter import Adapter, AdapterOptions, Inputs, TabularDomain, TaskSpec
from metav_audit_adapters._shared import refused


class Layout(StrEnum):
    """Where an image's channels stand on the wire."""

    CHW = "chw"
    HWC = "hwc"
    HW = "hw"
    """No axis for the channel at all: grey images alone."""


class Colours(StrEnum):
    """In which order an image's channels stand on the wire."""

    RGB = "rgb"
    BGR = "bgr"


class Encoding(StrEnum):
    """How one input stands in the request."""

    NESTED = "nested"
    FLAT = "flat"
    PNG_BASE64 = "png_base64"
    ROWS = "rows"
    """An object of named cells: numbers and categories as the API's own users write them."""
    CELLS = "cells"
    """The same cells without their names, in the table's order."""


class InputOptions(AdapterOptions):
    """How inputs are written."""

    encoding: Encoding = Field(
        Encoding.NESTED,
        description="nested or flat lists of numbers, or png_base64, or of a table rows (objects) or cells (lists)",
    )
    layout: Layout = Field(Layout.CHW, description="chw, hwc or hw: where an image's channels stand")
    colours: Colours | None = Field(None, description="rgb or bgr: the order of an image's channels; rgb if absent")
    scale: float = Field(1.0, description="multiplied to the numbers, such as 255", gt=0, allow_inf_nan=False)
    offset: float | None = Field(None, description="added to the scaled numbers, such as -1", allow_inf_nan=False)
    whole: bool | None = Field(None, description="true: write the scaled numbers as whole ones, 254 and not 254.0")


def check_layout(layout: Layout, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError where the layout needs an image, or a grey one, and the task's inputs are none."""
    if layout is not Layout.CHW and len(task.domain.shape) != 3:
        raise refused(adapter, "layout", f"'{layout}' is for images, this task's inputs are none")
    if layout is Layout.HW and task.domain.shape[0] != 1:
        raise refused(adapter, "layout", "'hw' is for images of one channel, this task's have more")


def check_pictures(option: str, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError, over ``option``, where the task's inputs cannot be sent as pictures."""
    if task.domain.png(np.zeros((1, *task.domain.shape), np.float32)) is None:
        raise refused(adapter, option, "this task's inputs are no pictures")


def check_inputs(options: InputOptions, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError where the task's inputs cannot be written as the options say."""
    check_layout(options.layout, task, adapter)
    if options.encoding is Encoding.PNG_BASE64:
        check_pictures("encoding", task, adapter)
    if options.encoding in (Encoding.ROWS, Encoding.CELLS) and not isinstance(task.domain, TabularDomain):
        raise refused(adapter, "encoding", f"'{options.encoding}' is for tables, this task's inputs are none")
    if options.colours is not None and task.domain.shape[:-2] != (3,):
        raise refused(adapter, "colours", "this task's inputs are no images of three channels")


def arrange(inputs: Inputs, layout: Layout) -> Inputs:
    """Return inputs of shape (batch, channels, height, width) in the wire's layout; others stay as they are."""
    if layout is Layout.HW:
        return inputs[:, 0]
    return inputs.transpose(0, 2, 3, 1) if layout is Layout.HWC else inputs


def pictures(inputs: Inputs, task: TaskSpec) -> list[bytes]:
    """Return each input as a PNG file; ``check_pictures`` has seen to it that there is one."""
    return task.domain.png(inputs) or []


def base64_pictures(inputs: Inputs, task: TaskSpec) -> list[str]:
    """Return each input as a PNG file in base64."""
    return [base64.b64encode(picture).decode() for picture in pictures(inputs, task)]


def write_inputs(inputs: Inputs, options: InputOptions, task: TaskSpec) -> list[Any]:
    """Write each input as the options say: a JSON value apiece."""
    if options.colours is Colours.BGR:
        inputs = inputs[:, ::-1]
    if options.encoding is Encoding.PNG_BASE64:
        return base64_pictures(inputs, task)
    if options.encoding in (Encoding.ROWS, Encoding.CELLS):
        rows = task.domain.rows(inputs) or []
        return list(rows) if options.encoding is Encoding.ROWS else [list(row.values()) for row in rows]
    arranged = _scaled(arrange(inputs, options.layout), options)
    flat = options.encoding is Encoding.FLAT
    values: list[Any] = (arranged.reshape(len(inputs), -1) if flat else arranged).tolist()
    return values


def _scaled(values: Inputs, options: InputOptions) -> NDArray[Any]:
    """Return the numbers in the API's own range."""
    if options.scale != 1.0:
        # Rounded back to float32, so that 254/255 scaled by 255 is written 254.0 and not 253.99999.
        values = (values * np.float32(options.scale)).astype(np.float32)
    if options.offset is not None:
        values = (values + np.float32(options.offset)).astype(np.float32)
    return np.rint(values).astype(np.int64) if options.whole else values
