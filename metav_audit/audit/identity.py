"""By which names an answering server calls itself or its model: evidence, picked by a small list of allowed names."""

from __future__ import annotations

import json
from typing import Any

from metav_audit.adapter import Response

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
_MAX_LENGTH = 200


def identify(response: Response) -> dict[str, str]:
    """Return the names a response gives, from its headers and from the top of its JSON body, shortened."""
    named = {name: value[:_MAX_LENGTH] for name, value in response.headers.items() if name in _HEADERS}
    return named | _fields(response.content)


def explain(response: Response) -> str:
    """Say in one short line what an error response says of itself; no stack trace, no page."""
    body = _object(response.content)
    said = next((body[key] for key in ("error", "detail", "message") if key in body), "")
    if isinstance(said, dict):
        said = said.get("message", "")
    lines = said.strip().splitlines() if isinstance(said, str) else []
    text = " ".join(lines[0].split())[:_MAX_LENGTH] if lines else ""
    return f"HTTP {response.status}" + (f", {text!r}" if text else "")


def _fields(content: bytes) -> dict[str, str]:
    body = _object(content)
    return {name: body[name][:_MAX_LENGTH] for name in _FIELDS if isinstance(body.get(name), str)}


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
