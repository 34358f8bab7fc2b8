"""A proxy on the loopback that misbehaves by a schedule: what stands between an auditor and a real prediction API.

It reads one request, lets a ``Schedule`` draw what goes wrong, fetches the honest answer from the server behind it
where one is needed, and spoils it on the wire. Everything that a request met is kept in ``log``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from functools import lru_cache

Canned = tuple[int, Mapping[str, str], bytes]
"""A reply's status, headers and body."""


class Fault(StrEnum):
    """What goes wrong with a request."""

    NONE = "none"
    REFUSE = "refuse"
    """The connection is reset, and for a moment nobody listens."""
    RESET = "reset"
    """The connection is reset in the middle of the answer's body."""
    TRUNCATE = "truncate"
    """The connection is closed in the middle of the answer's body."""
    DRIP = "drip"
    """The answer comes byte by byte, too slowly for the deadline."""
    DELAY = "delay"
    """The answer is late, though within the timeouts."""
    SILENCE = "silence"
    """No answer comes within the timeouts."""
    THROTTLE = "throttle"
    """429, with every form of Retry-After."""
    WRONG_THROTTLE = "wrong throttle"
    """Throttling under another status: SageMaker's 400, or 503."""
    BAD_INPUT = "bad input"
    """503 for what the server calls a bad input: the same for the same input each time."""
    ERROR = "error"
    """500, 502 or 504."""
    GARBAGE = "garbage"
    """200 with something that is no answer."""
    BOMB = "bomb"
    """200 with a gzip that swells to a thousand times its size."""
    REDIRECT = "redirect"
    """A redirect to another host."""


PASSING = tuple(fault for fault in Fault if fault not in (Fault.NONE, Fault.BAD_INPUT))
GARBAGE = (
    b"",
    b"\x00\xff\xfe garbage \x80",
    b"<html><body>Are you a robot?</body></html>",
    b'{"outputs": [], "predictions": [], "result": {"rows": []}}',
    b'{"outputs": [{"name": "o", "shape": [1, 2], "datatype": "FP32", "data": [NaN, 1e999]}]}',
    b'{"predictions": [[0.1]], "result": {"rows": [[7.0, 8.0]]}}',
    b"[" * 20_000,
    b'"a text"',
)


@dataclass(frozen=True)
class Met:
    """What one request met; ``delivered`` says whether the whole honest answer was handed to the network."""

    body_sha256: str
    fault: Fault
    delivered: bool


@dataclass
class Schedule:
    """Faults that follow from a seed: how often, how long a spell lasts, which inputs are never taken.

    Args:
        seed: of everything.
        rough: the share of requests that begin a spell of some fault.
        spell: requests that a spell lasts at most.
        refused: the share of inputs that always get BAD_INPUT.
        spared: SHA-256 of request bodies that never do.

    Attributes:
        rng: the source of what is drawn.
        left: requests left of the spell.
        now: the spell's fault.
    """

    seed: int
    rough: float
    spell: int
    refused: float
    spared: frozenset[str] = frozenset()
    rng: random.Random = field(init=False)
    left: int = field(init=False, default=0)
    now: Fault = field(init=False, default=Fault.NONE)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def draw(self, body_sha256: str) -> Fault:
        """Say what the next request meets."""
        if body_sha256 not in self.spared and random.Random(f"{self.seed} {body_sha256}").random() < self.refused:
            return Fault.BAD_INPUT
        if self.left == 0:
            rough = self.rng.random() < self.rough
            self.now = self.rng.choice(PASSING) if rough else Fault.NONE
            self.left = self.rng.randint(1, self.spell) if rough else 1
        self.left -= 1
        return self.now

    def pick(self, choices: tuple[bytes, ...] | list[dict[str, str]] | tuple[int, ...]):
        """Draw one of several."""
        return self.rng.choice(choices)


class FaultProxy:
    """A proxy in a thread of its own; use it as a context manager.

    Args:
        upstream: port of the honest server, on the loopback.
        schedule: what goes wrong, and when.
        elsewhere: where redirects lead.
        throttling: how the protocol says that it throttles under another status.
        bad_input: how the protocol refuses an input.
    """

    def __init__(
        self,
        upstream: int,
        schedule: Schedule,
        elsewhere: str,
        throttling: Canned,
        bad_input: Canned,
    ) -> None:
        self.log: list[Met] = []
        self._upstream, self._schedule, self._elsewhere = upstream, schedule, elsewhere
        self._throttling, self._bad_input = throttling, bad_input
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None
        self.port = 0

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._held is not None:
            self._held.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def calm(self) -> None:
        """From now on nothing goes wrong but with the inputs that are never taken."""
        self._schedule.rough, self._schedule.left = 0.0, 0

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        if self._held is None:
            # Held while nobody listens, too: another audit's proxy would get this port, and its requests.
            self._held = socket.socket()
            self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._held.bind(("127.0.0.1", 0))
            self.port = self._held.getsockname()[1]
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=1 << 20, reuse_port=True)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        # A connection may be on its way in while the server closes: after a few rounds nothing is left.
        for _ in range(3):
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0.02)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(lambda done: (writer.transport.abort(), self._tasks.discard(done)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client went away.

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        digest = hashlib.sha256(body).hexdigest()
        fault = self._schedule.draw(digest)
        honest = b""
        if fault in (Fault.NONE, Fault.DELAY, Fault.RESET, Fault.TRUNCATE, Fault.DRIP):
            honest = await self._fetch(head + body)
        delivered = fault in (Fault.NONE, Fault.DELAY)
        self.log.append(Met(digest, fault, delivered))
        return await _SPOIL.get(fault, FaultProxy._reply)(self, writer, fault, honest)

    async def _fetch(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            return head + await reader.readexactly(_length(head))
        finally:
            writer.close()

    async def _pass_on(self, writer: asyncio.StreamWriter, fault: Fault, honest: bytes) -> bool:
        if fault is Fault.DELAY:
            await asyncio.sleep(0.03)
        writer.write(honest)
        await writer.drain()
        return True

    async def _cut(self, writer: asyncio.StreamWriter, fault: Fault, honest: bytes) -> bool:
        writer.write(honest[: _middle(honest)])
        await writer.drain()
        if fault is Fault.RESET:
            _reset(writer)
        else:
            writer.write_eof()
            await asyncio.sleep(0.02)
        return False

    async def _drip(self, writer: asyncio.StreamWriter, fault: Fault, honest: bytes) -> bool:
        for at in range(len(honest)):
            writer.write(honest[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0.02)
        return False

    async def _keep_silent(self, writer: asyncio.StreamWriter, fault: Fault, honest: bytes) -> bool:
        await asyncio.sleep(1.0)
        return False

    async def _refuse(self, writer: asyncio.StreamWriter, fault: Fault, honest: bytes) -> bool:
        _reset(writer)
        if self._server is not None and self._server.is_serving():
            self._server.close()
            self._server = None
            await asyncio.sleep(0.02)
            with contextlib.suppress(OSError):
                await self._listen()
        return False

    async def _reply(self, writer: asyncio.StreamWriter, fault: Fault, honest: bytes) -> bool:
        status, headers, body = self._reply_to(fault)
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
        writer.write(head + body)
        await writer.drain()
        return True

    def _reply_to(self, fault: Fault) -> Canned:
        pick, json = self._schedule.pick, {"Content-Type": "application/json"}
        replies = {
            Fault.THROTTLE: lambda: (429, pick(_hints()), b'{"error": "slow down"}'),
            Fault.WRONG_THROTTLE: lambda: self._throttling,
            Fault.BAD_INPUT: lambda: self._bad_input,
            Fault.ERROR: lambda: (pick((500, 502, 504)), {}, b"Internal Server Error"),
            Fault.GARBAGE: lambda: (200, json, pick(GARBAGE)),
            Fault.BOMB: lambda: (200, {**json, "Content-Encoding": "gzip"}, bomb()),
            Fault.REDIRECT: lambda: (pick((301, 302, 307, 308)), {"Location": self._elsewhere}, b""),
        }
        return replies[fault]()


Spoil = Callable[[FaultProxy, asyncio.StreamWriter, Fault, bytes], object]
_SPOIL = {
    Fault.NONE: FaultProxy._pass_on,
    Fault.DELAY: FaultProxy._pass_on,
    Fault.RESET: FaultProxy._cut,
    Fault.TRUNCATE: FaultProxy._cut,
    Fault.DRIP: FaultProxy._drip,
    Fault.SILENCE: FaultProxy._keep_silent,
    Fault.REFUSE: FaultProxy._refuse,
}


@lru_cache
def bomb() -> bytes:
    """64 MiB of spaces in 64 KiB."""
    return gzip.compress(b" " * (64 << 20))


def _hints() -> list[dict[str, str]]:
    soon = datetime.now(UTC) + timedelta(seconds=3)
    return [
        {},
        {"Retry-After": "1"},
        {"Retry-After": "0.25"},
        {"Retry-After": format_datetime(soon, usegmt=True)},
        {"Retry-After": "not a time"},
        {"retry-after-ms": "300"},
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"},
        {"RateLimit": '"api";r=0;t=2'},
    ]


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _middle(honest: bytes) -> int:
    start = honest.index(b"\r\n\r\n") + 4
    return start + (len(honest) - start) // 2


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a reset instead of a farewell."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
