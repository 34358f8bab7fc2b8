"""One API of each shape, found within twelve requests: fields, encodings, layouts, answers, labels, descriptions."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import numpy as np
import pytest

from metav_audit.audit.probe.run import Plan, probe
from metav_audit.bundle import NaturalInputs
from metav_audit.task import ClassScores, Quantities, TabularDomain, TaskSpec
from metav_audit.task.domains import CategoryColumn, NumberColumn
from metav_audit.task.outputs import Quantity
from tests.asked.odd import from_png, posted, reply
from tests.builders import linear_model, make_bundle, make_task, softmax, with_natural
from tests.servers import ModelServer, Reply

TASK, GREY = make_task(classes=5, channels=3, side=6), make_task(classes=4, side=6)
BUNDLE, GREY_BUNDLE = (with_natural(make_bundle(task=each, spread=0.2), mixed=True) for each in (TASK, GREY))
MODEL, GREY_MODEL = linear_model(TASK, 7, distance=0.05), linear_model(GREY, 7, distance=0.05)
LABELS = TASK.output.labels
COLUMNS = [NumberColumn(f"x{at}", 10 * at, 10 * at + 50, 0.5) for at in range(5)]
TABLE = TabularDomain((*COLUMNS, CategoryColumn("kind", ("a", "b", "c"))))
NAMES = [column.name for column in TABLE.columns]


def tabular(output, seed):
    """A task on rows, as much of a bundle as a probe looks at, and a model."""
    task = TaskSpec(TABLE, output)

    def model(seed):
        weights = np.random.default_rng(0).normal(size=(8, output.size))
        weights += (0.1 * np.random.default_rng(seed).normal(size=weights.shape)) if seed else 0
        shown = (lambda logits: softmax(3 * logits)) if output.labelled else (lambda values: 5 + values)
        return lambda inputs: shown((np.asarray(inputs, float) - 0.5) @ weights)

    def answers(one, inputs):
        return output.canonical(one(inputs), output.score_kinds[0]).astype(np.float32)

    pool = TABLE.sample(400, np.random.default_rng(3))
    order = np.argsort(answers(model(0), pool)[:, 0], kind="stable")
    inputs = pool[[*order[:8], *order[-8:]]]
    own, others = answers(model(0), inputs), np.stack([answers(model(at), inputs) for at in range(1, 9)])
    nothing = np.zeros((0, 16, output.size), np.float32)
    natural = NaturalInputs("public", inputs, own, others, (), nothing, inputs, np.zeros(16, np.float32))
    return SimpleNamespace(task=task, natural=natural), model(seed)


TUMOURS, TUMOUR_MODEL = tabular(ClassScores(("benign", "malignant")), 99)
DOSES, DOSE_MODEL = tabular(Quantities((Quantity("dose", 5.0, 3.0),)), 50)


def described(path, schema, kind="application/json"):
    """An OpenAPI description of one address, its schema behind a reference."""
    content = {kind: {"schema": {"$ref": "#/components/schemas/In"}}}
    paths = {path: {"post": {"requestBody": {"content": content}}}}
    return reply({"openapi": "3.1.0", "paths": paths, "components": {"schemas": {"In": schema}}})


def tensor_v2(seen):
    """Open Inference with a tensor of whole numbers, channels last, under a name of its own."""
    if not seen.body:
        stated = {"name": "pix", "shape": [-1, 6, 6, 3], "datatype": "UINT8"}
        return reply({"name": "m", "inputs": [stated], "outputs": [{"name": "p"}]})
    (tensor,) = posted(seen)["inputs"]
    if (tensor["name"], tensor["datatype"], tensor["shape"]) != ("pix", "UINT8", [1, 6, 6, 3]):
        return reply({"error": "another tensor"}, 400)
    scores = MODEL((np.array(tensor["data"]).reshape(1, 6, 6, 3) / 255).transpose(0, 3, 1, 2))
    return reply({"outputs": [{"name": "p", "shape": [1, 5], "datatype": "FP32", "data": scores.tolist()}]})


def grey_rows(seen):
    """No axis for the channel; the number of the class and how sure it is."""
    body = posted(seen)
    if not isinstance(body, dict) or "image" not in body:
        return reply({"error": "KeyError: 'image'"}, 500)
    try:
        shape = np.array(body["image"], float).shape
    except ValueError:
        return reply({"error": "could not convert to array"}, 400)
    if shape != (6, 6):
        return reply({"error": f"expected shape (6, 6), got {shape}"}, 400)
    (scores,) = GREY_MODEL(np.array(body["image"])[None, None])
    return reply({"prediction": int(scores.argmax()), "confidence": round(float(scores.max()), 3)})


def label_alone(seen):
    body = posted(seen)
    if not isinstance(body, dict) or "img" not in body:
        return reply({"msg": "img missing"}, 400)
    (scores,) = MODEL(from_png(body["img"]))
    return reply({"id": f"r-{len(seen.body)}", "result": {"label": LABELS[scores.argmax()].upper().replace(" ", "_")}})


def other_order(seen):
    body = posted(seen)
    if not isinstance(body, dict) or "image" not in body:
        return reply({"detail": "image required"}, 422)
    return reply([round(float(score), 3) for score in MODEL(from_png(body["image"]))[0][[3, 1, 4, 0, 2]]])


def instances(seen):
    """A list of objects in, the two likeliest classes out."""
    body = posted(seen)
    if not isinstance(body, dict) or "instances" not in body:
        return reply({"error": "no instances"}, 400)
    try:
        scores = [MODEL(from_png(each["b64"]))[0] for each in body["instances"]]
    except (TypeError, ValueError, KeyError):
        return reply({"error": "each instance is an object with the key 'b64'"}, 400)
    return reply({"predictions": [{LABELS[at]: float(one[at]) for at in np.argsort(-one)[:2]} for one in scores]})


def blue_first(seen):
    body = posted(seen)
    if not isinstance(body, dict) or "data" not in body:
        return reply({"error": "missing 'data'"}, 400)
    if np.array(body["data"], object).shape != (6, 6, 3):
        return reply({"error": "data must be a nested array (H, W, C)"}, 400)
    (scores,) = MODEL(np.array(body["data"], float)[..., ::-1].transpose(2, 0, 1)[None])
    return reply({"probs": dict(zip(LABELS, scores.tolist(), strict=True))})


def row_as_a_whole(seen):
    """FastAPI with a column a field; percents."""
    body = posted(seen)
    missing = [name for name in NAMES if not isinstance(body, dict) or name not in body]
    if missing:
        return reply({"detail": [{"loc": ["body", name], "type": "missing"} for name in missing]}, 422)
    (scores,) = TUMOUR_MODEL(TABLE.encode([body]))
    return reply({"risk": {"benign": round(100 * scores[0], 1), "malignant": round(100 * scores[1], 1)}})


def row_described(seen):
    """A row beside a field that must be there, one label with its score; only the description tells."""
    if seen.path == "/openapi.json":
        row = {"type": "object", "properties": {name: {"type": "number"} for name in NAMES}}
        unit = {"type": "string", "enum": ["si", "us"]}
        return described("/ask", {"required": ["patient", "unit"], "properties": {"patient": row, "unit": unit}})
    body = posted(seen)
    if not isinstance(body, dict) or body.get("unit") != "si" or not isinstance(body.get("patient"), dict):
        return reply({"error": "no"}, 400)
    (scores,) = TUMOUR_MODEL(TABLE.encode([body["patient"]]))
    return reply({"diagnosis": TUMOURS.task.output.labels[scores.argmax()], "probability": float(scores.max())})


def cells(seen):
    body = posted(seen)
    if not isinstance(body, dict) or "features" not in body:
        return reply({"error": "features missing"}, 400)
    try:
        (scores,) = TUMOUR_MODEL(TABLE.encode([dict(zip(NAMES, body["features"], strict=True))]))
    except (TypeError, ValueError):
        return reply({"error": "features must be a list of 6 values"}, 400)
    return reply(scores.tolist())


def doses(seen):
    """A regression: objects in a list, named values in a list."""
    try:
        values = DOSE_MODEL(TABLE.encode(posted(seen)["instances"]))
    except (TypeError, ValueError, KeyError):
        return reply({"error": "instances: a list of objects is needed"}, 400)
    return reply({"n": len(values), "predictions": [{"dose": round(float(each[0]), 2)} for each in values]})


def validated(seen):
    """Refusals in sentences, a list of numbers, one label with its percent."""
    body = posted(seen)
    if not isinstance(body, dict) or "signal" not in body:
        return reply({"success": False, "errors": ["The signal field is required."]}, 422)
    if np.array(body["signal"], object).shape != (108,):
        return reply({"success": False, "errors": ["The signal must be an array of 108 numbers."]}, 422)
    (scores,) = MODEL(np.array(body["signal"], float).reshape(1, 3, 6, 6))
    found = {"verdict": LABELS[scores.argmax()], "certainty": float(scores.max()) * 100}
    return reply({"success": True, "data": found})


def ranked(seen):
    """Refusals in plain text, a data URL, numbers in texts, classes counted from 1."""
    body = posted(seen)
    if not isinstance(body, dict) or "pic" not in body:
        return Reply(400, b"pic: field is mandatory")
    if not isinstance(body["pic"], str) or not body["pic"].startswith("data:image/png;base64,"):
        return Reply(400, b"pic: not a data URL")
    (scores,) = MODEL(from_png(body["pic"].partition(",")[2]))
    return reply({"ranks": [{"class_id": int(at) + 1, "p": f"{scores[at]:.4f}"} for at in np.argsort(-scores)]})


def listed(seen):
    """A list with one data URL; labelled scores beside the label."""
    body = posted(seen)
    if not isinstance(body, dict) or "data" not in body:
        return reply({"error": "'data'"}, 500)
    given = body["data"][0] if isinstance(body["data"], list) and len(body["data"]) == 1 else None
    if not isinstance(given, str) or not given.startswith("data:image/png;base64,"):
        return reply({"error": "expected a list with one data URL"}, 500)
    (scores,) = MODEL(from_png(given.partition(",")[2]))
    order = np.argsort(-scores)
    told = [{"label": LABELS[at], "confidence": float(scores[at])} for at in order]
    return reply({"data": [{"label": LABELS[order[0]], "confidences": told}], "duration": 0.1})


def within(seen):
    """A field within a field, said in plain words."""
    body = posted(seen)
    if not isinstance(body, dict) or not isinstance(body.get("input"), dict) or "img" not in body["input"]:
        return reply({"detail": "- input: img is required\n"}, 422)
    if not isinstance(body["input"]["img"], str) or not body["input"]["img"].startswith("data:"):
        return reply({"detail": "- input.img: must be a data URL\n"}, 422)
    (scores,) = MODEL(from_png(body["input"]["img"].partition(",")[2]))
    return reply({"output": dict(zip(LABELS, scores.tolist(), strict=True))})


def form(seen):
    """A form upload that is described; the address is the base alone."""
    if seen.path == "/openapi.json":
        fields = {"picture": {"type": "string", "format": "binary"}, "k": {"type": "integer", "default": 5}}
        return described("/up", {"required": ["picture"], "properties": fields}, "multipart/form-data")
    if seen.path != "/up" or b'name="picture"' not in seen.body:
        return reply({"error": 1}, 422)
    picture = seen.body.split(b"Content-Type: image/png\r\n\r\n")[1].split(b"\r\n--")[0]
    (scores,) = MODEL(from_png(base64.b64encode(picture).decode()))
    return reply({"r": [{"label": f"LABEL_{at}", "score": float(score)} for at, score in enumerate(scores)]})


def batch_described(seen):
    """A list of pictures in whole numbers; only the description tells, down to the depth of the lists."""
    if seen.path == "/openapi.json":
        schema = {"type": "integer"}
        for _ in range(4):
            schema = {"type": "array", "items": schema}
        return described("/ask", {"required": ["imgs"], "properties": {"imgs": schema}})
    pictures = np.array(posted(seen).get("imgs"))
    if pictures.shape[1:] != (6, 6, 3):
        return reply({"error": "no"}, 400)
    return reply({"out": {"probabilities": MODEL((pictures / 255).transpose(0, 3, 1, 2)).tolist()}})


def paired(seen):
    """Pairs with decimal commas, in a text that holds JSON, as a cloud function returns it."""
    body = posted(seen)
    if not isinstance(body, dict) or "image" not in body:
        return reply({"error": "image missing"}, 400)
    (scores,) = MODEL(from_png(body["image"]))
    told = [[LABELS[at], f"{scores[at]:.4f}".replace(".", ",")] for at in np.argsort(-scores)]
    return reply({"statusCode": 200, "body": json.dumps({"result": told})})


def streamed(seen):
    """An event stream whose last event holds the answer."""
    body = posted(seen)
    if not isinstance(body, dict) or "image" not in body:
        return reply({"error": "image missing"}, 400)
    (scores,) = MODEL(from_png(body["image"]))
    events = [{"event": "start"}, {"event": "done", "scores": scores.tolist()}]
    content = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return Reply(200, content.encode(), {"Content-Type": "text/event-stream"})


SHAPES = {
    "paired": (paired, BUNDLE, "/ask", {"answer": "body.result"}),
    "streamed": (streamed, BUNDLE, "/ask", {"answer": "scores"}),
    "tensor_v2": (
        tensor_v2,
        BUNDLE,
        "/v2/models/m",
        {"adapter": "open-inference-v2", "input_name": "pix", "datatype": "UINT8", "layout": "hwc", "scale": 255.0},
    ),
    "grey_rows": (
        grey_rows,
        GREY_BUNDLE,
        "/ask",
        {"layout": "hw", "label_key": "prediction", "score_key": "confidence"},
    ),
    "label_alone": (label_alone, BUNDLE, "/ask", {"scores": "label", "answer": "result.label"}),
    "other_order": (other_order, BUNDLE, "/ask", {"order": [LABELS[at] for at in (3, 1, 4, 0, 2)]}),
    "instances": (instances, BUNDLE, "/ask", {"body": {"instances": [{"b64": "{{input}}"}]}}),
    "blue_first": (blue_first, BUNDLE, "/ask", {"layout": "hwc", "colours": "bgr", "answer": "probs"}),
    "row_as_a_whole": (row_as_a_whole, TUMOURS, "/ask", {"body": "{{input}}", "encoding": "rows", "scores": "percent"}),
    "row_described": (row_described, TUMOURS, "/ask", {"body": {"patient": "{{input}}", "unit": "si"}}),
    "cells": (cells, TUMOURS, "/ask", {"encoding": "cells"}),
    "doses": (doses, DOSES, "/ask", {"encoding": "rows", "answer": "predictions", "batch": 8}),
    "validated": (validated, BUNDLE, "/ask", {"encoding": "flat", "scores": "percent", "label_key": "verdict"}),
    "ranked": (ranked, BUNDLE, "/ask", {"body": {"pic": "data:image/png;base64,{{input}}"}, "label_key": "class_id"}),
    "listed": (listed, BUNDLE, "/ask", {"answer": "data.0.confidences", "score_key": "confidence"}),
    "within": (within, BUNDLE, "/ask", {"body": {"input": {"img": "data:image/png;base64,{{input}}"}}}),
    "form": (form, BUNDLE, "", {"upload": "picture", "answer": "r"}),
    "batch_described": (batch_described, BUNDLE, "/ask", {"body": {"imgs": "{{inputs}}"}, "layout": "hwc", "batch": 8}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_api_of_each_shape_is_found(shape):
    """What was written is right, and so are nine of ten answers."""
    answer, bundle, path, wanted = SHAPES[shape]
    with ModelServer(
        MODEL, fault=lambda number, seen: answer(seen) if seen.body or answer in DESCRIBED else Reply(404)
    ) as server:
        found = probe(Plan(bundle, server.url + path))
        assert len(server.log) == found.requests <= 12
    assert {name: found.fields.get(name) for name in wanted} == wanted
    assert found.agreement >= 0.9
    assert not found.reading.strange


DESCRIBED = (tensor_v2, row_described, form, batch_described)


@pytest.mark.parametrize(
    ("protocol", "path", "wanted"),
    [
        ("tensorflow-serving-v1", "/v1/models/m:predict", {"model": "m"}),
        ("open-inference-v2", "/v2/models/m/versions/3/infer", {"model": "m", "version": "3"}),
    ],
)
def test_a_protocol_is_known_by_its_address(protocol, path, wanted):
    """Model and version stand in the address; what speaks a protocol is asked by its adapter."""
    with ModelServer(MODEL, protocol, fault=lambda number, seen: None if seen.body else Reply(404)) as server:
        found = probe(Plan(BUNDLE, server.url + path))
    assert found.fields["adapter"] == protocol
    assert {name: found.fields.get(name) for name in wanted} == wanted


def test_a_description_may_come_as_a_file(tmp_path):
    """Nothing is fetched then, and all requests are spent on inputs."""
    (tmp_path / "api.json").write_bytes(batch_described(SimpleNamespace(path="/openapi.json")).body)
    with ModelServer(MODEL, fault=lambda number, seen: batch_described(seen)) as server:
        found = probe(Plan(BUNDLE, f"{server.url}/ask", describe=str(tmp_path / "api.json")))
        assert {seen.path for seen in server.log} == {"/ask"}
    assert found.fields["body"] == {"imgs": "{{inputs}}"}
