"""A year of a fleet in a minute: two watchers at once, faults, swaps, kills, and clocks that are set back and forth.

``python -m tests.watch.year ADDRESS FOLDER ENDPOINTS WEEKS`` leaves there what was asked and what was told. Watchers
are processes of their own, forked with everything loaded and killed for real; only time and the endpoints are made up.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metav_audit.errors import RemoteError
from metav_audit.task import OutputView
from metav_audit.verdict import VerdictOutcome
from metav_audit.watch.claims import Claim
from metav_audit.watch.database import open_history
from metav_audit.watch.due import Rhythm
from metav_audit.watch.enrolment import Plan
from metav_audit.watch.events import Teller
from metav_audit.watch.fleet import KINDS, Budget
from metav_audit.watch.glances import QUERIES, Glanced, has_moved
from metav_audit.watch.hours import QuietHours
from metav_audit.watch.outbox import Manners, Message, deliver
from metav_audit.watch.run import World, run_due
from metav_audit.watch.sighting import Sighting
from tests.scale import at_scale
from tests.watch.fleets import DAY, PATIENCE, START, WEEK, plan, sighting

STEP = DAY / at_scale(1, 2)
AHEAD = 40 * DAY
VIEWS = [OutputView(), OutputView(noise=0.01), OutputView(decimals=2), OutputView(top=3), OutputView(label_only=True)]
POOR = Budget(requests=130)
"""Of the host whose budget binds: two audits of 50 requests a month, and never a third."""


@dataclass(frozen=True)
class Fate:
    """What an endpoint does in the year: its view, when its model is swapped, when it is down."""

    view: OutputView
    swaps: tuple[float, ...]
    down: tuple[tuple[float, float], ...]

    def model(self, number: int, now: float) -> int:
        return 1000 * number + sum(at <= now for at in self.swaps)

    def is_down(self, now: float) -> bool:
        return any(start <= now < end for start, end in self.down)


def fates(endpoints: int, weeks: int) -> list[Fate]:
    rng = random.Random(20260101)
    found = []
    for number in range(endpoints):
        at = sorted(rng.sample(range(3, weeks - 3), 2)) if number % 4 == 0 else []
        far = [week for week in at if not at.index(week) or week - at[0] >= 4]
        swaps = tuple(START + (week + rng.random()) * WEEK for week in far)
        starts = [START + rng.uniform(1, weeks - 5) * WEEK for _ in range(number % 3)]
        down = tuple((start, start + rng.choice([0.3, 1.0, 25.0]) * DAY) for start in starts)
        found.append(Fate(VIEWS[number % len(VIEWS)], swaps, down))
    return found


def plans(endpoints: int) -> list[Plan]:
    made = []
    for number in range(endpoints):
        host = "poor" if number % 20 == 19 else f"host-{number % 12}"
        rhythm = Rhythm(WEEK, DAY)
        budgets = {"of_host": POOR} if host == "poor" else {}
        few = number in glanced_at(endpoints)  # A glance a week, and an audit where it moved, or after five weeks.
        one = plan(f"e{number:03}", host, rhythm=rhythm, price=1000, needed=50 + QUERIES * few, **budgets)
        made.append(replace(one, full_every=5 * WEEK, glance=QUERIES) if few else one)
    return made


def glanced_at(endpoints: int) -> frozenset[int]:
    return frozenset(number for number in range(endpoints) if number % 3 == 1 and number % 20 != 19)


class Watcher:
    """One run of the watch in this process."""

    def __init__(self, address: str, folder: Path, true_now: float, clock: float, seed: int, fate: list[Fate]) -> None:
        self._address, self._folder, self._true, self._clock = address, folder, true_now, clock
        self._rng, self._fate = random.Random(seed), fate

    def run(self, fleet: list[Plan]) -> None:
        with open_history(self._address, self._folder) as history:
            world = World(lambda: self._clock, lambda: secrets.token_hex(16), self.ask, self.sent)
            teller = Teller({"file": frozenset(KINDS)})
            run_due(history, fleet, world, PATIENCE, teller, parallel=1)
            manners = Manners(QuietHours((), None), frozenset(), 0.0)
            clock, draw = (lambda: self._clock), (lambda: secrets.token_hex(16))
            deliver(history, [(self, manners)], clock, draw, lambda _: None)

    name = "file"

    def send(self, message: Message, now: float) -> None:
        """Take a message, now and then not, and now and then die when it was taken."""
        if self._rng.random() < 0.1:
            raise RemoteError("the receiver is busy")
        for event in message.events:
            _note(self._folder / "told.jsonl", {"message": message.uid, "sent": self._true, **event.to_json()})
        self._perhaps_die(0.02)

    def ask(self, claim: Claim) -> Sighting | Glanced:
        number, folder = int(claim.plan.endpoint[1:]), self._folder / claim.folder
        fate, rng = self._fate[number], random.Random(claim.token)
        folder.mkdir(parents=True, exist_ok=True)
        self._perhaps_die(0.01)
        already = self.sent(claim.folder) or 0
        if fate.is_down(self._true):
            self._send(claim, already, min(4, claim.granted - already))
            raise RemoteError("the endpoint is down")
        if claim.reference is not None and not already:
            already = QUERIES + rng.choice([0, 0, 1])
            self._send(claim, 0, already)
            self._perhaps_die(0.01)
            shown = sighting(fate.model(number, self._true), fate.view, rng.getrandbits(32)).answers[:QUERIES]
            if not has_moved(claim.reference, np.arange(QUERIES), shown):
                return Glanced(already)
        if already < 50:  # As with a journal: what was asked before is not asked again.
            self._send(claim, already, min(50 - already + rng.choice([0, 0, 9]), claim.granted - already))
        self._perhaps_die(0.01)
        steady = not any(abs(at - self._true) < 0.02 * WEEK for at in fate.swaps)
        outcome = VerdictOutcome.NO_MATCH if steady else VerdictOutcome.INCONCLUSIVE
        seen = sighting(
            fate.model(number, self._true), fate.view, rng.getrandbits(32), rng.choice([0, 0, 0.1]), outcome
        )
        noise = fate.view.noise * rng.gauss(1.0, 0.08)
        view = replace(seen.view, noise=max(noise, 0.0))
        return replace(seen, view=view, steady=steady, requests=self.sent(claim.folder))

    def _send(self, claim: Claim, already: int, requests: int) -> None:
        log = {"audit": claim.audit, "endpoint": claim.plan.endpoint, "host": claim.plan.host, "requests": requests,
               "true": self._true, "clock": self._clock, "first": already == 0}  # fmt: skip
        _note(self._folder / "asked.jsonl", log)
        (self._folder / claim.folder / "sent").write_text(str(already + requests))

    def sent(self, folder: str) -> int | None:
        path = self._folder / folder / "sent"
        return int(path.read_text()) if path.exists() else (0 if path.parent.exists() else None)

    def _perhaps_die(self, chance: float) -> None:
        if self._rng.random() < chance:
            os.kill(os.getpid(), signal.SIGKILL)


def _note(path: Path, line: dict[str, object]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(handle, json.dumps(line).encode() + b"\n")
    os.close(handle)


def clock_of(true_now: float, which: int, week: int) -> float:
    """What a watcher's clock shows: now and then it was set back by three days, or runs 40 days ahead."""
    if week % 13 == 6:
        return true_now - 3 * DAY
    if week % 26 == 20 and which == 1:
        return true_now + AHEAD
    return true_now


def live(address: str, folder: Path, endpoints: int, weeks: int) -> dict[str, int]:
    """Run the watchers through the year; return how many ran, and how many were killed."""
    fate, fleet, rng = fates(endpoints, weeks), plans(endpoints), random.Random(1)
    counts = {"runs": 0, "killed": 0}
    with open_history(address, folder):
        pass
    for step in range(round((weeks * WEEK) / STEP) + 20):
        true_now = START + step * STEP + 60 * rng.random()
        children = []
        for which in (0, 1):
            clock = clock_of(true_now, which, int((true_now - START) // WEEK))
            seed = rng.getrandbits(32)
            child = os.fork()
            if not child:
                try:
                    Watcher(address, folder, true_now, clock, seed, fate).run(fleet)
                    os._exit(0)
                except BaseException:
                    sys.excepthook(*sys.exc_info())
                    os._exit(1)
            children.append(child)
        for child in children:
            _, status = os.waitpid(child, 0)
            counts["runs"] += 1
            counts["killed"] += os.WIFSIGNALED(status)
            if os.WIFEXITED(status) and os.WEXITSTATUS(status):
                raise SystemExit("a watcher failed")
    return counts


if __name__ == "__main__":
    print(json.dumps(live(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
