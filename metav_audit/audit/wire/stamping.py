"""The way to a time-stamp authority: one query out, one answer back."""

from __future__ import annotations

from metav_audit.audit.wire.posting import host_to_post_to, post
from metav_audit.errors import RemoteError

_WHAT = "the time-stamp authority"


def post_time_stamp_query(url: str, content: bytes) -> bytes:
    """Send an RFC 3161 query to an authority over HTTP, and return its answer unread.

    Raises:
        ConfigurationError: the address is none, or holds a password.
        RemoteError: no usable answer came.
    """
    response = post(url, content, {"Content-Type": "application/timestamp-query"}, _WHAT)
    if response.status != 200:
        name = host_to_post_to(url, _WHAT)
        raise RemoteError(f"{_WHAT} {name} answered with status {response.status}, not 200")
    return response.content
