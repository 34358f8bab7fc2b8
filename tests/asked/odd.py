"""Odd APIs over a model, each as one function of a request: none of them speaks a protocol that an adapter knows."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tests.servers import Fault, Model, Reply, Seen

KEY = "tr0ub4dor-and-3-more"


def reply(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def field_required(*path: str) -> Reply:
    """How FastAPI refuses a request without a field."""
    said = {"type": "missing", "loc": ["body", *path], "msg": "Field required", "input": None}
    return reply({"detail": [said]}, 422)


def from_png(text: str) -> np.ndarray:
    """A picture in base64 as a model sees it."""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))), np.float32) / 255
    return picture.reshape(*picture.shape[:2], -1).transpose(2, 0, 1)[None]


def posted(seen: Seen) -> Any:
    try:
        return json.loads(seen.body)
    except ValueError:
        return None


def percents(model: Model, names: Sequence[str], key: str = KEY) -> Fault:
    """Nested percent strings with labels of its own, for who has the key; a picture in base64, two levels deep."""

    def answer(number: int, seen: Seen) -> Reply:
        if seen.headers.get("x-api-key") != key:
            return reply({"message": f"no such key: {seen.headers.get('x-api-key')}"}, 401)
        if seen.path != "/v3/recognise":
            return reply({"message": "no such path"}, 404)
        picture = posted(seen).get("payload", {}).get("picture")
        if picture is None:
            return field_required("payload", "picture")
        (scores,) = model(from_png(picture))
        ranked = [{"title": names[at], "share": f"{100 * scores[at]:.4f} %"} for at in np.argsort(-scores)]
        return reply({"request_id": f"r-{number}", "outcome": {"took_ms": 3, "ranking": ranked}})

    return answer


def integers(model: Model) -> Fault:
    """Channels last, whole numbers of 0..255; the scores are logits in a bare list."""

    def answer(number: int, seen: Seen) -> Reply:
        body = posted(seen)
        if not isinstance(body, dict) or "pixels" not in body:
            return reply({"error": "bad request: 'pixels' is required"}, 400)
        rows = np.array(body["pixels"], object)
        if rows.ndim != 3 or rows.shape[2] != 3 or not all(type(one) is int for one in rows.ravel()):
            return reply({"error": "pixels: expected whole numbers, height x width x channels"}, 400)
        (scores,) = model((rows.astype(np.float32) / 255).transpose(2, 0, 1)[None])
        return reply({"version": 4, "y": np.log(scores + 1e-9).tolist()})

    return answer


def jobs(model: Model, names: Sequence[str]) -> Fault:
    """Submit, then poll twice; the result is two parallel lists, the likeliest first."""
    held: dict[str, Any] = {}
    polls: dict[str, itertools.count[int]] = {}

    def answer(number: int, seen: Seen) -> Reply:
        if seen.path == "/queue":
            body = posted(seen)
            if not isinstance(body, dict) or not isinstance(body.get("image"), str):
                return reply({"reason": "an image is needed"}, 400)
            ticket = f"j{number:04d}"
            held[ticket], polls[ticket] = model(from_png(body["image"]))[0], itertools.count()
            return reply({"job": {"id": ticket, "state": "queued"}}, 202)
        ticket = seen.path.removeprefix("/queue/")
        if ticket not in held:
            return reply({"reason": "not found"}, 404)
        if next(polls[ticket]) < 1:
            return reply({"job": {"id": ticket, "state": "running"}})
        order = np.argsort(-held[ticket])
        output = {"names": [names[at] for at in order], "confidences": [float(held[ticket][at]) for at in order]}
        return reply({"job": {"id": ticket, "state": "finished"}, "output": output})

    return answer


def arrays(model: Model, names: Sequence[str], undo: Callable[[np.ndarray], np.ndarray], *, last: bool) -> Fault:
    """Takes any numbers of the right shape, and silently has its own idea of their range and order."""

    def answer(number: int, seen: Seen) -> Reply:
        body = posted(seen)
        if not isinstance(body, dict) or "image" not in body:
            return reply({"error": "image missing"}, 400)
        shape = np.array(body["image"], object).shape
        if len(shape) != 3 or shape[2 if last else 0] != 3:
            return reply({"error": "image: 3-d array expected"}, 400)
        numbers = np.array(body["image"], np.float32)[None]
        (scores,) = model(undo(numbers.transpose(0, 3, 1, 2) if last else numbers))
        return reply({"p": dict(zip(names, scores.tolist(), strict=True))})

    return answer
