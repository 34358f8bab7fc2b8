"""A server of ours in a thread, and a plain client without any cleverness of its own."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metav_audit.serving.server import Server, Service, serve_until

SOURCE = Path(__file__).parents[2]


@contextmanager
def served(service: Service) -> Iterator[Server]:
    """Serve in a thread until the block ends."""
    server, end = Server("127.0.0.1", 0, service), threading.Event()
    thread = threading.Thread(target=serve_until, args=(server, end.wait))
    thread.start()
    try:
        yield server
    finally:
        end.set()
        thread.join()


def ask(
    url: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send one request; return status, headers in lower case, and body."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def ask_json(url: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Send JSON, read JSON."""
    content = None if body is None else json.dumps(body).encode()
    status, _, answer = ask(url, method, path, content, {"Content-Type": "application/json"})
    return status, json.loads(answer)


@contextmanager
def program(*words: object) -> Iterator[subprocess.Popen[str]]:
    """Run ``metav-audit`` in a process of its own, away from the source tree, and see to it that it ends."""
    command = [sys.executable, "-P", "-m", "metav_audit", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
