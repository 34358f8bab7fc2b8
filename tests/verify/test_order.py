"""The order of requests: that of the nonce, up to the first trouble, and the very last place at last."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from metav_audit.audit import audit_into_folder
from metav_audit.bundle import Schedule
from metav_audit.errors import TranscriptError
from metav_audit.transcript import Received, Records, Sent, load_records
from metav_audit.verify import verify_folder
from metav_audit.verify.order import check_order
from tests.audit.helpers import Pauses, endpoint
from tests.builders import NONCE, linear_model, make_bundle, make_task, with_natural
from tests.evidence.test_independent import script
from tests.folders import make_folder
from tests.servers import ModelServer, Reply

TASK = make_task()
BUNDLE = with_natural(make_bundle(queries=12, task=TASK, spread=0.4))
PLACES = len(Schedule.for_bundle(BUNDLE, NONCE).numbers)
STEP = "asked in the order of the nonce"


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("audits") / "suspect", linear_model(TASK, 0), BUNDLE)


def said_of(records, nonce=NONCE):
    """What ``verify`` and the independent script say; they agree."""
    try:
        said = check_order(records, Schedule.for_bundle(BUNDLE, nonce))
    except TranscriptError as error:
        said = str(error)
    try:
        script.check_order([record.to_json() for record in records.each], PLACES)
    except script.WrongError:
        assert not said.endswith(" last")
    else:
        assert said.endswith(" last")
    return said


def asking(records, order, trouble=None):
    """The records with the places that requests asked in another order; the answer of one number is a failure."""
    left = deque(order)

    def changed(record):
        if isinstance(record, Sent):
            return replace(record, queries=(left.popleft(),))
        failed = isinstance(record, Received) and record.request == trouble
        return replace(record, outcome="transient", answers=None) if failed else record

    return Records(records.transcript, tuple(map(changed, records.each)))


def moved(place, to):
    order = [one for one in range(PLACES) if one != place]
    return [*order[:to], place, *order[to:]]


def test_an_honest_order_is_the_nonce_s(honest):
    """Every place in its turn, and a step of ``verify`` says so."""
    assert said_of(load_records(honest / "transcript.jsonl")).startswith(f"{PLACES} places were asked in the order")
    assert {step.name: step.status for step in verify_folder(honest)}[STEP] == "pass"


@pytest.mark.parametrize(("place", "to"), [(1, 0), (PLACES - 1, 0), (PLACES - 1, PLACES - 2)])
def test_another_order_is_found(honest, place, to):
    """The second first, or the last before its turn: an endpoint might have told by them what is a query."""
    records = load_records(honest / "transcript.jsonl")
    said = said_of(asking(records, moved(place, to)))
    assert "before place 0" in said or f"while place {to} had not been asked" in said


def test_so_many_may_overtake_as_are_under_way(honest):
    """Side by side, a request may leave before an earlier one; not before more of them than the limits allow."""
    records = load_records(honest / "transcript.jsonl")
    limits = {**records.transcript.endpoint.options, "limits": {"concurrency": 3}}
    header = replace(records.each[0], endpoint=replace(records.each[0].endpoint, options=limits))
    wider = Records(replace(records.transcript, endpoint=header.endpoint), (header, *records.each[1:]))
    assert said_of(asking(wider, moved(8, 6))).endswith(" last")
    assert "place 9 before place 6" in said_of(asking(wider, moved(9, 6)))


def test_after_trouble_the_last_place_is_asked_last_all_the_same(honest):
    """What failed before lets the client leave the order, but for what vouches for all before it."""
    records = load_records(honest / "transcript.jsonl")
    assert said_of(asking(records, moved(20, 5), trouble=3)).startswith("3 places")
    said = said_of(asking(records, moved(PLACES - 1, PLACES - 3), trouble=3))
    assert "asked the last place while" in said


@pytest.mark.parametrize(("concurrency", "batch"), [(1, 1), (6, 1), (3, 5)])
def test_real_audits_keep_it_through_trouble(tmp_path, concurrency, batch):
    """Refusals, second chances and what is brought forward among them, side by side and in batches."""

    def busy(number, _):
        return Reply(503, b"busy") if number % 5 in (3, 4) else None

    pauses = Pauses()
    for name, fault in (("calm", None), ("troubled", busy)):
        with ModelServer(linear_model(TASK, 0), fault=fault) as server:
            asked = endpoint(server.url, TASK, batch=batch, limits={"concurrency": concurrency, "attempts": 1})
            audit_into_folder(BUNDLE, asked, tmp_path / name, sleep=pauses, clock=pauses.clock)
        records = load_records(tmp_path / name / "transcript.jsonl")
        assert said_of(records, records.transcript.nonce).endswith(" last")
