"""Paths into foreign JSON: dotted ones, and JMESPath where a path has what only that has."""

from __future__ import annotations

import re
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from metav_audit.adapter import AnswerError, parse_once, said_in

_JMESPATH = re.compile(r'[\[\]*|{}()"`&]')


def check_path(path: str) -> str:
    """Return a path as it is, for an option's validation.

    Raises:
        ValueError: it is JMESPath, and not valid.
    """
    if _JMESPATH.search(path):
        try:
            jmespath.compile(path)
        except JMESPathError as error:
            raise ValueError(f"this is no valid JMESPath: {str(error).splitlines()[0]}") from None
    return path


def is_plain(key: str) -> bool:
    """Say whether a key can be a step of a dotted path."""
    return "." not in key and not _JMESPATH.search(key)


def walk(body: Any, path: str, option: str, *, whole: bool = False) -> Any:
    """Follow a dotted path such as ``result.0.scores``, or JMESPath; ``option`` is where the user wrote it.

    A text on the way, or at the end unless ``whole``, that holds a JSON object or list is taken for what it holds.

    Raises:
        AnswerError: it leads nowhere; the message names the step and what is there instead.
    """
    if _JMESPATH.search(path):
        found = _searched(body, path, option)
        return found if whole else unwrapped(found)
    for step in path.split(".") if path else []:
        body = unwrapped(body)
        if isinstance(body, dict) and step in body:
            body = body[step]
        elif isinstance(body, list) and step.isdecimal() and int(step) < len(body):
            body = body[int(step)]
        else:
            raise AnswerError(
                f"the path '{option}' = {path!r} ends at {step!r}: there is {_there(body)}; mend the path"
            )
    return body if whole else unwrapped(body)


def unwrapped(part: Any) -> Any:
    """Return what a text holds, if that is a JSON object or list; otherwise the part itself."""
    if isinstance(part, str) and part.lstrip()[:1] in ("{", "["):
        try:
            return parse_once(part.encode())
        except (ValueError, RecursionError):
            return part
    return part


def names(found: dict[str, Any]) -> str:
    """List a foreign object's keys, shortened, for a message."""
    return ", ".join(repr(str(key)[:40]) for key in list(found)[:8]) or "nothing"


def _searched(body: Any, path: str, option: str) -> Any:
    try:
        found = jmespath.search(path, unwrapped(body))
    except (JMESPathError, TypeError, ValueError, RecursionError) as error:
        raise AnswerError(f"'{option}' = {path!r} cannot be applied to the response ({type(error).__name__})") from None
    if found is None:
        raise AnswerError(f"'{option}' = {path!r} finds nothing: there is {_there(body)}; mend the path")
    return found


def _there(body: Any) -> str:
    said = said_in(body)
    if said:
        return f"the message {said!r}"
    return names(body) if isinstance(body, dict) else f"a {type(body).__name__}"
