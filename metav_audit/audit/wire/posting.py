"""One message out, one answer back: to a time-stamp authority, or to whoever is told of events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from metav_audit.adapter import Request, Response
from metav_audit.audit.endpoint.limits import Limits
from metav_audit.audit.wire.faults import TransportError
from metav_audit.audit.wire.transport import Transport
from metav_audit.errors import ConfigurationError, RemoteError

_LIMITS = Limits(concurrency=1)
_ADDRESS = re.compile(r"https?://[!-~]+", re.IGNORECASE)


def post(url: str, content: bytes, headers: Mapping[str, str], what: str) -> Response:
    """Post a message over HTTP, follow no redirect, and return the answer, whatever its status.

    Args:
        url: where to; messages repeat its host alone.
        content: the body.
        headers: beside it.
        what: it goes to, for messages, such as "the webhook".

    Raises:
        ConfigurationError: the address is none, or holds a password.
        RemoteError: no usable answer came.
    """
    name = host_to_post_to(url, what)
    try:
        return asyncio.run(_send(Request(url, content, headers=dict(headers))))
    except TransportError as error:
        raise RemoteError(f"{what} {name} could not be asked: {error}; try again later") from None


def host_to_post_to(url: str, what: str) -> str:
    """Return an address's host, the only part of it that a message may repeat; for the errors see ``post``."""
    try:
        parts = urlsplit(url)
        valid = bool(_ADDRESS.fullmatch(url) and parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(f"the address of {what} is not valid: write it like https://host/path")
    if "@" in parts.netloc:
        raise ConfigurationError(f"the address of {what} holds a user or password: leave it out")
    return parts.netloc


async def _send(request: Request) -> Response:
    async with Transport(request.url, _LIMITS) as way:
        return await way.send(request, {}, _LIMITS.total_s)
