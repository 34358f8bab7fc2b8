"""How an endpoint's requests travel: whom TLS trusts, who asks by certificate, HTTP/2, compressed bodies."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from metav_audit.errors import ConfigurationError

_FILES = ("ca", "cert", "key")


class Way(BaseModel):
    """Options of every endpoint that speaks HTTP; files are looked for beside the endpoint file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca: str | None = Field(default=None, description="root certificates that TLS trusts in place of the usual, PEM")
    cert: str | None = Field(default=None, description="the client certificate, with its chain, PEM")
    key: str | None = Field(default=None, description="its private key, PEM; in the file of cert if absent")
    key_password: str | None = Field(
        default=None, pattern=r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$", description='"${NAME}": what the key is encrypted with'
    )
    http2: bool = Field(default=False, description="speak HTTP/2 where the server offers it; needs the extra http2")
    compress: Literal["gzip"] | None = Field(default=None, description="gzip: compress the bodies of requests")

    @model_validator(mode="after")
    def _a_key_has_a_certificate(self) -> Self:
        if self.cert is None and (self.key or self.key_password):
            raise ValueError("key: it belongs to a client certificate: name cert, too")
        return self

    @property
    def files(self) -> list[str]:
        """The files that it names."""
        return [value for name in _FILES if (value := getattr(self, name)) is not None]

    def beside(self, folder: Path) -> Self:
        """Return the same with its files looked for in a folder."""
        named = {name: getattr(self, name) for name in _FILES}
        return self.model_copy(update={name: str(folder / value) for name, value in named.items() if value is not None})

    def check(self, url: str) -> None:
        """Raise ConfigurationError where it does not fit the address, or this machine lacks the package for it."""
        given = [name for name in type(self).model_fields if name != "compress" and getattr(self, name)]
        if given and not url.startswith("https:"):
            raise ConfigurationError(f"{given[0]}: it is for https://, and the address is none")
        if self.compress and not url.startswith("http"):
            raise ConfigurationError("compress: it is for addresses of HTTP")
        if self.http2 and find_spec("h2") is None:
            raise ConfigurationError("http2: the package h2 is not installed: pip install 'metav-audit[http2]'")

    def record(self) -> dict[str, Any]:
        """Describe it for the transcript: of the files no more than their names."""
        told = self.model_dump(exclude_none=True, exclude_defaults=True)
        return {name: Path(value).name if name in _FILES else value for name, value in told.items()}


USUAL = Way()
