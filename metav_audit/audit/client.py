"""Auditing one endpoint: what is open is asked, in batches, and stands in the journal; running again goes on."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx

from metav_audit.audit.asking import Asker, Surroundings
from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.endpoint.grant import SCHEME
from metav_audit.audit.endpoint.secrets import Secrets
from metav_audit.audit.journal import Journal, Subject, check_resumable, draw_nonce, stamp
from metav_audit.audit.pace.pacing import Hosts, Sleep
from metav_audit.audit.run import ProgressCallback, Run
from metav_audit.audit.shared import Given
from metav_audit.audit.wire.local import LocalTransport
from metav_audit.audit.wire.tls import open_tls
from metav_audit.audit.wire.transport import Transport
from metav_audit.bundle import (
    FingerprintBundle,
    Questions,
    asked_inputs,
    planned_places,
    usual_looks,
)
from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.transcript import Campaign, Finished, Resumed, Transcript
from metav_audit.transcript.log import AskedLog
from metav_audit.verdict import (
    AuditFolder,
    VerdictOutcome,
    calibration_scores,
    check_table,
    conclude,
)
from metav_audit.version import __version__


def audit_endpoint(  # noqa: PLR0913 - what the world gives is an argument
    bundle: Questions,
    endpoint: Endpoint,
    folder: Path,
    *,
    progress: ProgressCallback | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Sleep = asyncio.sleep,
    seed: int = 0,
    draw: Callable[[], str] = draw_nonce,
) -> Transcript:
    """Ask an endpoint everything in the schedule that is still open, and return the whole transcript.

    ``folder/transcript.jsonl`` grows while it works. Running again with the same folder asks only what is open; a
    finished audit is returned as it is. For use within an event loop there is ``audit_endpoint_async``.

    Args:
        bundle: whose inputs are sent: a fingerprint, or other questions.
        endpoint: who is asked.
        folder: where the transcript stands.
        progress: told of every step.
        transport: stands in for httpx's own, for tests.
        clock: monotonic seconds.
        now: the time, aware.
        sleep: waits so many seconds.
        seed: of the retries' jitter.
        draw: gives the nonce of a new audit.

    Raises:
        ConfigurationError: the budget is too small, a variable is not set (SecretError), or the folder is unfit.
        TranscriptError: the transcript in the folder is damaged.
        AnswerError: the first answer does not fit the task; one request was sent.
        RemoteError: the endpoint cannot be asked; running again goes on where this run stopped.
    """
    world = Surroundings(clock, now, sleep, random.Random(seed), Hosts(clock, sleep), draw)  # noqa: S311
    return asyncio.run(audit_endpoint_async(bundle, endpoint, folder, world, progress=progress, transport=transport))


async def audit_endpoint_async(
    bundle: Questions,
    endpoint: Endpoint,
    folder: Path,
    world: Surroundings,
    *,
    progress: ProgressCallback | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    campaign: Campaign | None = None,
    stop_early: bool = False,
    others: Sequence[AuditFolder] = (),
) -> Transcript:
    """Do what ``audit_endpoint`` does, within a running event loop.

    What the endpoint answered in the finished audits ``others`` is taken over, and not asked again.
    """
    # 1. Whatever can be wrong on this side is found before anything is sent.
    secrets = check_ready(bundle, endpoint, folder, stop_early=stop_early)
    subject = subject_of(bundle, endpoint, campaign, stop_early=stop_early)
    # 2. The way out opens, and then the journal, new or where it stopped.
    async with open_way_out(endpoint, secrets, transport) as way_out:
        with Journal(folder, subject, lambda: stamp(world.now()), secrets, world.draw) as journal:
            given = Given.read(others, endpoint.record())
            run = Run(bundle, endpoint, journal, world, progress, partial(_is_clear, bundle, journal, folder), given)
            if journal.transcript.finished:
                run.say("finished earlier, nothing was asked again", final=True)
                return journal.transcript
            if journal.begun:
                journal.append(Resumed(at=journal.now(), endpoint=endpoint.record()))
            # 3. What is open is asked.
            inputs = asked_inputs(bundle)[list(run.schedule.numbers)]
            asker = Asker(endpoint, inputs, journal, run.budget, secrets, way_out, world, run.say)
            await run.ask_all(asker)
            # 4. Nothing is left to ask.
            journal.append(Finished(at=journal.now()))
            return journal.transcript


def _is_clear(bundle: Questions, journal: Journal, folder: Path) -> bool:
    """Say whether the answers so far bear a verdict, with the folder's blind controls if there are any."""
    assert isinstance(bundle, FingerprintBundle)
    verdict = conclude(bundle, journal.transcript, AuditFolder(folder).controls()).verdict
    return verdict.outcome is not VerdictOutcome.INCONCLUSIVE


def subject_of(
    bundle: Questions, endpoint: Endpoint, campaign: Campaign | None = None, *, stop_early: bool = False
) -> Subject:
    """Say what a transcript of this audit is about."""
    looks = usual_looks(len(bundle.inputs)) if stop_early else ()
    looks = looks if len(looks) > 1 else ()  # So few queries are all asked anyway.
    software, places = f"metav-audit {__version__}", planned_places(bundle)
    commitment = None if bundle.commitment is None else hashlib.sha256(bundle.commitment).hexdigest()
    return Subject(bundle.sha256, endpoint.record(), software, places, endpoint.operator, commitment, campaign, looks)


def check_ready(bundle: Questions, endpoint: Endpoint, folder: Path, *, stop_early: bool = False) -> Secrets:
    """Check all that can be checked without sending or writing anything; return the endpoint's secrets.

    Raises:
        SecretError: a variable is not set.
        ConfigurationError: the budget is too small, the credentials' library cannot be imported, or the folder holds
            the audit of something else.
        TranscriptError: the transcript in the folder is damaged.
        BundleError: the bundle's table of likelihood ratios does not follow from its calibration.
        EvidenceError: the bundle's queries are no rows of the request log that it names.
    """
    if isinstance(bundle, FingerprintBundle):
        check_table(bundle, calibration_scores(bundle).fit_weight())
        _check_rows(bundle)
    secrets = read_secrets(endpoint)
    subject = subject_of(bundle, endpoint, stop_early=stop_early)
    places, looks = planned_places(bundle), max(1, len(subject.looks))
    needed = endpoint.requests_needed(places, looks)
    if endpoint.budget(places, looks) < needed:
        raise ConfigurationError(
            f"endpoints.{endpoint.name}.limits.requests = {endpoint.limits.requests} does not cover the {needed} "
            "requests that the fingerprint, and what is asked between its queries, need: raise it, or send larger "
            "batches (batch = ...)"
        )
    check_resumable(folder, subject)
    return secrets


def _check_rows(bundle: FingerprintBundle) -> None:
    told, owners = bundle.provenance.get("log"), bundle.verifier.tensors.get("accounts")
    if told is None:
        return
    if owners is None:
        raise EvidenceError("the bundle names a request log, and none of its queries has an account there")
    AskedLog.from_json(told).check(bundle.inputs, [int(each) for each in owners], bundle.task)


def read_secrets(endpoint: Endpoint) -> Secrets:
    """Return what an endpoint's variables hold, and see that its credentials and certificates can be used.

    Raises:
        SecretError: a variable is not set.
        ConfigurationError: a library or a file of it cannot be used.
    """
    if endpoint.credentials is not None:
        endpoint.credentials.load()
    secrets = Secrets.read(endpoint.variables(os.environ), os.environ)
    if endpoint.way.files:
        open_tls("https", endpoint.way, endpoint.password(secrets))
    return secrets


def open_way_out(
    endpoint: Endpoint, secrets: Secrets, inner: httpx.AsyncBaseTransport | None
) -> Transport | LocalTransport:
    """Return the way to an endpoint: over the network, or into a function on this machine."""
    if endpoint.url.startswith(SCHEME):
        return LocalTransport(endpoint.url, endpoint.limits)
    return Transport(endpoint.url, endpoint.limits, inner, endpoint.way, endpoint.password(secrets))
