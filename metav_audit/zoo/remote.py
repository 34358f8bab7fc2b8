"""A folder elsewhere: files by name at an address that fsspec knows, as s3://bucket/zoo.

Who may read and write there, the store's own library finds out (for S3: AWS's variables and files); an address holds no
password.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from metav_audit.errors import ConfigurationError, MetavAuditError, RemoteError

LARGEST = 8 << 30
"""Bytes of a file that is read."""

Judge = Callable[[bytes], float | None]
"""From a file's content to a figure."""


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """Files below an address.

    Attributes:
        address: with its scheme, without a slash at its end.
    """

    address: str

    def check_writable(self) -> None:
        """Write a file of no content and take it away again.

        Raises:
            ConfigurationError: the address cannot be written.
        """
        system, path = self._open()
        probe = f"{path}/.probe-{secrets.token_hex(8)}"
        try:
            system.makedirs(path, exist_ok=True)
            system.pipe_file(probe, b"")
            system.rm_file(probe)
        except Exception as error:
            raise ConfigurationError(
                f"cannot write {self.address}: {_told(error)}; see that it is there and that you may write to it"
            ) from error

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None where it is not there.

        Raises:
            RemoteError: the address cannot be asked, or the file is larger than ``LARGEST``.
        """
        system, path = self._open()
        with self._asked():
            try:
                if (size := int(system.size(f"{path}/{name}"))) > LARGEST:
                    raise RemoteError(f"{self.address}/{name} has {size} bytes, more than {LARGEST}: it is no model's")
                return bytes(system.cat_file(f"{path}/{name}"))
            except FileNotFoundError:
                return None

    def judged(self, name: str, judge: Judge) -> float | None:
        """Return what ``judge`` says of a file, None where it is not there; an unchanged file is read but once.

        Raises:
            RemoteError: those of ``read``.
        """
        version = self.version(name)
        return None if version is None else _judged(self, name, version, judge)

    def version(self, name: str) -> str | None:
        """Return what changes when a file does, or None where it is not there; errors: those of ``read``."""
        system, path = self._open()
        with self._asked():
            try:
                return str(system.ukey(f"{path}/{name}"))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file.

        Raises:
            RemoteError: that fails.
        """
        system, path = self._open()
        with self._asked():
            system.pipe_file(f"{path}/{name}", content)

    def _open(self) -> tuple[Any, str]:
        return _system_of(self.address)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except (MetavAuditError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise RemoteError(
                f"the store {self.address} fails: {_told(error)}; what it holds stands, run the same command again"
            ) from error


@lru_cache(maxsize=4096)
def _judged(folder: RemoteFolder, name: str, version: str, judge: Judge) -> float | None:  # noqa: ARG001 - a cache's key
    content = folder.read(name)
    return None if content is None else judge(content)


@lru_cache(maxsize=16)
def _system_of(address: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address, and the path in it.

    Raises:
        ConfigurationError: the library that reads such addresses is missing, or the address holds a password.
    """
    if urlsplit(address).password:
        raise ConfigurationError("the store's address holds a password: leave it to the library's own variables")
    try:
        import fsspec

        # Other workers write there, too: what was once listed says nothing.
        system, path = fsspec.url_to_fs(address.rstrip("/"), use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"the store {address} needs fsspec and what reads such addresses with it ({error}): "
            "pip install 'metav-audit[s3]' for s3://"
        ) from None
    return system, str(path)


def _told(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return first or type(error).__name__
