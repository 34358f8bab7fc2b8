"""The fleet file's plans, opened; and the way from a claim to an audit's folder and what it shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from metav_audit.audit import Endpoint, Grant, glance, load_endpoints
from metav_audit.bundle import FingerprintBundle, planned_places, usual_looks
from metav_audit.casework import audit_and_report
from metav_audit.errors import BundleError, ConfigurationError, TranscriptError
from metav_audit.transcript import replay_file
from metav_audit.verdict import TRANSCRIPT, AuditFolder
from metav_audit.watch.budgets import price_of
from metav_audit.watch.claims import Claim
from metav_audit.watch.enrolment import Plan
from metav_audit.watch.fleet import Fleet, budgets_of, quiet_of
from metav_audit.watch.glances import QUERIES, Glanced, chosen, has_moved, name_of
from metav_audit.watch.request_logs import WatchedLog, open_watched
from metav_audit.watch.sighting import Sighting
from metav_audit.watch.watches import AskedTable

if TYPE_CHECKING:
    from metav_audit.evidence import Sealer
    from metav_audit.report import Paper


@dataclass(frozen=True, slots=True)
class Opened:
    """A fleet, opened.

    Attributes:
        plans: one an endpoint and bundle, in the file's order.
        endpoints: each plan's endpoint, by ``Plan.key``.
        sources: the endpoint file of each, likewise.
        bundles: by their names in the fleet file.
        outdated: why a bundle should be made anew, by its name.
        logs: the request logs that are watched, by their names in the fleet file, which are their bundles', too.
    """

    plans: tuple[Plan, ...]
    endpoints: Mapping[str, Endpoint]
    sources: Mapping[str, Path]
    bundles: Mapping[str, FingerprintBundle]
    outdated: Mapping[str, str]
    logs: Mapping[str, WatchedLog]

    @property
    def unreadable(self) -> frozenset[str]:
        """The bundles that cannot be read."""
        return frozenset(self.outdated.keys() - self.bundles.keys())


def open_fleet(fleet: Fleet, grant: Grant, today: date) -> Opened:
    """Open every bundle and every endpoint of a fleet; a bundle that cannot be read is outdated, and its plans wait.

    Args:
        fleet: the fleet file.
        grant: what of this machine its endpoint files may take.
        today: decides which bundles are outdated.

    Raises:
        SecretError: a secret stands as a literal, or a variable is not granted.
        ConfigurationError: an endpoint file is wrong, a name is used twice, no bundle can be read.
    """
    bundles, outdated, logs = read_bundles(fleet, today)
    if not bundles:
        raise ConfigurationError(f"{fleet.path}: no bundle can be read: {next(iter(outdated.values()))}")
    plans: dict[str, Plan] = {}
    endpoints: dict[str, Endpoint] = {}
    sources: dict[str, Path] = {}
    for label, watch, name in _pairs(fleet, bundles):
        source = fleet.place(watch.endpoints)
        for endpoint in _endpoints(source, watch, label, bundles[name], grant):
            plan = _plan(fleet, watch, endpoint, name, bundles[name])
            if plan.key in plans:
                raise ConfigurationError(
                    f"{fleet.path}: {label}: endpoint {endpoint.name!r} is asked bundle {name!r} twice: give "
                    "endpoints names of their own"
                )
            plans[plan.key], endpoints[plan.key], sources[plan.key] = plan, endpoint, source
    nobodys = sorted(fleet.file.budgets.hosts.keys() - {plan.host for plan in plans.values()})
    if nobodys and not outdated:
        asked = ", ".join(sorted({plan.host for plan in plans.values()})[:8])
        raise ConfigurationError(
            f"{fleet.path}: budgets.hosts.{nobodys[0]}: no endpoint is asked there, but at {asked}: name a host as it "
            "stands in the address, with its port where there is one"
        )
    return Opened(tuple(plans.values()), endpoints, sources, bundles, outdated, logs)


def read_bundles(
    fleet: Fleet, today: date
) -> tuple[dict[str, FingerprintBundle], dict[str, str], dict[str, WatchedLog]]:
    """Open the bundles; return them, those of request logs among them, why some are outdated, and the logs."""
    bundles: dict[str, FingerprintBundle] = {}
    outdated: dict[str, str] = {}
    for name, table in fleet.bundles.items():
        try:
            place = fleet.place(table.path)
            if not os.path.lexists(place):
                raise BundleError(f"there is no bundle {place}")
            bundles[name] = FingerprintBundle.load(place)
        except BundleError as error:
            outdated[name] = str(error)
            continue
        if table.good_until is not None and today > table.good_until:
            outdated[name] = f"the bundle was good until {table.good_until}: fit it again"
    logs: dict[str, WatchedLog] = {}
    for name, told in fleet.file.logs.items():
        try:
            logs[name] = open_watched(fleet, told)
        except BundleError as error:
            outdated[name] = str(error)
    return bundles | {name: each.bundle for name, each in logs.items()}, outdated, logs


def _pairs(fleet: Fleet, bundles: Mapping[str, FingerprintBundle]) -> Iterator[tuple[str, AskedTable, str]]:
    """Yield every watch with each of its bundles that can be read, and every log that can be with its own."""
    for label, watch in fleet.file.watches.items():
        for named in watch.bundles:
            name, _ = fleet.bundle_of(named)
            if name in bundles:
                yield f"watches.{label}", watch, name
    for name, log in fleet.file.logs.items():
        if name in bundles:
            yield f"logs.{name}", log, name


def _endpoints(
    source: Path, watch: AskedTable, label: str, bundle: FingerprintBundle, grant: Grant
) -> Sequence[Endpoint]:
    found = load_endpoints(source, bundle.task, grant)
    missing = set(watch.only) - {each.name for each in found}
    if missing:
        raise ConfigurationError(f"{label}.only: {source} has no endpoint {min(missing)!r}")
    return [each for each in found if not watch.only or each.name in watch.only]


def _plan(fleet: Fleet, watch: AskedTable, endpoint: Endpoint, name: str, bundle: FingerprintBundle) -> Plan:
    places, host = planned_places(bundle), urlsplit(endpoint.url).netloc.lower() or "this process"
    few = QUERIES * endpoint.adapter.steps if watch.full_every is not None else 0
    looks = len(usual_looks(len(bundle.inputs))) if fleet.file.stop_early else 1
    needed = endpoint.requests_needed(places, looks) * endpoint.adapter.steps + few
    return Plan(
        endpoint=endpoint.name,
        bundle=name,
        bundle_sha256=bundle.sha256,
        url=endpoint.url,
        host=host,
        rhythm=watch.rhythm,
        quiet=quiet_of(fleet, watch.quiet),
        needed=needed,
        ceiling=max(needed, endpoint.budget(places, looks)),
        price=price_of(endpoint.limits.price),
        budgets=budgets_of(fleet, host, name),
        full_every=watch.full_every,
        glance=few,
    )


def _limited(endpoint: Endpoint, requests: int) -> Endpoint:
    return replace(endpoint, limits=endpoint.limits.model_copy(update={"requests": requests}))


def _beside(folder: str) -> str:
    """Return where the glance of an audit stands."""
    return f"{folder.rpartition('/')[0]}/glance"


@dataclass(frozen=True, slots=True)
class Auditor:
    """Makes the audits of an opened fleet.

    Attributes:
        opened: the fleet.
        evidence: the folder of all evidence.
        sealer: gives what seals the audits of an endpoint file; None for nothing.
        stop_early: whether an audit ends at the first look that is clear; one that was begun otherwise goes on so.
        paper: the PDFs'.
    """

    opened: Opened
    evidence: Path
    sealer: Callable[[Path], Sealer | None]
    stop_early: bool = True
    paper: Paper = "a4"

    def ask(self, claim: Claim) -> Sighting | Glanced:
        """Make an audit, or go on with it, within what was granted, where a glance does not show that nothing moved.

        See ``audit_and_report`` and ``glance`` for what it raises.
        """
        plan, folder = claim.plan, self.evidence / claim.folder
        endpoint = self.opened.endpoints[plan.key]
        sent = 0
        if claim.reference is not None and not AuditFolder(folder).has(TRANSCRIPT):
            moved, sent = self._glance(claim, claim.reference, _limited(endpoint, claim.granted))
            if not moved:
                shutil.rmtree(folder.parent, ignore_errors=True)
                return Glanced(sent)
        endpoint = _limited(endpoint, claim.granted - sent)
        sealer = self.sealer(self.opened.sources[plan.key])
        bundle = self.opened.bundles[plan.bundle]
        (result,) = audit_and_report(
            bundle, [endpoint], folder.parent, sealer=sealer, paper=self.paper, earlier=claim.earlier,
            stop_early=self._stops_early(AuditFolder(folder)),
        ).results  # fmt: skip
        if result.error is not None:
            raise result.error
        return Sighting.of(result.folder.decide())

    def _glance(self, claim: Claim, reference: Sighting, endpoint: Endpoint) -> tuple[bool, int]:
        """Ask a few queries; return whether any answer moved, and the requests sent."""
        bundle = self.opened.bundles[claim.plan.bundle]
        queries = chosen(bundle, reference)
        if not len(queries):
            return True, 0
        answers, transcript = glance(
            bundle.inputs[queries], name_of(bundle), bundle.task.output, endpoint, self.evidence / _beside(claim.folder)
        )
        return has_moved(reference, queries, answers), transcript.requests

    def _stops_early(self, folder: AuditFolder) -> bool:
        if not folder.has(TRANSCRIPT):
            return self.stop_early
        replay, _ = replay_file(folder / TRANSCRIPT)
        return bool(replay.transcript().looks) if replay.records else self.stop_early

    def sent(self, folder: str) -> int | None:
        """Return how many requests an audit, and the glance before it, have sent; None where no transcript tells."""
        both = [self._sent(each) for each in (folder, _beside(folder))]
        return None if both[0] is None and not both[1] else sum(each or 0 for each in both)

    def _sent(self, folder: str) -> int | None:
        path = AuditFolder(self.evidence / folder) / TRANSCRIPT
        if not path.parent.is_dir():
            return None
        if not path.exists():
            return 0
        try:
            replay, _ = replay_file(path)
            return replay.transcript().requests if replay.records else 0
        except TranscriptError:
            return None
