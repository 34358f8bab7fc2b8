"""Credentials through one run: asked for when they are first needed, renewed before they end or once refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from metav_audit.audit.endpoint.credentials.base import Lease, RenewalError, Source
from metav_audit.audit.endpoint.secrets import Secrets
from metav_audit.errors import ConfigurationError

_PART = re.compile(r"[!-~]{8,}")
"""What a header takes, and what is long enough to be told from other text where it is redacted."""

MARGIN = timedelta(seconds=60)
"""Credentials are renewed so long before they end, or in the last quarter of a shorter life."""

AGAIN = timedelta(seconds=10)
"""After a renewal that failed, what still holds is used for so long before the next one."""


class Leases:
    """What one endpoint's source gave: one lease at a time for all requests, each of them redacted from then on.

    Args:
        source: where credentials come from; None where the endpoint names no source.
        secrets: told of every value before it is used.
        now: the time, aware.
    """

    def __init__(self, source: Source | None, secrets: Secrets, now: Callable[[], datetime]) -> None:
        self._source, self._secrets, self._now = source, secrets, now
        self._lease: Lease | None = None
        self._due: datetime | None = None
        self._accepted = False
        self._turn = asyncio.Lock()

    async def current(self, seconds: float) -> Lease | None:
        """Return what the next request is sent with; None without a source.

        Args:
            seconds: what a renewal may last.

        Raises:
            ConfigurationError: there are no credentials on this machine.
            RenewalError: they could not be had, and what was there has ended.
        """
        if self._source is None:
            return None
        # One at a time: whoever else needs them waits, and finds them renewed.
        async with self._turn:
            if self._lease is None:
                return await self._renew(self._source, seconds)
            if self._due is None or self._now() < self._due:
                return self._lease
            try:
                return await self._renew(self._source, seconds)
            except RenewalError:
                ends = self._lease.expires
                if ends is None or self._now() >= ends:
                    raise
                self._due = min(ends, self._now() + AGAIN)
                return self._lease

    def accepted(self, lease: Lease | None) -> None:
        """Take note that an endpoint took these credentials."""
        if lease is not None and self._lease is not None and lease.parts == self._lease.parts:
            self._accepted = True

    async def replaces(self, refused: Lease | None, seconds: float) -> bool:
        """Say whether there are others in the place of those that were refused, renewing them once if need be.

        They are renewed only if they were taken before: what is refused from the beginning has not expired.

        Raises:
            RenewalError: they could not be had.
        """
        if self._source is None or refused is None:
            return False
        async with self._turn:
            if self._lease is not None and self._lease.parts == refused.parts and self._accepted:
                await self._renew(self._source, seconds)
            return self._lease is not None and self._lease.parts != refused.parts

    async def _renew(self, source: Source, seconds: float) -> Lease:
        try:
            async with asyncio.timeout(seconds):
                lease = await asyncio.to_thread(source.fetch)
        except TimeoutError:
            raise RenewalError(f"{source.name}: none came within {seconds:.0f} s: {source.advice}") from None
        except ConfigurationError as error:
            # What was there before is no matter of this machine's settings.
            raise (error if self._lease is None else RenewalError(str(error))) from None
        self._check(source, lease)
        self._secrets.learn(source.name, lease.parts)
        self._lease, self._accepted, self._due = lease, False, self._when_due(lease)
        return lease

    def _when_due(self, lease: Lease) -> datetime | None:
        now = self._now()
        # What had ended when it came speaks of a wrong clock, and would be renewed for every request.
        if lease.expires is None or lease.expires <= now:
            return None
        return lease.expires - min(MARGIN, (lease.expires - now) / 4)

    @staticmethod
    def _check(source: Source, lease: Lease) -> None:
        if not all(isinstance(part, str) and _PART.fullmatch(part) for part in lease.parts):
            raise RenewalError(f"{source.name}: what came is nothing that a header takes: {source.advice}")
