"""An ASGI middleware that dithers what a classifier serves, before it leaves the owner's house.

It needs no framework: put it around Starlette, FastAPI, BentoML, or any other application that answers JSON. What it
was told to dither and cannot is never served: the client gets an error.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metav_audit.errors import ConfigurationError
from metav_audit.files import strict_json
from metav_audit.task import Dither, ScoreKind, TaskSpec
from metav_audit.transcript.log import InputReader

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 64 << 20
_WHOLE = "@"


class _RefusedError(Exception):
    """An exchange is ended with this status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class JsonApi:
    """How an application answers in JSON; places are names joined by dots, "@" the whole body.

    Where the answer's scores are a list of lists, or of objects by label, the input is a list of as many inputs; where
    they are one, it is one.

    Attributes:
        paths: URL paths whose answers are dithered; all others go through as they are.
        account: the header that names the account, or a function from the ASGI scope to its name; None is refused. It
            must be the name that stands in the request log.
        input: the place of the input, or inputs, in the request, of the forms that the request log reads.
        scores: the place of the scores in the answer.
        label: the place of the label, or labels, in the answer, which then follow the scores; None where there is none.
        labels_only: whether the scores are taken out of the answer.
        kind: the form of the scores.
        eight_bit: whether pictures given as numbers are 0 .. 255.

    Raises:
        ConfigurationError: ``labels_only`` is without ``label``.
    """

    paths: Sequence[str]
    account: str | Callable[[Scope], str | None]
    input: str = "input"
    scores: str = "scores"
    label: str | None = None
    labels_only: bool = False
    kind: ScoreKind = ScoreKind.PROBABILITY
    eight_bit: bool = False

    def __post_init__(self) -> None:
        if self.labels_only and self.label is None:
            raise ConfigurationError("labels_only leaves nothing to serve: name the place of the label")


class DitherMiddleware:
    """Dithers the scores in an application's answers, by the coin of each account and input.

    Args:
        app: the application behind.
        dither: key and sizes, see ``read_dither``.
        task: what the model takes and gives.
        api: where things stand in requests and answers.

    Raises:
        ConfigurationError: the task is no classification, or the scores have a form that cannot be moved.
    """

    def __init__(self, app: App, dither: Dither, task: TaskSpec, api: JsonApi) -> None:
        if not task.output.labelled or api.kind not in task.output.score_kinds or api.kind is ScoreKind.LABEL:
            raise ConfigurationError("dither moves the scores of a classification: this task, or form, has none")
        self._app, self._dither, self._api = app, dither, api
        self._account = api.account if callable(api.account) else _header(api.account)
        self._paths, self._names = frozenset(api.paths), task.output.labels
        self._reader = InputReader(task.domain, eight_bit=api.eight_bit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        try:
            start, content = await self._exchange(scope, receive)
        except _RefusedError as refused:
            content = json.dumps({"error": str(refused)}).encode()
            start = {"type": "http.response.start", "status": refused.status, "headers": [_JSON]}
        kept = [pair for pair in start.get("headers", ()) if bytes(pair[0]).lower() != b"content-length"]
        start["headers"] = [*kept, (b"content-length", str(len(content)).encode())]
        await send(start)
        await send({"type": "http.response.body", "body": content})

    async def _exchange(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """Let the application answer, and dither what it says unless that is an error."""
        account = self._account(scope)
        if not account:
            raise _RefusedError(401, "the request names no account")
        sent = await _body(receive)
        start, content = await _answered(self._app, scope, sent, receive)
        if not 200 <= start["status"] < 300:
            return start, content
        if any(bytes(name).lower() == b"content-encoding" for name, _ in start.get("headers", ())):
            raise _RefusedError(500, "the answer is compressed before it is dithered: put compression outside")
        return start, self._dithered(account, sent, content)

    def _dithered(self, account: str, sent: bytes, content: bytes) -> bytes:
        try:
            answer = {_WHOLE: strict_json(content)}
            given, asked = _get(answer, self._api.scores), _get({_WHOLE: strict_json(sent)}, self._api.input)
            single = isinstance(given, Mapping) or not isinstance(given[0], list | Mapping)
            rows = [given] if single else given
            scores = np.array([self._row(row) for row in rows], dtype=np.float64)
            inputs = self._reader.read([asked] if single else asked)
            if scores.shape != (len(inputs), len(self._names)) or not np.isfinite(scores).all():
                raise ValueError("as many inputs as answers, each with a score for every label, are needed")
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise _RefusedError(500, f"the answer cannot be dithered: {type(error).__name__}: {error}"[:200]) from None
        known = [each for each in inputs if isinstance(each, bytes)]
        if len(known) < len(inputs):
            raise _RefusedError(422, f"an input is none of the task: {next(x for x in inputs if isinstance(x, str))}")
        served = self._dither.served(scores, self._dither.coins(account, known), self._api.kind)
        written = [self._like(row, new) for row, new in zip(rows, served.tolist(), strict=True)]
        labels = [self._names[at] for at in served.argmax(axis=1)]
        if self._api.labels_only:
            _drop(answer, self._api.scores)
        else:
            _put(answer, self._api.scores, written[0] if single else written)
        if self._api.label is not None:
            _put(answer, self._api.label, labels[0] if single else labels)
        return json.dumps(answer[_WHOLE], ensure_ascii=False, allow_nan=False).encode()

    def _row(self, row: Any) -> list[float]:
        return [row[name] for name in self._names] if isinstance(row, Mapping) else row

    def _like(self, row: Any, scores: list[float]) -> Any:
        """Write scores as the application wrote its own."""
        return {**row, **dict(zip(self._names, scores, strict=True))} if isinstance(row, Mapping) else scores


_JSON = (b"content-type", b"application/json")


def _header(name: str) -> Callable[[Scope], str | None]:
    wanted = name.lower().encode()

    def account(scope: Scope) -> str | None:
        return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted), None)

    return account


async def _body(receive: Receive) -> bytes:
    """Read the request whole."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _RefusedError(400, "the client went away")
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > MAX_BODY_BYTES:
            raise _RefusedError(413, f"the body has more than {MAX_BODY_BYTES} bytes: ask less at once")
    return b"".join(parts)


async def _answered(app: App, scope: Scope, sent: bytes, receive: Receive) -> tuple[Message, bytes]:
    """Let the application answer a body that was read, and return its answer whole."""
    waiting: list[Message] = [{"type": "http.request", "body": sent, "more_body": False}]
    start: Message = {}
    parts: list[bytes] = []

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    async def take(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await app(scope, again, take)
    if not start:
        raise _RefusedError(500, "the application did not answer")
    return start, b"".join(parts)


def _get(body: Mapping[str, Any], place: str) -> Any:
    value: Any = body[_WHOLE]
    for name in () if place == _WHOLE else place.split("."):
        value = value[name]
    return value


def _home(body: dict[str, Any], place: str) -> tuple[dict[str, Any], str]:
    """Return the object that holds a place, and its name there."""
    if place == _WHOLE:
        return body, _WHOLE
    above, _, name = place.rpartition(".")
    return _get(body, above or _WHOLE), name


def _put(body: dict[str, Any], place: str, value: Any) -> None:
    home, name = _home(body, place)
    home[name] = value


def _drop(body: dict[str, Any], place: str) -> None:
    home, name = _home(body, place)
    del home[name]
