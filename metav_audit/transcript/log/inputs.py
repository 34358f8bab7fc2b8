"""Inputs of logged requests, decoded by the task's own domain: numbers, rows of a table, or PNG files in base64."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.task import ImageDomain, InputDomain, Inputs
from metav_audit.task.domains import TabularDomain

_WRONG = (DataError, ConfigurationError, ValueError, KeyError, TypeError, OverflowError)
"""What domains and numpy raise where an input is not one."""


class InputReader:
    """Decodes what was sent into what reached the model."""

    def __init__(self, domain: InputDomain, *, eight_bit: bool) -> None:
        self._domain = domain
        self._eight_bit = eight_bit

    def read(self, values: Sequence[Any]) -> list[bytes | str]:
        """Return each input as float32 bytes, little-endian; or, as a string, why it is none."""
        try:
            return self._decode(values)
        except _WRONG:
            return [self._one(value) for value in values]

    def _one(self, value: Any) -> bytes | str:
        try:
            return self._decode([value])[0]
        except DataError as error:
            return str(error).partition(":")[0].removeprefix("an input ")
        except _WRONG as error:
            return f"no input of the task ({' '.join(str(error).split())[:120]})"

    def _decode(self, values: Sequence[Any]) -> list[bytes | str]:
        """Decode all or raise."""
        if not values:
            return []
        inputs = self._domain.check(self._numbers([_parsed(value) for value in values]), "an input")
        # 0.0 in the place of -0.0, so that the same input has the same bytes.
        sent = self._domain.project(inputs).astype("<f4") + 0.0
        return [row.tobytes() for row in sent]

    def _numbers(self, values: Sequence[Any]) -> NDArray[Any]:
        if isinstance(self._domain, TabularDomain) and isinstance(values[0], Mapping):
            return self._domain.encode(values)
        if isinstance(self._domain, ImageDomain) and isinstance(values[0], str):
            return np.stack([_picture(value, self._domain) for value in values])
        numbers = np.array(values, dtype=np.float64)
        numbers = numbers.reshape(len(values), *self._domain.shape)
        if self._eight_bit and isinstance(self._domain, ImageDomain):
            return _from_unit(numbers / 255, self._domain)
        return numbers


def _parsed(value: Any) -> Any:
    """Return what a text in brackets holds: a cell of a CSV file, or JSON within JSON."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _picture(text: str, domain: ImageDomain) -> Inputs:
    """Read a PNG file in base64, "data:image/png;base64," before it or not; its size is looked at first."""
    from PIL import Image

    wanted = (domain.width, domain.height), "L" if domain.channels == 1 else "RGB"
    content = base64.b64decode(text.removeprefix("data:image/png;base64,"), validate=True)
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            found = picture.size, picture.mode
            pixels = np.asarray(picture, dtype=np.float64) if found == wanted else np.empty(0)
    except Exception as error:  # Whatever a hostile file makes the library raise.
        raise ValueError("no PNG file") from error
    if found != wanted:
        raise ValueError(f"a picture of {found[0][0]} x {found[0][1]}, mode {found[1]}")
    channels_first = pixels[None] if domain.channels == 1 else pixels.transpose(2, 0, 1)
    return _from_unit(channels_first / 255, domain)


def _from_unit(unit: NDArray[np.float64], domain: ImageDomain) -> NDArray[Any]:
    return domain.low + unit * (domain.high - domain.low)
