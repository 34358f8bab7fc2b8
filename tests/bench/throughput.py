"""How fast the auditing client is beside bare httpx, and how much memory 100,000 queries take: ``make bench-client``.

A server in a process of its own answers every request with the same scores. Audits and bare ``httpx.AsyncClient``
runs of the same requests at the same concurrency take turns, each the same number of times; a ratio is that of their
medians. Bare httpx runs twice: from numbers to numbers, as a program does that writes and reads JSON with httpx's own
``json=`` and ``.json()``; and from bytes to bytes, with everything written beforehand and nothing read. Memory is the
largest resident set of a process that does nothing but one audit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np

from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.bundle import FingerprintBundle, MetaVerifier, VerifierKind
from tests.builders import make_bundle, make_task

CLASSES, SIDE = 10, 8
TASK = make_task(classes=CLASSES, side=SIDE)


def bundle_of(queries: int) -> FingerprintBundle:
    """A bundle with so many queries, two calibration models, and a verifier without weights."""
    small = make_bundle(queries=1, task=TASK, lineages=1)
    many = {name: np.repeat(getattr(small, name), queries, axis=0) for name in ("inputs", "reference")}
    answers = np.repeat(small.calibration.features, queries, axis=1)
    verifier = MetaVerifier(VerifierKind.AGREEMENT, {"labels": many["reference"].argmax(axis=1).astype(np.float32)})
    many["inputs"] = TASK.domain.sample(queries, np.random.default_rng(0))
    return replace(small, **many, verifier=verifier, calibration=replace(small.calibration, features=answers))


def answer(batch: int) -> bytes:
    """An Open Inference answer of so many rows."""
    scores = np.random.default_rng(0).dirichlet(np.ones(CLASSES)).tolist() * batch
    output = {"name": "probabilities", "datatype": "FP64", "shape": [batch, CLASSES], "data": scores}
    body = json.dumps({"model_name": "m", "outputs": [output]}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Server(asyncio.Protocol):
    """Answers as fast as Python can: it counts a request's bytes, and looks at its tensor's shape alone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._got = transport, b""

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._got[:end].lower()
        size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if len(self._got) < end + 4 + size:
            return
        rows = int(self._got[end:].split(b'"shape":[', 1)[1].split(b",", 1)[0])
        self._got = self._got[end + 4 + size :]
        self._transport.write(answers(rows))


_known: dict[int, bytes] = {}


def answers(rows: int) -> bytes:
    if rows not in _known:
        _known[rows] = answer(rows)
    return _known[rows]


def serve(port: multiprocessing.Queue[int]) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def serving() -> Iterator[str]:
    """Serve in another process; yield the address."""
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    process = context.Process(target=serve, args=(port,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port.get(timeout=30)}"
    finally:
        process.terminate()
        process.join()


def endpoint(url: str, batch: int, concurrency: int) -> Endpoint:
    fields = {"adapter": "open-inference-v2", "url": url, "model": "m", "batch": batch}
    return Endpoint.open("bench", {**fields, "limits": {"concurrency": concurrency}}, TASK)


def audited(bundle: FingerprintBundle, asked: Endpoint) -> float:
    """Seconds that one audit takes."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        transcript = audit_endpoint(bundle, asked, Path(folder))
        elapsed = time.perf_counter() - begun
    assert None not in transcript.answers
    return elapsed


def bare(bundle: FingerprintBundle, asked: Endpoint, *, numbers: bool) -> float:
    """Seconds that bare httpx takes for the fingerprint's requests at the same concurrency.

    With ``numbers`` it writes and reads their JSON, too.
    """
    inputs = bundle.inputs
    requests = [
        asked.adapter.encode(inputs[start : start + asked.batch]) for start in range(0, len(inputs), asked.batch)
    ]
    contents = [{"json": json.loads(each.content)} if numbers else {"content": each.content} for each in requests]

    async def main() -> float:
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=asked.limits.concurrency)) as client:
            waiting = iter(contents)

            async def work() -> None:
                for content in waiting:
                    response = await client.post(requests[0].url, **content, headers=requests[0].headers)
                    assert response.status_code == 200
                    if numbers:
                        assert response.json()["outputs"][0]["data"]

            begun = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(asked.limits.concurrency)))
            return time.perf_counter() - begun

    return asyncio.run(main())


def speed(url: str, queries: int, repeats: int) -> None:
    """Print requests a second, bare and audited, and their ratios."""
    print(f"{'':>20}{'requests a second':^38}{'ratio to httpx':>18}")
    names = f"{'bytes':>12} {'numbers':>12} {'metav-audit':>12} {'bytes':>8} {'numbers':>8}"
    print(f"{'batch':>5} {'concurrency':>13} {names}")
    for batch in (1, 8):
        bundle = bundle_of(queries * batch)
        for concurrency in (1, 4, 16, 64):
            asked = endpoint(url, batch, concurrency)
            times = [
                (bare(bundle, asked, numbers=False), bare(bundle, asked, numbers=True), audited(bundle, asked))
                for _ in range(repeats)
            ]
            plain, parsed, own = (queries / statistics.median(each) for each in zip(*times, strict=True))
            speeds = f"{plain:>12.0f} {parsed:>12.0f} {own:>12.0f}"
            print(f"{batch:>5} {concurrency:>13} {speeds} {own / plain:>8.2f} {own / parsed:>8.2f}", flush=True)


def remember(url: str, queries: int) -> None:
    """Print the largest resident set of a process that audits so many queries."""
    with tempfile.TemporaryDirectory() as folder:
        bundle_of(queries).save(Path(folder) / "bundle")
        context = multiprocessing.get_context("spawn")
        reports = context.Queue()
        process = context.Process(target=_audit_alone, args=(url, Path(folder), reports))
        process.start()
        before, after, elapsed = reports.get(timeout=3600)
        process.join()
    print(f"{queries} queries: {after:.0f} MB at most ({before:.0f} MB before the first request), {elapsed:.0f} s")


def _audit_alone(url: str, folder: Path, reports: multiprocessing.Queue[tuple[float, float, float]]) -> None:
    bundle = FingerprintBundle.load(folder / "bundle")
    before, begun = _resident_mb(), time.perf_counter()
    transcript = audit_endpoint(bundle, endpoint(url, 1, 16), folder / "audit")
    assert None not in transcript.answers
    reports.put((before, _resident_mb(), time.perf_counter() - begun))


def _resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=2000, help="requests of one run")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind")
    parser.add_argument("--memory", type=int, default=100_000, help="queries for the memory; 0: do not measure it")
    options = parser.parse_args()
    with serving() as url:
        speed(url, options.queries, options.repeats)
        if options.memory:
            remember(url, options.memory)


if __name__ == "__main__":
    main()
