"""The middleware: what a client gets, and that nothing undithered is ever served."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from metav_audit.errors import ConfigurationError
from metav_audit.serving.dithering import MAX_BODY_BYTES, DitherMiddleware, JsonApi
from metav_audit.task import Dither, ScoreKind, input_bytes
from tests.builders import make_task

TASK = make_task(classes=3, side=2)
NAMES = TASK.output.labels
DITHER = Dither(bytes(range(32)), 2.0, 1.0)
OWN = [0.4, 0.35, 0.25]


def answering(answer, status=200, headers=()):
    """An ASGI application that reads the body and answers JSON, in two parts."""

    async def app(scope, receive, send):
        asked = json.loads((await receive())["body"])
        body = json.dumps(answer(asked) if callable(answer) else answer).encode()
        own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
        await send({"type": "http.response.start", "status": status, "headers": own})
        await send({"type": "http.response.body", "body": body[:5], "more_body": True})
        await send({"type": "http.response.body", "body": body[5:]})

    return app


def exchange(app, asked, account="acme", path="/classify", parts=1):
    """Send one request to an application; return status and body."""
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    step = max(1, -(-len(body) // parts))
    chunks = [body[at : at + step] for at in range(0, len(body), step)] or [b""]
    messages = [
        {"type": "http.request", "body": chunk, "more_body": at + 1 < len(chunks)} for at, chunk in enumerate(chunks)
    ]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    headers = [(b"x-account", account.encode())] if account else []
    asyncio.run(app({"type": "http", "path": path, "headers": headers}, receive, send))
    content = b"".join(each.get("body", b"") for each in sent)
    told = dict(sent[0]["headers"])
    assert int(told[b"content-length"]) == len(content)
    return sent[0]["status"], json.loads(content)


def dithering(app, **more):
    return DitherMiddleware(app, DITHER, TASK, JsonApi(paths=["/classify"], account="X-Account", **more))


def due(inputs, own, account="acme"):
    """What the dither makes of answers to nested inputs."""
    names = input_bytes(TASK.domain.project(np.array(inputs, np.float32)))
    return DITHER.served(np.array(own), DITHER.coins(account, names))


INPUT = [[[0.1, 0.2], [0.3, 0.4]]]


def test_one_input_is_answered_with_its_coin():
    """And the label follows the scores; other fields stay."""
    app = dithering(answering({"scores": OWN, "label": NAMES[0], "model": "m"}), label="label")
    status, body = exchange(app, {"input": INPUT}, parts=3)
    served = due([INPUT], [OWN])[0]
    assert status == 200
    np.testing.assert_allclose(body["scores"], served)
    assert body["label"] == NAMES[int(served.argmax())]
    assert body["model"] == "m"


def test_a_batch_within_other_objects_and_scores_by_label():
    """Each input has its own coin, each account its own coins; objects keep their other fields."""
    inputs = [(np.array(INPUT) * scale).tolist() for scale in np.linspace(0.1, 1, 12)]
    rows = [{"result": {"rows": [dict(zip(NAMES, OWN, strict=True)) | {"id": 7}] * 12}}][0]
    app = dithering(answering(rows), input="data.x", scores="result.rows")
    seen = []
    for account in ("acme", "zenith"):
        _, body = exchange(app, {"data": {"x": inputs}}, account)
        served = np.array([[row[name] for name in NAMES] for row in body["result"]["rows"]])
        np.testing.assert_allclose(served, due(inputs, [OWN] * 12, account))
        assert all(row["id"] == 7 for row in body["result"]["rows"])
        seen.append(served)
    assert (seen[0] != seen[1]).any()


def test_labels_alone():
    """The scores are taken out of the answer, the label that they make is left."""
    app = dithering(answering({"scores": [OWN], "label": ["?"]}), label="label", labels_only=True)
    _, body = exchange(app, {"input": [INPUT]})
    assert body == {"label": [NAMES[int(due([INPUT], [OWN])[0].argmax())]]}


def test_logits_and_the_whole_body():
    """Scores of another form, as the body itself."""
    app = dithering(answering([np.log(OWN).tolist()]), input="@", scores="@", kind=ScoreKind.LOGIT)
    _, body = exchange(app, [INPUT])
    np.testing.assert_allclose(np.exp(body), due([INPUT], [OWN]))


def test_errors_and_other_paths_go_through():
    """The application's own refusal, and what is no prediction."""
    assert exchange(dithering(answering({"why": "no"}, 422)), {"input": INPUT}) == (422, {"why": "no"})
    assert exchange(dithering(answering({"up": True})), {}, account="", path="/health")[1] == {"up": True}


@pytest.mark.parametrize(
    ("answer", "asked", "status"),
    [
        ({"scores": OWN}, {"other": INPUT}, 500),
        ({"other": OWN}, {"input": INPUT}, 500),
        ({"scores": OWN[:2]}, {"input": INPUT}, 500),
        ({"scores": [OWN, OWN]}, {"input": [INPUT]}, 500),
        ({"scores": ["a", "b", "c"]}, {"input": INPUT}, 500),
        ({"scores": []}, {"input": []}, 500),
        ({"scores": None}, {"input": INPUT}, 500),
        ([OWN], {"input": INPUT}, 500),
        ({"scores": OWN}, {"input": [[1, 2, 3]]}, 422),
        ({"scores": OWN}, {"input": "text"}, 422),
    ],
)
def test_what_cannot_be_dithered_is_not_served(answer, asked, status):
    """The client gets an error without any score."""
    told, body = exchange(dithering(answering(answer)), asked)
    assert told == status
    assert list(body) == ["error"]


def test_compressed_answers_and_unnamed_accounts_are_refused():
    """Both with a sentence that says what to do."""
    packed = dithering(answering({"scores": OWN}, headers=[(b"Content-Encoding", b"gzip")]))
    assert "compression outside" in exchange(packed, {"input": INPUT})[1]["error"]
    assert exchange(dithering(answering({"scores": OWN})), {"input": INPUT}, account="")[0] == 401


def test_a_huge_body_is_refused_before_the_application_sees_it(monkeypatch):
    """With 413."""
    monkeypatch.setattr("metav_audit.serving.dithering.MAX_BODY_BYTES", 10)
    assert MAX_BODY_BYTES > 1 << 20
    assert exchange(dithering(answering({"scores": OWN})), {"input": INPUT})[0] == 413


def test_what_cannot_work_is_refused_at_the_start():
    """A form that cannot be moved, and labels alone without a label."""
    with pytest.raises(ConfigurationError, match="moves the scores"):
        dithering(answering({}), kind=ScoreKind.LABEL)
    with pytest.raises(ConfigurationError, match="labels_only"):
        JsonApi(paths=[], account="x", labels_only=True)
