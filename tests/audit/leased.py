"""A source of credentials for tests: it gives one token after the other, as a cloud's library would."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal

from metav_audit.audit.endpoint.credentials.base import Lease, Source

LONG = timedelta(hours=1)


@dataclass
class Giver:
    """Whom the source asks; ``given`` holds every token that it gave."""

    life: timedelta | None = LONG
    parts: int = 1
    takes_s: float = 0.0
    faults: dict[int, BaseException] = field(default_factory=dict)
    asked: int = 0
    given: list[str] = field(default_factory=list)

    def give(self) -> Lease:
        number, self.asked = self.asked, self.asked + 1
        time.sleep(self.takes_s)
        assert threading.current_thread() is not threading.main_thread(), "it blocks, and so would the event loop"
        if number in self.faults:
            raise self.faults[number]
        parts = tuple(f"leased/{number}-{part}+Qw3rT7={number}" for part in range(self.parts))
        self.given += parts
        return Lease(parts, None if self.life is None else datetime.now(UTC) + self.life)


class Leased(Source):
    """Asks the ``Giver`` of the test that runs."""

    kind: ClassVar[str] = "leased"
    library: ClassVar[str] = "json"
    extra: ClassVar[str] = "leased"
    loggers: ClassVar[tuple[str, ...]] = ("leased",)
    advice: ClassVar[str] = "see what 'leased print-token' says"
    giver: ClassVar[Giver]

    source: Literal["leased"]

    def fetch(self) -> Lease:
        with self.told():
            return type(self).giver.give()


class LeasedKeys(Leased):
    """The same for whoever signs: access key, secret key, session token."""

    kind: ClassVar[str] = "leased-keys"
    signs: ClassVar[bool] = True

    source: Literal["leased-keys"]  # type: ignore[assignment]


def bearer(seen) -> str:
    """The token that a request bears."""
    return seen.headers.get("authorization", "").removeprefix("Bearer ")


def spellings(texts: list[str]) -> Iterator[bytes]:
    """What must stand nowhere: each token, and good parts of it."""
    for text in texts:
        yield from (text.encode(), text[:14].encode(), text[-14:].encode())
