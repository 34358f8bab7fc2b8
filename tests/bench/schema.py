"""Whether a server that checks its schema accepts a fingerprint's rows: python -m tests.bench.schema BUNDLE..."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from metav_audit.bundle import FingerprintBundle
from metav_audit.domains import NumberColumn, TabularDomain


def schema_of(domain: TabularDomain) -> type[BaseModel]:
    """A strict model of a row: every column and no other, types, ranges, steps and categories."""
    fields: dict[str, Any] = {}
    for column in domain.columns:
        if isinstance(column, NumberColumn):
            whole = float(column.low).is_integer() and float(column.step).is_integer()
            limits = Field(ge=column.low, le=column.high, multiple_of=column.step)
            fields[column.name] = (int if whole else float, limits)
        else:
            fields[column.name] = (Literal[tuple(column.categories)], ...)
    return create_model("Row", __config__=ConfigDict(strict=True, extra="forbid"), **fields)


def accepted(bundle: FingerprintBundle) -> tuple[int, int]:
    """How many rows the schema accepts, of how many, each read from JSON as a server reads it."""
    assert isinstance(bundle.task.domain, TabularDomain), "the bundle's inputs are no table"
    schema, rows, fit = schema_of(bundle.task.domain), bundle.task.domain.rows(bundle.inputs), 0
    for row in rows:
        try:
            schema.model_validate_json(json.dumps(row))
            fit += 1
        except ValidationError as error:
            print(error, file=sys.stderr)
    return fit, len(rows)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        fit, rows = accepted(FingerprintBundle.load(path))
        print(f"{path}: {fit} of {rows} rows accepted")
