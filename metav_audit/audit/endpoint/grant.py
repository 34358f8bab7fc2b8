"""What an endpoint file may take of this machine: nothing but what whoever runs the audit names beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from metav_audit.errors import ConfigurationError, SecretError

SCHEME = "python:"
"""Begins the address of a function on this machine."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What an endpoint file may take.

    Attributes:
        secrets: environment variables whose values may be sent, and sources of credentials (``aws-credentials``) that
            may be used: ``NAME``, or ``NAME@HOST`` for that host alone, with or without its port.
        functions: whether an endpoint may be a function, whose module is imported and so runs.
        files: whether it may name certificates and keys of this machine, which prove to its host who asks.

    >>> grant = Grant(frozenset({"OURS", "THEIRS@models.example.org"}))
    >>> grant.covers("OURS", "https://any.example.com"), grant.for_strangers().covers("OURS", "https://any.example.com")
    (True, False)
    >>> grant.for_strangers().covers("THEIRS", "https://models.example.org/v1")
    True
    """

    secrets: frozenset[str] = frozenset()
    functions: bool = False
    files: bool = True

    def for_strangers(self) -> Self:
        """Return what a third party's file may take: variables bound to a host; no source, function or file."""
        return type(self)(frozenset(name for name in self.secrets if "@" in name and _is_variable(name)), files=False)

    def covers(self, variable: str, url: str) -> bool:
        """Say whether a variable's value may be sent to an address."""
        return not {variable, *(f"{variable}@{host}" for host in _hosts(url))}.isdisjoint(self.secrets)

    def check_files(self, files: Sequence[str]) -> None:
        """Raise ConfigurationError where certificates or keys are named and may not be."""
        if files and not self.files:
            raise ConfigurationError(f"it would read {files[0]} on this machine, which a third party's file may not")

    def check(self, url: str, names: Iterable[str]) -> None:
        """Check what an endpoint would take.

        Raises:
            SecretError: a variable or a source of credentials is not granted.
            ConfigurationError: it is a function, and functions are not.
        """
        if url.startswith(SCHEME) and not self.functions:
            raise ConfigurationError(
                f"{url} would run Python code on this machine: say --allow-python if you wrote it; a third party's "
                "file may not"
            )
        for name in names:
            if not self.covers(name, url):
                host = host_of(url)
                would, strangers = (
                    (f"it would send the environment variable {name} to", "needs the latter")
                    if _is_variable(name)
                    else (f"it would use {name}, which a cloud's library finds on this machine, for", "may not")
                )
                raise SecretError(
                    f"{would} {host}: if you want that, say --secret {name} or --secret {name}@{host}; a third party's "
                    f"file {strangers}"
                )


def _is_variable(name: str) -> bool:
    """Say whether a name, perhaps bound to a host, is that of a variable; a source's has a hyphen."""
    return "-" not in name.partition("@")[0]


NOTHING = Grant()


def host_of(url: str) -> str:
    """Return an address's host, with its port where it names one."""
    return urlsplit(url).netloc.lower()


def _hosts(url: str) -> set[str]:
    return {host_of(url), urlsplit(url).hostname or ""}
