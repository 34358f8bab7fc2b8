"""How the program ends: one line on stderr and an exit code; whatever goes wrong never looks like a verdict."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click

from metav_audit.cli.echo import echo
from metav_audit.config import HANDED_OUT

FAULT = 70
"""Exit code of a fault of ours, or of code that we called: never 0 or 1, which are verdicts."""
NO_OUTPUT = 74
"""Exit code where stdout takes no more."""
_LEAST_SECRET = 8
"""Characters that a variable's value must have to be looked for in a traceback."""


def fail(message: str, code: int) -> NoReturn:
    """Say in one line what went wrong, and end."""
    with suppress(OSError):
        echo(f"metav-audit: {message}", err=True)
    sys.exit(code)


def check_outputs() -> None:
    """End where there is no stdout to tell a verdict on; where there is no stderr, what goes there goes nowhere.

    A closed descriptor is filled first: the next file that is opened would get its number, and others' words with it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - it lasts as long as the program
    if sys.stdout is None:
        fail("stdout is closed: there is nowhere to tell what comes out; give it a file, or /dev/null", NO_OUTPUT)


def end_without_output(error: BaseException) -> NoReturn:
    """End where nothing can be printed: the disk is full, or the reader has left."""
    # What is still buffered would be written at the very end, and fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    why = error.strerror if isinstance(error, OSError) else "its reader has left"
    fail(f"cannot write to stdout ({why}): what was finished stands in its folder", NO_OUTPUT)


def end_of_memory() -> NoReturn:
    """End where the machine has no memory left."""
    fail("there is not enough memory: these files are larger than they look, or the machine is small", 4)


def end_by_a_fault(error: BaseException) -> NoReturn:
    """End by what nobody foresaw; its traceback goes into a file, without any variable's value in it."""
    told = f"{type(error).__name__}, a fault of metav-audit or of code that it called"
    try:
        handle, path = tempfile.mkstemp(prefix="metav-audit-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(_without_secrets("".join(traceback.format_exception(error))))
    except OSError:
        fail(f"{told}; its traceback could not be written to {tempfile.gettempdir()}", FAULT)
    fail(f"{told}: please report it with {path}", FAULT)


def leave_traceback(error: BaseException) -> None:
    """Say where the traceback of a fault beside which others' work went on stands."""
    with suppress(SystemExit):
        end_by_a_fault(error.__cause__ or error)


def is_output(error: BaseException) -> bool:
    """Say whether it is click that failed: it wrote where nothing can be written, or ends since a reader has left."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    in_click = any(Path(frame.filename).parent == Path(click.__file__).parent for frame in last)
    return in_click and isinstance(error, OSError | SystemExit)


def _without_secrets(text: str) -> str:
    """Take out the values of variables and what clouds' libraries gave: no secret comes from elsewhere. Paths stay.

    Words that begin or end like one go, too, and lines that show one in another spelling, such as base64.
    """
    values = sorted({*os.environ.values(), *HANDED_OUT}, key=len, reverse=True)
    values = [value for value in values if len(value) >= _LEAST_SECRET and not os.path.exists(value)]
    for value in values:
        text = text.replace(value, "***")
    telling = [value for value in values if not any(map(os.path.exists, value.split(os.pathsep)))]
    for value in telling:
        if len(value) >= 2 * _LEAST_SECRET:
            parts = "|".join(map(re.escape, (value[:_LEAST_SECRET], value[-_LEAST_SECRET:])))
            text = re.sub(rf"[^\s'\"]*(?:{parts})[^\s'\"]*", "***", text)
    return "".join(_unless_spelled(text.splitlines(keepends=True), telling))


def _unless_spelled(lines: list[str], values: list[str]) -> Iterator[str]:
    from metav_audit.audit.endpoint.echoes import Echoes

    spelled = Echoes((value, value) for value in values)
    for line in lines:
        yield line if spelled.find(line.encode("utf-8", "replace")) is None else "[a line that showed a secret]\n"
