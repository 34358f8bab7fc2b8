"""The registry of sources: a line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from metav_audit.audit.endpoint.credentials.aws import Aws
from metav_audit.audit.endpoint.credentials.azure import Azure
from metav_audit.audit.endpoint.credentials.base import Source
from metav_audit.audit.endpoint.credentials.google import Google
from metav_audit.config import first_problem, nearest
from metav_audit.errors import ConfigurationError

SOURCES: Mapping[str, type[Source]] = MappingProxyType({each.kind: each for each in (Aws, Google, Azure)})
"""Sources by their names in an endpoint file."""


def open_source(table: Any) -> Source:
    """Read a table ``credentials``; the library is not imported yet.

    Raises:
        ConfigurationError: the source is unknown, or a field of it is missing, unknown or out of range.
    """
    kind = table.get("source") if isinstance(table, dict) else None
    if not isinstance(kind, str) or kind not in SOURCES:
        told = f" is {kind[:40]!r}{nearest(kind, SOURCES)}" if isinstance(kind, str) else " is missing"
        raise ConfigurationError(f"credentials: source{told}: a table with source = one of {', '.join(SOURCES)}")
    try:
        return SOURCES[kind].model_validate(table)
    except ValidationError as error:
        raise ConfigurationError(first_problem(error, "credentials", model=SOURCES[kind])) from None
