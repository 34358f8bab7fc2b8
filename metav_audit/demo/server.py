"""A small HTTP server that puts one model of a project behind three protocols, on the loopback alone.

- ``POST /v2/models/digits/infer``: Open Inference Protocol v2, probabilities.
- ``POST /v1/models/digits:predict``: TensorFlow Serving, probabilities.
- ``POST /classify``: ``{"image": base64 PNG}`` -> ``{"top": [{"label", "percent"}, ...]}``, as home-made APIs do.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from metav_audit.task import TaskSpec
from metav_audit.zoo.architectures import build_architecture
from metav_audit.zoo.project import load_project
from metav_audit.zoo.store import load_weights

MAX_BODY_BYTES = 16 << 20
Predict = Callable[[NDArray[np.float32]], NDArray[np.float64]]


def predictor(architecture: str, weights: Path, task: TaskSpec) -> Predict:
    """Load a model; return a function from inputs (n, *shape) to probabilities (n, classes)."""
    torch.set_num_threads(1)
    model = load_weights(build_architecture(architecture, task), weights, "the suspect")

    @torch.no_grad()
    def predict(inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        logits = model(torch.from_numpy(inputs)).double()
        return np.asarray(torch.softmax(logits, dim=1).numpy(), dtype=np.float64)

    return predict


def open_inference(body: Any, predict: Predict, task: TaskSpec) -> Any:
    """Answer one request of Open Inference Protocol v2."""
    tensor = body["inputs"][0]
    probabilities = predict(np.asarray(tensor["data"], np.float32).reshape(-1, *task.domain.shape))
    output = {"name": "probabilities", "datatype": "FP64", "shape": list(probabilities.shape)}
    return {"model_name": "digits", "outputs": [{**output, "data": probabilities.ravel().tolist()}]}


def tensorflow_serving(body: Any, predict: Predict, task: TaskSpec) -> Any:
    """Answer one request of TensorFlow Serving's REST API."""
    inputs = np.asarray(body["instances"], np.float32).reshape(-1, *task.domain.shape)
    return {"predictions": predict(inputs).tolist()}


def home_made(body: Any, predict: Predict, task: TaskSpec) -> Any:
    """Answer one base64 PNG with every label and its percent, the highest first."""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(body["image"]))), np.float32) / np.float32(255)
    percents = predict(picture.reshape(1, *task.domain.shape))[0] * 100
    ranking = [int(index) for index in np.argsort(-percents)]
    return {"top": [{"label": task.output.labels[index], "percent": float(percents[index])} for index in ranking]}


ROUTES = {
    "/v2/models/digits/infer": open_inference,
    "/v1/models/digits:predict": tensorflow_serving,
    "/classify": home_made,
}


def make_handler(predict: Predict, task: TaskSpec) -> type[BaseHTTPRequestHandler]:
    """Return the handler class that serves ``predict``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Answer one prediction."""
            size = int(self.headers.get("Content-Length", 0))
            route = ROUTES.get(self.path)
            if size > MAX_BODY_BYTES or route is None:
                self._answer(413 if route else 404, {"error": "too large" if route else "no such path"})
                self.close_connection = True
                return
            try:
                self._answer(200, route(json.loads(self.rfile.read(size)), predict, task))
            except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
                self._answer(400, {"error": f"{type(error).__name__}: {error}"})

        def _answer(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    return Handler


def main() -> None:
    """Serve until the parent closes this process's standard input."""
    parser = argparse.ArgumentParser(prog="metav_audit.demo.server")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    task = load_project(options.project).task
    handler = make_handler(predictor(options.architecture, options.weights, task), task)
    server = ThreadingHTTPServer(("127.0.0.1", options.port), handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)  # noqa: T201 - the parent reads the port here
    import sys
    import threading

    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
