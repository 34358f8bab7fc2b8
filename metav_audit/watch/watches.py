"""The tables of a fleet file that say who is asked, with what, and how often."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from metav_audit.transcript.log import MOST_ACCOUNTS
from metav_audit.watch.due import Rhythm
from metav_audit.watch.hours import QuietHours, seconds_of


def _seconds(text: object) -> object:
    return seconds_of(text) if isinstance(text, str) else text


def _several(given: object) -> object:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, (list, tuple)) or not all(isinstance(each, str) for each in given):
        raise ValueError('write one text like "22:00-07:00", or a list of such texts')
    return tuple(given)


def _hours(texts: tuple[str, ...]) -> tuple[str, ...]:
    QuietHours.of(texts, ZoneInfo("UTC"))
    return texts


Span = Annotated[float, BeforeValidator(_seconds)]
Hours = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_hours)]
"""Spans of hours: one text, or a list of them."""


class Table(BaseModel):
    """A table of a fleet file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AskedTable(Table):
    """Endpoints that are audited alike."""

    endpoints: str = Field(description="an endpoint file")
    only: tuple[str, ...] = Field(default=(), description="names of endpoints; all of the file if empty")
    every: Span = Field(default=7 * 86400.0, ge=60, le=366 * 86400, description="time between two audits")
    full_every: Span | None = Field(
        default=None, ge=3600, le=366 * 86400,
        description="time between two audits where nothing moves; in between three queries are asked",
    )  # fmt: skip
    jitter: Span = Field(default=0.0, ge=0, le=31 * 86400, description="an audit is late by up to so much, by chance")
    quiet: Hours = Field(default=(), description="hours in which nothing is asked")

    @field_validator("jitter")
    @classmethod
    def _less_than_a_slot(cls, jitter: float, info: object) -> float:
        every = getattr(info, "data", {}).get("every", 0.0)
        if jitter > every / 2:
            raise ValueError("jitter is more than half of every: make it smaller")
        return jitter

    @property
    def rhythm(self) -> Rhythm:
        """How often each of them is audited."""
        return Rhythm(self.every, self.jitter)


class WatchTable(AskedTable):
    """Endpoints, and the bundles that they are asked."""

    bundles: tuple[str, ...] = Field(min_length=1, description="names of [bundles.NAME], or folders")


class LogTable(AskedTable):
    """Endpoints, and a sealed request log whose busiest accounts' requests they are asked."""

    log: str = Field(description="the sealed log's folder")
    bundles: str = Field(description="the folder of the bundles that 'fit --log' made of it; the newest is asked")
    every: Span = Field(default=30 * 86400.0, ge=86400, le=366 * 86400, description="time between two audits")
    accounts: int = Field(
        default=10, ge=1, le=MOST_ACCOUNTS, description="accounts with the most requests that are to be asked about"
    )
