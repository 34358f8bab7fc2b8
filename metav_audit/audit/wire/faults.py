"""The ways in which no usable response comes."""

from __future__ import annotations

from enum import StrEnum


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
    """No usable response came; ``kind`` says in which way, ``advice`` what to do where that is not the usual."""

    def __init__(self, kind: FaultKind, detail: str, advice: str = "") -> None:
        super().__init__(detail)
        self.kind, self.advice = kind, advice
