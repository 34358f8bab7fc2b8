"""What the dither middleware costs a request: an application beside itself behind the middleware.

    python -m tests.bench.dithering

Microseconds of the processor's time a request, by picture; then of the clock through uvicorn, one connection, one
request after the other.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np

from metav_audit.serving.dithering import App, DitherMiddleware, JsonApi, Message
from metav_audit.task import ClassScores, Dither, ImageDomain, TaskSpec
from tests.test_dithered import Running

REPEATS, BLOCKS = 400, 20
API = JsonApi(paths=["/classify"], account="x-account", input="inputs")


def application(size: int, classes: int) -> App:
    """Return an application that parses its input and answers what it was made with: any model, at no cost."""
    answer = json.dumps({"scores": [np.full(classes, 1 / classes).tolist()] * size}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]

    async def app(scope: Any, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        json.loads((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def request(task: TaskSpec, size: int) -> bytes:
    """Return a body with a batch of inputs, four digits a number."""
    inputs = task.domain.sample(size, np.random.default_rng(0))
    return json.dumps({"inputs": np.round(inputs.astype(np.float64), 4).tolist()}).encode()


async def exchanges(app: App, body: bytes) -> list[float]:
    """Return this process's seconds a request, for each block of requests: others on the machine do not count."""
    scope = {"type": "http", "path": "/classify", "headers": [(b"x-account", b"acme")]}

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        pass

    took = []
    for _ in range(BLOCKS):
        start = time.process_time()
        for _ in range(REPEATS // BLOCKS):
            await app(dict(scope), receive, send)
        took.append((time.process_time() - start) * BLOCKS / REPEATS)
    return took


def served(app: App, body: bytes) -> list[float]:
    """Return seconds of each of ``REPEATS`` requests through uvicorn."""
    took = []
    with Running(app) as url, httpx.Client(base_url=url, headers={"x-account": "acme"}) as client:
        for _ in range(REPEATS):
            start = time.perf_counter()
            client.post("/classify", content=body).raise_for_status()
            took.append(time.perf_counter() - start)
    return took


def main() -> None:
    """Print the table."""
    print(f"microseconds a request, medians of {REPEATS}")
    print(
        f"{'input':<14}{'batch':>6}{'classes':>9}{'bare':>9}{'dithered':>10}{'cost':>8}{'uvicorn':>10}{'dithered':>10}"
    )
    for channels, side, size, classes in ((1, 8, 1, 10), (1, 28, 1, 10), (3, 32, 1, 100), (1, 8, 32, 10)):
        task = TaskSpec(ImageDomain(channels, side, side), ClassScores(tuple(map(str, range(classes)))))
        bare, body = application(size, classes), request(task, size)
        behind = DitherMiddleware(bare, Dither(bytes(32)), task, API)
        took = [statistics.median(asyncio.run(exchanges(app, body))) * 1e6 for app in (bare, behind)]
        through = [statistics.median(served(app, body)) * 1e6 for app in (bare, behind)]
        name = f"{channels} x {side} x {side}"
        print(
            f"{name:<14}{size:>6}{classes:>9}{took[0]:>9.0f}{took[1]:>10.0f}{took[1] - took[0]:>8.0f}"
            f"{through[0]:>10.0f}{through[1]:>10.0f}"
        )


if __name__ == "__main__":
    main()
