"""The fleet file: which endpoints are audited with which bundles, how often, at what cost, and who is told."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator

from metav_audit.config import first_problem
from metav_audit.errors import ConfigurationError
from metav_audit.files import read_regular
from metav_audit.watch.hours import QuietHours
from metav_audit.watch.watches import Hours, LogTable, Span, Table, WatchTable

_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*|\[?[0-9A-Fa-f:.]{2,45}\]?")
_ADDRESS = re.compile(r"[^@\s<>,;:\"\\]{1,64}@[A-Za-z0-9.-]{1,253}")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_UNNAMED = re.compile(r"[^A-Za-z0-9._-]+")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_MAX_FILE_BYTES = 1 << 20
Kind = Literal["match", "change", "lost", "recovered", "budget", "outdated"]
KINDS: tuple[Kind, ...] = ("match", "change", "lost", "recovered", "budget", "outdated")
"""What can happen, in the order in which it matters."""


class Budget(Table):
    """What may be spent in a calendar month, UTC."""

    requests: int | None = Field(default=None, ge=0, description="requests, retries included")
    cost: float | None = Field(default=None, ge=0, le=1e9, description="money, in the unit of the endpoints' prices")


class Budgets(Budget):
    """Budgets of the fleet, and of each host and each bundle in it."""

    warn: float = Field(default=0.8, gt=0, le=1, description="the share at which a budget is near its end")
    hosts: dict[str, Budget] = Field(default_factory=dict, description="by host, with its port where there is one")
    bundles: dict[str, Budget] = Field(default_factory=dict, description="by the bundle's name in this file")


class BundleTable(Table):
    """A bundle."""

    path: str = Field(description="its folder")
    good_until: date | None = Field(default=None, description="the day after which it is outdated")


class NotifyTable(Table):
    """Somebody who is told; which keys there are hangs on the kind."""

    kind: Literal["webhook", "smtp", "prometheus"]
    events: tuple[Kind, ...] = Field(default=KINDS, description="what is told")
    quiet: Hours = Field(default=(), description="hours in which only what is urgent is told")
    urgent: tuple[Kind, ...] = Field(default=("match",), description="what is told in quiet hours, too")
    every: Span = Field(default=0.0, ge=0, le=31 * 86400, description="time between two messages, at least")
    url: str | None = Field(default=None, max_length=2000, description="of a webhook; may hold ${NAME}")
    shape: Literal["raw", "slack"] = Field(default="raw", description="of a webhook's body")
    secret: str | None = Field(default=None, description="signs a webhook: ${NAME}")
    host: str | None = Field(default=None, description="of the mail server")
    port: int = Field(default=587, ge=1, le=65535, description="of the mail server")
    tls: Literal["starttls", "tls", "none"] = Field(default="starttls", description="how the mail server is reached")
    user: str | None = Field(default=None, description="at the mail server")
    password: str | None = Field(default=None, description="its password: ${NAME}")
    sender: str | None = Field(default=None, description="the address that mail comes from")
    to: tuple[str, ...] = Field(default=(), description="the addresses that mail goes to")
    path: str | None = Field(default=None, description="of the Prometheus text file")

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, host: str | None) -> str | None:
        if host is not None and not _HOST.fullmatch(host):
            raise ValueError("it is no host: write its name alone, like mail.example.com")
        return host

    @field_validator("sender")
    @classmethod
    def _is_an_address(cls, address: str | None) -> str | None:
        if address is not None and not _ADDRESS.fullmatch(address):
            raise ValueError("it is no mail address: write it like ops@example.com")
        return address

    @field_validator("to")
    @classmethod
    def _are_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            cls._is_an_address(address)
        return addresses

    @field_validator("secret", "password")
    @classmethod
    def _no_literal(cls, value: str | None) -> str | None:
        if value is not None and not _VARIABLE.fullmatch(value):
            raise ValueError('it is no variable: put it in an environment variable and write "${NAME}"')
        return value

    def check(self) -> str | None:
        """Say what its kind needs and is not there; None if nothing is."""
        needed = {"webhook": ("url",), "smtp": ("host", "sender", "to"), "prometheus": ("path",)}[self.kind]
        missing = [name for name in needed if not getattr(self, name)]
        return f"{missing[0]}: this key is missing: add it" if missing else None


class RetentionTable(Table):
    """What is kept of audits that nothing came of; evidence of a match or a change is always kept."""

    pack_after: Span = Field(default=86400.0, ge=0, description="age at which an audit's folder becomes one archive")
    all_for: Span = Field(default=90 * 86400.0, ge=0, description="age up to which every audit's evidence is kept")
    then_every: Span = Field(default=30 * 86400.0, ge=86400, description="of older ones, one in so much time is kept")
    newest: int = Field(default=2, ge=1, description="audits of each endpoint that are kept whatever their age")


class FleetFile(Table):
    """A fleet file as it stands."""

    name: str | None = Field(default=None, description="of the fleet; that of the file by default")
    database: str = Field(default="watch.sqlite3", description="a file, or an address; may hold ${NAME}")
    evidence: str = Field(default="evidence", description="the folder of the audits' folders")
    archive: str | None = Field(
        default=None, description="where archives go: a folder, or an fsspec address like s3://"
    )
    timezone: str = Field(default="UTC", description="of quiet hours")
    stop_early: bool = Field(default=True, description="whether an audit ends at the first look that is clear")
    tries: int = Field(default=3, ge=1, le=100, description="runs that try one audit before it has failed")
    retry: Span = Field(default=3600.0, ge=0, le=31 * 86400, description="time before an audit is tried again")
    lost_after: int = Field(default=2, ge=1, le=100, description="failed audits in a row that make an endpoint lost")
    watches: dict[str, WatchTable] = Field(default_factory=dict)
    logs: dict[str, LogTable] = Field(default_factory=dict)
    bundles: dict[str, BundleTable] = Field(default_factory=dict)
    budgets: Budgets = Budgets()
    notify: dict[str, NotifyTable] = Field(default_factory=dict)
    retention: RetentionTable = RetentionTable()


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet file, and where it lies.

    Attributes:
        path: the file.
        file: what it says.
        zone: its time zone.
    """

    path: Path
    file: FleetFile
    zone: ZoneInfo

    @property
    def name(self) -> str:
        """Its name in the history, which several fleets may share."""
        return self.file.name or _UNNAMED.sub("-", self.path.stem)[:100]

    def place(self, name: str) -> Path:
        """Return where a file that it names lies: beside it."""
        return self.path.parent / name

    def bundle_of(self, name: str) -> tuple[str, BundleTable]:
        """Return a bundle's own name and its table; what has no table is a folder."""
        if name in self.file.bundles:
            return name, self.file.bundles[name]
        return Path(name).name.removesuffix(".bundle"), BundleTable(path=name)

    @property
    def bundles(self) -> dict[str, BundleTable]:
        """Every bundle that a watch names, by its own name."""
        return dict(self.bundle_of(name) for watch in self.file.watches.values() for name in watch.bundles)


def load_fleet(path: Path) -> Fleet:
    """Read a fleet file.

    Raises:
        ConfigurationError: it is missing, not TOML, or holds something unknown or out of range.
    """
    try:
        content = tomllib.loads(read_regular(path, _MAX_FILE_BYTES, follow=True).decode("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the fleet file {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8 text"
        raise ConfigurationError(f"{path} is not TOML: {why}") from None
    try:
        file = FleetFile.model_validate(content)
        zone = ZoneInfo(file.timezone)
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {first_problem(error, model=FleetFile)}") from None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"{path}: timezone: {str(content.get('timezone'))[:60]!r} is unknown on this machine: write it like "
            "Europe/Vienna, or install the package tzdata"
        ) from None
    fleet = Fleet(path, file, zone)
    problem = _problem(fleet)
    if problem is not None:
        raise ConfigurationError(f"{path}: {problem}")
    return fleet


def _problem(fleet: Fleet) -> str | None:
    """Say what hangs on more than one key and is wrong."""
    if not fleet.file.watches and not fleet.file.logs:
        return "it watches nothing: add a table [watches.NAME] or [logs.NAME]"
    for name in (fleet.name, *fleet.file.watches, *fleet.file.notify, *fleet.file.logs, *fleet.bundles):
        if not _NAME.fullmatch(name):
            return f"{name[:40]!r} is no name: use letters, digits, '.', '_', '-'"
    for name, channel in fleet.file.notify.items():
        problem = channel.check()
        if problem is not None:
            return f"notify.{name}.{problem}"
    unknown = sorted(fleet.file.budgets.bundles.keys() - fleet.bundles.keys() - fleet.file.logs.keys())
    return f"budgets.bundles.{unknown[0]}: no watch names this bundle" if unknown else _same_name(fleet)


def _same_name(fleet: Fleet) -> str | None:
    named: dict[str, str] = {}
    for watch in fleet.file.watches.values():
        for each in watch.bundles:
            name, table = fleet.bundle_of(each)
            if named.setdefault(name, table.path) != table.path:
                return f"two bundles are called {name!r}: give each a table [bundles.NAME]"
    twice = sorted(named.keys() & fleet.file.logs.keys())
    return f"logs.{twice[0]}: a bundle is called so: give the log another name" if twice else None


def quiet_of(fleet: Fleet, hours: tuple[str, ...]) -> QuietHours:
    """Return quiet hours in the fleet's time zone."""
    return QuietHours.of(hours, fleet.zone)


def budgets_of(fleet: Fleet, host: str, bundle: str) -> Mapping[str, Budget]:
    """Return the budgets that an audit of a bundle at a host is paid from, by scope."""
    budgets = all_budgets(fleet)
    return {scope: budgets.get(scope, Budget()) for scope in ("fleet", f"host:{host}", f"bundle:{bundle}")}


def all_budgets(fleet: Fleet) -> dict[str, Budget]:
    """Return every budget of a fleet, by scope."""
    budgets = fleet.file.budgets
    found = {"fleet": Budget(requests=budgets.requests, cost=budgets.cost)}
    found |= {f"host:{name}": each for name, each in budgets.hosts.items()}
    return found | {f"bundle:{name}": each for name, each in budgets.bundles.items()}
