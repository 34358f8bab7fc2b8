"""Many endpoints side by side, each in a folder of its own, one failing without harm to the others."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from metav_audit.audit.asking import Surroundings
from metav_audit.audit.client import audit_endpoint_async
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.pace.pacing import Hosts
from metav_audit.audit.run import ProgressCallback
from metav_audit.audit.shared import ALONE, Among
from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import FaultError, MetavAuditError
from metav_audit.transcript import Campaign
from metav_audit.verdict import AuditFolder, Decision, Verdict


@dataclass(frozen=True, slots=True)
class Audited:
    """What became of one endpoint.

    Attributes:
        endpoint: who was asked.
        folder: where the evidence stands.
        decision: what the answers say; None if there was an error.
        error: why there is no decision; None if there is one.
    """

    endpoint: Endpoint
    folder: AuditFolder
    decision: Decision | None
    error: MetavAuditError | None

    @property
    def verdict(self) -> Verdict | None:
        """The verdict; None if there was an error."""
        return None if self.decision is None else self.decision.verdict


def audit_side_by_side(  # noqa: PLR0913 - what an audit takes, and what the others do
    bundle: FingerprintBundle,
    endpoints: Sequence[Endpoint],
    folder: Path,
    *,
    parallel: int,
    finish: Callable[[Audited], None],
    progress: ProgressCallback | None = None,
    seed: int = 0,
    campaign: Campaign | None = None,
    stop_early: bool = False,
    among: Among = ALONE,
) -> None:
    """Audit every endpoint into ``folder/NAME``, and hand over what became of each, in the given order.

    Args:
        bundle: whose inputs are sent.
        endpoints: who is asked; each has its own limits.
        folder: of the folders.
        parallel: audits under way at once.
        finish: told of each endpoint as soon as it and those before it are done; while it works, the others go on.
        progress: told of every step of every audit.
        seed: of the retries' jitter.
        campaign: among how many audits with the bundle they are.
        stop_early: whether each ends as soon as it is clear.
        among: audits of the same endpoints with other bundles, whose answers are taken over.
    """
    ask = partial(_one, bundle, progress, campaign, stop_early, among, folder)
    asyncio.run(_all(endpoints, parallel, finish, seed, ask))


async def _all(
    endpoints: Sequence[Endpoint],
    parallel: int,
    finish: Callable[[Audited], None],
    seed: int,
    ask: Callable[[Endpoint, Surroundings], Awaitable[Audited]],
) -> None:
    places = asyncio.Semaphore(parallel)
    hosts = Hosts(time.monotonic, asyncio.sleep)

    async def one(number: int, endpoint: Endpoint) -> Audited:
        rng = random.Random(seed + number)  # noqa: S311
        world = Surroundings(time.monotonic, lambda: datetime.now(UTC), asyncio.sleep, rng, hosts)
        async with places:
            return await ask(endpoint, world)

    under_way = [asyncio.create_task(one(number, endpoint)) for number, endpoint in enumerate(endpoints)]
    for task in under_way:
        # Reports are drawn in a thread: the other audits' clocks do not stand still for it.
        await asyncio.to_thread(finish, await task)


async def _one(
    bundle: FingerprintBundle,
    progress: ProgressCallback | None,
    campaign: Campaign | None,
    stop_early: bool,
    among: Among,
    out: Path,
    endpoint: Endpoint,
    world: Surroundings,
) -> Audited:
    folder, others = among.folder(out, endpoint.name), among.others(out, endpoint.name)
    try:
        transcript = await audit_endpoint_async(
            bundle, endpoint, folder.path, world, progress=progress, campaign=campaign, stop_early=stop_early,
            others=others,
        )  # fmt: skip
        return Audited(endpoint, folder, folder.record(bundle, transcript), None)
    except MetavAuditError as error:
        return Audited(endpoint, folder, None, error)
    except Exception as error:
        fault = FaultError(
            f"endpoint {endpoint.name}: {type(error).__name__}, a fault of metav-audit: please report it"
        )
        fault.__cause__ = error
        return Audited(endpoint, folder, None, fault)
