"""What the built-in adapters share: reading foreign JSON without trusting it, and writing requests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic_core import to_json

from metav_audit.adapter import Adapter, AnswerError, ConfigurationError, Request, Response
from metav_audit_adapters._paths import names


def member(body: Any, key: str) -> Any:
    """Return ``body[key]`` of a JSON object.

    Raises:
        AnswerError: it is no object or lacks the key; the message lists what is there.
    """
    if not isinstance(body, dict):
        raise AnswerError(f"the response is not an object with {key!r} but {type(body).__name__}")
    if key not in body:
        raise AnswerError(f"the response has no {key!r}, only {names(body)}")
    return body[key]


def read_mildly(response: Response) -> dict[str, Any]:
    """Parse a refusal's body for ``classify``, which never fails: what is no JSON object is an empty one."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def dumps(body: Any) -> bytes:
    """Write compact JSON, numbers to their last digit."""
    return to_json(body)


def json_request(url: str, body: Any, headers: Mapping[str, str] | None = None) -> Request:
    """Build a POST of JSON, with further headers if given."""
    return Request(url, dumps(body), headers={"Content-Type": "application/json", **(headers or {})})


def png_request(url: str, png: bytes) -> Request:
    """Build a POST of a picture as it is."""
    return Request(url, png, headers={"Content-Type": "image/png"})


def form_request(
    url: str, file_field: str, png: bytes, texts: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Request:
    """Build a form upload (multipart/form-data, RFC 7578) of one PNG file and further text fields."""
    boundary = f"metav-audit-{hashlib.sha256(png).hexdigest()[:32]}"
    parts = [(f'name="{name}"', "", text.encode()) for name, text in texts.items()]
    parts.append((f'name="{file_field}"; filename="input.png"', "Content-Type: image/png\r\n", png))
    content = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {what}\r\n{kind}\r\n".encode() + value + b"\r\n"
        for what, kind, value in parts
    )
    closed = content + f"--{boundary}--\r\n".encode()
    return Request(
        url, closed, headers={"Content-Type": f"multipart/form-data; boundary={boundary}", **(headers or {})}
    )


def join(base: str, *parts: str) -> str:
    """Append quoted path segments to an address."""
    return "/".join([base.rstrip("/"), *(quote(part, safe="") for part in parts)])


def versions(version: str | None) -> tuple[str, ...]:
    """Return the path segments that pin a model's version, if one is given."""
    return ("versions", version) if version else ()


def refused(adapter: type[Adapter], option: str, why: str) -> ConfigurationError:
    """Build the error over an adapter's option."""
    return ConfigurationError(f"adapter {adapter.name}: {option}: {why}")
