"""Plans on disk: canonical JSON, so that one plan is one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from metav_audit.errors import BundleError
from metav_audit.files import read_regular, strict_json


class Plan(Protocol):
    """What is written so."""

    def to_bytes(self) -> bytes:
        """Write the plan as canonical JSON."""


AnyPlan = TypeVar("AnyPlan", bound=Plan)


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Write JSON in the one way that hashes and files of plans stand on."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def load_plan(path: Path, most: int, read: Callable[[Mapping[str, Any]], AnyPlan]) -> AnyPlan:
    """Read a plan of at most so many bytes, and check all of it.

    Raises:
        BundleError: it is missing, oversized, damaged or foreign.
    """
    try:
        content = read_regular(path, most, follow=True)
    except OSError as error:
        raise BundleError(f"cannot read the plan {path}: {error.strerror}") from error
    try:
        fields = strict_json(content)
    except ValueError as error:
        raise BundleError(
            f"{path} is no JSON: {error}; it was cut or altered: fetch it again, or make the plan anew"
        ) from None
    plan = read(fields)
    # Two texts may stand for the same number: only one of them is the file that was made.
    if content != plan.to_bytes():
        raise BundleError(f"{path} is not as this program writes it: it was altered, make the plan again")
    return plan
