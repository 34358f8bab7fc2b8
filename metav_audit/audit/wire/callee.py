"""The process in which a user's Python function runs: it may print, exit or crash, and the audit beside it goes on.

Started as ``python callee.py READ WRITE``, with the numbers of two pipes. Everything on them is a frame: one byte, the
length of what follows, and JSON. Nothing is unpickled on either side. As a program it imports nothing of this package.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from queue import SimpleQueue
from typing import IO, Any

import numpy as np

GOOD, RAISED, ENDED = range(3)
"""What a frame tells: a result, or ready; what was raised; what would have ended Python on import."""

END_S = 5.0
"""Seconds that the process may take to end once nobody asks any more."""

_HEAD = struct.Struct(">BQ")
_MOST_SAID = 500
Function = Callable[[np.ndarray[Any, Any]], Any]
Frame = tuple[int, bytes]


def read_frame(pipe: IO[bytes], most: int) -> Frame | None:
    """Read one frame; None where the pipe ends.

    Raises:
        ValueError: it is no frame, or longer than ``most`` bytes.
    """
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack(head)
    if kind not in (GOOD, RAISED, ENDED) or length > most:
        raise ValueError(f"a frame of kind {kind} and {length} bytes")
    content = pipe.read(length)
    return None if len(content) < length else (kind, content)


def write_frame(pipe: IO[bytes], kind: int, content: bytes) -> None:
    """Write one frame to a pipe without a buffer."""
    rest = memoryview(_HEAD.pack(kind, len(content)) + content)
    while rest:
        rest = rest[pipe.write(rest) :]


def find(url: str) -> Function | Frame:
    """Import the function that ``python:module:function`` names; a frame that says why where that fails."""
    _, module, name = url.split(":")
    try:
        function = getattr(import_module(module), name)
    # The user's module may raise anything while it is imported.
    except Exception as error:
        return RAISED, f"{url}: cannot import {name} of {module} ({_named(error)}): is PYTHONPATH right?".encode()
    except BaseException as error:
        return ENDED, f"{url}: importing {module} would end Python ({_named(error)}): mend the module".encode()
    if not callable(function):
        return RAISED, f"{url}: {name} of {module} is no function".encode()
    return function  # type: ignore[no-any-return]


def answer(function: Function, content: bytes) -> Frame:
    """Call the function with a request's inputs; what it raises is an answer, too."""
    try:
        inputs = np.array(json.loads(content)["inputs"], dtype=np.float32)
        scores = np.asarray(function(inputs), dtype=np.float64)
        return GOOD, json.dumps({"scores": scores.tolist()}).encode()
    except BaseException as error:
        return RAISED, json.dumps({"error": _named(error)}).encode()


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:_MOST_SAID]


def _listen(pipe: IO[bytes], questions: SimpleQueue[bytes | None]) -> None:
    """Hand on what is asked; end the process, whatever it is at, once whoever asks has left."""
    while (frame := read_frame(pipe, sys.maxsize)) is not None:
        questions.put(frame[1])
    questions.put(None)
    time.sleep(END_S)
    os._exit(0)


def main(arguments: list[str]) -> None:
    """Import the function, say so, and answer until nothing more is asked."""
    asked, said = os.fdopen(int(arguments[0]), "rb"), os.fdopen(int(arguments[1]), "wb", buffering=0)
    first = read_frame(asked, sys.maxsize)
    if first is None:
        return None
    told = json.loads(first[1])
    sys.path[:] = told["path"]
    questions: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(asked, questions), daemon=True).start()
    found = find(told["url"])
    if isinstance(found, tuple):
        return write_frame(said, *found)
    write_frame(said, GOOD, b"")
    while (content := questions.get()) is not None:
        write_frame(said, *answer(found, content))
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
