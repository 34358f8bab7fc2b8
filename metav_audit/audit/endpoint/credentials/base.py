"""What a source of credentials is: a cloud's own library and what it is told; and what it gives, for a while."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from metav_audit.errors import FOREIGN, ConfigurationError, MetavAuditError, RemoteError


class RenewalError(RemoteError):
    """Credentials could not be had: whoever gives them is down, or refuses."""


@dataclass(frozen=True, slots=True, repr=False)
class Lease:
    """Credentials, in memory alone.

    Attributes:
        parts: a bearer token; or access key, secret key and, for temporary ones, the session token.
        expires: when they end, aware; None where that is not known.
    """

    parts: tuple[str, ...]
    expires: datetime | None = None


class Source(BaseModel, ABC):
    """A library that finds credentials, and what it is told: the table ``[endpoints.NAME.credentials]``.

    Attributes:
        kind: its name in the endpoint file.
        library: the module that it needs.
        extra: the extra that installs it.
        signs: whether its credentials sign requests; else they are a bearer token.
        loggers: of the library, which write more than a terminal or a log file should hold.
        advice: how to see what the library says, by the vendor's own program.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ClassVar[str]
    library: ClassVar[str]
    extra: ClassVar[str]
    signs: ClassVar[bool] = False
    loggers: ClassVar[tuple[str, ...]]
    advice: ClassVar[str]

    source: str = Field(description="where the credentials come from")

    @property
    def name(self) -> str:
        """What ``--secret`` grants, and stands where a value was redacted; the hyphen is in no variable's name."""
        return f"{self.kind}-credentials"

    def near(self, region: str) -> Self:
        """Return the same source, which asks in that region where nothing else says in which."""
        del region
        return self

    def load(self) -> None:
        """Import the library, and have it log nothing: at debug level it would log what it was given.

        Raises:
            ConfigurationError: it is not installed.
        """
        try:
            import_module(self.library)
        except ImportError:
            raise ConfigurationError(
                f"credentials of source {self.kind!r} need the package that gives {self.library}, which is not "
                f"installed: pip install 'metav-audit[{self.extra}]'"
            ) from None
        for name in self.loggers:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.CRITICAL))

    @abstractmethod
    def fetch(self) -> Lease:
        """Ask the library, anew each time; it blocks, so it is called in a thread.

        Raises:
            ConfigurationError: there are no credentials on this machine.
            RenewalError: they could not be had.
        """

    def record(self) -> dict[str, Any]:
        """Describe it for the transcript; on whose behalf it asks may change."""
        return self.model_dump(mode="json", include={"source"})

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn whatever the library raises into one line that repeats none of its words: they may hold a secret.

        Raises:
            RenewalError: the library raised something.
        """
        try:
            yield
        except MetavAuditError:
            raise
        except FOREIGN as error:
            code = self.code_of(error)
            what = f"{type(error).__name__}{f', {code}' if code else ''}"
            raise RenewalError(f"{self.name}: {self.library} gives none ({what}): {self.advice}") from None

    def code_of(self, error: BaseException) -> str:
        """Return the code that a library's error bears, or nothing."""
        del error
        return ""
