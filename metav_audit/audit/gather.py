"""Gathering: many inputs asked once each of an endpoint of one's own, in batches, side by side; resumable."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from metav_audit.audit.asking import Asker, Surroundings
from metav_audit.audit.client import open_way_out, read_secrets
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.endpoint.secrets import VARIABLE
from metav_audit.audit.journal import Journal, Subject, draw_nonce, stamp
from metav_audit.audit.pace.budget import QueryBudget
from metav_audit.audit.pace.pacing import Hosts, Sleep
from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.task import Answer, Inputs, OutputSpace, OutputView, features, find_view
from metav_audit.transcript import Finished, Resumed, Transcript
from metav_audit.version import __version__


@dataclass(frozen=True, slots=True)
class World:
    """What gathering takes from the world around it.

    Attributes:
        transport: stands in for httpx's own, for tests.
        clock: monotonic seconds.
        now: the time, aware.
        sleep: waits so many seconds.
    """

    transport: httpx.AsyncBaseTransport | None = None
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Sleep = asyncio.sleep


def requests_for(endpoint: Endpoint, count: int) -> tuple[int, int]:
    """Return how many requests so many inputs need, and how many may be sent at most, retries included.

    Raises:
        ConfigurationError: the endpoint's limit does not cover them.
    """
    needed = math.ceil(count / endpoint.batch) * endpoint.adapter.steps
    most = endpoint.limits.budget(needed)
    if most < needed:
        raise ConfigurationError(
            f"endpoints.{endpoint.name}.limits.requests = {most} does not cover the {needed} requests that {count} "
            "inputs need: raise it, send larger batches (batch = ...), or give fewer data"
        )
    return needed, most


def identity_of(endpoint: Endpoint) -> str:
    """Return a hash of what decides which model answers: adapter, address, options; no limits, credentials, batches."""
    told = endpoint.record().to_json()
    options = {name: value for name, value in told["options"].items() if name not in _PASSING}
    headers = {name: value for name, value in endpoint.headers.items() if not VARIABLE.search(value)}
    text = json.dumps({**told, "name": "", "options": options, "headers": headers}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


_PASSING = ("limits", "credentials", "signing", "way", "headers", "batch")


def gather(
    inputs: Inputs, space: OutputSpace, endpoint: Endpoint, folder: Path, world: World | None = None
) -> tuple[NDArray[np.float64], OutputView]:
    """Ask an endpoint inputs, each once; running again with the same folder asks only what is open.

    Args:
        inputs: float32 of shape (n, *domain.shape), valid in the domain.
        space: what comes out of a model of the task.
        endpoint: who is asked; its limits hold.
        folder: where transcripts stand, each in a folder named by what it asks.
        world: clock, time, sleep, transport.

    Returns:
        Probabilities of all classes, a label's being 1, or values, of shape (n, D); and what the endpoint shows.

    Raises:
        ConfigurationError: the limits do not cover it, the folder cannot be written, or a variable is not set.
        TranscriptError: the transcript in the folder is damaged.
        AnswerError: an answer does not fit the task, or lacks classes.
        RemoteError: the endpoint cannot be asked; running again goes on.
    """
    requests_for(endpoint, len(inputs))
    name = hashlib.sha256(np.ascontiguousarray(inputs).tobytes()).hexdigest()
    below = folder / hashlib.sha256(f"{name} {identity_of(endpoint)}".encode()).hexdigest()[:16]
    transcript = asyncio.run(_gather(inputs, name, space, endpoint, below, world or World()))
    return _shown(transcript.answers, space, endpoint)


def _shown(
    answers: Sequence[Answer | None], space: OutputSpace, endpoint: Endpoint
) -> tuple[NDArray[np.float64], OutputView]:
    """Return what was answered and how much that shows; raise AnswerError where classes are lacking."""
    kind = endpoint.record().scores
    shown, view = features(answers, space, kind), find_view(answers, space, kind)
    if view.label_only:
        return np.eye(space.size)[np.where(shown.mask, shown.values, -np.inf).argmax(axis=1)], view
    if not shown.mask.all():
        raise AnswerError(
            f"endpoints.{endpoint.name} shows {view.words(space)}: a target that is an endpoint has to show all "
            f'{space.parts}, or the label alone (scores = "label")'
        )
    return np.asarray(space.shown(shown.values.astype(np.float64)), dtype=np.float64), view


async def _gather(
    inputs: Inputs, name: str, space: OutputSpace, endpoint: Endpoint, folder: Path, world: World
) -> Transcript:
    secrets = read_secrets(endpoint)
    subject = Subject(name, endpoint.record(), f"metav-audit {__version__}", len(inputs), endpoint.operator)
    chance, hosts = random.Random(0), Hosts(world.clock, world.sleep)  # noqa: S311
    around = Surroundings(world.clock, world.now, world.sleep, chance, hosts)
    async with open_way_out(endpoint, secrets, world.transport) as way_out:
        with Journal(folder, subject, lambda: stamp(world.now()), secrets, draw_nonce) as journal:
            so_far = journal.transcript
            if so_far.finished:
                return so_far
            if journal.begun:
                journal.append(Resumed(at=journal.now(), endpoint=endpoint.record()))
            most = requests_for(endpoint, len(inputs))[1]
            budget = QueryBudget(most, endpoint.limits.wall_s, world.clock, so_far.requests)
            asker = Asker(endpoint, inputs, journal, budget, secrets, way_out, around, lambda _: None)
            left = [each.query for each in so_far.exchanges if each.answer is None]
            size = endpoint.batch
            batches = deque(tuple(left[at : at + size]) for at in range(0, len(left), size))
            if batches:  # An endpoint whose answers do not fit, or lack classes, costs one request.
                await asker.ask(batches.popleft())
            _shown([each for each in journal.transcript.answers if each is not None], space, endpoint)
            await _side_by_side(asker, batches, endpoint.limits.concurrency)
            journal.append(Finished(at=journal.now()))
            return journal.transcript


async def _side_by_side(asker: Asker, batches: deque[tuple[int, ...]], workers: int) -> None:
    async def work() -> None:
        while batches:
            await asker.ask(batches.popleft())

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(workers, len(batches))):
                group.create_task(work())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
