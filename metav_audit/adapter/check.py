"""The adapter contract as one call: a third party checks its own adapter with a line in a test."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, NoReturn
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from metav_audit.adapter.contract import Adapter, Outcome, Request, Response, Wait
from metav_audit.errors import FOREIGN, AnswerError, MetavAuditError
from metav_audit.task import Answer, Inputs, ScoreKind, TaskSpec, check_answer

Scores = NDArray[np.float64]
Respond = Callable[[Request, Scores], Response]

_MAX_STEPS = 100
_JUNK = (
    b"",
    b" \n",
    b"<html><body>It works!</body></html>",
    b'{"outputs": [{"da',
    b"null",
    b"[]",
    b"{}",
    b"0",
    b'"text"',
    b"[[[[[[[[[[1]]]]]]]]]]",
    b"\xff\xfe\x00",
    b"[" * 5000,
)


class AdapterContractError(MetavAuditError, AssertionError):
    """An adapter breaks its contract; ``failures`` lists how, one sentence each."""

    def __init__(self, name: str, failures: list[str]) -> None:
        super().__init__(f"adapter {name} breaks its contract: " + "; ".join(failures))
        self.failures = failures


def check_adapter(
    adapter: Adapter | type[Adapter],
    task: TaskSpec | None = None,
    fields: Mapping[str, Any] | None = None,
    *,
    respond: Respond,
) -> None:
    """Check that an adapter fulfils its contract.

    ``respond(request, scores)`` plays the server: it reads the request and writes a response that holds ``scores``,
    float64 of shape (count, classes), in the kind of score the adapter declares. An example, for a test::

        def respond(request: Request, scores: np.ndarray) -> Response:
            return Response(200, {}, json.dumps({"predictions": scores.tolist()}).encode())

        check_adapter(MyAdapter, task, {"url": "http://host", "model": "m"}, respond=respond)

    Args:
        adapter: the class, opened here with ``task`` and ``fields``, or an instance.
        task: the task to open it for.
        fields: its options, as in an endpoint file.
        respond: plays the server.

    Raises:
        AdapterContractError: with the list of everything that failed.
        ConfigurationError: the adapter refuses its options.
    """
    with _no_sockets():
        opened = _opened(adapter, task, fields)
        check = _Check(opened, respond)
        failures = [failure for part in check.parts() for failure in _failures(part)]
    if failures:
        raise AdapterContractError(opened.name, failures)


def _opened(adapter: Adapter | type[Adapter], task: TaskSpec | None, fields: Mapping[str, Any] | None) -> Adapter:
    if isinstance(adapter, Adapter):
        return adapter
    if task is None or fields is None:
        raise TypeError("give task and fields along with an adapter class")
    return adapter.open(task, fields)


class _Check:
    """The parts of the contract; each yields a sentence for what is broken."""

    def __init__(self, adapter: Adapter, respond: Respond) -> None:
        self._adapter = adapter
        self._respond = respond
        self._rng = np.random.default_rng(0)

    def parts(self) -> list[Callable[[], Iterator[str]]]:
        return [
            self._named,
            self._encodes,
            self._round_trips,
            self._refuses_junk,
            self._refuses_counts,
            self._classifies,
        ]

    def _named(self) -> Iterator[str]:
        for attribute in ("name", "summary"):
            if not isinstance(getattr(self._adapter, attribute, None), str):
                yield f"it has no {attribute}"

    def _encodes(self) -> Iterator[str]:
        for count in self._counts():
            inputs = self._inputs(count)
            before, request = inputs.copy(), self._adapter.encode(inputs)
            if not isinstance(request, Request) or not isinstance(request.content, bytes):
                yield "encode does not return a Request with a body in bytes"
            if request != self._adapter.encode(inputs):
                yield "encode is not deterministic: the same inputs gave another request"
            if not np.array_equal(before, inputs):
                yield "encode changes the inputs it is given"

    def _round_trips(self) -> Iterator[str]:
        for count in self._counts():
            scores = self._scores(count)
            answers = self._drive(self._inputs(count), scores)
            if len(answers) != count:
                yield f"{count} inputs gave {len(answers)} answers"
                continue
            for answer, row in zip(answers, scores, strict=True):
                check_answer(answer, self._adapter.task.output, self._adapter.options.scores)
                if not _agrees(answer, row):
                    yield f"a batch of {count}: the answers are not the scores that were sent"
                    break

    def _refuses_junk(self) -> Iterator[str]:
        for junk in _JUNK:
            yield from self._refusal(Response(200, {}, junk), 1, f"the body {junk[:24]!r}")
        count = self._counts()[-1]
        whole = self._respond(self._adapter.encode(self._inputs(count)), self._scores(count)).content
        yield from self._refusal(Response(200, {}, whole[: len(whole) // 2]), count, "a body cut in half")

    def _refuses_counts(self) -> Iterator[str]:
        count = self._counts()[-1]
        response = self._respond(self._adapter.encode(self._inputs(count)), self._scores(count))
        if count > 1:
            yield from self._refusal(response, count + 1, "an answer too few")
            yield from self._refusal(response, count - 1, "an answer too many")

    def _classifies(self) -> Iterator[str]:
        for status in range(100, 600):
            for content in (b"", b"{}", b"<html>"):
                if not isinstance(self._adapter.classify(Response(status, {}, content)), Outcome):
                    yield f"classify of HTTP {status} is no Outcome"
        for status, expected in ((200, Outcome.OK), (401, Outcome.AUTH)):
            if self._adapter.classify(Response(status, {}, b"{}")) is not expected:
                yield f"classify of HTTP {status} is not {expected}"

    def _refusal(self, response: Response, count: int, what: str) -> Iterator[str]:
        try:
            answers = self._adapter.decode(response, count)
            for answer in answers:
                check_answer(answer, self._adapter.task.output, self._adapter.options.scores)
        except AnswerError:
            return
        except FOREIGN as error:
            yield f"decode of {what} raised {type(error).__name__}, not AnswerError"
        else:
            # What is empty may be an answer that shows nothing.
            if len(answers) != count or any(score is not None for each in answers for score in each.scores):
                yield f"decode accepted {what}"

    def _drive(self, inputs: Inputs, scores: Scores) -> list[Answer]:
        flow: Generator[Any, Any, list[Answer]] = self._adapter.flow(inputs)
        response: Response | None = None
        for _ in range(_MAX_STEPS):
            try:
                step = flow.send(response)
            except StopIteration as end:
                return list(end.value)
            if not isinstance(step, Request | Wait):
                raise TypeError(f"flow yields a {type(step).__name__}, neither a Request nor a Wait")
            response = self._respond(step, scores) if isinstance(step, Request) else None
        raise TypeError(f"flow does not end within {_MAX_STEPS} steps")

    def _counts(self) -> tuple[int, ...]:
        return (1,) if self._adapter.options.batch == 1 else (1, min(3, self._adapter.options.batch))

    def _inputs(self, count: int) -> Inputs:
        return self._adapter.task.domain.sample(count, np.random.default_rng(count))

    def _scores(self, count: int) -> Scores:
        space, rng = self._adapter.task.output, np.random.default_rng(count)
        logits = rng.normal(size=(count, space.size))
        if not space.labelled:
            return space.shown(np.clip(0.2 * logits, -0.5, 0.5))
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        kinds = {ScoreKind.PERCENT: 100 * shares, ScoreKind.LOG_PROBABILITY: np.log(shares), ScoreKind.LOGIT: logits}
        return np.asarray(kinds.get(self._adapter.options.scores, shares))


def _failures(part: Callable[[], Iterator[str]]) -> list[str]:
    try:
        return list(dict.fromkeys(part()))
    except FOREIGN as error:
        return [f"{part.__name__.strip('_')}: {type(error).__name__}: {error}"]


def _agrees(answer: Answer, row: Scores) -> bool:
    return all(
        score is None or abs(score - sent) <= 1e-4 * max(1.0, abs(sent))
        for score, sent in zip(answer.scores, row, strict=True)
    )


@contextlib.contextmanager
def _no_sockets() -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise OSError("an adapter does no I/O: it encodes and decodes, the client sends")

    with contextlib.ExitStack() as stack:
        for name in ("connect", "connect_ex"):
            stack.enter_context(mock.patch.object(socket.socket, name, refuse))
        for name in ("create_connection", "getaddrinfo"):
            stack.enter_context(mock.patch.object(socket, name, refuse))
        yield
