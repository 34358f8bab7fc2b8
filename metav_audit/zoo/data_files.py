"""Data as they often lie: a folder of pictures by label, and Parquet files.

Both are read piece by piece into one array, so that beside what the trainings need there is never more than a piece in
memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.files import files_below, read_regular
from metav_audit.task import ImageDomain, Quantities, TabularDomain, TaskSpec

LABEL = "label"
"""Parquet's column of classes, by number or by name."""
IMAGE = "image"
"""Parquet's column of pictures: encoded bytes, or a struct with a field ``bytes``."""

MOST_PICTURES = 1_000_000
MAX_BYTES = 8 << 30
"""Of all inputs, as a model sees them."""

_PICTURE_BYTES = 32 << 20
_BATCH = 1024
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")

Pair = tuple[NDArray[Any], NDArray[Any]]
"""Inputs of shape (n, *domain.shape), pictures 8-bit and rows float32, and labels or values."""


def read_pictures(folder: Path, task: TaskSpec) -> Pair:
    """Read a folder that holds a folder of pictures for each label of the task; files in the order of their names.

    Raises:
        ConfigurationError: the folder cannot be read.
        DataError: the task has no pictures or labels, a folder is no label, or a picture cannot be read or has
            another size.
    """
    domain, labels = _picture_domain(task, str(folder)), _labels(task, str(folder))
    try:
        names = sorted(name for name in files_below(folder, MOST_PICTURES) if name.lower().endswith(_ENDINGS))
    except OSError as error:
        raise ConfigurationError(f"cannot read the pictures in {folder}: {error.strerror}") from error
    if not names:
        raise DataError(f"{folder} holds no pictures ({', '.join(_ENDINGS)}), in a folder for each label")
    told = [name.partition("/")[0] for name in names]
    strange = next((label for label in told if label not in labels), None)
    if strange is not None:
        raise DataError(
            f"{folder} holds {strange!r}, which is none of the task's labels: put pictures into folders named "
            f"{', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''}"
        )
    inputs = _room(len(names), domain.shape, np.uint8, str(folder))
    for at, name in enumerate(names):
        try:
            content = read_regular(folder / name, _PICTURE_BYTES)
        except OSError as error:
            raise DataError(f"cannot read {folder / name}: {error.strerror}") from error
        inputs[at] = _decoded(content, domain, str(folder / name))
    return inputs, np.array([labels.index(each) for each in told], dtype=np.int64)


def read_parquet(path: Path, task: TaskSpec) -> Pair:
    """Read a Parquet file, batch by batch.

    A table's columns are named as the task's, in their own units; pictures are encoded in a column ``image``. Classes
    stand in a column ``label``, by number from 0 or by name; a regression's values in columns named as its quantities.

    Raises:
        ConfigurationError: the file cannot be read, or pyarrow is missing.
        DataError: it is no Parquet file, or its columns do not fit the task.
    """
    domain = task.domain
    if not isinstance(domain, (ImageDomain, TabularDomain)):
        raise DataError(f"{path} is a Parquet file, which holds pictures or tables, and this task has neither")
    wanted = [IMAGE] if isinstance(domain, ImageDomain) else [column.name for column in domain.columns]
    answers = _answer_columns(task, str(path))
    batches = _batches(path, [*wanted, *answers])
    count = next(batches)
    assert isinstance(count, int)
    dtype = np.uint8 if isinstance(domain, ImageDomain) else np.float32
    inputs, told, at = _room(count, domain.shape, dtype, str(path)), [], 0
    for rows in batches:
        assert isinstance(rows, list)
        inputs[at : at + len(rows)] = _encoded(rows, domain, at, str(path))
        told += [[row[name] for name in answers] for row in rows]
        at += len(rows)
    return inputs, _answers(told, task, str(path))


def _batches(path: Path, columns: list[str]) -> Iterator[int | list[dict[str, Any]]]:
    """Yield the number of rows, then the rows in batches."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigurationError(f"{path} needs pyarrow: pip install 'metav-audit[log]'") from None
    try:
        file = pq.ParquetFile(path)
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            raise DataError(
                f"{path} lacks the column {missing[0]!r}; it has {', '.join(file.schema_arrow.names)[:200]}"
            )
        yield int(file.metadata.num_rows)
        for batch in file.iter_batches(_BATCH, columns=columns):
            yield batch.to_pylist()
    except OSError as error:
        raise ConfigurationError(f"cannot read the data {path}: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise DataError(f"{path} is no Parquet file that can be read ({error})") from error


def _encoded(rows: list[dict[str, Any]], domain: ImageDomain | TabularDomain, first: int, where: str) -> NDArray[Any]:
    if isinstance(domain, ImageDomain):
        pictures = []
        for at, row in enumerate(rows, start=first):
            cell = row[IMAGE].get("bytes") if isinstance(row[IMAGE], dict) else row[IMAGE]
            if not isinstance(cell, bytes) or len(cell) > _PICTURE_BYTES:
                raise DataError(
                    f"{where}, row {at}: {IMAGE} holds no encoded picture of at most {_PICTURE_BYTES} bytes"
                )
            pictures.append(_decoded(cell, domain, f"{where}, row {at}"))
        return np.stack(pictures)
    try:
        return domain.encode(rows)
    except (KeyError, ValueError) as error:
        raise DataError(f"{where}, rows from {first}: {error.args[0]}") from error


def _answer_columns(task: TaskSpec, where: str) -> list[str]:
    if isinstance(task.output, Quantities):
        return [quantity.name for quantity in task.output.quantities]
    _labels(task, where)
    return [LABEL]


def _answers(told: list[list[Any]], task: TaskSpec, where: str) -> NDArray[Any]:
    """Return classes as integers, or a regression's values; what is neither is left to the task's own check."""
    if isinstance(task.output, Quantities):
        kind: type = float
    else:
        labels = _labels(task, where)
        told = [[labels.index(cell) if cell in labels else cell for cell in row] for row in told]
        kind = int
    for at, row in enumerate(told):
        for cell in row:
            if isinstance(cell, bool) or not isinstance(cell, (int, float)):
                raise DataError(f"{where}, row {at}: {cell!r} is neither a number nor one of the task's labels")
            if kind is int and cell != int(cell):
                raise DataError(f"{where}, row {at}: {cell!r} is no class: number the classes from 0, or name them")
    values = np.array(told, dtype=np.float64 if kind is float else np.int64)
    return values if kind is float else values[:, 0]


def _decoded(content: bytes, domain: ImageDomain, where: str) -> NDArray[np.uint8]:
    """Return an encoded picture as 8-bit numbers of the domain's shape."""
    from PIL import Image, UnidentifiedImageError

    depth, height, width = domain.shape
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            if picture.size != (width, height):
                raise DataError(
                    f"{where} is {picture.width} x {picture.height}, the task wants {width} x {height}: resize "
                    "pictures as the model's own preparation does"
                )
            pixels = np.asarray(picture.convert("L" if depth == 1 else "RGB"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{where} is no picture that can be read ({error})") from error
    return pixels[None] if depth == 1 else np.moveaxis(pixels, -1, 0)


def _room(count: int, shape: tuple[int, ...], dtype: type, where: str) -> NDArray[Any]:
    needed = count * int(np.prod(shape)) * np.dtype(np.float32).itemsize
    if needed > MAX_BYTES:
        raise DataError(
            f"{where} takes {needed} bytes as a model sees it, more than {MAX_BYTES}: give a smaller sample"
        )
    return np.empty((count, *shape), dtype=dtype)


def _picture_domain(task: TaskSpec, where: str) -> ImageDomain:
    if not isinstance(task.domain, ImageDomain) or task.domain.shape[0] not in (1, 3):
        raise DataError(f"{where} is a folder, which holds grey or coloured pictures, and this task has none")
    return task.domain


def _labels(task: TaskSpec, where: str) -> tuple[str, ...]:
    labels = getattr(task.output, "labels", None)
    if labels is None:
        raise DataError(f"{where} names labels, and this task has none: give an .npz file, or module:function")
    return tuple(labels)
