"""A server that puts one model of a project behind three protocols, on the loopback alone.

- ``/v2/...``: Open Inference Protocol v2, as ``metav-audit serve`` speaks it; the model is called "digits".
- ``POST /v1/models/digits:predict``: TensorFlow Serving, probabilities.
- ``POST /classify``: ``{"image": base64 PNG}`` -> ``{"top": [{"label", "percent"}, ...]}``, as home-made APIs do.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from metav_audit.adapter import Request, Response
from metav_audit.serving import open_inference
from metav_audit.serving.model import predictor
from metav_audit.serving.open_inference import ServedModel
from metav_audit.serving.server import RefusedError, Server, json_response, serve_until, until_stdin_closes
from metav_audit.task import TaskSpec
from metav_audit.zoo.architectures import build_architecture
from metav_audit.zoo.project import load_project
from metav_audit.zoo.store import load_weights


def load_suspect(architecture: str, weights: Path, task: TaskSpec) -> ServedModel:
    """Load a suspect's weights and make it ready to be served."""
    network = load_weights(build_architecture(architecture, task), weights, "the suspect")
    return ServedModel("digits", "1", task, predictor(network))


def tensorflow_serving(body: Any, model: ServedModel) -> Any:
    """Answer one request of TensorFlow Serving's REST API."""
    inputs = np.asarray(body["instances"], np.float32).reshape(-1, *model.task.domain.shape)
    return {"predictions": model.predict(inputs).tolist()}


def home_made(body: Any, model: ServedModel) -> Any:
    """Answer one base64 PNG with every label and its percent, the highest first."""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(body["image"]))), np.float32) / np.float32(255)
    percents = model.predict(picture.reshape(1, *model.task.domain.shape))[0] * 100
    ranking = [int(index) for index in np.argsort(-percents)]
    return {"top": [{"label": model.task.output.labels[index], "percent": float(percents[index])} for index in ranking]}


ROUTES: dict[str, Callable[[Any, ServedModel], Any]] = {
    "/v1/models/digits:predict": tensorflow_serving,
    "/classify": home_made,
}


def answer(model: ServedModel, request: Request) -> Response:
    """Answer one request through whichever of the three protocols its path names."""
    route = ROUTES.get(request.url)
    if route is None:
        return open_inference.answer(model, request)
    try:
        return json_response(route(json.loads(request.content), model))
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        raise RefusedError(400, f"{type(error).__name__}: {error}") from error


def main() -> None:
    """Serve until the parent closes this process's standard input."""
    parser = argparse.ArgumentParser(prog="metav_audit.demo.server")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    model = load_suspect(options.architecture, options.weights, load_project(options.project).task)
    server = Server("127.0.0.1", options.port, lambda request: answer(model, request))

    def until_the_end() -> None:
        sys.stdout.write(f"{server.server_address[1]}\n")  # The parent reads the port here.
        sys.stdout.flush()
        until_stdin_closes()

    serve_until(server, until_the_end)


if __name__ == "__main__":
    main()
