"""A whole probe: what the API says of itself is read, the search is done, and what it found becomes an endpoint."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from metav_audit.adapter import Adapter, Hints, Request, installed_adapters, parse
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.endpoint.grant import NOTHING, Grant
from metav_audit.audit.endpoint.secrets import Secrets
from metav_audit.audit.pace.budget import BudgetSpentError, QueryBudget
from metav_audit.audit.pace.pacing import Sleep, origin
from metav_audit.audit.probe.found import Found
from metav_audit.audit.probe.search import Arm, Search
from metav_audit.audit.probe.sending import Courier
from metav_audit.audit.wire.transport import Transport
from metav_audit.bundle import FingerprintBundle, NaturalInputs
from metav_audit.errors import AnswerError, ConfigurationError, RemoteError
from metav_audit.files import read_regular
from metav_audit.progress import printable
from metav_audit.verdict import RULES, least_rightness

WALL_S = 300.0
"""Seconds that a probe may last."""
REQUESTS = 12
"""Requests of a probe, unless told otherwise."""
_LIMITS = {"concurrency": 1, "attempts": 1, "read_timeout_s": 20, "total_s": 30, "wall_s": WALL_S}
_MAX_DESCRIPTION = 4 << 20
_MOST_DESCRIPTIONS = 2
_LEAST_TOLD = 2
"""Answers that must bear a reading out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be probed, and with what.

    Attributes:
        bundle: whose natural inputs are sent.
        url: the API's address.
        name: the endpoint's name in the file.
        headers: header templates; ``${NAME}`` stands for an environment variable.
        grant: which of these may be sent.
        requests: how many requests may be sent in all.
        describe: an OpenAPI description: a file, or an address on the same host; None to look where it usually is.
        way: files of certificates and of a key: ``ca``, ``cert``, ``key``.
    """

    bundle: FingerprintBundle
    url: str
    name: str = "suspect"
    headers: Mapping[str, str] = field(default_factory=dict)
    grant: Grant = NOTHING
    requests: int = REQUESTS
    describe: str | None = None
    way: Mapping[str, str] = field(default_factory=dict)

    def endpoint(self) -> Endpoint:
        """Return what is known of the endpoint: address, headers and limits.

        Raises:
            SecretError: a secret stands as a literal, or a variable is not granted or not set.
            ConfigurationError: the address or a header is not valid.
        """
        probe = {"adapter": "json-template", "body": "{{input}}", "url": self.url, "headers": dict(self.headers)}
        endpoint = Endpoint.open(self.name, {**probe, **self.way, "limits": _LIMITS}, self.bundle.task)
        self.grant.check(self.url, endpoint.variables(os.environ))
        return endpoint

    def natural(self) -> NaturalInputs:
        """Return the bundle's natural inputs.

        Raises:
            ConfigurationError: it has none.
        """
        if self.bundle.natural is None:
            raise ConfigurationError(
                "this bundle has no natural inputs, without which nobody can tell whether an API was asked rightly: "
                'fit it again with [natural] source = "validation", "public" or "synthetic" in project.toml'
            )
        return self.bundle.natural


def probe(
    plan: Plan,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Sleep = asyncio.sleep,
) -> Found:
    """Find out how an API wants to be asked, within a few requests; nothing is written.

    Args:
        plan: what is probed, and with what.
        transport: stands in for httpx's own, for tests.
        clock: monotonic seconds.
        now: the time, aware.
        sleep: waits so many seconds.

    Raises:
        ConfigurationError: the plan cannot be carried out; nothing was sent.
        RemoteError: the API cannot be asked, or no way to ask it does the task; the message says what came back.
    """
    endpoint, natural = plan.endpoint(), plan.natural()
    secrets = Secrets.read(endpoint.variables(os.environ), os.environ)
    documents = _described_in(plan)
    return asyncio.run(_probe(plan, endpoint, natural, secrets, documents, transport, clock, now, sleep))


async def _probe(
    plan: Plan,
    endpoint: Endpoint,
    natural: NaturalInputs,
    secrets: Secrets,
    documents: dict[str, Any],
    transport: httpx.AsyncBaseTransport | None,
    clock: Callable[[], float],
    now: Callable[[], datetime],
    sleep: Sleep,
) -> Found:
    budget = QueryBudget(plan.requests, WALL_S, clock)
    async with Transport(plan.url, endpoint.limits, transport, endpoint.way, endpoint.password(secrets)) as way:
        courier = Courier(endpoint, secrets, way, budget, sleep, now)
        adapters = probing()
        for address in _addresses(plan, adapters):
            # One description is enough: every request counts.
            documents = documents or await _fetched(courier, address)
        search = Search(plan.bundle.task, natural, plan.url, adapters, courier, Hints(documents))
        await search.run()
    arm = search.best()
    _check_stated(plan, arm, adapters, documents)
    _check(plan, natural, arm, courier)
    assert arm is not None
    return _found(plan, arm, budget.spent)


def probing() -> list[type[Adapter]]:
    """Return the installed adapters that guess, those that know a protocol first, and the one for any API last."""
    there = [each.adapter for each in installed_adapters() if each.adapter is not None]
    guessing = [adapter for adapter in there if adapter.guesses.__func__ is not Adapter.guesses.__func__]  # type: ignore[attr-defined]
    return sorted(guessing, key=lambda adapter: adapter.name == "json-template")


def _described_in(plan: Plan) -> dict[str, Any]:
    """Read the description's file, if one was named.

    Raises:
        ConfigurationError: it cannot be read, is no JSON, or lies on another host.
    """
    where = plan.describe
    if where is None or _is_address(where):
        if where is not None and origin(where) != origin(plan.url):
            raise ConfigurationError(f"--describe {where}: it must be on the API's own host, or a file")
        return {}
    try:
        return {where: parse(read_regular(Path(where), _MAX_DESCRIPTION, follow=True))}
    except OSError as error:
        raise ConfigurationError(f"cannot read {where}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{where} is not JSON: give the OpenAPI description as JSON") from None


def _is_address(where: str) -> bool:
    return where.lower().startswith(("http://", "https://"))


def _addresses(plan: Plan, adapters: Sequence[type[Adapter]]) -> list[str]:
    """Return where the API may describe itself, at most two addresses."""
    if plan.describe is not None:
        return [plan.describe]
    known = [address for adapter in adapters for address in adapter.described_at(plan.url)]
    return list(dict.fromkeys(known))[:_MOST_DESCRIPTIONS]


async def _fetched(courier: Courier, address: str) -> dict[str, Any]:
    """Fetch a description; what is none is none."""
    try:
        response = await courier.send(Request(address, b"", "GET", {}))
        return {address: parse(response.content)} if response.status == 200 else {}
    except (BudgetSpentError, AnswerError, ValueError, RecursionError):
        return {}


def _check_stated(plan: Plan, arm: Arm | None, adapters: Sequence[type[Adapter]], documents: dict[str, Any]) -> None:
    """Raise RemoteError where nothing was found, and the API itself says why."""
    for adapter in adapters if arm is None else ():
        misfit = adapter.misfit(plan.bundle.task, documents)
        if misfit:
            raise RemoteError(f"{plan.url}: {printable(misfit)}: audit a model of this task, or write an adapter")


def _check(plan: Plan, natural: NaturalInputs, arm: Arm | None, courier: Courier) -> None:
    """Raise RemoteError unless a way to ask does the task."""
    space = plan.bundle.task.output
    if arm is None:
        raise RemoteError(f"{plan.url}: no way to ask it was found within {_sent(courier)}; {_ADVICE}")
    reading = arm.readings[0]
    floor = RULES.least_right * least_rightness(natural.reference, natural.models, space)
    if reading.right >= floor and reading.told >= _LEAST_TOLD and not reading.as_a_constant:
        _check_labels(plan, arm, courier)
        return
    got = f"{round(reading.right * reading.told)} of {reading.told} natural inputs right" if space.labelled else (
        f"values that correlate with the target's by {reading.right:.2f}"
    )  # fmt: skip
    constant = "; one answer for all would do as well" if reading.as_a_constant else ""
    raise RemoteError(
        f"{plan.url}: it answers, but no way to ask it was found that does the task: the best got {got}{constant} "
        f"({_words(arm)}), within {_sent(courier)}; {_ADVICE}"
    )


def _check_labels(plan: Plan, arm: Arm, courier: Courier) -> None:
    """Raise RemoteError where a label of the API stands for nobody knows what: an audit would be worth nothing."""
    reading = arm.readings[0]
    if reading.strange:
        theirs, ours = (", ".join(map(repr, each[:4])) for each in (reading.strange, reading.unseen))
        raise RemoteError(
            f"{plan.url}: it does the task, but what its labels {printable(theirs[:200])} stand for is not known "
            f"({_words(arm)}), within {_sent(courier)}; "
            + (f"{ours[:200]} are left: give more --requests, or write label_map by hand" if ours else _ADVICE)
        )


_ADVICE = "give --describe, more --requests, or write the endpoint file by hand (docs/adapters)"


def _words(arm: Arm) -> str:
    """Name a way to ask in a few words, for a message."""
    options = {name: value for name, value in arm.options.items() if name != "url"}
    return printable(f"{arm.adapter.name}, {', '.join(f'{name} = {value}' for name, value in options.items())}"[:200])


def _sent(courier: Courier) -> str:
    counts = Counter(courier.told)
    came = ", ".join(f"{count} x {printable(told)}" for told, count in counts.most_common(4)) or "nothing"
    return f"{courier.budget.spent} requests; what came back: {came}"


def _found(plan: Plan, arm: Arm, requests: int) -> Found:
    reading = arm.readings[0]
    written = {**arm.options, **reading.options}
    fields: dict[str, Any] = {"adapter": arm.adapter.name, "url": written.pop("url", plan.url), **_tidy(arm, written)}
    fields |= plan.way
    if plan.headers:
        fields["headers"] = dict(plan.headers)
    natural = plan.natural()
    try:
        Endpoint.open(plan.name, fields, plan.bundle.task)
    except ConfigurationError as error:
        raise RemoteError(f"{plan.url}: what was found makes no endpoint: {error}; write the file by hand") from None
    return Found(plan.name, fields, reading, plan.bundle.task, natural.source, requests)


def _tidy(arm: Arm, options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is the default anyway, and put the options into the adapter's own order."""
    fields = arm.adapter.Options.model_fields
    kept = {}
    for name in fields:
        if name in options and name != "url":
            default = None if fields[name].is_required() else fields[name].get_default(call_default_factory=True)
            plain = getattr(default, "value", default)
            if options[name] != plain or name in ("encoding", "scores"):
                kept[name] = options[name]
    return kept
