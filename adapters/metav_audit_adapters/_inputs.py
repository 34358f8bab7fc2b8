"""How an input is written in JSON: nested or flat lists of numbers in either layout, a PNG picture, or a row."""

from __future__ import annotations

import base64
from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from metav_audit.adapter import Adapter, AdapterOptions, ImageDomain, Inputs, TabularDomain, TaskSpec
from metav_audit_adapters._shared import refused

_SAMPLE = 64
"""Inputs that tell whether rounding makes any two numbers one."""


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
    DATA_URI = "data_uri"
    ROWS = "rows"
    """An object of named cells: numbers and categories as the API's own users write them."""
    CELLS = "cells"
    """The same cells without their names, in the table's order."""


class ColourOptions(AdapterOptions):
    """How a picture's colours are written."""

    colours: Colours | None = Field(
        None,
        description="rgb or bgr: the order of an image's channels, rgb if absent; rgb writes a grey image as three",
    )


class TensorOptions(ColourOptions):
    """How the numbers of inputs are written."""

    layout: Layout = Field(Layout.CHW, description="chw, hwc or hw: where an image's channels stand")
    scale: float = Field(1.0, description="multiplied to the numbers, such as 255", gt=0, allow_inf_nan=False)
    offset: float | None = Field(None, description="added to the scaled numbers, such as -1", allow_inf_nan=False)
    whole: bool | None = Field(None, description="true: write the scaled numbers as whole ones, 254 and not 254.0")


class InputOptions(TensorOptions):
    """How inputs are written."""

    encoding: Encoding = Field(
        Encoding.NESTED,
        description="nested or flat lists of numbers; a PNG as png_base64 or data_uri; a table as rows (objects) or "
        "cells (lists)",
    )


def check_tensor(options: TensorOptions, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError where layout, colours or whole numbers do not fit the task's inputs."""
    shape = task.domain.shape
    if options.layout is not Layout.CHW and len(shape) != 3:
        raise refused(adapter, "layout", f"'{options.layout}' is for images, this task's inputs are none")
    check_colours(options, task, adapter)
    if options.layout is Layout.HW and (shape[0] != 1 or options.colours is not None):
        raise refused(adapter, "layout", "'hw' is for images of one channel, this task's have more, or colours")
    if options.whole:
        check_whole("whole", options, task, adapter)


def check_colours(options: ColourOptions, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError where the task's inputs are no images of the colours' channels."""
    shape, colours = task.domain.shape, options.colours
    if colours is not None and (len(shape) != 3 or (shape[0] == 1 and colours is not Colours.RGB)):
        raise refused(adapter, "colours", "this task's inputs are no images of three channels, nor grey ones for 'rgb'")


def check_whole(option: str, options: TensorOptions, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError, over ``option``, where inputs that differ would be the same whole numbers."""
    sample = scaled(task.domain.sample(_SAMPLE, np.random.default_rng(0)), options)
    if len(np.unique(np.rint(sample))) < len(np.unique(sample)):
        low, high = scaled(np.array(task.domain.bounds, np.float32), options).tolist()
        raise refused(
            adapter,
            option,
            f"numbers between {low:g} and {high:g} that differ would be the same whole ones: set scale, such as 255",
        )


def check_pictures(option: str, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError, over ``option``, where the task's inputs cannot be sent as pictures."""
    if task.domain.png(np.zeros((1, *task.domain.shape), np.float32)) is None:
        raise refused(adapter, option, "this task's inputs are no pictures")


def check_inputs(options: InputOptions, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError where the task's inputs cannot be written as the options say."""
    check_tensor(options, task, adapter)
    if options.encoding in (Encoding.PNG_BASE64, Encoding.DATA_URI):
        check_pictures("encoding", task, adapter)
    if options.encoding in (Encoding.ROWS, Encoding.CELLS) and not isinstance(task.domain, TabularDomain):
        raise refused(adapter, "encoding", f"'{options.encoding}' is for tables, this task's inputs are none")


def arrange(inputs: Inputs, layout: Layout) -> Inputs:
    """Return inputs of shape (batch, channels, height, width) in the wire's layout; others stay as they are."""
    if layout is Layout.HW:
        return inputs[:, 0]
    return inputs.transpose(0, 2, 3, 1) if layout is Layout.HWC else inputs


def coloured(inputs: Inputs, options: ColourOptions) -> Inputs:
    """Return images with their channels in the wire's order, and grey ones with three that are equal."""
    if options.colours is Colours.BGR:
        return inputs[:, ::-1]
    if options.colours is Colours.RGB and inputs.shape[1] == 1:
        return np.repeat(inputs, 3, axis=1)
    return inputs


def pictures(inputs: Inputs, options: ColourOptions, task: TaskSpec) -> list[bytes]:
    """Return each input as a PNG file; ``check_pictures`` has seen to it that there is one."""
    domain, shown = task.domain, coloured(inputs, options)
    if isinstance(domain, ImageDomain) and domain.channels != shown.shape[1]:
        domain = replace(domain, channels=shown.shape[1])
    return domain.png(shown) or []


def base64_pictures(inputs: Inputs, options: ColourOptions, task: TaskSpec) -> list[str]:
    """Return each input as a PNG file in base64."""
    return [base64.b64encode(picture).decode() for picture in pictures(inputs, options, task)]


def tensor(inputs: Inputs, options: TensorOptions) -> NDArray[Any]:
    """Return inputs as one tensor, coloured, arranged and scaled as the options say."""
    return scaled(arrange(coloured(inputs, options), options.layout), options)


def write_inputs(inputs: Inputs, options: InputOptions, task: TaskSpec) -> list[Any]:
    """Write each input as the options say: a JSON value apiece."""
    if options.encoding in (Encoding.PNG_BASE64, Encoding.DATA_URI):
        prefix = "data:image/png;base64," if options.encoding is Encoding.DATA_URI else ""
        return [prefix + picture for picture in base64_pictures(inputs, options, task)]
    if options.encoding in (Encoding.ROWS, Encoding.CELLS):
        rows = task.domain.rows(inputs) or []
        return list(rows) if options.encoding is Encoding.ROWS else [list(row.values()) for row in rows]
    written = as_whole(tensor(inputs, options)) if options.whole else tensor(inputs, options)
    flat = options.encoding is Encoding.FLAT
    values: list[Any] = (written.reshape(len(inputs), -1) if flat else written).tolist()
    return values


def scaled(values: Inputs, options: TensorOptions) -> Inputs:
    """Return the numbers in the API's own range."""
    if options.scale != 1.0:
        # Rounded back to float32, so that 254/255 scaled by 255 is written 254.0 and not 253.99999.
        values = (values * np.float32(options.scale)).astype(np.float32)
    if options.offset is not None:
        values = (values + np.float32(options.offset)).astype(np.float32)
    return values


def as_whole(values: Inputs) -> NDArray[np.int64]:
    """Return the nearest whole numbers."""
    return np.rint(values).astype(np.int64)
