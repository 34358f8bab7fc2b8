"""One run: what is due is audited, host by host, and then it ends; killed or doubled, nothing is lost or done twice."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from metav_audit.errors import ConfigurationError, MetavAuditError
from metav_audit.watch.claims import Claim, give_up, release, renew, take, waiting
from metav_audit.watch.database import History
from metav_audit.watch.enrolment import Plan, enrol
from metav_audit.watch.events import Teller
from metav_audit.watch.glances import Glanced
from metav_audit.watch.outcomes import fail, finish, glanced
from metav_audit.watch.patience import Patience
from metav_audit.watch.sighting import Sighting


@dataclass(frozen=True, slots=True)
class World:
    """What a run has of the world outside.

    Attributes:
        now: seconds since 1970.
        draw: gives hexadecimal digits that nobody can foresee.
        ask: makes an audit, or goes on with it, unless a glance shows that nothing moved; raises what it raises.
        sent: requests that the audit in a folder has sent; None where that cannot be told.
    """

    now: Callable[[], float]
    draw: Callable[[], str]
    ask: Callable[[Claim], Sighting | Glanced]
    sent: Callable[[str], int | None]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an audit in this run.

    Attributes:
        claim: what was audited.
        seen: what it showed; None where it could not be made, or was another's in the end.
        error: why it could not; None if it could.
        still: whether a glance showed that nothing had moved.
    """

    claim: Claim
    seen: Sighting | None
    error: MetavAuditError | None
    still: bool = False


def run_due(
    history: History,
    plans: Sequence[Plan],
    world: World,
    patience: Patience,
    teller: Teller,
    *,
    parallel: int = 4,
    told: Callable[[Done], None] = lambda _: None,
    unreadable: Collection[str] = (),
) -> list[Done]:
    """Audit what is due, once.

    Endpoints on one host are asked one after the other, hosts side by side. An audit is claimed just before it is
    made, so that a second watcher shares the work.

    Args:
        history: the database.
        plans: what may be due.
        world: what is outside.
        patience: how long others are waited for.
        teller: takes events.
        parallel: hosts asked at once.
        told: told of each audit as it is done.
        unreadable: bundles that cannot be read now; what is watched with them is watched still.

    Raises:
        RemoteError: the database cannot be reached.
    """
    enrol(history, plans, world.now(), unreadable)
    hosts: dict[str, list[Plan]] = {}
    left = {plan.key: plan for plan in waiting(history, plans, world.now())}
    for plan in left.values():
        hosts.setdefault(plan.host, []).append(plan)
    done: list[Done] = []
    with _Keeper(history, patience.lease, world.now) as keeper:

        def serve(host: list[Plan]) -> None:
            for plan in host:
                left.pop(plan.key, None)
                became = _one(history, plan, world, patience, teller, keeper, list(left.values()))
                if became is not None:
                    done.append(became)
                    told(became)

        _side_by_side(serve, list(hosts.values()), parallel)
    return done


def _one(
    history: History,
    plan: Plan,
    world: World,
    patience: Patience,
    teller: Teller,
    keeper: _Keeper,
    others: Sequence[Plan],
) -> Done | None:
    """Take a plan's audit, make it, and write down what became of it; None where there was nothing to do."""
    if plan.quiet.cover(world.now()):
        return None
    claim = take(history, plan, patience, world.now(), world.draw, world.sent, teller, others)
    if claim is None:
        return None
    with keeper.keeps(claim.token):
        try:
            seen = world.ask(claim)
        except ConfigurationError as error:
            # Nothing is wrong with the endpoint, but with this side: that is told by the exit code alone.
            release(history, claim, world.now() + patience.retry, str(error))
            return Done(claim, None, error)
        except MetavAuditError as error:
            sent = world.sent(claim.folder)
            fail(history, claim.audit, claim.token, str(error), sent, patience, world.now(), teller)
            return Done(claim, None, error)
    if isinstance(seen, Glanced):
        return Done(claim, None, None, glanced(history, claim.audit, claim.token, seen.requests, world.now()))
    ours = finish(history, claim.audit, claim.token, seen, plan.budgets, patience, world.now(), teller)
    return Done(claim, seen if ours else None, None)


class _Keeper:
    """Renews this run's claims while it lasts, in a thread of its own, and gives them back where it is interrupted."""

    def __init__(self, history: History, lease: float, now: Callable[[], float]) -> None:
        self._history, self._lease, self._now = history, lease, now
        self._tokens: set[str] = set()
        self._guard, self._end = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> _Keeper:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if kind is not None:
            with self._guard, suppress(MetavAuditError):
                give_up(self._history, sorted(self._tokens), self._now())

    @contextmanager
    def keeps(self, token: str) -> Iterator[None]:
        """Renew a claim while the block lasts."""
        with self._guard:
            self._tokens.add(token)
        yield
        with self._guard:
            self._tokens.discard(token)

    def _work(self) -> None:
        while not self._end.wait(self._lease / 3):
            with self._guard:
                tokens = sorted(self._tokens)
            if tokens:
                try:
                    renew(self._history, tokens, self._lease, self._now())
                except MetavAuditError:
                    continue  # The next one may succeed in time; if not, whoever took over has the claim.


def _side_by_side(serve: Callable[[list[Plan]], None], hosts: list[list[Plan]], parallel: int) -> None:
    """Serve hosts in so many threads, which end with the program; what one of them raises is raised here."""
    if parallel == 1 or len(hosts) <= 1:
        for host in hosts:
            serve(host)
        return
    left: queue.SimpleQueue[list[Plan]] = queue.SimpleQueue()
    for host in hosts:
        left.put(host)
    raised: list[BaseException] = []
    threads = [
        threading.Thread(target=_work, args=(serve, left, raised), daemon=True)
        for _ in range(min(parallel, len(hosts)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def _work(
    serve: Callable[[list[Plan]], None], left: queue.SimpleQueue[list[Plan]], raised: list[BaseException]
) -> None:
    """Serve hosts until none is left, or one thread has failed."""
    try:
        while not raised:
            serve(left.get_nowait())
    except queue.Empty:
        return
    except BaseException as error:
        raised.append(error)
