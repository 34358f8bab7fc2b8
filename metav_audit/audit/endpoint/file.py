"""The endpoint file: which APIs to ask, through which adapter, with which headers and limits."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from metav_audit.adapter import Adapter, find_adapter
from metav_audit.audit.endpoint.credentials.base import Source
from metav_audit.audit.endpoint.credentials.registry import open_source
from metav_audit.audit.endpoint.grant import NOTHING, Grant
from metav_audit.audit.endpoint.limits import DEFAULT_LIMITS, Limits
from metav_audit.audit.endpoint.secrets import VARIABLE, Secrets, refuse_literals
from metav_audit.audit.endpoint.signing import SigV4
from metav_audit.audit.endpoint.way import USUAL, Way
from metav_audit.bundle import CLOSING, LEAST_REQUESTS
from metav_audit.config import first_problem
from metav_audit.errors import ConfigurationError
from metav_audit.files import read_regular
from metav_audit.task import TaskSpec
from metav_audit.transcript import EndpointRecord

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = {"content-length", "transfer-encoding", "connection", "accept-encoding"}
_BESIDE = ("adapter", "credentials", "headers", "limits", "not_secret", "signing", *Way.model_fields)
"""Keys of an endpoint's table that are no options of its adapter."""
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_MAX_FILE_BYTES = 1 << 20
_Table = TypeVar("_Table", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One API to ask.

    Attributes:
        name: its name, and that of its folder.
        adapter: the codec, opened for the task.
        headers: header templates; ``${NAME}`` stands for an environment variable and is expanded at sending alone.
        limits: how hard and how long it may be asked.
        signer: signs each request just before it leaves, or None.
        credentials: gives what signs, or the bearer token that is sent; None where variables do.
        operator: who asks and by what authority, in their own words: the file's table ``[operator]``.
        way: how requests travel: certificates, HTTP/2, compression.
    """

    name: str
    adapter: Adapter
    headers: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS
    signer: SigV4 | None = None
    credentials: Source | None = None
    operator: Mapping[str, str] = field(default_factory=dict)
    way: Way = USUAL

    @classmethod
    def open(cls, name: str, fields: Mapping[str, Any], task: TaskSpec) -> Endpoint:
        """Build an endpoint from the fields of its table in an endpoint file.

        Raises:
            SecretError: a secret stands as a literal.
            ConfigurationError: a field is missing, unknown or out of range, or the adapter is not installed.
        """
        where = f"endpoints.{name}"
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"endpoint name {name[:40]!r} is no folder name: use letters, digits, '.', '_', '-'"
            )
        options = dict(fields)
        headers = _headers(where, options.pop("headers", {}))
        adapter, signing, credentials = (options.pop(each, None) for each in ("adapter", "signing", "credentials"))
        way = _table(Way, "", {name: options.pop(name) for name in Way.model_fields if name in options}, where)
        declared = options.pop("not_secret", [])
        if not isinstance(declared, list) or not all(isinstance(each, str) for each in declared):
            raise ConfigurationError(f'{where}.not_secret is no list of places: write it like ["headers.X-Build"]')
        refuse_literals(where, headers, options, declared)
        for part, table in (("signing", signing), ("credentials", credentials)):
            refuse_literals(f"{where}.{part}", {}, table if isinstance(table, dict) else {})
        limits = _table(Limits, "limits", options.pop("limits", {}), where)
        signer = None if signing is None else _table(SigV4, "signing", signing, where)
        if not isinstance(adapter, str):
            raise ConfigurationError(f"{where} lacks its adapter: add adapter = \"...\", see 'metav-audit adapters'")
        try:
            source = None if credentials is None else open_source(credentials)
            _check_source(source, signing, headers)
            source = source.near(signer.region) if source and signer else source
            codec = find_adapter(adapter).open(task, options, _BESIDE)
            opened = cls(name, codec, headers, limits, signer, source, way=way)
            way.check(opened.url)
            _check_way(opened)
            return opened
        except ConfigurationError as error:
            raise type(error)(f"{where}: {error}") from None

    @property
    def url(self) -> str:
        """Where it is asked."""
        return self.adapter.options.url

    @property
    def batch(self) -> int:
        """Queries in one request."""
        return self.adapter.options.batch

    def requests_needed(self, places: int, looks: int = 1) -> int:
        """Return the requests that a schedule of so many places needs; no batch reaches from one look into the next."""
        size, closing = self.batch_of(places), CLOSING * looks
        return math.ceil((places - closing) / size) + closing + (looks - 1) * (size > 1)

    def batch_of(self, places: int) -> int:
        """Return how much of a schedule of so many places goes into one request: ``batch``, or less where it is short.

        Two models behind a balancer that throws dice for each request show themselves only where there are several.
        """
        return max(1, min(self.batch, (places - CLOSING) // LEAST_REQUESTS))

    def budget(self, places: int, looks: int = 1) -> int:
        """Return the ceiling of requests for a schedule of so many places, in so many looks."""
        return self.limits.budget(self.requests_needed(places, looks) * self.adapter.steps)

    def variables(self, environment: Mapping[str, str]) -> list[str]:
        """Name the environment variables whose values are sent, or sign what is sent."""
        signing = [] if self.signer is None or self.credentials else self.signer.templates(environment)
        templates = (*self.headers.values(), *signing, self.way.key_password or "")
        return [name for template in templates for name in VARIABLE.findall(template)]

    def password(self, secrets: Secrets) -> str:
        """Return what the client certificate's key is encrypted with; empty for none."""
        return secrets.expand(self.way.key_password or "")

    def takes(self, environment: Mapping[str, str]) -> list[str]:
        """Name what it takes of this machine: those variables, and its source of credentials."""
        return self.variables(environment) + ([] if self.credentials is None else [self.credentials.name])

    def signed_by(self, key_id: str) -> Endpoint:
        """Return the same endpoint, asked by an operator whose key will seal the audit."""
        return replace(self, operator={**self.operator, "key_id": key_id})

    def record(self) -> EndpointRecord:
        """Describe the endpoint for the transcript: header templates, never values."""
        options = self.adapter.options.model_dump(mode="json", exclude={"url", "scores"}, exclude_none=True)
        told = {**options, "headers": dict(self.headers), "limits": self.limits.model_dump(mode="json")}
        if self.signer is not None:
            told["signing"] = self.signer.record()
        if self.credentials is not None:
            told["credentials"] = self.credentials.record()
        if self.way != USUAL:
            told["way"] = self.way.record()
        return EndpointRecord(self.name, self.adapter.name, self.url, self.adapter.options.scores, told)


def load_endpoints(path: Path, task: TaskSpec, grant: Grant = NOTHING) -> list[Endpoint]:
    """Read an endpoint file and open an adapter for each endpoint in it, in the file's order.

    Args:
        path: the file.
        task: what every endpoint takes and gives.
        grant: what of this machine it may take; nothing by default.

    Raises:
        SecretError: a secret stands as a literal, or a variable or a source of credentials is not granted.
        ConfigurationError: the file is missing, not TOML, or holds something unknown or out of range.
    """
    path = Path(path)
    content = _parse(path)
    unknown = sorted(content.keys() - {"endpoints", "operator"})
    if unknown:
        raise ConfigurationError(
            f"{path} holds {unknown[0]!r}, which is unknown: it takes [endpoints.NAME] tables and [operator] alone"
        )
    tables = content.get("endpoints")
    if not isinstance(tables, dict) or not tables or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigurationError(f"{path} names no endpoint: add a table [endpoints.NAME]")
    try:
        operator = load_operator(path).words
        opened = [Endpoint.open(name, fields, task) for name, fields in tables.items()]
        for endpoint in opened:
            _check_grant(endpoint, grant)
        # Its files are looked for beside the endpoint file.
        return [replace(each, operator=operator, way=each.way.beside(path.parent)) for each in opened]
    except ConfigurationError as error:
        raise type(error)(f"{path}: {error}") from None


def _check_grant(endpoint: Endpoint, grant: Grant) -> None:
    try:
        grant.check(endpoint.url, endpoint.takes(os.environ))
        grant.check_files(endpoint.way.files)
    except ConfigurationError as error:
        raise type(error)(f"endpoints.{endpoint.name}: {error}") from None


class Operator(BaseModel):
    """Who asks, and by what authority, in their own words; the report repeats them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(default=None, min_length=1, max_length=200, description="who runs the audit")
    organisation: str | None = Field(default=None, max_length=200, description="on whose behalf")
    authority: str | None = Field(default=None, max_length=2000, description="by what right the endpoint is asked")
    suspect_known_since: date | None = Field(
        default=None, description="the first day on which the suspect was known to be there"
    )
    key: str | None = Field(default=None, description="the key that seals the audit: its file, or env:NAME")
    tsa: str | None = Field(default=None, pattern=r"^https?://", description="the time-stamp authority's address")
    tsa_cert: str | None = Field(default=None, description="the authority's root certificates, a PEM file")

    @model_validator(mode="after")
    def _stamps_what_is_signed(self) -> Self:
        if (self.tsa is None) != (self.tsa_cert is None):
            raise ValueError("tsa: tsa and tsa_cert go together: a stamp is checked before it is kept")
        if self.tsa is not None and self.key is None:
            raise ValueError("key: a time stamp is over a signature: name the key, too")
        return self

    @property
    def words(self) -> dict[str, str]:
        """What the transcript repeats."""
        known = self.suspect_known_since.isoformat() if self.suspect_known_since else None
        told = {"name": self.name, "organisation": self.organisation, "authority": self.authority}
        told["suspect_known_since"] = known
        return {name: value for name, value in told.items() if value is not None}


def load_operator(path: Path) -> Operator:
    """Read the table ``[operator]`` of an endpoint file; an empty one if there is none.

    Its files are looked for beside the endpoint file. Errors are those of ``load_endpoints``.
    """
    fields = _parse(Path(path)).get("operator", {})
    operator = _table(Operator, "operator", fields, str(path))
    beside = {name: str(Path(path).parent / value) for name, value in _files(operator).items()}
    return operator.model_copy(update=beside)


def _files(operator: Operator) -> dict[str, str]:
    named = {"key": operator.key, "tsa_cert": operator.tsa_cert}
    return {name: value for name, value in named.items() if value is not None and not value.startswith("env:")}


def _parse(path: Path) -> dict[str, Any]:
    try:
        if path.is_dir():
            what = "a bundle" if (path / "manifest.json").exists() else "a folder"
            raise ConfigurationError(f"{path} is {what}, no endpoint file: name the bundle first, then the file")
        return tomllib.loads(read_regular(path, _MAX_FILE_BYTES, follow=True).decode("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the endpoint file {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        # A TOML error names a line; a decoding error would repeat the bytes.
        why = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8 text"
        raise ConfigurationError(f"{path} is not TOML: {why}") from None


def _headers(where: str, headers: Any) -> dict[str, str]:
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ConfigurationError(f"{where}.headers is not a table of texts")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
            raise ConfigurationError(f"{where}.headers.{name!r} is not a valid header")
        if name.lower() in _OURS:
            raise ConfigurationError(f"{where}.headers.{name} is set by the client itself: remove it")
    return dict(headers)


def _check_source(source: Source | None, signing: Any, headers: Mapping[str, str]) -> None:
    """Raise ConfigurationError where the source's credentials have no use, or another header or variable has it."""
    if source is None:
        return
    if source.signs and signing is None:
        raise ConfigurationError(
            f"credentials: those of source {source.kind!r} sign requests: add the table signing, with kind, service "
            "and region"
        )
    if source.signs and isinstance(signing, dict) and "variables" in signing:
        raise ConfigurationError("signing.variables: credentials.source stands in their place: leave one of them out")
    if not source.signs and (signing is not None or "authorization" in map(str.lower, headers)):
        other = "signing" if signing is not None else "headers.Authorization"
        raise ConfigurationError(f"{other}: credentials.source gives the header Authorization: leave one of them out")


def _check_way(endpoint: Endpoint) -> None:
    """Raise ConfigurationError where a cloud's bearer token would leave this machine for all on its way to read."""
    source, parts = endpoint.credentials, urlsplit(endpoint.url)
    if source is not None and not source.signs and parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
        raise ConfigurationError(
            f"url: {source.name} go to {parts.hostname} over https alone: who reads the token may do whatever it may"
        )


def _table(kind: type[_Table], name: str, fields: Any, where: str) -> _Table:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {first_problem(error, *filter(None, [name]), model=kind)}") from None
