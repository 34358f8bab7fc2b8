"""How an input is written in JSON: nested or flat lists of numbers in either layout, a PNG picture, or a row."""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import Any

import numpy as np
from pydantic import Field

from metav_audit.adapter import Adapter, AdapterOptions, Inputs, TabularDomain, TaskSpec
from metav_audit_adapters._shared import refused


class Layout(StrEnum):
    """Where an image's channels stand on the wire."""

    CHW = "chw"
    HWC = "hwc"


class Encoding(StrEnum):
    """How one input stands in the request."""

    NESTED = "nested"
    FLAT = "flat"
    PNG_BASE64 = "png_base64"
    ROWS = "rows"
    """An object of named cells: numbers and categories as the API's own users write them."""


class InputOptions(AdapterOptions):
    """How inputs are written."""

    encoding: Encoding = Field(
        Encoding.NESTED,
        description="nested or flat lists of numbers, or png_base64, or rows: objects of a table's columns",
    )
    layout: Layout = Field(Layout.CHW, description="chw or hwc: where an image's channels stand")
    scale: float = Field(1.0, description="multiplied to the numbers, such as 255", gt=0, allow_inf_nan=False)


def check_layout(layout: Layout, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError where the layout needs an image and the task's inputs are none."""
    if layout is Layout.HWC and len(task.domain.shape) != 3:
        raise refused(adapter, "layout", "'hwc' is for images, this task's inputs are none")


def check_pictures(option: str, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError, over ``option``, where the task's inputs cannot be sent as pictures."""
    if task.domain.png(np.zeros((1, *task.domain.shape), np.float32)) is None:
        raise refused(adapter, option, "this task's inputs are no pictures")


def check_inputs(options: InputOptions, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError where the task's inputs cannot be written as the options say."""
    check_layout(options.layout, task, adapter)
    if options.encoding is Encoding.PNG_BASE64:
        check_pictures("encoding", task, adapter)
    if options.encoding is Encoding.ROWS and not isinstance(task.domain, TabularDomain):
        raise refused(adapter, "encoding", "'rows' is for tables, this task's inputs are none")


def arrange(inputs: Inputs, layout: Layout) -> Inputs:
    """Return inputs of shape (batch, channels, height, width) in the wire's layout; others stay as they are."""
    return inputs.transpose(0, 2, 3, 1) if layout is Layout.HWC else inputs


def pictures(inputs: Inputs, task: TaskSpec) -> list[bytes]:
    """Return each input as a PNG file; ``check_pictures`` has seen to it that there is one."""
    return task.domain.png(inputs) or []


def base64_pictures(inputs: Inputs, task: TaskSpec) -> list[str]:
    """Return each input as a PNG file in base64."""
    return [base64.b64encode(picture).decode() for picture in pictures(inputs, task)]


def write_inputs(inputs: Inputs, options: InputOptions, task: TaskSpec) -> list[Any]:
    """Write each input as the options say: a JSON value apiece."""
    if options.encoding is Encoding.PNG_BASE64:
        return base64_pictures(inputs, task)
    if options.encoding is Encoding.ROWS:
        return list(task.domain.rows(inputs) or [])
    arranged = arrange(inputs, options.layout)
    if options.scale != 1.0:
        # Rounded back to float32, so that 254/255 scaled by 255 is written 254.0 and not 253.99999.
        arranged = (arranged * np.float32(options.scale)).astype(np.float32)
    flat = options.encoding is Encoding.FLAT
    values: list[Any] = (arranged.reshape(len(inputs), -1) if flat else arranged).tolist()
    return values
