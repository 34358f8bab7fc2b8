"""The exchange played again from the raw bytes: the committed inputs were sent, and the answers follow from them.

The endpoint's own adapter is driven as the client drove it, with the recorded responses in the place of the network.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from metav_audit.adapter import Adapter, Flow, Request, Response, Step, Wait, find_adapter
from metav_audit.bundle import Questions, Schedule, asked_inputs
from metav_audit.errors import AnswerError, ConfigurationError, TranscriptError
from metav_audit.evidence import NotComparedError
from metav_audit.files import strict_json
from metav_audit.task import Inputs
from metav_audit.transcript import BODIES, BodyReader, EndpointRecord, Place, Received, Record, Records, Sent
from metav_audit.verdict import AuditFolder
from metav_audit.verify.checklist import Found

_CLIENT_S = {"credentials", "headers", "limits", "signing", "way"}
"""Options of an endpoint that the client keeps for itself."""


@dataclass(slots=True)
class Played:
    """What was found.

    Attributes:
        bodies: bodies whose hash was checked.
        redacted: of these, those from which an echoed secret was taken out, so that the raw hash cannot be checked.
        requests: requests whose bytes are those that the adapter writes for the committed inputs.
        answers: responses decoded again, with the recorded answers.
    """

    bodies: int = 0
    redacted: int = 0
    requests: int = 0
    answers: int = 0


def check_bodies(folder: AuditFolder, records: Records) -> Played:
    """Check each body's hash, and that the records account for every byte of ``bodies.pack``.

    Raises:
        TranscriptError: a body is missing or altered, or bytes lie there that no record names.
    """
    played, end = Played(), 0
    with folder.bodies() as bodies:
        for record in records.each:
            if isinstance(record, Sent | Received) and record.body is not None:
                _check_body(record, record.body, bodies, played)
                headers = record.headers if isinstance(record, Received) else None
                if headers is not None:
                    bodies.read(headers)
                end = max(end, sum(record.body), sum(headers or ()))
        if bodies.size != end:
            raise TranscriptError(f"{BODIES} has {bodies.size} bytes, the transcript accounts for {end}")
    return played


def bodies_intact(folder: AuditFolder, records: Records) -> Found:
    """Check all bodies as a step; see ``check_bodies``."""
    played = check_bodies(folder, records)
    redacted = f", {played.redacted} of them without a secret that the server echoed" if played.redacted else ""
    return True, f"{played.bodies} bodies of requests and responses have their hashes{redacted}"


def played_again(folder: AuditFolder, bundle: Questions, records: Records, _: bool = True) -> Found:
    """Play the exchange again as a step; see ``play_again``.

    Raises:
        NotComparedError: the adapter is not installed here.
    """
    try:
        played = play_again(folder, records, bundle)
    except ConfigurationError as error:
        raise NotComparedError(f"its adapter cannot be opened here: {error}") from error
    said = f"{played.requests} requests hold the committed inputs, {played.answers} responses the recorded answers"
    return True, f"{said}, by the adapter {records.transcript.endpoint.adapter}"


def play_again(folder: AuditFolder, records: Records, bundle: Questions) -> Played:
    """Encode the committed inputs and decode the recorded responses again, request by request.

    Raises:
        ConfigurationError: the adapter is not installed here.
        TranscriptError: a request or an answer is not what its record says.
    """
    adapter = open_adapter(records.transcript.endpoint, bundle)
    played = Played()
    with folder.bodies() as bodies:
        schedule = Schedule.for_bundle(bundle, records.transcript.nonce, records.transcript.looks)
        player = _Player(adapter, asked_inputs(bundle)[list(schedule.numbers)], bodies, played)
        for record in records.each:
            player.take(record)
    return played


def open_adapter(endpoint: EndpointRecord, bundle: Questions) -> Adapter:
    """Open the adapter as the endpoint file had it, without what the client kept for itself."""
    options = {name: value for name, value in endpoint.options.items() if name not in _CLIENT_S}
    fields = {**options, "url": endpoint.url, "scores": endpoint.scores.value}
    return find_adapter(endpoint.adapter).open(bundle.task, fields)


class _Player:
    """Plays the records' requests, several flows side by side as the client did."""

    def __init__(self, adapter: Adapter, inputs: Inputs, bodies: BodyReader, played: Played) -> None:
        self._adapter, self._bodies, self._played = adapter, bodies, played
        self._inputs = inputs
        self._flows: dict[tuple[int, ...], tuple[Flow, Step]] = {}
        self._sent: dict[int, Sent] = {}

    def take(self, record: Record) -> None:
        if isinstance(record, Sent):
            self._take_sent(record)
        elif isinstance(record, Received):
            self._take_received(record, self._sent.pop(record.request))

    def _take_sent(self, record: Sent) -> None:
        where = f"request {record.request}"
        key = record.queries
        if record.step == 0 and record.attempt == 1:
            flow = Flow(self._adapter, self._inputs[list(record.queries)])
            self._flows[key] = flow, _next_request(flow)
        if key not in self._flows:
            raise TranscriptError(f"{where} goes on with what was not begun")
        _, expected = self._flows[key]
        digest = hashlib.sha256(expected.content).hexdigest() if isinstance(expected, Request) else None
        if digest != record.request_sha256 or not isinstance(expected, Request):
            raise TranscriptError(f"{where} does not hold the committed inputs as {self._adapter.name} writes them")
        if (expected.url, expected.method) != (record.url, record.method):
            raise TranscriptError(f"{where} went to {record.url}, the adapter asks {expected.url}")
        self._sent[record.request] = record
        self._played.requests += 1

    def _take_received(self, record: Received, sent: Sent) -> None:
        if record.outcome not in ("ok", "unusable"):
            return
        flow, _ = self._flows[sent.queries]
        if record.headers is None or record.body is None or record.status is None:
            raise TranscriptError(f"the response to request {record.request} was not kept")
        headers = strict_json(self._bodies.read(record.headers))
        response = Response(record.status, headers, self._bodies.read(record.body))
        try:
            step = _next_request(flow, response)
            found: Any = tuple(step) if isinstance(step, list) else None
        except AnswerError:
            step, found = [], "unusable"
        if found != ("unusable" if record.outcome == "unusable" else record.answers):
            raise TranscriptError(f"the response to request {record.request} does not hold the recorded answers")
        self._flows[sent.queries] = flow, step
        self._played.answers += isinstance(found, tuple)


def _next_request(flow: Flow, response: Response | None = None) -> Step:
    """Go on to the next request or the answers; a wait takes no time here."""
    step = flow.advance(response)
    for _ in range(1000):
        if not isinstance(step, Wait):
            return step
        step = flow.advance(None)
    raise TranscriptError("the adapter waits without end")


def _check_body(record: Sent | Received, place: Place, bodies: BodyReader, played: Played) -> None:
    name, expected = "request", record.request_sha256 if isinstance(record, Sent) else None
    if isinstance(record, Received):
        name, expected = "response", record.redacted_sha256 or record.response_sha256
        played.redacted += record.redacted_sha256 is not None
    if hashlib.sha256(bodies.read(place)).hexdigest() != expected:
        raise TranscriptError(f"the body of {name} {record.request} is not the one its hash names: it was altered")
    played.bodies += 1
