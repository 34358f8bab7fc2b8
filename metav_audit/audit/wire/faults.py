"""The ways in which no usable response comes."""

from __future__ import annotations

from enum import StrEnum

PROXY_ADVICE = (
    "the environment's proxy wants a user and a password: write them into HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, like "
    "http://user:password@host:port"
)


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
    """No usable response came; ``kind`` says in which way, ``advice`` what to do if not the usual; some never pass."""

    def __init__(self, kind: FaultKind, detail: str, advice: str = "", *, passing: bool = True) -> None:
        super().__init__(detail)
        self.kind, self.advice = kind, advice
        self.passing = kind.passing and passing
