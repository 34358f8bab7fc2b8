"""The search: which request is worth the next of a few, and which way to ask is the best when they are spent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metav_audit.adapter import Adapter, Guess, Hints, Refusal, Request, Response, Wait
from metav_audit.audit.pace.budget import BudgetSpentError
from metav_audit.audit.probe.reading import Reading, Seen, readings
from metav_audit.audit.probe.sending import Courier
from metav_audit.bundle import NaturalInputs
from metav_audit.errors import FOREIGN, AnswerError, RemoteError
from metav_audit.task import TaskSpec

_HOPE = 0.8
"""How likely it seems that a guess is right before anything came; it weighs as much as ``_WEIGHT`` answers."""
_WEIGHT = 2
_FIRST_FORM = 0.5
"""Hope for another form of request once one was taken."""
_REFUSED = 0.85
"""Each refusal of a form of request that teaches nothing, after the first, leaves so much of the hope for it."""
_UNUSUAL = 0.7
"""Right labels with scores that no model of the task gives count so much."""
_LEAST_JUDGED = 3
"""Answers from which it is told whether scores are unusual."""
_MOST_GUESSES = 400
_MOST_WORDS = 2000
"""Bytes of a refusal that are read."""
_NOWHERE = (404, 405)


@dataclass(slots=True)
class Arm:
    """One way to ask, and what came of it.

    Attributes:
        adapter: the protocol.
        guess: its options.
        extra: options that were found on the way, such as how a job is polled.
        seen: good responses.
        taken: whether the API takes such a request.
        refused: why it is asked no more, or empty.
        stale: whether it was refused in words that others had been refused with, from which nothing was learned.
        readings: what the responses can mean, the best first.
    """

    adapter: type[Adapter]
    guess: Guess
    extra: dict[str, Any] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    taken: bool = False
    refused: str = ""
    stale: bool = False
    readings: list[Reading] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        """All of its options but those of the answer."""
        return {**self.guess.options, **self.extra}

    @property
    def key(self) -> str:
        """What tells it from others."""
        return f"{self.adapter.name} {json.dumps(dict(self.guess.options), sort_keys=True)}"

    @property
    def asked(self) -> int:
        """Natural inputs that were answered."""
        return sum(len(each.inputs) for each in self.seen)

    @property
    def right(self) -> float:
        """How right it may still turn out to be, from what came so far."""
        if not self.readings:
            return _HOPE
        best = self.readings[0]
        # One answer tells no range: a model of the task may be that far off once.
        right = best.right * (1.0 if best.usual or best.told < _LEAST_JUDGED else _UNUSUAL)
        return (right * best.told + _WEIGHT * _HOPE) / (best.told + _WEIGHT)


class Search:
    """Asks natural inputs in whichever way could still be the best one.

    Args:
        task: what inputs and answers are of.
        natural: the inputs, with the target's own answers.
        url: the API's address.
        adapters: those that can be tried.
        courier: sends.
        hints: what is known of the API beforehand.
    """

    def __init__(
        self,
        task: TaskSpec,
        natural: NaturalInputs,
        url: str,
        adapters: Sequence[type[Adapter]],
        courier: Courier,
        hints: Hints,
    ) -> None:
        self._task, self._natural, self._url, self._adapters = task, natural, url, adapters
        self._courier, self._hints = courier, hints
        self._order = asking_order(natural.reference)
        self._nowhere: set[str] = set()
        self._guessed_from: Hints | None = None
        self._places: dict[str, int] = {}
        self.arms: dict[str, Arm] = {}

    async def run(self) -> None:
        """Ask until all natural inputs were answered in the best way, or nothing is left to try or to spend."""
        try:
            while (arm := self._next()) is not None:
                await self._ask(arm)
        except BudgetSpentError:
            return

    def best(self) -> Arm | None:
        """Return the way whose answers are right most surely, or None if none can be read.

        Enough answers go before a few: another way that was only looked at takes no place.
        """
        readable = [arm for arm in self.arms.values() if arm.readings]
        return max(readable, key=self._merit, default=None)

    def _merit(self, arm: Arm) -> tuple[Any, ...]:
        best = arm.readings[0]
        return not best.as_a_constant and best.told >= _LEAST_JUDGED, arm.right, -max(1.0, best.strangeness), best.rank

    def _next(self) -> Arm | None:
        """Return which way to ask next: the likeliest to be the best, the first among equals."""
        if self._guessed_from is not self._hints:
            guessed = {(arm := Arm(adapter, guess)).key: arm for adapter, guess in self._guessed()}
            self._places = {key: place for place, key in enumerate(guessed)}
            self.arms = guessed | self.arms
            self._guessed_from = self._hints
        taken = {arm.guess.form for arm in self.arms.values() if arm.taken}
        refusals = Counter(arm.guess.form for arm in self.arms.values() if arm.stale)

        def worth(key: str) -> tuple[float, int]:
            arm = self.arms[key]
            form = arm.guess.form
            fresh = 1.0 if not taken or form in taken else _FIRST_FORM
            lost = 1.0 if form in taken else _REFUSED ** max(0, refusals[form] - 1)
            return float(arm.right * fresh * lost), -self._places.get(key, _MOST_GUESSES)

        best = max((key for key, arm in self.arms.items() if not arm.refused), key=worth, default=None)
        return None if best is None or self.arms[best].asked == len(self._order) else self.arms[best]

    def _guessed(self) -> Iterator[tuple[type[Adapter], Guess]]:
        for adapter in self._adapters:
            try:
                for number, guess in enumerate(adapter.guesses(self._task, self._url, self._hints)):
                    if number >= _MOST_GUESSES:
                        break
                    yield adapter, guess
            # A stranger's adapter may raise anything.
            except FOREIGN:
                continue

    async def _ask(self, arm: Arm) -> None:
        """Send the next natural inputs in one way, and take in what comes."""
        try:
            opened = arm.adapter.open(self._task, arm.options)
            many = min(opened.options.batch, 2 if not arm.seen else opened.options.batch)
            chosen = tuple(self._order[arm.asked : arm.asked + many])
            response = await self._through(opened, chosen)
        except RemoteError:
            raise
        except AnswerError as error:
            arm.refused = str(error)
            return
        # A stranger's adapter may raise anything; options that do not fit the task are no way to ask.
        except FOREIGN as error:
            arm.refused = f"{type(error).__name__}"
            return
        if not 200 <= response.status < 300:
            self._refused(arm, response)
            return
        arm.taken = True
        await self._take(arm, chosen, response)

    async def _through(self, opened: Adapter, chosen: tuple[int, ...]) -> Response:
        """Drive the adapter's flow to its last response, or to the first refusal."""
        flow = opened.flow(self._natural.inputs[list(chosen)])
        step: Any = next(flow)
        last: Response | None = None
        while True:
            response = await self._step(step)
            last = response or last
            if last is not None and not 200 <= last.status < 300:
                return last
            try:
                step = flow.send(response)  # type: ignore[arg-type]
            except (StopIteration, AnswerError):
                if last is None:
                    raise AnswerError("nothing came back") from None
                return last

    async def _step(self, step: Any) -> Response | None:
        if isinstance(step, Wait):
            await self._courier.wait(step)
            return None
        if not isinstance(step, Request):
            raise AnswerError("the adapter asked for neither a request nor a pause")
        if step.url in self._nowhere:
            raise AnswerError("the address takes no requests")
        response = await self._courier.send(step)
        if response.status in _NOWHERE and step.method == "POST":
            self._nowhere.add(step.url)
        return response

    def _refused(self, arm: Arm, response: Response) -> None:
        arm.refused = f"HTTP {response.status}"
        words = response.content[:_MOST_WORDS].decode("utf-8", "replace")
        arm.stale = words in {each.text for each in self._hints.refusals}
        self._hints = Hints(self._hints.documents, (*self._hints.refusals, Refusal(arm.options, words)))

    async def _take(self, arm: Arm, chosen: tuple[int, ...], response: Response) -> None:
        """Read all responses of a way again, with one more; where it holds no answer look where it leads."""
        seen = [*arm.seen, Seen(chosen, response)]
        found = readings(arm.adapter, self._task, arm.options, seen, self._natural)
        if not found and not arm.seen:
            elsewhere = await self._follow(arm, response)
            if elsewhere is not None:
                arm.extra, last = dict(elsewhere[0]), elsewhere[1]
                seen = [Seen(chosen, last)]
                found = readings(arm.adapter, self._task, arm.options, seen, self._natural)
        if not found:
            arm.refused = "no answer can be read in what came back"
            return
        arm.seen, arm.readings = seen, found

    async def _follow(self, arm: Arm, response: Response) -> tuple[dict[str, Any], Response] | None:
        """Let the adapter look where a response leads; return what it found, and the response with the answer."""
        try:
            looking = arm.adapter.open(self._task, arm.options).follow(response, self._hints)
            step: Any = next(looking)
            while True:
                response = await self._step(step) or response
                step = looking.send(response if isinstance(step, Request) else None)  # type: ignore[arg-type]
        except StopIteration as end:
            return None if end.value is None else (dict(end.value), response)
        except RemoteError:
            raise
        # A stranger's adapter may raise anything.
        except FOREIGN:
            return None


def asking_order(reference: np.ndarray[Any, Any]) -> list[int]:
    """Return the order in which K natural inputs are asked: two labels, the first again, then each label in turn.

    A request that is misread is often answered with one label always, which the second input shows; a map of labels is
    borne out by the third.

    >>> asking_order(np.eye(3)[[0, 0, 0, 1, 1, 2]])
    [0, 3, 1, 5, 4, 2]
    """
    queues: dict[int, list[int]] = {}
    for at, label in enumerate(reference.argmax(axis=1)):
        queues.setdefault(int(label), []).append(at)
    rounds = max(map(len, queues.values()))
    turns = [queue[turn] for turn in range(rounds) for queue in queues.values() if turn < len(queue)]
    again = queues[int(reference[turns[0]].argmax())]
    if len(again) > 1 and len(turns) > 2:
        turns.remove(again[1])
        turns.insert(2, again[1])
    return turns
