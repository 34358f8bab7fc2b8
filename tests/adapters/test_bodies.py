"""Bodies of every kind over real servers, which read them by other means than the adapters write them."""

from __future__ import annotations

import base64
import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metav_audit_adapters.json_template import JsonTemplate
from PIL import Image

from metav_audit.adapter import Response, find_adapter
from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.audit.folder import audit_into_folder
from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.task import ClassScores, TabularDomain, TaskSpec
from metav_audit.task.domains import CategoryColumn, NumberColumn
from metav_audit.verdict import VerdictOutcome, decide, read
from metav_audit.verify import verify_folder
from tests.adapters.protocols import form
from tests.audit.helpers import Pauses
from tests.builders import linear_model, make_bundle, make_task
from tests.servers import ModelServer, Reply

GREY, COLOUR = make_task(side=6), make_task(channels=3, side=6)
COLUMNS = (NumberColumn("age", 0, 90), NumberColumn("dose", 0.0, 2.5, 0.5), CategoryColumn("kind", ("a", "b, c", 'd"')))
TABLE = TaskSpec(TabularDomain(COLUMNS), ClassScores(("no", "yes")))


def picture(png, mode):
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode) == ("PNG", mode)
        wire = np.asarray(image, np.float64) / 255
    return wire[None, None] if mode == "L" else wire.transpose(2, 0, 1)[None]


def one_channel(wire):
    assert wire.shape[1] == 3
    assert (wire == wire[:, :1]).all()
    return wire[:, :1]


def from_csv(seen):
    return np.array([[float(cell) for cell in line.split(",")] for line in seen.body.decode().splitlines()])


def whole_csv(seen):
    assert not {*seen.body.decode()} - {*"0123456789,\n"}
    return from_csv(seen) / 255


def table(rows):
    """Cells as a scikit-learn pipeline would turn them into what a model sees."""
    kinds = np.array([[row[2] == kind for kind in COLUMNS[2].categories] for row in rows], float)
    numbers = np.array([[int(row[0]) / 90, float(row[1]) / 2.5] for row in rows])
    return np.concatenate([numbers, kinds], axis=1)


def cells(seen):
    return table(list(csv.reader(io.StringIO(seen.body.decode()))))


def named(seen):
    rows = list(csv.DictReader(io.StringIO(seen.body.decode())))
    return table([[row["age"], row["dose"], row["kind"]] for row in rows])


def npy(dtype, scale):
    def read(seen):
        values = np.load(io.BytesIO(seen.body), allow_pickle=False)
        assert values.dtype == dtype
        return values / scale

    return read


def uris(seen):
    found = [each.removeprefix("data:image/png;base64,") for each in json.loads(seen.body)["images"]]
    return np.concatenate([picture(base64.b64decode(each, validate=True), "RGB") for each in found])


def as_lists(scores, kind="application/json"):
    return json.dumps({"result": {"rows": scores.tolist()}}).encode(), "application/json"


def as_one(scores):
    return json.dumps({"result": {"rows": scores[0].tolist()}}).encode(), "application/json"


def as_csv(scores):
    return "\r\n".join(",".join(map(repr, row)) for row in scores.tolist()).encode(), "text/csv; charset=utf-8"


def as_named_csv(scores):
    lines = ["yes,no", *(f"{row[1]!r},{row[0]!r}" for row in scores.tolist())]
    return "\n".join(lines).encode(), "application/octet-stream"


JSON, IN_CSV = {"answer": "result.rows"}, {"receive": "csv"}
BODIES = {
    "picture": (GREY, {"send": "raw", **JSON}, "image/png", lambda seen: picture(seen.body, "L"), as_one),
    "grey picture as colours": (
        GREY, {"send": "raw", "colours": "rgb", "content_type": "application/x-image", **JSON}, "application/x-image",
        lambda seen: one_channel(picture(seen.body, "RGB")), as_one,
    ),
    "blue first": (
        COLOUR, {"send": "raw", "colours": "bgr", **JSON}, "image/png",
        lambda seen: picture(seen.body, "RGB")[:, ::-1], as_one,
    ),
    "grey upload as colours": (
        GREY, {"upload": "file", "body": {"top": "5"}, "colours": "rgb", **JSON}, None,
        lambda seen: one_channel(picture(form(Asked(seen))["file"], "RGB")), as_one,
    ),
    "data URIs of a batch": (
        COLOUR, {"body": {"images": "{{inputs}}"}, "encoding": "data_uri", "batch": 3, **JSON}, "application/json",
        uris, as_lists,
    ),
    "grey data URIs as colours": (
        GREY, {"body": {"images": "{{inputs}}"}, "encoding": "data_uri", "colours": "rgb", "batch": 3, **JSON}, None,
        lambda seen: one_channel(uris(seen)), as_lists,
    ),
    "floats as bytes": (
        COLOUR, {"send": "bytes", "layout": "hwc", **JSON}, "application/octet-stream",
        lambda seen: np.frombuffer(seen.body, "<f4").reshape(1, 6, 6, 3).transpose(0, 3, 1, 2), as_one,
    ),
    "levels as bytes": (
        GREY, {"send": "bytes", "scale": 255, "whole": True, **JSON}, "application/octet-stream",
        lambda seen: np.frombuffer(seen.body, "u1").reshape(1, 1, 6, 6) / 255, as_one,
    ),
    "npy": (GREY, {"send": "npy", "batch": 3, **JSON}, "application/x-npy", npy("<f4", 1), as_lists),
    "npy of levels": (
        GREY, {"send": "npy", "scale": 255, "whole": True, "batch": 3, **JSON}, "application/x-npy", npy("u1", 255),
        as_lists,
    ),
    "npy of wide levels": (
        GREY, {"send": "npy", "scale": 510, "whole": True, **JSON}, "application/x-npy", npy("<i4", 510), as_lists,
    ),
    "csv out and in": (GREY, {"send": "csv", "batch": 3, **IN_CSV}, "text/csv", from_csv, as_csv),
    "csv of whole numbers": (
        GREY, {"send": "csv", "batch": 3, "scale": 255, "whole": True, **JSON}, "text/csv", whole_csv, as_lists,
    ),
    "csv that says so": (GREY, {"body": "{{input}}"}, "application/json",
                         lambda seen: np.array([json.loads(seen.body)]), as_csv),
    "csv of a table": (TABLE, {"send": "csv", "encoding": "cells", "batch": 3, **IN_CSV}, "text/csv", cells, as_csv),
    "csv with names": (
        TABLE, {"send": "csv", "encoding": "rows", "batch": 3, **IN_CSV}, "text/csv", named, as_named_csv,
    ),
}  # fmt: skip


class Asked:
    """A request as ``form`` reads it."""

    def __init__(self, seen):
        self.headers, self.content = {"Content-Type": seen.headers["content-type"]}, seen.body


@pytest.mark.parametrize("case", BODIES)
def test_a_body_of_any_kind_carries_the_fingerprint(tmp_path, case):
    """The target behind a server that reads it by other means matches, and the audit verifies offline."""
    task, options, kind, take, write = BODIES[case]
    bundle, model = make_bundle(queries=6, task=task), linear_model(task, 0)

    def play(number, seen):
        assert kind is None or seen.headers["content-type"] == kind
        assert seen.headers["accept"] == ("text/csv" if options.get("receive") else "*/*")
        content, written = write(model(take(seen).reshape(-1, *task.domain.shape)))
        return Reply(200, content, {"Content-Type": written})

    with ModelServer(None, fault=play) as server:
        asked = Endpoint.open("suspect", {"adapter": "json-template", "url": server.url, **options}, task)
        transcript = audit_endpoint(bundle, asked, tmp_path, sleep=Pauses())
    assert decide(bundle, read(bundle, transcript)).outcome is VerdictOutcome.MATCH


def test_sagemaker_s_own_containers_speak_csv(tmp_path):
    """CSV both ways, the variant pinned and the type that is wanted back named; one line may hold one value of each."""
    fields = {"url": "http://host", "endpoint": "xgb", "variant": "blue", "send": "csv", "encoding": "cells"}
    adapter = find_adapter("sagemaker").open(TABLE, {**fields, "receive": "csv", "batch": 2, "scores": "label"})
    request = adapter.encode(TABLE.domain.sample(2, np.random.default_rng(0)))
    assert request.headers == {
        "Content-Type": "text/csv",
        "Accept": "text/csv",
        "X-Amzn-SageMaker-Target-Variant": "blue",
    }
    for content in (b"yes,no", b"yes\nno\n", b"yes\r\n\r\nno"):
        answers = adapter.decode(Response(200, {}, content), 2)
        assert [answer.scores for answer in answers] == [(None, 1.0), (1.0, None)]


def test_an_audit_in_csv_verifies_offline(tmp_path):
    """What the adapter writes is written again, byte for byte."""
    bundle, model = make_bundle(queries=6, task=GREY), linear_model(GREY, 0)

    def play(number, seen):
        content, kind = as_csv(model(from_csv(seen).reshape(-1, 1, 6, 6)))
        return Reply(200, content, {"Content-Type": kind})

    with ModelServer(None, fault=play) as server:
        for adapter in ("json-template", "azure-ml"):
            fields = {"adapter": adapter, "url": server.url, "send": "csv", "receive": "csv"}
            audit_into_folder(bundle, Endpoint.open("a", fields, GREY), tmp_path / adapter, sleep=Pauses())
            steps = {step.name: step.status.value for step in verify_folder(tmp_path / adapter)}
            assert steps["inputs sent, answers decoded again"] == "pass", steps


def opened(task=GREY, **options):
    return JsonTemplate.open(task, {"url": "http://host", **options})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"send": "raw", "body": "{{input}}"}, "body: it says what is sent, and so does send = raw"),
        ({"send": "csv", "upload": "file"}, "upload: it says what is sent"),
        ({"send": "raw", "batch": 2}, "one input a request"),
        ({"send": "bytes", "batch": 2}, "one input a request"),
        ({"send": "csv", "encoding": "data_uri"}, "numbers or cells"),
        ({"send": "bytes", "whole": True, "scale": 510}, "uint8, 0 to 255"),
        ({"send": "bytes", "whole": True}, "would be the same whole ones"),
        ({"send": "raw", "task": TABLE}, "no pictures"),
        ({"send": "csv", "receive": "csv", "answer": "rows"}, "receive = csv has none"),
        ({"send": "raw", "content_type": "image/png\r\nX: 1"}, "content_type"),
        ({"send": "jpeg"}, "send"),
    ],
)
def test_a_body_that_cannot_be_is_refused(options, said):
    """With the option's name, before anything is sent."""
    with pytest.raises(ConfigurationError, match=said):
        opened(**options)


@given(st.binary(max_size=300) | st.text("0123456789.,\r\n\"'abc", max_size=60).map(str.encode), st.integers(1, 4))
def test_whatever_comes_as_csv_is_an_answer_or_an_answer_error(content, count):
    """Quotes, ragged rows, bytes of any kind."""
    for scores in ("probability", "label"):
        adapter = opened(send="csv", receive="csv", scores=scores)
        try:
            answers = adapter.decode(Response(200, {}, content), count)
        except AnswerError:
            continue
        assert len(answers) == count
