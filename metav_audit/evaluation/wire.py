"""What becomes of inputs and answers on their way, unknown to the calibration.

A server may recode or resize a picture before its model sees it, or add noise to what the model answers, for the same
input always the same: nothing in an audit tells it from a model.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from metav_audit.errors import ConfigurationError
from metav_audit.task import ImageDomain, InputDomain, Inputs

Recode = Callable[[Image.Image], Image.Image]


def _png(picture: Image.Image) -> Image.Image:
    return _saved(picture, "PNG")


def _jpeg(picture: Image.Image) -> Image.Image:
    return _saved(picture, "JPEG", quality=90)


def _resized(picture: Image.Image) -> Image.Image:
    double = (2 * picture.width, 2 * picture.height)
    return picture.resize(double, Image.Resampling.BILINEAR).resize(picture.size, Image.Resampling.BILINEAR)


def _saved(picture: Image.Image, form: str, **options: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return Image.open(buffer)


NOISES = {"noise-0.01": 0.01, "noise-0.05": 0.05}
"""Standard deviation of the noise: of probabilities, or of values in their canonical unit."""

WIRES: dict[str, Recode] = {"png": _png, "jpeg-90": _jpeg, "resized": _resized}
"""PNG, which loses nothing; JPEG of quality 90; and twice the size and back, both bilinear."""


def through(wire: str, domain: InputDomain, inputs: Inputs) -> Inputs:
    """Return what a model sees of inputs that went through a wire, float32 of the same shape.

    Raises:
        ConfigurationError: the inputs are no pictures.
    """
    check_wire(wire, domain)
    assert isinstance(domain, ImageDomain)
    files = domain.png(inputs)
    return np.stack([_seen(WIRES[wire](Image.open(io.BytesIO(each))), domain) for each in files])


def check_wire(wire: str, domain: InputDomain) -> None:
    """Raise ConfigurationError unless such inputs can go through the wire."""
    if wire in NOISES:
        return
    if not isinstance(domain, ImageDomain):
        raise ConfigurationError(f"--wire {wire} is for pictures, and the task's inputs are {domain.kind}")


def _seen(picture: Image.Image, domain: ImageDomain) -> Inputs:
    levels = np.asarray(picture, dtype=np.float64).reshape(domain.height, domain.width, domain.channels)
    values = domain.low + np.moveaxis(levels, -1, 0) / 255 * (domain.high - domain.low)
    return np.asarray(values, dtype=np.float32)
