"""A model that is a Python function on this machine: ``python:module:function`` stands in for an address.

The function takes float32 inputs of shape (batch, *domain.shape) and returns scores of shape (batch, classes). It is
asked like any endpoint: each call is reserved, journaled and counted by the same client. It runs in a process of its
own, whose end is that endpoint's failure and never this program's.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from metav_audit.adapter import Request, Response
from metav_audit.audit.endpoint.limits import Limits
from metav_audit.audit.wire import callee
from metav_audit.audit.wire.callee import END_S, GOOD, RAISED, Frame, read_frame, write_frame
from metav_audit.audit.wire.faults import FaultKind, TransportError
from metav_audit.errors import ConfigurationError, RemoteError

LEAST_START_S = 60.0
"""Seconds that a module may take to be imported, whatever the limit of one request: it may load a large model."""

_STDERR = 2


class LocalTransport:
    """Answers each request by a call, one at a time: a model need not be safe to call from several threads.

    Args:
        url: names the function.
        limits: how long a call may take, and how large its result may be.

    Raises:
        ConfigurationError: on entering: there is no such module or function, or importing it raises.
        RemoteError: on entering: importing it ends Python, or takes too long.
    """

    def __init__(self, url: str, limits: Limits) -> None:
        self._url, self._limits = url, limits
        self._child: _Child | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None and error is None:
            self._child.hang_up()
        await self._drop(END_S if error is None else 0.0)

    async def send(self, request: Request, headers: Mapping[str, str], seconds: float) -> Response:
        """Call the function; what it raises, or the end of its process, is an answer of status 500.

        Headers go nowhere.

        Raises:
            TransportError: it takes too long, and is ended; or its result is too large.
        """
        del headers
        most = self._limits.max_response_bytes
        async with self._turn:
            child = self._child or await self._again()
            try:
                async with asyncio.timeout(min(seconds, self._limits.total_s, self._limits.read_timeout_s)):
                    frame = await asyncio.to_thread(child.ask, request.content, most)
            except TimeoutError:
                await self._drop()
                raise TransportError(FaultKind.TIMEOUT, "the function took longer than one request may") from None
            except ValueError:
                await self._drop()
                raise TransportError(FaultKind.OVERSIZE, f"its result is larger than {most} bytes, or none") from None
            if frame is None:
                told = await self._drop(END_S)
                return Response(500, {}, json.dumps({"error": f"{told} during the call"}).encode())
            return Response(200 if frame[0] == GOOD else 500, {}, frame[1])

    async def _again(self) -> _Child:
        try:
            return await self._start()
        except (ConfigurationError, RemoteError) as error:
            raise TransportError(FaultKind.RESET, f"its process has ended and does not start again: {error}") from None

    async def _start(self) -> _Child:
        self._child = _Child(self._url)
        seconds = max(LEAST_START_S, self._limits.total_s)
        try:
            async with asyncio.timeout(seconds):
                frame = await asyncio.to_thread(self._child.hear, self._limits.max_response_bytes)
        except (TimeoutError, ValueError):
            await self._drop()
            what = f"its module was not imported within {seconds:g} s: raise limits.total_s if it takes so long"
            raise RemoteError(f"{self._url}: {what}") from None
        except asyncio.CancelledError:
            await self._drop()
            raise
        if frame is None:
            told = await self._drop(END_S)
            raise RemoteError(f"{self._url}: {told} while its module was imported: mend the module")
        if frame[0] != GOOD:
            await self._drop()
            raise (ConfigurationError if frame[0] == RAISED else RemoteError)(frame[1].decode("utf-8", "replace"))
        return self._child

    async def _drop(self, seconds: float = 0.0) -> str:
        """End the process, which may end by itself within so long; say how it did. The next request starts another."""
        child, self._child = self._child, None
        return "its process has ended" if child is None else await asyncio.to_thread(child.end, seconds)


class _Child:
    """One process with a user's function in it.

    Raises:
        RemoteError: the machine starts none.
    """

    def __init__(self, url: str) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self._asked, self._said = os.fdopen(ours_out, "wb", buffering=0), os.fdopen(ours_in, "rb")
        # "-P": its modules are looked for where this process looks, as the first frame says, and nowhere else.
        command = [sys.executable, "-u", "-P", callee.__file__, str(theirs_in), str(theirs_out)]
        try:
            # What the function prints goes to stderr: stdout has the verdicts. A session of its own gets no Ctrl-C.
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=_STDERR,
                pass_fds=(theirs_in, theirs_out),
                start_new_session=True,
            )
        except OSError as error:
            self._asked.close()
            self._said.close()
            raise RemoteError(f"{url}: no process can be started for it ({error.strerror})") from None
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._first = json.dumps({"url": url, "path": sys.path}).encode()

    def hear(self, most: int) -> Frame | None:
        """Tell it which function, and wait for its first word; None where its process ends."""
        return self.ask(self._first, most)

    def ask(self, content: bytes, most: int) -> Frame | None:
        """Have the function called; None where its process ends.

        Raises:
            ValueError: the result is larger than ``most`` bytes, or what came is none.
        """
        try:
            write_frame(self._asked, GOOD, content)
            return read_frame(self._said, most)
        except OSError:
            return None

    def end(self, seconds: float) -> str:
        """Wait so long for the process to end, end it and what it started; say how it ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        code = self._process.poll()
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._asked.close()
        self._said.close()
        if code is None:
            return "its process was ended"
        return f"its process died of {_signal(-code)}" if code < 0 else f"its process ended with exit status {code}"

    def hang_up(self) -> None:
        """Ask nothing more: the process ends by itself."""
        self._asked.close()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
