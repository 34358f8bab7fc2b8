"""Whether a server that checks its schema accepts a fingerprint's inputs: python -m tests.bench.schema BUNDLE...

Each input is encoded by the adapter, as an audit sends it, and read by a strict pydantic model of the task: rows column
by column, pictures as PNG files of the right size and depth, latent vectors element by element within their bound.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from metav_audit.audit import Endpoint
from metav_audit.bundle import FingerprintBundle
from metav_audit.task import ImageDomain, InputDomain, TabularDomain
from metav_audit.task.domains import LatentDomain, NumberColumn

_STRICT = ConfigDict(strict=True, extra="forbid")


def encoding_of(domain: InputDomain) -> str:
    """How an API takes such inputs."""
    return {"image": "png_base64", "tabular": "rows"}.get(domain.kind, "nested")


def schema_of(domain: InputDomain) -> type[BaseModel]:
    """A strict model of a request with one input."""
    if isinstance(domain, TabularDomain):
        one: Any = _row(domain)
    elif isinstance(domain, ImageDomain):
        one = Annotated[str, AfterValidator(lambda text: _picture(domain, text))]
    else:
        assert isinstance(domain, LatentDomain)
        element = Annotated[float, Field(ge=-domain.bound, le=domain.bound)]
        one = Annotated[list[element], Field(min_length=domain.size, max_length=domain.size)]  # type: ignore[valid-type]
    inputs = Annotated[list[one], Field(min_length=1, max_length=1)]
    return create_model("Request", __config__=_STRICT, inputs=(inputs, ...))


def _row(domain: TabularDomain) -> type[BaseModel]:
    """Every column and no other, types, ranges, steps and categories."""
    fields: dict[str, Any] = {}
    for column in domain.columns:
        if isinstance(column, NumberColumn):
            whole = float(column.low).is_integer() and float(column.step).is_integer()
            limits = Field(ge=column.low, le=column.high, multiple_of=column.step)
            fields[column.name] = (int if whole else float, limits)
        else:
            fields[column.name] = (Literal[tuple(column.categories)], ...)
    return create_model("Row", __config__=_STRICT, **fields)


def _picture(domain: ImageDomain, text: str) -> str:
    """An 8-bit PNG of the task's size, grey or in colour."""
    with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as picture:
        picture.load()
        found = (picture.mode, picture.size)
    wanted = ("L" if domain.channels == 1 else "RGB", (domain.width, domain.height))
    if found != wanted:
        raise ValueError(f"a picture of {found}, not {wanted}")
    return text


def accepted(bundle: FingerprintBundle) -> tuple[int, int]:
    """How many inputs the schema accepts, of how many."""
    fields = {
        "adapter": "json-template",
        "url": "http://127.0.0.1:1/predict",
        "body": {"inputs": "{{inputs}}"},
        "answer": "rows",
        "encoding": encoding_of(bundle.task.domain),
        "scores": bundle.task.output.score_kinds[0].value,
    }
    adapter, schema, fit = Endpoint.open("checking", fields, bundle.task).adapter, schema_of(bundle.task.domain), 0
    for one in bundle.inputs:
        try:
            schema.model_validate_json(adapter.encode(one[None]).content)
            fit += 1
        except ValidationError as error:
            print(error, file=sys.stderr)
    return fit, len(bundle.inputs)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        fit, inputs = accepted(FingerprintBundle.load(path))
        print(f"{path}: {fit} of {inputs} inputs accepted")
