"""The only door to the network: one request out, one bounded response or one named fault back."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

import httpx

from metav_audit.adapter import Request, Response
from metav_audit.audit.endpoints import Limits

_LOOPBACK = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class FaultKind(StrEnum):
    """In which way no response came."""

    UNREACHABLE = "unreachable"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    OVERSIZE = "oversize"
    MALFORMED = "malformed"

    @property
    def passing(self) -> bool:
        """Whether asking again may help."""
        return self in (FaultKind.UNREACHABLE, FaultKind.TIMEOUT, FaultKind.RESET)


class TransportError(Exception):
    """No usable response came; ``kind`` says in which way."""

    def __init__(self, kind: FaultKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class WayOut(Protocol):
    """Where requests go: the network, or a function of this process."""

    async def send(self, request: Request, headers: Mapping[str, str], seconds: float) -> Response:
        """Send one request with ``headers`` on top of its own; raise TransportError if no usable response comes."""


def merge_headers(request: Request, headers: Mapping[str, str]) -> dict[str, str]:
    """Return a request's own headers with ``headers`` on top, names in lower case."""
    return {name.lower(): value for given in (request.headers, headers) for name, value in given.items()}


class Transport:
    """An HTTP client that verifies TLS, follows no redirect, and reads no more than it was told.

    Args:
        limits: timeouts, concurrency and the size of a response.
        inner: httpx's own transport, such as ``httpx.MockTransport``; a real one if absent.
    """

    def __init__(self, limits: Limits, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self._limits = limits
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(limits.read_timeout_s, connect=limits.connect_timeout_s, pool=None),
            limits=httpx.Limits(max_connections=limits.concurrency),
            follow_redirects=False,
            transport=inner,
            # A proxy of the environment serves the outside world, never this machine itself.
            mounts=None if inner else dict.fromkeys(_LOOPBACK),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

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
        except httpx.ConnectError as error:
            raise _connect_fault(error) from None
        except httpx.TransportError:
            raise TransportError(FaultKind.RESET, "the connection broke before the answer was whole") from None
        except (httpx.InvalidURL, UnicodeError):
            raise TransportError(FaultKind.MALFORMED, "the address or a header is not valid HTTP") from None

    async def _exchange(self, request: Request, headers: Mapping[str, str]) -> Response:
        merged = merge_headers(request, headers) | {"accept-encoding": "gzip"}
        built = self._client.build_request(request.method, request.url, content=request.content, headers=merged)
        response = await self._client.send(built, stream=True)
        try:
            content = await self._read(response)
        finally:
            await response.aclose()
        return Response(response.status_code, dict(response.headers), content)

    async def _read(self, response: httpx.Response) -> bytes:
        """Read and unpack within the limit; httpx's own unpacking would swell a bomb before its size is seen."""
        if response.is_stream_consumed:  # A stand-in for the network may hand over whole, unpacked responses.
            body = _Body("identity", self._limits.max_response_bytes)
            body.add(response.content)
            return body.whole()
        body = _Body(response.headers.get("content-encoding", "identity"), self._limits.max_response_bytes)
        async for chunk in response.aiter_raw():
            body.add(chunk)
        return body.whole()


class _Body:
    """A body that grows chunk by chunk, unpacked, never beyond its limit."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()
        coding = encoding.strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise TransportError(FaultKind.MALFORMED, f"the answer has the content encoding {coding[:40]!r}")
        # 32 + 15 bits: zlib finds out by itself whether it is gzip or deflate.
        self._inflater = None if coding in ("", "identity") else zlib.decompressobj(32 + 15)

    def add(self, chunk: bytes) -> None:
        left = self._limit - len(self._content)
        if self._inflater is not None:
            try:
                chunk = self._inflater.decompress(chunk, left + 1)
            except zlib.error:
                raise TransportError(FaultKind.MALFORMED, "the answer's compression is damaged") from None
        if len(chunk) > left:
            raise TransportError(FaultKind.OVERSIZE, f"the answer is larger than {self._limit} bytes")
        self._content += chunk

    def whole(self) -> bytes:
        if self._inflater is not None and self._content and not self._inflater.eof:
            raise TransportError(FaultKind.RESET, "the answer's compression ends too early")
        return bytes(self._content)


def _connect_fault(error: httpx.ConnectError) -> TransportError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return TransportError(FaultKind.TLS, "its TLS certificate or handshake is not valid")
        cause = cause.__cause__ or cause.__context__
    return TransportError(FaultKind.UNREACHABLE, "no connection: the host is unknown, down, or refuses")
