"""By which names an answering server calls itself or its model: evidence, picked by a small list of allowed names."""

from __future__ import annotations

from typing import Any

from metav_audit.adapter import Response, parse, said_in

_HEADERS = frozenset(
    {
        "server",
        "azureml-model-deployment",
        "openai-model",
        "openai-version",
        "x-amzn-invoked-production-variant",
        "x-deployed-model-id",
        "x-model-id",
        "x-model-name",
        "x-model-version",
        "x-powered-by",
        "x-sha",
    }
)
_FIELDS = (
    "deployedModelId",
    "model",
    "modelDisplayName",
    "modelVersionId",
    "model_name",
    "model_version",
    "system_fingerprint",
)
_FIELD_BYTES = tuple(f'"{name}"'.encode() for name in _FIELDS)
_REASONS = ("ms-azureml-model-error-reason", "x-amzn-errortype")
_MAX_LENGTH = 200


def identify(response: Response) -> dict[str, str]:
    """Return the names a response gives, from connection, headers and the top of its JSON body, shortened.

    They are sorted, as they are in a record's line: a report made at once is the same as one made from the file.
    """
    named = {name: value[:_MAX_LENGTH] for name, value in response.headers.items() if name in _HEADERS}
    return dict(sorted({**response.peer, **named, **_fields(response.content)}.items()))


def explain(response: Response) -> str:
    """Say in one short line what an error response says of itself, in body or header; no stack trace, no page."""
    text = words_of(response) or next((response.headers[name] for name in _REASONS if name in response.headers), "")
    text = " ".join(text.split())[:_MAX_LENGTH]
    return f"HTTP {response.status}" + (f", {text!r}" if text else "")


def words_of(response: Response) -> str:
    """Return the first line of an error that a response's JSON tells; empty where it tells none."""
    try:
        return said_in(parse(response.content))
    except (ValueError, RecursionError):
        return ""


def _fields(content: bytes) -> dict[str, str]:
    if not any(name in content for name in _FIELD_BYTES):  # Most bodies are numbers alone: they are not parsed twice.
        return {}
    body = _object(content)
    return {name: body[name][:_MAX_LENGTH] for name in _FIELDS if isinstance(body.get(name), str)}


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = parse(content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
