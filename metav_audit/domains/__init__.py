"""Input domains: which inputs are valid, and how they look after the wire's own rounding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metav_audit.domains.base import InputDomain
from metav_audit.domains.image import ImageDomain
from metav_audit.domains.latent import LatentDomain
from metav_audit.domains.tabular import CategoryColumn, NumberColumn, TabularDomain
from metav_audit.errors import ConfigurationError

DOMAINS: dict[str, type[InputDomain]] = {one.kind: one for one in (ImageDomain, TabularDomain, LatentDomain)}


def domain_from_json(fields: Mapping[str, Any]) -> InputDomain:
    """Build the input domain that ``InputDomain.to_json`` described.

    Raises:
        ConfigurationError: the kind is unknown or a field is missing or out of range.
    """
    values = dict(fields)
    kind = values.pop("kind", None)
    if kind not in DOMAINS:
        raise ConfigurationError(f"input kind {kind!r} is unknown: use one of {', '.join(sorted(DOMAINS))}")
    try:
        return DOMAINS[kind].from_json(values)
    except KeyError as error:
        raise ConfigurationError(f"the {kind} input is not described rightly: it lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the {kind} input is not described rightly: {error}") from error


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
