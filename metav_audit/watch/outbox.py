"""The outbox: every event is told on every channel at least once, in messages that stay the same until they are taken.

Events that wait for a channel become one message; an endpoint that went and came again in the meantime is one line of
it. A message that was not taken is sent again, the same and under the same id, so that whoever has it already can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from metav_audit.errors import MetavAuditError
from metav_audit.watch.database import History
from metav_audit.watch.events import QUERY, Event
from metav_audit.watch.hours import QuietHours
from metav_audit.watch.tables import EVENTS, MESSAGES, OUTBOX

STDOUT = "stdout"
_MOST = 200
"""Events in one message."""
_HOLD_S = 300.0
"""Seconds for which a message is nobody else's to send."""
_LONGEST_S = 6 * 3600.0
"""A message that is not taken is tried again after 1, 2, 4, ... minutes, and never later than this."""


@dataclass(frozen=True, slots=True)
class Message:
    """Events that are told together.

    Attributes:
        uid: its id, the same however often it is sent.
        at: when it was put together, in seconds since 1970.
        events: in the order in which they happened.
    """

    uid: str
    at: float
    events: tuple[Event, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What happened, a line each; an endpoint that went and came several times is one."""
        flaps: dict[tuple[str | None, str | None], list[Event]] = {}
        for event in self.events:
            if event.kind in ("lost", "recovered"):
                flaps.setdefault((event.endpoint, event.bundle), []).append(event)
        said, lines = set(), []
        for event in self.events:
            several = flaps.get((event.endpoint, event.bundle), [])
            if event not in several or len(several) < 3:
                lines.append(event.sentence)
            elif (event.endpoint, event.bundle) not in said:
                said.add((event.endpoint, event.bundle))
                lost = sum(each.kind == "lost" for each in several)
                lines.append(f"{several[-1].kind}: {event.endpoint} ({event.bundle}): it was lost {lost} times since")
        return tuple(lines)


class Channel(Protocol):
    """Somebody who is told."""

    @property
    def name(self) -> str:
        """Its name in the fleet file."""

    def send(self, message: Message, now: float) -> None:
        """Tell a message; raise MetavAuditError where it was not taken."""


@dataclass(frozen=True, slots=True)
class Manners:
    """When a channel is told.

    Attributes:
        quiet: hours in which it is told only what is urgent.
        urgent: kinds of events that are.
        every: seconds between two messages, at least; what is urgent does not wait.
    """

    quiet: QuietHours
    urgent: frozenset[str]
    every: float


def deliver(
    history: History,
    channels: Sequence[tuple[Channel, Manners]],
    now: Callable[[], float],
    draw: Callable[[], str],
    complain: Callable[[str], None],
) -> None:
    """Put what waits into messages, and send what was not taken yet; one channel's trouble is no other's.

    Raises:
        RemoteError: the database cannot be reached.
        OSError: a channel is standard output, which takes no more; the others have been told.
    """
    broken: OSError | None = None
    for channel, manners in channels:
        _gather(history, channel.name, manners, now(), draw)
        while (held := _hold(history, channel.name, now())) is not None:
            number, tries, message = held
            try:
                channel.send(message, now())
            except MetavAuditError as error:
                complain(f"notify.{channel.name}: {error}; it is told again later")
                _put_back(history, number, tries, now(), str(error))
            except OSError as error:
                broken = error
                _put_back(history, number, tries, now(), str(error))
                break
            else:
                _taken(history, number, now())
    if broken is not None:
        raise broken


def _gather(history: History, channel: str, manners: Manners, now: float, draw: Callable[[], str]) -> None:
    """Put the events that wait for a channel, and may be told now, into messages."""
    with history.writing() as connection:
        waiting = sa.select(OUTBOX.c.event, EVENTS.c.kind).join(EVENTS, EVENTS.c.id == OUTBOX.c.event)
        mine = waiting.where(OUTBOX.c.channel == channel, OUTBOX.c.message.is_(None), EVENTS.c.fleet == history.fleet)
        mine = mine.order_by(OUTBOX.c.event)
        rows = connection.execute(mine).all()
        sent = sa.and_(MESSAGES.c.channel == channel, MESSAGES.c.fleet == history.fleet)
        last = sa.select(sa.func.max(MESSAGES.c.made)).where(sent)
        made = connection.execute(last).scalar()
        # A message of the future was made by a clock that was wrong.
        held = manners.quiet.cover(now) or (made is not None and made <= now < made + manners.every)
        events = [event for event, kind in rows if not held or kind in manners.urgent]
        for start in range(0, len(events), _MOST):
            values = {"uid": draw(), "channel": channel, "made": now, "until": 0.0, "tries": 0, "fleet": history.fleet}
            message = connection.execute(MESSAGES.insert().values(values).returning(MESSAGES.c.id)).scalar_one()
            those = sa.and_(OUTBOX.c.channel == channel, OUTBOX.c.event.in_(events[start : start + _MOST]))
            connection.execute(OUTBOX.update().where(those).values(message=message))


def _hold(history: History, channel: str, now: float) -> tuple[int, int, Message] | None:
    """Take the oldest message that is nobody else's to send right now."""
    with history.writing() as connection:
        mine = MESSAGES.c.fleet == history.fleet
        open_ = sa.and_(MESSAGES.c.channel == channel, MESSAGES.c.delivered.is_(None), mine)
        # What is held longer than anybody holds it was held by a clock that was wrong.
        free = sa.or_(MESSAGES.c.until <= now, MESSAGES.c.until > now + _LONGEST_S)
        query = sa.select(MESSAGES).where(open_, free).order_by(MESSAGES.c.id).limit(1)
        row = connection.execute(query).mappings().first()
        if row is None:
            return None
        connection.execute(MESSAGES.update().where(MESSAGES.c.id == row["id"]).values(until=now + _HOLD_S))
        told = QUERY.join(OUTBOX, OUTBOX.c.event == EVENTS.c.id).where(OUTBOX.c.message == row["id"])
        events = connection.execute(told.order_by(EVENTS.c.id)).mappings()
        return row["id"], row["tries"], Message(row["uid"], row["made"], tuple(map(Event.of, events)))


def _put_back(history: History, number: int, tries: int, now: float, error: str) -> None:
    later: Mapping[str, Any] = {
        "tries": tries + 1,
        "until": now + min(_LONGEST_S, 60.0 * 2 ** min(tries, 20)),
        "error": error[:500],
    }
    with history.writing() as connection:
        connection.execute(MESSAGES.update().where(MESSAGES.c.id == number).values(later))


def _taken(history: History, number: int, now: float) -> None:
    with history.writing() as connection:
        connection.execute(MESSAGES.update().where(MESSAGES.c.id == number).values(delivered=now, error=None))
