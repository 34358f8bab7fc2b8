"""Real HTTP servers on the loopback that speak the adapters' protocols over a model, with faults on demand."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

Model = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class Reply:
    """What the server sends back; ``drop`` closes the connection instead."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    chunks: tuple[bytes, ...] = ()
    pause_s: float = 0.0


Fault = Callable[[int, Seen], Reply | None]
"""Given the request's number (from 0) and the request, the reply to send instead of the model's, or None."""


def v2(model: Model, body: dict[str, Any]) -> dict[str, Any]:
    tensor = body["inputs"][0]
    scores = model(np.array(tensor["data"], np.float32).reshape(tensor["shape"]))
    output = {"name": "output-0", "shape": list(scores.shape), "datatype": "FP32", "data": scores.ravel().tolist()}
    return {"model_name": "m", "model_version": "1", "parameters": None, "outputs": [output]}


def tensorflow(model: Model, body: dict[str, Any]) -> dict[str, Any]:
    return {"predictions": model(np.array(body["instances"], np.float32)).tolist()}


def rows(model: Model, body: dict[str, Any]) -> dict[str, Any]:
    """Any other API: {"inputs": [...]} -> {"result": {"rows": [{"scores": ...}]}}."""
    return {"result": {"rows": model(np.array(body["inputs"], np.float32)).tolist()}}


PROTOCOLS = {
    "open-inference-v2": v2,
    "tensorflow-serving-v1": tensorflow,
    "json-template": rows,
    "torchserve": tensorflow,
    "sagemaker": rows,
}


class ModelServer:
    """A server in a thread; use it as a context manager. ``log`` holds every request in order of arrival."""

    def __init__(
        self,
        model: Model,
        protocol: str = "open-inference-v2",
        fault: Fault | None = None,
        delay_s: float = 0.0,
        headers: Mapping[str, str] | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.log: list[Seen] = []
        self.model, self.speak, self.fault, self.delay_s = model, PROTOCOLS[protocol], fault, delay_s
        self.headers = dict(headers or {})
        self._lock, self._scheme = threading.Lock(), "https" if tls else "http"
        self._server = _Server(("127.0.0.1", port), _handler(self))
        if tls:
            # Each connection's own thread shakes hands.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ModelServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reply(self, seen: Seen) -> Reply:
        with self._lock:
            number = len(self.log)
            self.log.append(seen)
        time.sleep(self.delay_s)
        wrong = self.fault(number, seen) if self.fault else None
        if wrong is not None:
            return wrong
        answer = json.dumps(self.speak(self.model, json.loads(seen.body))).encode()
        return Reply(body=answer, headers={"Content-Type": "application/json", **self.headers})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed in the middle is no news."""


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _answer(self, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = server.reply(Seen(self.path, headers, body))
            if reply.drop:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            size = len(reply.body) + sum(map(len, reply.chunks))
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.write(reply.body)
            for chunk in reply.chunks:
                time.sleep(reply.pause_s)
                self.wfile.write(chunk)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Stay quiet."""

    return Handler


FIELDS: dict[str, dict[str, Any]] = {
    "open-inference-v2": {"model": "m"},
    "tensorflow-serving-v1": {"model": "m"},
    "json-template": {"body": {"inputs": "{{inputs}}"}, "answer": "result.rows"},
    "torchserve": {"model": "m", "send": "instances"},
    "sagemaker": {"endpoint": "m", "body": {"inputs": "{{inputs}}"}, "answer": "result.rows"},
}
"""What each adapter needs to be told to talk to a ModelServer, besides its url."""


def always(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Fault:
    """A fault that meets every request."""
    return lambda number, seen: Reply(status, body, headers or {})


def at(*numbers: int, reply: Reply) -> Fault:
    """A fault that meets the requests of these numbers."""
    return lambda number, seen: reply if number in numbers else None


def free_port() -> int:
    """A port on which nothing listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
