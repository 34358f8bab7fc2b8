"""A model that is a Python function of this very process: ``python:module:function`` stands in for an address.

The function takes float32 inputs of shape (batch, *domain.shape) and returns scores of shape (batch, classes). It is
asked like any endpoint: each call is reserved, journaled and counted by the same client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from importlib import import_module
from types import TracebackType
from typing import Any, Self

import numpy as np

from metav_audit.adapter import Request, Response
from metav_audit.audit.endpoint.file import Limits
from metav_audit.audit.endpoint.grant import SCHEME
from metav_audit.audit.wire.transport import FaultKind, TransportError
from metav_audit.errors import FOREIGN, ConfigurationError

Function = Callable[[np.ndarray[Any, Any]], Any]


def find_function(url: str) -> Function:
    """Import the function that ``python:module:function`` names.

    Raises:
        ConfigurationError: there is no such module or function, or importing it fails.
    """
    module, _, name = url.removeprefix(SCHEME).partition(":")
    try:
        function = getattr(import_module(module), name)
    # The user's module may raise anything while it is imported.
    except FOREIGN as error:
        why = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"{url}: cannot import {name} of {module} ({why}): is PYTHONPATH right?") from None
    if not callable(function):
        raise ConfigurationError(f"{url}: {name} of {module} is no function")
    return function  # type: ignore[no-any-return]


class LocalTransport:
    """Answers each request by a call in a thread, one at a time: a model need not be safe to call from several.

    Args:
        function: takes the inputs, returns the scores.
        limits: how long a call may take.
    """

    def __init__(self, function: Function, limits: Limits) -> None:
        self._function, self._limits = function, limits
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open."""

    async def send(self, request: Request, headers: Mapping[str, str], seconds: float) -> Response:
        """Call the function; what it raises is an answer of status 500. Headers go nowhere.

        Raises:
            TransportError: it takes too long. Python cannot stop it; its result is dropped.
        """
        del headers
        try:
            async with self._turn, asyncio.timeout(min(seconds, self._limits.total_s)):
                return await asyncio.to_thread(self._answer, request.content)
        except TimeoutError:
            raise TransportError(FaultKind.TIMEOUT, "the function took longer than one request may") from None

    def _answer(self, content: bytes) -> Response:
        try:
            inputs = np.array(json.loads(content)["inputs"], dtype=np.float32)
            scores = np.asarray(self._function(inputs), dtype=np.float64)
            return Response(200, {}, json.dumps({"scores": scores.tolist()}).encode())
        # The user's function may raise anything, and in its thread nothing else does.
        except BaseException as error:
            return Response(500, {}, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
