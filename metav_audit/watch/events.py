"""Events, written down with what they follow from, and once for each channel that is to tell them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from metav_audit.watch.changes import Draft
from metav_audit.watch.database import fleet_of
from metav_audit.watch.tables import AUDITS, EVENTS, GATE, OUTBOX, TARGETS


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        uid: its id, the same however often it is told.
        kind: match, change, lost, recovered, budget or outdated.
        at: seconds since 1970.
        endpoint: the endpoint's name; None where it is about a budget or a bundle.
        bundle: the bundle's name; None likewise.
        url: where the endpoint is asked; None likewise.
        audit: the number of the audit that it follows from; None without one.
        before: the number of the audit that a change is told from; None without one.
        words: what happened.
    """

    uid: str
    kind: str
    at: float
    endpoint: str | None
    bundle: str | None
    url: str | None
    audit: int | None
    before: int | None
    words: str

    @classmethod
    def of(cls, row: sa.RowMapping) -> Event:
        """Read an event from a row of ``QUERY``."""
        return cls(**{name: row[name] for name in cls.__slots__})

    def to_json(self) -> dict[str, Any]:
        """Describe the event in JSON types."""
        return {
            "id": self.uid,
            "kind": self.kind,
            "time": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds"),
            "endpoint": self.endpoint,
            "bundle": self.bundle,
            "name": self.name,
            "url": self.url,
            "audit": self.audit,
            "before": self.before,
            "words": self.words,
        }

    @property
    def name(self) -> str | None:
        """What is outdated, by its name in the fleet file: a bundle, or a log; None where something else happened."""
        return self.words.partition(": ")[0] if self.kind == "outdated" else None

    @property
    def sentence(self) -> str:
        """The event in a line."""
        about = f"{self.endpoint} ({self.bundle}): " if self.endpoint else ""
        return f"{self.kind}: {about}{self.words}"


QUERY = sa.select(EVENTS, TARGETS.c.endpoint, TARGETS.c.bundle, TARGETS.c.url).outerjoin(
    TARGETS, TARGETS.c.id == EVENTS.c.target
)


@dataclass(frozen=True, slots=True)
class Teller:
    """Writes events down.

    Attributes:
        channels: the kinds that each channel tells, by its name.
    """

    channels: Mapping[str, frozenset[str]]

    def tell(self, connection: sa.Connection, audit: int, drafts: list[Draft], now: float) -> None:
        """Write down what follows from an audit."""
        if not drafts:
            return
        query = sa.select(AUDITS.c.target, AUDITS.c.folder).where(AUDITS.c.id == audit)
        target, folder = connection.execute(query).one()
        for draft in drafts:
            row = {"target": target, "audit": audit, "before": draft.before, "words": draft.words[:2000]}
            # The folder's name was drawn by chance: it makes the id one of its own in every database.
            self._write(connection, f"{folder} {draft.kind}", draft.kind, row, now)

    def tell_once(self, connection: sa.Connection, key: str, kind: str, words: str, now: float) -> None:
        """Write down what is told once, however often it is found."""
        own = connection.execute(sa.select(GATE.c.name)).scalar_one()
        self._write(connection, f"{own} {fleet_of(connection)} {key}", kind, {"words": words[:2000]}, now)

    def _write(self, connection: sa.Connection, key: str, kind: str, row: Mapping[str, Any], now: float) -> None:
        uid = hashlib.sha256(key.encode()).hexdigest()[:32]
        if connection.execute(sa.select(EVENTS.c.id).where(EVENTS.c.uid == uid)).first() is not None:
            return
        values = {"uid": uid, "kind": kind, "at": now, "fleet": fleet_of(connection), **row}
        event = connection.execute(EVENTS.insert().values(values).returning(EVENTS.c.id)).scalar_one()
        told = [{"event": event, "channel": name} for name, kinds in self.channels.items() if kind in kinds]
        if told:
            connection.execute(OUTBOX.insert(), told)
