"""What the history says: how each endpoint stands, its audits, and what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from metav_audit.errors import ConfigurationError
from metav_audit.statistics import benjamini_hochberg
from metav_audit.watch.database import History
from metav_audit.watch.events import QUERY, Event
from metav_audit.watch.sighting import Sighting, sighting_of
from metav_audit.watch.tables import AUDITS, EVENTS, MESSAGES, TARGETS


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An audit, without its answers.

    Attributes:
        id: its number in the history.
        number: its number among the endpoint's audits with that bundle.
        status: open, done, failed, dropped, or glanced where nothing had moved.
        claimed: when it was begun, in seconds since 1970.
        ended: when it was done or had failed; None while it is open.
        outcome: of its verdict; None without one, as are score and p-values.
        score: the meta-verifier's.
        p_value: of "independent of the target".
        p_value_derived: of "derived from it".
        p_value_siblings: of its rank among the siblings.
        log10_lr: common logarithm of the likelihood ratio.
        queries: of the fingerprint.
        answered: of them.
        requests: sent.
        latency: median seconds to an answer.
        view: what was shown, in words.
        error: why there is no verdict; None if there is one.
        why: why the verdict is inconclusive; None where it is not.
        folder: of its evidence, below the folder of all evidence.
        evidence: "folder", "packed", or "thinned" where it is kept no more; "going" while it is removed.
        bundle_sha256: the bundle's hash.
    """

    id: int
    number: int
    status: str
    claimed: float
    ended: float | None
    outcome: str | None
    score: float | None
    p_value: float | None
    p_value_derived: float | None
    p_value_siblings: float | None
    log10_lr: float | None
    queries: int | None
    answered: int | None
    requests: int | None
    latency: float | None
    view: str | None
    error: str | None
    why: str | None
    folder: str
    evidence: str
    bundle_sha256: str

    @property
    def word(self) -> str:
        """What became of it: its outcome, or its status without one."""
        return self.outcome or self.status

    @property
    def p_value_match(self) -> float | None:
        """The p-value that a match needs: the larger where siblings give one of two."""
        given = [each for each in (self.p_value, self.p_value_siblings) if each is not None]
        return max(given, default=None)


COLUMNS = [AUDITS.c[name] for name in AuditRow.__slots__]


@dataclass(frozen=True, slots=True)
class Standing:
    """How an endpoint and a bundle stand.

    Attributes:
        id: the target's number in the history.
        endpoint: the endpoint's name.
        bundle: the bundle's.
        url: where the endpoint is asked.
        slot: the next slot, in seconds since 1970.
        number: audits begun so far.
        outcome: the last verdict that was none of "inconclusive"; None before the first.
        lost: whether it could not be asked several times in a row.
        watched: whether the fleet file names it still.
        failing: why an audit that is under way could not be made yet; None where nothing failed.
        audits: those that ended, the oldest first.
        events: how many of each kind.
    """

    id: int
    endpoint: str
    bundle: str
    url: str
    slot: float
    number: int
    outcome: str | None
    lost: bool
    watched: bool = True
    failing: str | None = None
    audits: tuple[AuditRow, ...] = ()
    events: Mapping[str, int] = field(default_factory=dict)

    @property
    def last(self) -> AuditRow | None:
        """The last audit that ended, glances aside; None before the first."""
        return next((each for each in reversed(self.audits) if each.status != "glanced"), None)

    @property
    def state(self) -> str:
        """How it stands in a word: lost, failing, new, or what became of its last audit."""
        if self.lost or self.failing is not None:
            return "lost" if self.lost else "failing"
        return "new" if self.last is None else self.last.word


def standings(history: History, endpoint: str | None = None, bundle: str | None = None) -> list[Standing]:
    """Return how endpoints stand, by name; all of them where none is named."""
    wanted = [column == name for column, name in ((TARGETS.c.endpoint, endpoint), (TARGETS.c.bundle, bundle)) if name]
    wanted.append(TARGETS.c.fleet == history.fleet)
    with history.reading() as connection:
        targets = connection.execute(
            sa.select(TARGETS).where(*wanted).order_by(TARGETS.c.endpoint, TARGETS.c.bundle)
        ).mappings().all()  # fmt: skip
        ids = [row["id"] for row in targets]
        ended = sa.and_(AUDITS.c.status != "open", AUDITS.c.target.in_(ids))
        query = sa.select(AUDITS.c.target, *COLUMNS).where(ended).order_by(AUDITS.c.target, AUDITS.c.number)
        audits: dict[int, list[AuditRow]] = {}
        for target, *values in connection.execute(query):
            audits.setdefault(target, []).append(AuditRow(*values))
        trying = sa.and_(AUDITS.c.status == "open", AUDITS.c.error.is_not(None), AUDITS.c.target.in_(ids))
        stuck = connection.execute(sa.select(AUDITS.c.target, AUDITS.c.error).where(trying))
        failing = {target: error for target, error in stuck}  # noqa: C416 - rows are no pairs to the type checker
        counted = sa.select(EVENTS.c.target, EVENTS.c.kind, sa.func.count()).where(EVENTS.c.target.in_(ids))
        events: dict[int, dict[str, int]] = {}
        for target, kind, count in connection.execute(counted.group_by(EVENTS.c.target, EVENTS.c.kind)):
            events.setdefault(target, {})[kind] = count
    names = ("id", "endpoint", "bundle", "url", "slot", "number", "outcome", "lost", "watched")
    return [
        Standing(**{name: row[name] for name in names}, audits=tuple(audits.get(row["id"], ())),
                 failing=failing.get(row["id"]), events=events.get(row["id"], {}))
        for row in targets
    ]  # fmt: skip


def discoveries(targets: Sequence[Standing]) -> dict[int, float]:
    """Return the p-value of each target's last audit, adjusted for the false discovery rate of all that are watched.

    Each endpoint counts once, by its last audit, so that those who are audited often weigh no more than others. By the
    target's number; without a p-value there is none.
    """
    found = {each.id: each.last.p_value_match for each in targets if each.watched and each.last is not None}
    given = {target: p for target, p in found.items() if p is not None}
    return dict(zip(given, benjamini_hochberg(list(given.values())), strict=True))


def happened(history: History, endpoint: str | None = None, bundle: str | None = None) -> list[Event]:
    """Return what happened, the oldest first; of one endpoint or bundle where one is named."""
    wanted = [column == name for column, name in ((TARGETS.c.endpoint, endpoint), (TARGETS.c.bundle, bundle)) if name]
    with history.reading() as connection:
        mine = QUERY.where(EVENTS.c.fleet == history.fleet, *wanted)
        return [Event.of(row) for row in connection.execute(mine.order_by(EVENTS.c.id)).mappings()]


@dataclass(frozen=True, slots=True)
class Untaken:
    """A message that was sent and not taken.

    Attributes:
        channel: who was to be told.
        since: when it was put together, in seconds since 1970.
        tries: times that it was sent.
        error: why it was not taken.
    """

    channel: str
    since: float
    tries: int
    error: str


def untaken(history: History) -> list[Untaken]:
    """Return the messages that nobody has taken yet, the oldest first."""
    columns = (MESSAGES.c.channel, MESSAGES.c.made, MESSAGES.c.tries, MESSAGES.c.error)
    failed = sa.and_(MESSAGES.c.fleet == history.fleet, MESSAGES.c.delivered.is_(None), MESSAGES.c.error.is_not(None))
    with history.reading() as connection:
        rows = connection.execute(sa.select(*columns).where(failed).order_by(MESSAGES.c.id))
        return [Untaken(*row) for row in rows]


def audit_seen(history: History, number: int) -> tuple[AuditRow, Sighting]:
    """Return an audit and what it showed.

    Raises:
        ConfigurationError: there is no such audit, it has no verdict, or its answers are kept no more.
        EvidenceError: it is damaged.
    """
    with history.reading() as connection:
        row = connection.execute(sa.select(AUDITS).where(AUDITS.c.id == number)).mappings().one_or_none()
    if row is None:
        raise ConfigurationError(
            f"the history at {history.name} has no audit {number}: 'metav-audit history' names all"
        )
    seen = sighting_of(row)
    if seen is None:
        why = "its answers are kept no more" if row["sighting"] else "it was never answered"
        raise ConfigurationError(f"audit {number} cannot be compared: {why}")
    return AuditRow(*(row[name] for name in AuditRow.__slots__)), seen
