"""The way to a time-stamp authority: one query out, one answer back."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlsplit

from metav_audit.adapter import Request, Response
from metav_audit.audit.endpoint.limits import Limits
from metav_audit.audit.wire.faults import TransportError
from metav_audit.audit.wire.transport import Transport
from metav_audit.errors import ConfigurationError, RemoteError

_LIMITS = Limits(concurrency=1)
_ADDRESS = re.compile(r"https?://[!-~]+", re.IGNORECASE)


def post_time_stamp_query(url: str, content: bytes) -> bytes:
    """Send an RFC 3161 query to an authority over HTTP, and return its answer unread.

    Raises:
        ConfigurationError: the address is none, or holds a password.
        RemoteError: no usable answer came.
    """
    name = _name(url)
    try:
        response = asyncio.run(_post(url, content))
    except TransportError as error:
        raise RemoteError(f"the time-stamp authority {name} could not be asked: {error}; try again later") from None
    if response.status != 200:
        raise RemoteError(f"the time-stamp authority {name} answered with status {response.status}, not 200")
    return response.content


async def _post(url: str, content: bytes) -> Response:
    request = Request(url, content, headers={"Content-Type": "application/timestamp-query"})
    async with Transport(url, _LIMITS) as way:
        return await way.send(request, {}, _LIMITS.total_s)


def _name(url: str) -> str:
    """Return the authority's host, the only part of its address that a message may repeat."""
    try:
        parts = urlsplit(url)
        valid = bool(_ADDRESS.fullmatch(url) and parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError("the time-stamp authority's address is not valid: write it like https://host/path")
    if "@" in parts.netloc:
        raise ConfigurationError("the time-stamp authority's address holds a user or password: leave it out")
    return parts.netloc
