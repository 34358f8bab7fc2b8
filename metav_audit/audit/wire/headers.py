"""The endpoint's own headers on a request: expanded and signed just before it leaves, for its own host alone."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import datetime

from metav_audit.adapter import Request
from metav_audit.audit.endpoint.credentials.base import Lease
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.endpoint.secrets import Secrets
from metav_audit.audit.pace.pacing import origin
from metav_audit.audit.wire.transport import merge_headers
from metav_audit.errors import AnswerError


def headers_for(
    endpoint: Endpoint, secrets: Secrets, request: Request, now: datetime, lease: Lease | None = None
) -> dict[str, str]:
    """Expand and sign, for the endpoint's own host alone: a server may name any address to poll.

    Args:
        endpoint: whose headers they are.
        secrets: what their variables hold.
        request: what is about to be sent.
        now: the time, aware.
        lease: what the endpoint's source of credentials gave; None without one.

    Raises:
        AnswerError: the request would go elsewhere, or its address is not valid.
    """
    try:
        elsewhere = origin(request.url) != origin(endpoint.url)
    except ValueError:
        raise AnswerError("the adapter asked for an address that is not valid") from None
    if elsewhere:
        raise AnswerError("the next request would go to another host than the endpoint's own, and is not sent")
    headers = {name: secrets.expand(value) for name, value in endpoint.headers.items()}
    signer = endpoint.signer
    if signer is not None:
        named = [secrets.expand(each) for each in signer.templates(secrets.values)] if lease is None else lease.parts
        headers |= signer.sign(request, merge_headers(request, headers), list(named), now)
    elif lease is not None:
        headers["authorization"] = f"Bearer {lease.parts[0]}"
    return headers


def packed(request: Request, endpoint: Endpoint) -> Request:
    """Return a request as it travels, with its body compressed where the endpoint says so.

    The journal keeps it as the adapter wrote it: other builds of zlib compress to other bytes.
    """
    if endpoint.way.compress is None or not request.content:
        return request
    headers = {**request.headers, "Content-Encoding": endpoint.way.compress}
    return replace(request, content=gzip.compress(request.content, mtime=0), headers=headers)
