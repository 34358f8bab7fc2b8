"""Input domains: which inputs are valid, and how they look after the wire's own rounding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metav_audit.task.domains.base import InputDomain
from metav_audit.task.domains.image import ImageDomain
from metav_audit.task.domains.latent import LatentDomain
from metav_audit.task.domains.tabular import CategoryColumn, NumberColumn, TabularDomain
from metav_audit.task.kinds import from_kind

DOMAINS: dict[str, type[InputDomain]] = {one.kind: one for one in (ImageDomain, TabularDomain, LatentDomain)}


def domain_from_json(fields: Mapping[str, Any]) -> InputDomain:
    """Build the input domain that ``InputDomain.to_json`` described.

    Raises:
        ConfigurationError: the kind is unknown or a field is missing or out of range.
    """
    return from_kind(DOMAINS, fields, "input")


__all__ = [
    "DOMAINS",
    "CategoryColumn",
    "ImageDomain",
    "InputDomain",
    "LatentDomain",
    "NumberColumn",
    "TabularDomain",
    "domain_from_json",
]
