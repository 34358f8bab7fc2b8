"""A glance: a few inputs asked once each, to see whether an endpoint still answers as it did."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from metav_audit.audit.asking import Asker, Surroundings
from metav_audit.audit.client import open_way_out, read_secrets
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.journal import Journal, Subject, draw_nonce, stamp
from metav_audit.audit.pace.budget import QueryBudget
from metav_audit.audit.pace.pacing import Hosts, Sleep
from metav_audit.task import Inputs, OutputSpace, features
from metav_audit.transcript import Finished, Transcript
from metav_audit.version import __version__


def glance(
    inputs: Inputs,
    name: str,
    space: OutputSpace,
    endpoint: Endpoint,
    folder: Path,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Sleep = asyncio.sleep,
) -> tuple[NDArray[np.float32], Transcript]:
    """Ask an endpoint a few inputs, one by one and each once.

    ``folder/transcript.jsonl`` holds what was asked; running again asks only what is open.

    Args:
        inputs: float32 of shape (n, *domain.shape), valid in the domain.
        name: a SHA-256 in hexadecimal that stands for them.
        space: what comes out of a model of the task.
        endpoint: who is asked; its limits hold.
        folder: where the transcript stands.
        transport: stands in for httpx's own, for tests.
        clock: monotonic seconds.
        now: the time, aware.
        sleep: waits so many seconds.

    Returns:
        Canonical features, float32 of shape (n, D), NaN where nothing was shown; and the transcript.

    Raises:
        ConfigurationError: the folder cannot be written, or a variable is not set (SecretError).
        TranscriptError: the transcript in the folder is damaged.
        AnswerError: an answer does not fit the task.
        RemoteError: the endpoint cannot be asked.
    """
    world = Surroundings(clock, now, sleep, random.Random(0), Hosts(clock, sleep), draw_nonce)  # noqa: S311
    transcript = asyncio.run(_glance(inputs, name, endpoint, folder, world, transport))
    shown = features(transcript.answers, space, transcript.endpoint.scores)
    return np.where(shown.mask, shown.values, np.nan).astype(np.float32), transcript


async def _glance(
    inputs: Inputs,
    name: str,
    endpoint: Endpoint,
    folder: Path,
    world: Surroundings,
    transport: httpx.AsyncBaseTransport | None,
) -> Transcript:
    secrets = read_secrets(endpoint)
    subject = Subject(name, endpoint.record(), f"metav-audit {__version__}", len(inputs), endpoint.operator)
    async with open_way_out(endpoint, secrets, transport) as way_out:
        with Journal(folder, subject, lambda: stamp(world.now()), secrets, world.draw) as journal:
            so_far = journal.transcript
            if so_far.finished:
                return so_far
            budget = QueryBudget(endpoint.budget(len(inputs)), endpoint.limits.wall_s, world.clock, so_far.requests)
            asker = Asker(endpoint, inputs, journal, budget, secrets, way_out, world, lambda _: None)
            for exchange in so_far.exchanges:
                if exchange.answer is None:
                    await asker.ask((exchange.query,))
            journal.append(Finished(at=journal.now()))
            return journal.transcript
