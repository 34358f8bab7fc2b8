"""Bodies that are no JSON: a picture as it is, bare bytes, NumPy's format, CSV; and answers in CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from metav_audit.adapter import Adapter, AnswerError, Inputs, Response, TaskSpec
from metav_audit_adapters._inputs import (
    Encoding,
    InputOptions,
    as_whole,
    check_pictures,
    pictures,
    scaled,
    tensor,
)
from metav_audit_adapters._shared import refused

_CSV = "text/csv"
_MOST_BYTE = 255


class Send(StrEnum):
    """What a request's body is."""

    JSON = "json"
    RAW = "raw"
    BYTES = "bytes"
    NPY = "npy"
    CSV = "csv"


class Receive(StrEnum):
    """What an answer's body is."""

    JSON = "json"
    CSV = "csv"


_TYPES = {Send.RAW: "image/png", Send.BYTES: "application/octet-stream", Send.NPY: "application/x-npy", Send.CSV: _CSV}
"""The usual Content-Type of each."""
_ALONE = (Send.RAW, Send.BYTES)
"""Those that hold one input."""


class SendOptions(InputOptions):
    """What the bodies of request and answer are."""

    send: Send | None = Field(
        None,
        description="json: body, as if absent; raw: a PNG as it is; bytes: little-endian float32, or uint8 where whole "
        "= true; npy: NumPy's file format; csv: a row an input, with the names first where encoding = rows",
    )
    content_type: str | None = Field(
        None,
        description="the Content-Type of what is sent; the usual one if absent",
        pattern=r"^[\w.+-]+/[\w.+-]+(; ?[\w.+=-]+)?$",
    )
    receive: Receive | None = Field(
        None,
        description="json, as if absent, or csv: a row of scores an input; csv is read as such wherever it says it is",
    )

    @property
    def body_kind(self) -> Send:
        """What a request's body is."""
        return self.send or Send.JSON

    def problem_of_body(self, beside: Iterable[str]) -> str:
        """Say what is wrong with a body that is no JSON; ``beside`` names other options that say what it is."""
        for other in beside:
            return f"{other}: it says what is sent, and so does send = {self.send}: leave one of them out"
        if self.batch != 1 and self.send in _ALONE:
            return f"batch: send = {self.send} takes one input a request: set batch = 1"
        if self.send is Send.CSV and self.encoding in (Encoding.PNG_BASE64, Encoding.DATA_URI):
            return f"encoding: send = csv writes numbers or cells, not {self.encoding}"
        return ""


def check_sending(options: SendOptions, task: TaskSpec, adapter: type[Adapter]) -> None:
    """Raise ConfigurationError where the task's inputs cannot be sent so."""
    if options.send is Send.RAW:
        check_pictures("send", task, adapter)
    if options.send is Send.BYTES and options.whole and not _fit_a_byte(options, task):
        raise refused(adapter, "whole", "send = bytes writes whole numbers as uint8, 0 to 255: mend scale and offset")


def takes_many(send: Send) -> bool:
    """Whether a body that is no JSON holds several inputs."""
    return send not in _ALONE


def write_body(inputs: Inputs, options: SendOptions, task: TaskSpec) -> tuple[bytes, dict[str, str]]:
    """Write inputs as a body that is no JSON; return it and its headers."""
    writers = {Send.RAW: _picture, Send.BYTES: _bytes, Send.NPY: _npy, Send.CSV: _csv}
    content = writers[options.body_kind](inputs, options, task)
    return content, {"Content-Type": options.content_type or _TYPES[options.body_kind]}


def _picture(inputs: Inputs, options: SendOptions, task: TaskSpec) -> bytes:
    (picture,) = pictures(inputs, options, task)
    return picture


def _bytes(inputs: Inputs, options: SendOptions, task: TaskSpec) -> bytes:
    return _array(inputs, options, task).tobytes()


def _npy(inputs: Inputs, options: SendOptions, task: TaskSpec) -> bytes:
    file = io.BytesIO()
    np.save(file, _array(inputs, options, task), allow_pickle=False)
    return file.getvalue()


def _array(inputs: Inputs, options: SendOptions, task: TaskSpec) -> NDArray[Any]:
    """Return a batch as float32, or where whole numbers are wanted as uint8, or int32 where that does not hold them."""
    values = tensor(inputs, options)
    values = values.reshape(len(values), -1) if options.encoding is Encoding.FLAT else values
    if not options.whole:
        return np.ascontiguousarray(values, "<f4")
    return np.ascontiguousarray(as_whole(values), "<u1" if _fit_a_byte(options, task) else "<i4")


def _fit_a_byte(options: SendOptions, task: TaskSpec) -> bool:
    low, high = np.rint(scaled(np.array(task.domain.bounds, np.float32), options)).tolist()
    return bool(low >= 0 and high <= _MOST_BYTE)


def _csv(inputs: Inputs, options: SendOptions, task: TaskSpec) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    if options.encoding in (Encoding.ROWS, Encoding.CELLS):
        rows = task.domain.rows(inputs) or []
        if options.encoding is Encoding.ROWS:
            writer.writerow(rows[0])
        writer.writerows(row.values() for row in rows)
    else:
        values = tensor(inputs, options).reshape(len(inputs), -1)
        writer.writerows((as_whole(values) if options.whole else values).tolist())
    return file.getvalue().encode()


def is_csv(response: Response, receive: Receive | None) -> bool:
    """Whether an answer is CSV: by the option, or by its own word."""
    return receive is Receive.CSV or response.headers.get("content-type", "").lower().startswith(_CSV)


def read_csv(response: Response, count: int, *, alone: bool) -> list[Any]:
    """Read an answer in CSV as rows that a RowReader takes: lists, objects where names stand first, or bare labels.

    Args:
        response: what came.
        count: answers that it holds; one line may hold one value of each.
        alone: whether a row is a bare label.

    Raises:
        AnswerError: it is no CSV.
    """
    try:
        text = response.content.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error):
        raise AnswerError("the endpoint answered with something that is not CSV: is the URL the API's own?") from None
    cells: list[list[Any]] = [[cell if alone else _number(cell.strip()) for cell in row] for row in rows]
    if len(cells) == 1 and count > 1 and len(cells[0]) == count:
        cells = [[cell] for cell in cells[0]]
    if len(cells) == count + 1 and not alone and all(isinstance(cell, str) for cell in cells[0]):
        names, *cells = cells
        return [dict(zip(names, row, strict=False)) for row in cells]
    return [row[0].strip() if alone and len(row) == 1 else row for row in cells]


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell
