"""The only door to the network: one request out, one bounded response or one named fault back."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import zlib
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

import httpx

from metav_audit.adapter import Request, Response
from metav_audit.audit.endpoint.limits import Limits
from metav_audit.audit.endpoint.way import USUAL, Way
from metav_audit.audit.wire.faults import PROXY_ADVICE, FaultKind, TransportError
from metav_audit.audit.wire.tls import Tls, open_tls
from metav_audit.errors import ConfigurationError

_MOST_BEHIND = 1024
"""Bytes that may follow a compressed answer's end: some servers fill up with zeros."""
_CHECK_PROXY = "check HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or name the host in NO_PROXY"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OWN_HEADERS = {"accept": "*/*", "connection": "keep-alive", "user-agent": f"python-httpx/{httpx.__version__}"}
"""An audit does not announce itself: a name of its own would let a suspect answer it otherwise than its customers."""


class WayOut(Protocol):
    """Where requests go: the network, or a function on this machine."""

    async def send(self, request: Request, headers: Mapping[str, str], seconds: float) -> Response:
        """Send one request with ``headers`` on top of its own; raise TransportError if no usable response comes."""


def merge_headers(request: Request, headers: Mapping[str, str]) -> dict[str, str]:
    """Return a request's own headers with ``headers`` on top, names in lower case."""
    return {name.lower(): value for given in (request.headers, headers) for name, value in given.items()}


class Transport:
    """The way to one origin: verifies TLS, follows no redirect, keeps no cookie, and reads no more than it was told.

    It is httpx's transport without httpx's client, which would add just those. A proxy of the environment
    (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``, ...) serves the outside world, never this machine itself.

    Args:
        url: an address of the origin.
        limits: timeouts, concurrency and the size of a response.
        inner: stands in for httpx's own transport, such as ``httpx.MockTransport``.
        way: certificates, and whether HTTP/2 is spoken.
        password: of the client certificate's key.

    Raises:
        ConfigurationError: the environment's proxy is none that can be used, or certificates cannot be read.
    """

    def __init__(
        self,
        url: str,
        limits: Limits,
        inner: httpx.AsyncBaseTransport | None = None,
        way: Way = USUAL,
        password: str = "",
    ) -> None:
        self._limits = limits
        self._tls = open_tls(urlsplit(url).scheme, way, password)
        # HTTP/2 has no such header, and a connection is kept in HTTP/1.1 without it, too.
        self._headers = {name: value for name, value in _OWN_HEADERS.items() if name != "connection" or not way.http2}
        self._peers: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()
        self._inner = inner or _open(url, limits.concurrency, self._tls, http2=way.http2)
        read_s, connect_s = limits.read_timeout_s, limits.connect_timeout_s
        self._extensions = {"timeout": {"connect": connect_s, "read": read_s, "write": read_s, "pool": None}}

    async def __aenter__(self) -> Self:
        # At debug level httpcore logs response headers, and a server may echo a secret in them.
        quiet = logging.getLogger("httpcore")
        quiet.setLevel(max(quiet.level, logging.INFO))
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)

    async def send(self, request: Request, headers: Mapping[str, str], seconds: float) -> Response:
        """Send one request with ``headers`` on top of its own, and read the response to its end.

        Args:
            request: what the adapter encoded.
            headers: the endpoint's headers, expanded; they win over the request's.
            seconds: what the whole of it may last; ``total_s`` if that is shorter.

        Raises:
            TransportError: no usable response came.
        """
        try:
            async with asyncio.timeout(min(seconds, self._limits.total_s)):
                return await self._exchange(request, headers)
        except TimeoutError:
            raise TransportError(FaultKind.TIMEOUT, "no whole answer within the time for one request") from None
        except httpx.TimeoutException as error:
            what = "no connection" if isinstance(error, httpx.ConnectTimeout) else "no answer"
            raise TransportError(FaultKind.TIMEOUT, f"{what} within the timeout") from None
        except httpx.ProxyError as error:
            raise _proxy_fault(error) from None
        except (httpx.TransportError, OSError) as error:
            raise self._tls.fault(error) or _broken(error) from None
        except (httpx.InvalidURL, UnicodeError):
            raise TransportError(FaultKind.MALFORMED, "the address or a header is not valid HTTP") from None

    async def _exchange(self, request: Request, headers: Mapping[str, str]) -> Response:
        merged = self._headers | merge_headers(request, headers) | {"accept-encoding": "gzip"}
        sent = httpx.Request(
            request.method, _parsed(request.url), headers=merged, content=request.content, extensions=self._extensions
        )
        response = await self._inner.handle_async_request(sent)
        self._tls.accepted = True
        try:
            peer = self._peer_of(response.extensions.get("network_stream"))
            content = await self._read(response)
        finally:
            await response.aclose()
        named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
        return Response(response.status_code, named, content, peer)

    def _peer_of(self, stream: Any) -> dict[str, str]:
        """Ask each connection once: while it lasts, it leads to the same peer."""
        if stream is None:
            return {}
        if stream not in self._peers:
            self._peers[stream] = _peer(stream)
        return self._peers[stream]

    async def _read(self, response: httpx.Response) -> bytes:
        """Read and unpack within the limit; httpx's own unpacking would swell a bomb before its size is seen."""
        if response.is_stream_consumed:  # A stand-in for the network may hand over whole, unpacked responses.
            body = _Body("identity", self._limits.max_response_bytes)
            body.add(response.content)
            return body.whole()
        body = _Body(response.headers.get("content-encoding", "identity"), self._limits.max_response_bytes)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for chunk in response.stream:
            body.add(chunk)
        return body.whole()


def _peer(stream: Any) -> dict[str, str]:
    """Say to whom a connection leads: address and port, and over TLS the SHA-256 of the certificate."""
    address = stream.get_extra_info("server_addr")
    if not isinstance(address, tuple):
        return {}
    peer = {"address": f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"}
    encrypted = stream.get_extra_info("ssl_object")
    certificate = encrypted.getpeercert(binary_form=True) if encrypted is not None else None
    return peer | ({"tls_certificate_sha256": hashlib.sha256(certificate).hexdigest()} if certificate else {})


@lru_cache(maxsize=64)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _open(url: str, concurrency: int, tls: Tls, *, http2: bool) -> httpx.AsyncHTTPTransport:
    """Open httpx's transport, through the environment's proxy if it names one and the address is not exempt."""
    parts = urlsplit(url)
    host, proxies = parts.hostname or "", getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    most = httpx.Limits(max_connections=concurrency)
    if proxy is None or host in _LOOPBACK or proxy_bypass(parts.netloc):
        return httpx.AsyncHTTPTransport(verify=tls.context, limits=most, http2=http2)
    try:
        return httpx.AsyncHTTPTransport(verify=tls.context, limits=most, http2=http2, proxy=proxy)
    except (httpx.InvalidURL, ValueError, ImportError):
        # The proxy's address may hold a password: it is not repeated.
        raise ConfigurationError(
            f"the environment's proxy for {parts.scheme}://{host} cannot be used: write it like http://host:port in "
            "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY (socks5:// needs the package socksio), or name the host in NO_PROXY"
        ) from None


def _proxy_fault(error: httpx.ProxyError) -> TransportError:
    told, advice = "the environment's proxy refuses the connection", _CHECK_PROXY
    if str(error).startswith("407"):
        return TransportError(FaultKind.UNREACHABLE, f"{told} (HTTP 407)", PROXY_ADVICE, passing=False)
    return TransportError(FaultKind.UNREACHABLE, told, advice)


def _broken(error: Exception) -> TransportError:
    if isinstance(error, httpx.ConnectError):
        return TransportError(FaultKind.UNREACHABLE, "no connection: the host is unknown, down, or refuses")
    return TransportError(FaultKind.RESET, "the connection broke before the answer was whole")


class _Body:
    """A body that grows chunk by chunk, unpacked, never beyond its limit."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()
        self._behind = 0
        coding = encoding.strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise TransportError(FaultKind.MALFORMED, f"the answer has the content encoding {coding[:40]!r}")
        # 32 + 15 bits: zlib finds out by itself whether it is gzip or deflate.
        self._inflater = None if coding in ("", "identity") else zlib.decompressobj(32 + 15)

    def add(self, chunk: bytes) -> None:
        left = self._limit - len(self._content)
        if self._inflater is not None:
            self._behind += len(chunk) if self._inflater.eof else 0
            try:
                chunk = self._inflater.decompress(chunk, left + 1)
            except zlib.error:
                raise TransportError(FaultKind.MALFORMED, "the answer's compression is damaged") from None
            self._behind = max(self._behind, len(self._inflater.unused_data))
            if self._behind > _MOST_BEHIND:
                raise TransportError(FaultKind.MALFORMED, "the answer's compression ends, and the answer goes on")
        if len(chunk) > left:
            raise TransportError(FaultKind.OVERSIZE, f"the answer is larger than {self._limit} bytes")
        self._content += chunk

    def whole(self) -> bytes:
        if self._inflater is not None and self._content and not self._inflater.eof:
            raise TransportError(FaultKind.RESET, "the answer's compression ends too early")
        return bytes(self._content)
