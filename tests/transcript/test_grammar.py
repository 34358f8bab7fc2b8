"""The grammar: what an audit writes may stand; whatever no audit writes is refused where it stands."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from metav_audit.adapter import Outcome
from metav_audit.audit.wire.faults import FaultKind
from metav_audit.errors import TranscriptError
from metav_audit.task import Answer, ScoreKind
from metav_audit.transcript import (
    EndpointRecord,
    Finished,
    Header,
    Received,
    Resumed,
    Sent,
    Shared,
    Source,
    Unanswered,
    read_records,
    record_line,
)
from metav_audit.transcript.grammar import Grammar, OutOfTurnError
from metav_audit.transcript.records import HEARD, OK, PASSING, UNHEARD, UNUSABLE
from metav_audit.transcript.replay import Replay
from tests.transcript.scripted import FROZEN

WHOLE = tuple(read_records(FROZEN / "transcript.jsonl"))
AT = "2026-03-04T10:00:00Z"
ENDPOINT = EndpointRecord("a", "b", "http://host", ScoreKind.PROBABILITY, {"batch": 2, "limits": {"concurrency": 2}})
HEADER = Header(
    at=AT,
    bundle_sha256="b" * 64,
    endpoint=ENDPOINT,
    software="s",
    queries=3,
    nonce="0" * 32,
    operator={},
    commitment_sha256=None,
)
ANSWER = Answer((0.5, 0.5))


def sent(request, *queries, step=0, attempt=1, **changed):
    given = {"method": "POST", "url": "http://host", "request_sha256": "1" * 64, "body": (0, 1), **changed}
    return Sent(at=AT, request=request, step=step, attempt=attempt, queries=queries, **given)


def received(request, outcome=OK, answers=None):
    heard = {"status": 200, "response_sha256": "2" * 64, "headers": (0, 1), "body": (0, 1), "identity": {}}
    given = {"outcome": outcome, "answers": None if answers is None else (ANSWER,) * answers}
    return Received(at=AT, request=request, elapsed_s=0.1, **given, **(heard if outcome in HEARD else {}))


def given_up(*queries):
    return Unanswered(at=AT, queries=queries, reason="r")


def taken_over(*queries, answers=None, at=AT, nonce="1" * 32):
    source = Source("c" * 64, nonce, 9, "4" * 64, at, tuple(range(len(queries))))
    answers = (ANSWER,) * (len(queries) if answers is None else answers)
    return Shared(at=AT, queries=queries, answers=answers, source=source)


RESUMED, FINISHED = Resumed(at=AT, endpoint=ENDPOINT), Finished(at=AT)
BOTH = (sent(1, 0, 1), received(1, answers=2), sent(2, 2), received(2, answers=1))


def take(*records):
    grammar = Grammar()
    for record in (HEADER, *records):
        grammar.take(record)
    return grammar


def test_the_outcomes_are_those_of_adapters_and_of_the_wire():
    """A name for each way in which a request ends, and no other."""
    assert set(HEARD) == {each.value for each in Outcome} | {UNUSABLE}
    assert set(UNHEARD) == {each.value for each in FaultKind}
    assert {each.value for each in FaultKind if each.passing} | {"throttled", "transient"} == set(PASSING)


ALLOWED = {
    "batches, then the end": (*BOTH, FINISHED),
    "two requests side by side": (sent(1, 0), sent(2, 1), received(2, answers=1), received(1, answers=1)),
    "another attempt": (sent(1, 0), received(1, "timeout"), sent(2, 0, attempt=2), received(2, answers=1)),
    "a flow of two steps": (
        sent(1, 0),
        received(1),
        sent(2, 0, step=1, url="http://host/jobs/1", request_sha256="3" * 64),
    ),
    "a failed batch's inputs one by one": (sent(1, 0, 1), received(1, UNUSABLE), sent(2, 1), received(2, answers=1)),
    "an attempt that is not made": (sent(1, 0, 1), received(1, "transient"), given_up(1), sent(2, 0)),
    "a lost request asked again": (sent(1, 0), RESUMED, sent(2, 0), received(2, answers=1)),
    "two stops in a row": (sent(1, 0), RESUMED, RESUMED),
    "answers of another audit, then the rest": (taken_over(0, 2), sent(1, 1), received(1, answers=1), FINISHED),
    "a stop after answers of another audit": (taken_over(0), RESUMED, taken_over(1)),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_audits_do_may_stand(case):
    """The ways of a client: retries, flows, stops, second chances."""
    take(*ALLOWED[case])


REFUSED = {
    "a second header": ((HEADER,), "a header comes first"),
    "a number used again": ((sent(1, 0), received(1, answers=1), sent(1, 1)), "comes after request 1"),
    "a number left out": ((sent(2, 0),), "comes after request 0"),
    "a query that is not there": ((sent(1, 3),), "the queries it is about"),
    "an answered query asked again": ((sent(1, 0), received(1, answers=1), sent(2, 0)), "query 0 was answered"),
    "a query given up and asked again": ((given_up(0), sent(1, 0)), "query 0 was answered or given up"),
    "a query asked twice at once": ((sent(1, 0), sent(2, 0, 1)), "query 0 is under way"),
    "an answered query given up": ((sent(1, 0), received(1, answers=1), given_up(0)), "was answered"),
    "a query given up while it is asked": ((sent(1, 0), given_up(0)), "under way"),
    "a query given up twice": ((given_up(0), given_up(0)), "given up"),
    "an answered query taken over": ((sent(1, 0), received(1, answers=1), taken_over(0)), "query 0 was answered"),
    "a query taken over while it is asked": ((sent(1, 0), taken_over(0)), "under way"),
    "a query taken over and asked again": ((taken_over(0), sent(1, 0)), "query 0 was answered"),
    "nothing taken over": ((taken_over(),), "none"),
    "more taken over than inputs": ((taken_over(0, answers=2),), "2 of them to 1 inputs"),
    "answers of this very audit": ((taken_over(0, nonce="0" * 32),), "this very audit"),
    "answers of later": ((taken_over(0, at="2026-03-04T10:00:01Z"),), "later than the record"),
    "answers of another week": ((taken_over(0, at="2026-03-03T09:59:59Z"),), "more than a day earlier"),
    "nothing given up": ((given_up(),), "none"),
    "a response to nothing": ((received(1, answers=1),), "not under way"),
    "two responses to one request": ((sent(1, 0), received(1, "timeout"), received(1, answers=1)), "not under way"),
    "answers in a refusal": ((sent(1, 0), received(1, "transient", answers=1)), "its outcome is 'transient'"),
    "answers of a request that timed out": ((sent(1, 0), received(1, "timeout", answers=1)), "outcome is 'timeout'"),
    "more answers than inputs": ((sent(1, 0), received(1, answers=2)), "2 of them to 1 inputs"),
    "fewer answers than inputs": ((sent(1, 0, 1), received(1, answers=1)), "1 of them to 2 inputs"),
    "more at once than the limits allow": ((sent(1, 0), sent(2, 1), sent(3, 2)), "2 requests are under way, 2 may"),
    "an attempt after an answer": ((sent(1, 0), received(1, answers=1), sent(2, 0, attempt=2)), "no such exchange"),
    "an attempt out of nothing": ((sent(1, 0, attempt=2),), "no such exchange"),
    "an attempt that skips one": ((sent(1, 0), received(1, "timeout"), sent(2, 0, attempt=3)), "was step 0, attempt 1"),
    "an attempt after a refusal": ((sent(1, 0), received(1, "fatal"), sent(2, 0, attempt=2)), "no such exchange"),
    "an attempt after nonsense": ((sent(1, 0), received(1, UNUSABLE), sent(2, 0, attempt=2)), "no such exchange"),
    "an attempt of another request": (
        (sent(1, 0), received(1, "timeout"), sent(2, 0, attempt=2, request_sha256="9" * 64)), "another attempt sends"),
    "an attempt for others": ((sent(1, 0, 1), received(1, "timeout"), sent(2, 0, attempt=2)), "no such exchange"),
    "a step after a failure": ((sent(1, 0), received(1, "timeout"), sent(2, 0, step=1)), "ended as 'timeout'"),
    "a step too far": ((sent(1, 0), received(1), sent(2, 0, step=2)), "was step 0"),
    "an attempt after a stop": (
        (sent(1, 0), received(1, "timeout"), RESUMED, sent(2, 0, attempt=2)), "no such exchange"),
    "a response after a stop": ((sent(1, 0), RESUMED, received(1, answers=1)), "not under way"),
    "a stop before anything": ((RESUMED,), "nothing was begun"),
    "another endpoint after a stop": (
        (sent(1, 0), replace(RESUMED, endpoint=replace(ENDPOINT, url="http://other"))), "another than the header's"),
    "an end with a request under way": ((*BOTH[:3], FINISHED), "is under way"),
    "an end with a query open": ((*BOTH[:2], FINISHED), "neither answered nor given up"),
    "anything after the end": ((*BOTH, FINISHED, RESUMED), "the audit was finished"),
    "two ends": ((*BOTH, FINISHED, FINISHED), "the audit was finished"),
    "a time before the last": ((replace(sent(1, 0), at="2026-03-04T09:59:59.999Z"),), "is earlier than"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_audit_does_may_not_stand(case):
    """Each rule of the grammar, broken once; the records before it may stand."""
    records, said = REFUSED[case]
    take(*records[:-1])
    with pytest.raises(OutOfTurnError, match=said):
        take(*records)


def test_nothing_comes_before_the_header():
    """Not even a request."""
    with pytest.raises(OutOfTurnError, match="a header comes first"):
        Grammar().take(sent(1, 0))


def replayed(records):
    replay = Replay()
    for record in records:
        replay.read(record_line(record.to_json(), replay.head))
    return replay.transcript()


def test_the_frozen_transcript_may_stand_and_none_of_its_records_may_go_or_stand_twice():
    """An audit with faults, a kill and a resumed run, chained anew without each of its records, or with it twice."""
    assert replayed(WHOLE).finished
    for place in range(len(WHOLE) - 1):
        for forged in (WHOLE[:place] + WHOLE[place + 1 :], WHOLE[: place + 1] + WHOLE[place:]):
            if isinstance(WHOLE[place], Resumed) and len(forged) > len(WHOLE):
                continue  # Two stops in a row are nothing that could not have been.
            with pytest.raises(TranscriptError, match=r"may not stand there|where its headers|does not begin"):
                replayed(forged)


def test_two_records_swapped_may_not_stand():
    """Where one request at a time is sent, as here, every order but that of giving up is refused."""
    rng = random.Random(3)
    for _ in range(200):
        first, second = sorted(rng.sample(range(len(WHOLE)), 2))
        if any(isinstance(WHOLE[at], Unanswered) for at in (first, second)):
            continue
        swapped = list(WHOLE)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        with pytest.raises(TranscriptError, match=r"may not stand there|where its headers|does not begin"):
            replayed(swapped)


def test_a_clock_that_was_set_back_stands_still():
    """The time of a new record is never before that of the last."""
    grammar = take()
    assert grammar.no_earlier("2026-03-04T09:00:00Z") == AT
    assert grammar.no_earlier("2026-03-04T11:00:00+00:00") == "2026-03-04T11:00:00+00:00"
