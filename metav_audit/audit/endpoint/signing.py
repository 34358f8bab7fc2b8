"""Signatures over a request, made just before it leaves and anew for every attempt; adapters see none of it.

There is one kind: AWS Signature Version 4. The steps and their names are those of AWS's "Signature Version 4 signing
process"; tests hold the result equal to AWS's published suite and to botocore's ``SigV4Auth``.

These 60 lines of code are our own since keys in variables are to need no library: botocore is 24 MB, and takes an older
python-dateutil than the rest is tested with. Finding and renewing credentials is botocore's work: see ``credentials``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from metav_audit.adapter import Request

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = {"connection", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id", "authorization"}


class SigV4(BaseModel):
    """AWS Signature Version 4: who signs is named by the prefix of three environment variables.

    Where the endpoint names a source of credentials instead, that one gives them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["aws-sigv4"] = Field(description="the way of signing")
    service: str = Field(description="the service's signing name, such as sagemaker", pattern=r"^[a-z0-9-]{2,60}$")
    region: str = Field(description="the region, such as eu-central-1", pattern=r"^[a-z0-9-]{2,60}$")
    variables: str = Field(
        "AWS", description="prefix of ..._ACCESS_KEY_ID, ..._SECRET_ACCESS_KEY and, if set, ..._SESSION_TOKEN",
        pattern=r"^[A-Z][A-Z0-9_]{0,40}$",
    )  # fmt: skip

    def templates(self, environment: Mapping[str, str]) -> list[str]:
        """Name the variables that hold the credentials, as in a header; the session token's only where it is set."""
        token = ["SESSION_TOKEN"] if environment.get(f"{self.variables}_SESSION_TOKEN") else []
        return [f"${{{self.variables}_{part}}}" for part in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", *token)]

    def sign(
        self, request: Request, headers: Mapping[str, str], credentials: list[str], now: datetime
    ) -> dict[str, str]:
        """Return the headers to send along: the date, the token if there is one, and the signature.

        Args:
            request: what is about to be sent.
            headers: all headers it is sent with, names in lower case.
            credentials: access key, secret key and, for temporary ones, the session token.
            now: the time, aware.
        """
        # 1. What is added is signed too.
        stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        added = {"x-amz-date": stamp} | dict(zip(["x-amz-security-token"], credentials[2:], strict=False))
        # 2. The request in its canonical form.
        signed = {"host": _host(request.url), **headers, **added}
        signed = {name: value for name, value in sorted(signed.items()) if name not in _UNSIGNED}
        canonical = "\n".join(_canonical(request, signed))
        # 3. Its hash, bound to day, region and service.
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        to_sign = "\n".join([_ALGORITHM, stamp, scope, _sha256(canonical.encode())])
        # 4. The signature, with a key of that scope alone.
        key = reduce(_hmac, scope.split("/"), f"AWS4{credentials[1]}".encode())
        parts = f"Credential={credentials[0]}/{scope}, SignedHeaders={';'.join(signed)}"
        return {**added, "authorization": f"{_ALGORITHM} {parts}, Signature={_hmac(key, to_sign).hex()}"}

    def record(self) -> dict[str, Any]:
        """Describe it for the transcript; which variables hold the credentials may change."""
        return self.model_dump(exclude={"variables"})


def _canonical(request: Request, signed: Mapping[str, str]) -> list[str]:
    parts = urlsplit(request.url)
    pairs = sorted(pair.partition("=")[::2] for pair in parts.query.split("&")) if parts.query else []
    return [
        request.method.upper(),
        quote(parts.path or "/", safe="/~"),
        "&".join(f"{name}={value}" for name, value in pairs),
        *(f"{name}:{' '.join(value.split())}" for name, value in signed.items()),
        "",
        ";".join(signed),
        _sha256(request.content),
    ]


def _host(url: str) -> str:
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
