"""Every built-in adapter's protocol as a server speaks it, from bytes to bytes, written apart from the adapters."""

from __future__ import annotations

import base64
import io
import itertools
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import numpy as np
from PIL import Image

from metav_audit.adapter import Adapter, Request, Response, find_adapter
from tests.builders import make_task
from tests.servers import FIELDS, PROTOCOLS

TASK = make_task(channels=3)
LABELS = TASK.output.labels
Model = Callable[[np.ndarray], np.ndarray]
Speak = Callable[[Model, Request], Response]


@dataclass(frozen=True)
class Case:
    """One way of speaking with one adapter.

    Attributes:
        adapter: its name.
        fields: its options, besides url.
        speak: plays the server.
        most: queries that one request takes.
    """

    adapter: str
    speak: Speak
    fields: dict[str, Any] = field(default_factory=dict)
    most: int = 3

    def table(self, url: str = "http://host:1", **more: Any) -> dict[str, Any]:
        return {"url": url, "batch": self.most, **self.fields, **more}

    def open(self, **more: Any) -> Adapter:
        return find_adapter(self.adapter).open(TASK, self.table(**more))


def ok(body: Any, **headers: str) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(200, headers, content)


def picture(png: bytes) -> np.ndarray:
    """A PNG as one input of shape (1, 3, 5, 5)."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return (np.asarray(image, np.float64) / 255).astype(np.float32).transpose(2, 0, 1)[None]


def numbers(values: Any) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, *TASK.domain.shape)


def b64(text: str) -> np.ndarray:
    return picture(base64.b64decode(text, validate=True))


def form(request: Request) -> dict[str, bytes]:
    """A form upload's fields, read by the standard library's parser."""
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.content)
    assert message.is_multipart()
    return {part.get_param("name", header="content-disposition"): part.get_content() for part in message.iter_parts()}


def json_speaker(read: Callable[[Any], np.ndarray], write: Callable[[np.ndarray], Any]) -> Speak:
    """A server that takes JSON and answers JSON."""
    return lambda model, request: ok(write(model(read(json.loads(request.content)))))


def labelled(scores: np.ndarray) -> list[dict[str, Any]]:
    """The first row, sorted, as image classifiers write it."""
    order = np.argsort(-scores[0])
    return [{"label": LABELS[index], "score": float(scores[0][index])} for index in order]


def by_label(row: np.ndarray) -> dict[str, float]:
    return dict(zip(LABELS, row.tolist(), strict=True))


def binary_v2(model: Model, request: Request) -> Response:
    """KServe and Triton: another tensor's bytes stand before the scores'."""
    length = int(request.headers["Inference-Header-Content-Length"])
    head, values = json.loads(request.content[:length]), request.content[length:]
    (tensor,) = head["inputs"]
    assert tensor["parameters"]["binary_data_size"] == len(values)
    assert head["parameters"]["binary_data_output"] is True
    inputs = np.array([number for (number,) in struct.iter_unpack("<f", values)], np.float32).reshape(tensor["shape"])
    scores = model(inputs).astype("<f4")
    classes = np.argmax(scores, 1).astype("<f8").tobytes()
    outputs = [
        {"name": "p", "datatype": "FP32", "shape": list(scores.shape)},
        {"name": "c", "datatype": "FP64", "shape": [len(scores)]},
    ]
    for output, content in zip(outputs, (scores.tobytes(), classes), strict=True):
        output["parameters"] = {"binary_data_size": len(content)}
    written = json.dumps({"model_name": "m", "outputs": outputs}).encode()
    body = written + scores.tobytes() + classes
    return ok(body, **{"inference-header-content-length": str(len(written))})


def torchserve_image(model: Model, request: Request) -> Response:
    assert request.url.endswith("/predictions/m")
    assert request.headers == {"Content-Type": "image/png"}
    return ok(by_label(model(picture(request.content))[0]))


def vertex_automl(model: Model, request: Request) -> Response:
    body = json.loads(request.content)
    assert request.url.endswith("/endpoints/7:predict")
    assert body["parameters"] == {"confidenceThreshold": 0.0, "maxPredictions": 4}
    scores = model(np.concatenate([b64(instance["content"]) for instance in body["instances"]]))
    rows = [labelled(row[None]) for row in scores]
    predictions = [
        {"displayNames": [pair["label"] for pair in row], "confidences": [pair["score"] for pair in row], "ids": []}
        for row in rows
    ]
    return ok({"predictions": predictions, "deployedModelId": "77", "modelVersionId": "1"})


def azure(model: Model, request: Request) -> Response:
    """score.py returned json.dumps(...), as the tutorials do."""
    assert request.headers["azureml-model-deployment"] == "blue"
    scores = model(numbers(json.loads(request.content)["input_data"]))
    return ok(json.dumps({"result": scores.tolist()}))


def hugging_face_json(model: Model, request: Request) -> Response:
    body = json.loads(request.content)
    assert body["parameters"] == {"top_k": 4}
    return ok([labelled(model(b64(body["inputs"])))])


def hugging_face_image(model: Model, request: Request) -> Response:
    return ok(labelled(model(picture(request.content))))


def uploaded(model: Model, request: Request) -> Response:
    parts = form(request)
    assert parts.pop("mode") == "all"
    return ok({"scores": model(picture(parts["image"]))[0].tolist()})


def chat(read: Callable[[Any], np.ndarray]) -> Speak:
    def speak(model: Model, request: Request) -> Response:
        body = json.loads(request.content)
        assert (body["max_tokens"], body["temperature"], body["logprobs"]) == (1, 0, True)
        scores = model(read(body["messages"][0]["content"]))[0]
        top = [{"token": f"c{index}", "logprob": float(scores[index])} for index in np.argsort(-scores)]
        content = [{**top[0], "bytes": [1], "top_logprobs": top}]
        choice = {"index": 0, "message": {"role": "assistant", "content": "c0"}, "logprobs": {"content": content}}
        return ok({"model": "m-1", "system_fingerprint": "fp_1", "choices": [choice]})

    return speak


def chat_picture(content: Any) -> np.ndarray:
    assert content[0] == {"type": "text", "text": "Which one?"}
    return b64(content[1]["image_url"]["url"].removeprefix("data:image/png;base64,"))


def chat_numbers(content: str) -> np.ndarray:
    return numbers(json.loads(content.removeprefix("Which one is ").removesuffix("?")))


def polled() -> Speak:
    """Submit, then poll: each job is done at the second poll."""
    jobs: dict[str, Any] = {}
    polls: dict[str, int] = {}
    serial = itertools.count()

    def speak(model: Model, request: Request) -> Response:
        if request.method == "POST":
            job = f"job/{next(serial)}"
            jobs[job] = model(numbers(json.loads(request.content)["inputs"])).tolist()
            return ok({"id": job, "status": "queued"})
        assert (request.content, dict(request.headers)) == (b"", {})
        job = request.url.rsplit("/jobs/", 1)[1].replace("%2F", "/")
        polls[job] = polls.get(job, 0) + 1
        return ok({"status": "running"} if polls[job] < 2 else {"status": "done", "out": jobs[job]})

    return speak


def plain(name: str) -> Case:
    speak = PROTOCOLS[name]
    return Case(name, lambda model, request: ok(speak(model, json.loads(request.content))), FIELDS[name])


def predictions(scores: np.ndarray) -> dict[str, Any]:
    return {"predictions": scores.tolist()}


TOKENS = {label: f"c{index}" for index, label in enumerate(LABELS)}
POLL = {"ticket": "id", "url": "/jobs/{{ticket}}", "done": "status", "equals": "done", "failed": ["failed"]}

CASES: dict[str, Case] = {
    "open-inference-v2": plain("open-inference-v2"),
    "open-inference-v2 binary": Case("open-inference-v2", binary_v2, {"model": "m", "binary": True}),
    "tensorflow-serving-v1": plain("tensorflow-serving-v1"),
    "json-template": plain("json-template"),
    "json-template form": Case(
        "json-template", uploaded, {"upload": "image", "body": {"mode": "all"}, "answer": "scores"}, 1
    ),
    "json-template poll": Case(
        "json-template", polled(), {"body": {"inputs": "{{inputs}}"}, "answer": "out", "poll": POLL}
    ),
    "torchserve image": Case("torchserve", torchserve_image, {"model": "m"}, 1),
    "torchserve data": Case(
        "torchserve",
        json_speaker(lambda body: numbers(body["data"]), lambda scores: [scores[0].tolist()]),
        {"model": "m", "send": "data"},
        1,
    ),
    "torchserve instances": Case(
        "torchserve",
        json_speaker(lambda body: numbers(body["instances"]), predictions),
        {"model": "m", "version": "2", "send": "instances"},
    ),
    "mlflow inputs": Case(
        "mlflow", json_speaker(lambda body: numbers(body["inputs"]["x"]), predictions), {"input_name": "x"}
    ),
    "mlflow instances": Case(
        "mlflow",
        json_speaker(
            lambda body: numbers(body["instances"]), lambda scores: {"predictions": [by_label(row) for row in scores]}
        ),
        {"send": "instances"},
    ),
    "mlflow dataframe": Case(
        "mlflow",
        json_speaker(
            lambda body: numbers(body["dataframe_split"]["data"]),
            lambda scores: {"predictions": {"p": scores.tolist(), "c": []}},
        ),
        {"send": "dataframe_split", "encoding": "flat", "columns": [f"x{i}" for i in range(75)], "output": "p"},
    ),
    "sagemaker": Case(
        "sagemaker",
        json_speaker(lambda body: numbers(body["instances"]), predictions),
        {"endpoint": "e", "variant": "blue", "body": {"instances": "{{inputs}}"}, "answer": "predictions"},
    ),
    "azure-ml": Case("azure-ml", azure, {"deployment": "blue", "answer": "result"}),
    "vertex-ai": Case(
        "vertex-ai",
        json_speaker(lambda body: numbers(body["instances"]), predictions),
        {"url": "http://host:1/v1/projects/p/locations/l/endpoints/7"},
    ),
    "vertex-ai automl": Case(
        "vertex-ai",
        vertex_automl,
        {
            "url": "http://host:1/v1/projects/p/locations/l/endpoints/7",
            "instance": {"content": "{{input}}"},
            "encoding": "png_base64",
            "parameters": {"confidenceThreshold": 0.0, "maxPredictions": 4},
        },
    ),
    "hugging-face json": Case("hugging-face", hugging_face_json, {}, 1),
    "hugging-face image": Case("hugging-face", hugging_face_image, {"send": "image"}, 1),
    "bentoml": Case(
        "bentoml",
        json_speaker(lambda body: numbers(body["images"]), lambda scores: scores.tolist()),
        {"api": "classify", "body": {"images": "{{inputs}}"}},
    ),
    "openai-logprobs picture": Case(
        "openai-logprobs", chat(chat_picture), {"model": "m", "prompt": "Which one?", "tokens": TOKENS}, 1
    ),
    "openai-logprobs numbers": Case(
        "openai-logprobs",
        chat(chat_numbers),
        {"model": "m", "prompt": "Which one is {{input}}?", "tokens": TOKENS, "picture": False},
        1,
    ),
    "python-callable": Case(
        "python-callable",
        json_speaker(lambda body: numbers(body["inputs"]), lambda scores: {"scores": scores.tolist()}),
        {"url": "python:tests.audit.test_local:counted"},
    ),
}
