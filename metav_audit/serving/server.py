"""A small HTTP server on the standard library's: bounded requests, errors as JSON, and an end that cuts nothing off."""

from __future__ import annotations

import json
import os
import select
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from metav_audit.adapter import Request, Response
from metav_audit.errors import FOREIGN, ConfigurationError
from metav_audit.version import __version__

MAX_BODY_BYTES = 64 << 20
"""A request with a larger body is refused."""

SILENCE_S = 60.0
"""A connection on which nothing comes for so many seconds is closed."""

END_S = 5.0
"""Seconds that requests under way have at the end."""

_LOOK_UP_S = 0.2
_MAX_DRAINED_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 16

Service = Callable[[Request], Response]
"""Answers a request, whose ``url`` is the path and whose header names are lower case; raises RefusedError."""


class RefusedError(Exception):
    """A request is refused: answered with this status and ``{"error": message}``."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Write a body as JSON; NaN and infinity are a ValueError."""
    content = json.dumps(body, allow_nan=False).encode()
    return Response(status, {"Content-Type": "application/json", **(headers or {})}, content)


class Server(socketserver.ThreadingTCPServer):
    """Serves in a thread a connection; use ``serve_until`` to run it.

    Args:
        host: the address to listen on.
        port: 0 for any free one.
        service: answers the requests.
        say: told in a line when the service fails, or None.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, service: Service, say: Callable[[str], object] | None = None) -> None:
        self.service, self.say, self.gate = service, say, Gate()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            why = error.strerror or str(error)
            raise ConfigurationError(f"cannot listen on {host}, port {port}: {why}; choose another one") from error

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: a client that went away in the middle is no news."""


def serve_until(server: Server, wait: Callable[[], object]) -> None:
    """Serve until ``wait`` returns or is interrupted; requests under way are still answered, new ones are not."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        wait()
    except KeyboardInterrupt:
        pass  # Ctrl-C and SIGTERM are how a server ends.
    finally:
        server.shutdown()
        server.server_close()
        server.gate.close(END_S)


def until_interrupted() -> None:
    """Wait for Ctrl-C or SIGTERM.

    A signal may reach another thread, or this one in the moment before it falls asleep, and would not wake it then.
    """
    while True:
        time.sleep(_LOOK_UP_S)


def until_stdin_closes() -> None:
    """Wait until standard input ends: until the program that started this one ends it, or itself ends."""
    stdin = sys.stdin.fileno()
    while not select.select([stdin], [], [], _LOOK_UP_S)[0] or os.read(stdin, _CHUNK_BYTES):
        pass


class Gate:
    """Counts the requests under way, and lets none in once it is closed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open, self._inside = True, 0
        self.passed = 0

    def enter(self) -> bool:
        """Let one request in, and say whether it may."""
        with self._changed:
            self._inside += self._open
            self.passed += self._open
            return self._open

    def leave(self) -> None:
        """Let one request out."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Let none in any more, and wait until all are out, no longer than ``seconds``."""
        end = time.monotonic() + seconds
        with self._changed:
            self._open = False
            while self._inside and time.monotonic() < end:
                self._changed.wait(max(0.0, end - time.monotonic()))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = SILENCE_S
    server: Server

    def version_string(self) -> str:
        return f"metav-audit/{__version__}"

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no HTTP, or has a method that no one knows."""
        self.close_connection = True
        self.request_version = self.protocol_version  # Else what is no HTTP at all would be answered as HTTP 0.9.
        self._write(_refusal(RefusedError(code, message or explain or self.responses[code][0])))

    def _answer(self) -> None:
        if not self.server.gate.enter():
            self.send_error(503, "the server is ending")
            return
        try:
            self._write(self._respond())
        finally:
            self.server.gate.leave()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def _respond(self) -> Response:
        try:
            content = self._body()
        except RefusedError as refused:
            # What is left of the body would be read as the next request.
            self.close_connection = True
            return _refusal(refused)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            return self.server.service(Request(self.path, content, self.command, headers))
        except RefusedError as refused:
            return _refusal(refused)
        # The owner's model may raise anything.
        except FOREIGN as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            if self.server.say is not None:
                self.server.say(f"{self.command} {self.path[:100]} failed: {why}")
            return _refusal(RefusedError(500, why))

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "" if self.command in ("POST", "PUT", "PATCH") else "0")
        if not length or "Transfer-Encoding" in self.headers:
            raise RefusedError(411, "send the body with a Content-Length")
        if "Content-Encoding" in self.headers:
            raise RefusedError(415, "send the body uncompressed")
        if not (length.isascii() and length.isdecimal() and len(length) < 20):
            raise RefusedError(400, "Content-Length is no number")
        size = int(length)
        if size > MAX_BODY_BYTES:
            self._drain(size)
            raise RefusedError(413, f"the body has {size} bytes, {MAX_BODY_BYTES} at most are taken: ask less at once")
        content = self.rfile.read(size)
        if len(content) < size:
            raise RefusedError(400, "the body ends too early")
        return content

    def _drain(self, size: int) -> None:
        """Read a body of moderate size without keeping it: a client that is still sending does not read answers."""
        left = min(size, _MAX_DRAINED_BYTES)
        while left > 0 and (chunk := self.rfile.read(min(left, _CHUNK_BYTES))):
            left -= len(chunk)

    def _write(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.content)


def _refusal(refused: RefusedError) -> Response:
    return json_response({"error": str(refused)}, refused.status, refused.headers)
