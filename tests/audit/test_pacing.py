"""How fast a host is asked, and when it is left alone."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.audit import audit_endpoint, audit_endpoint_async
from metav_audit.audit.asking import Surroundings
from metav_audit.audit.pace.pacing import BURST, GIVE_UP_AFTER, OPEN_AFTER, GivenUpError, Host, Hosts, Window, backoff
from metav_audit.errors import RemoteError
from metav_audit.verdict import VerdictOutcome, decide, read
from tests.audit.helpers import Pauses, asked_queries, endpoint, needed, places
from tests.builders import linear_model, make_bundle, make_task
from tests.servers import ModelServer, Reply

TASK = make_task()
BUNDLE = make_bundle(queries=12, task=TASK)
TARGET = linear_model(TASK, 0)
ONCE = f"{0x24:02x}" * 16
"""A nonce whose fifth place asks what is asked once."""
SERIAL = {"concurrency": 1}


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 1000.0

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


def host():
    time = Time()
    return Host(time.clock, time.sleep), time


@settings(max_examples=50)
@given(st.floats(0.1, 50), st.lists(st.floats(0, 3), min_size=10, max_size=60))
def test_the_token_bucket_holds_its_rate(per_second, idle):
    """In any span of time no more requests leave than the burst and the rate allow, whatever the pauses between."""
    asked, time = host()
    asked.allow(per_second)
    left = []
    for pause in idle:
        time.now += pause
        asyncio.run(asked.turn(1e9))
        left.append(time.now)
    for start, first in enumerate(left):
        for end in range(start, len(left)):
            assert end - start + 1 <= BURST + per_second * (left[end] - first) + 1e-6


def test_the_lowest_rate_of_a_host_s_endpoints_holds():
    """Two endpoints on one host share its bucket."""
    time = Time()
    hosts = Hosts(time.clock, time.sleep)
    one, other = hosts.of("http://a.test/x"), hosts.of("http://a.test:80/y")
    assert one is other is not hosts.of("https://a.test/x")
    one.allow(10)
    other.allow(2)
    one.allow(None)
    for _ in range(BURST + 4):
        asyncio.run(one.turn(1e9))
    assert time.now - 1000 == pytest.approx(4 / 2)


def test_a_rest_is_waited_for_by_everyone_and_not_beyond_the_time_left():
    """Who comes during a rest waits for its end, or as long as there is time."""
    asked, time = host()
    asked.rest(30)
    asked.rest(10)
    asyncio.run(asked.turn(12))
    assert time.now == 1012
    asyncio.run(asked.turn(100))
    assert time.now == 1030
    asyncio.run(asked.turn(100))
    assert time.now == 1030


def test_failures_in_a_row_open_the_circuit_and_then_end_it():
    """Failures of requests under way together count once; an answer closes the circuit."""
    asked, time = host()
    window = Window(8, asked)
    for _ in range(20):
        window.good(0.01)
    assert window.size == 8
    for _ in range(20):
        asked.failed(time.now - 1 if asked.strikes else time.now)
    assert (asked.strikes, window.size) == (1, 8)
    for _ in range(OPEN_AFTER):
        time.now += 1
        asked.failed(time.now)
    assert (asked.open, window.size) == (True, 1)
    asked.answered()
    assert (asked.open, window.size) == (False, 8)
    for _ in range(GIVE_UP_AFTER - 1):
        time.now += 1
        asked.failed(time.now)
    with pytest.raises(GivenUpError, match=f"{GIVE_UP_AFTER} times in a row"):
        asked.failed(time.now)
    assert 60 < sum(map(backoff, range(1, GIVE_UP_AFTER))) < 180


def test_the_window_follows_the_server():
    """It doubles until the first protest, halves once a protest, then grows by one a round; slowness closes it."""
    asked, _ = host()
    window = Window(64, asked)
    sizes = []
    for _ in range(4):
        for _ in range(window.size):
            window.good(0.01)
        sizes.append(window.size)
    assert sizes == [2, 4, 8, 16]
    window.protest(sent_at=5, now=6)
    window.protest(sent_at=5.5, now=6.5)
    assert window.size == 8
    for _ in range(9):
        window.good(0.01)
    assert window.size == 9
    for _ in range(30):
        window.good(0.5)
    assert window.size < 7
    for _ in range(500):
        window.good(0.5)
    assert window.size == 1


def test_concurrency_settles_below_what_a_server_refuses(tmp_path):
    """A server that refuses more than three at once refuses few of 300 requests, and all are answered."""
    bundle = make_bundle(queries=300, task=TASK, lineages=4)
    lock, now, refused = threading.Lock(), [0], [0]

    def fault(number, seen):
        with lock:
            now[0] += 1
            over = now[0] > 3
            refused[0] += over
        # Slow until it has refused: however busy the machine, the client has time to ask too much at once.
        threading.Event().wait(0.004 if refused[0] else 0.1)
        with lock:
            now[0] -= 1
        return Reply(429) if over else None

    async def shortly(seconds):
        await asyncio.sleep(seconds / 50)

    with ModelServer(TARGET, fault=fault) as server:
        asked = endpoint(server.url, TASK, limits={"concurrency": 32, "attempts": 10})
        transcript = audit_endpoint(bundle, asked, tmp_path, sleep=shortly)
    assert None not in transcript.answers
    assert 0 < refused[0] < 100


def test_a_429_makes_every_request_wait(tmp_path):
    """After one 429 with Retry-After nothing is sent until the rest is over."""
    arrivals = []

    def fault(number, seen):
        arrivals.append(time.monotonic())
        return Reply(429, headers={"Retry-After": "1"}) if number == 10 else None

    with ModelServer(TARGET, fault=fault, delay_s=0.002) as server:
        audit_endpoint(BUNDLE, endpoint(server.url, TASK), tmp_path)
    gaps = [later - sooner for sooner, later in pairwise(arrivals)]
    # Those that were under way when it came still arrive.
    assert any(gap > 0.9 for gap in gaps[9:15])
    assert sum(gap > 0.9 for gap in gaps) == 1


def test_a_server_that_says_nothing_remains_is_left_alone_before_it_refuses(tmp_path):
    """x-ratelimit-remaining: 0 on a good answer is waited for."""
    pauses = Pauses()
    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s"}
    with ModelServer(TARGET, headers=spent) as server:
        audit_endpoint(BUNDLE, endpoint(server.url, TASK, limits=SERIAL), tmp_path, sleep=pauses, clock=pauses.clock)
    assert len(server.log) == needed(12)
    assert sum(pauses) == pytest.approx(20 * (needed(12) - 1), rel=0.01)


def test_endpoints_side_by_side_share_their_host_s_pace(tmp_path):
    """Two audits of one host together keep to the rate."""

    async def both():
        world = Surroundings(
            clock=pauses.clock,
            now=lambda: datetime.now(UTC),
            sleep=pauses,
            rng=random.Random(0),
            hosts=Hosts(pauses.clock, pauses),
        )
        limits = {"per_second": 5, "concurrency": 1}
        await asyncio.gather(
            *(
                audit_endpoint_async(BUNDLE, endpoint(server.url, TASK, limits=limits), tmp_path / name, world)
                for name in "ab"
            )
        )

    pauses = Pauses()
    with ModelServer(TARGET) as server:
        asyncio.run(both())
    assert len(server.log) == 2 * needed(12)
    assert sum(pauses) >= (2 * needed(12) - BURST) / 5 - 2


def test_the_same_500_twice_is_not_asked_a_third_time_until_the_end(tmp_path):
    """A crash over one input is asked twice, then once the others are done twice more; the rest is answered."""
    poison = []

    def fault(number, seen):
        if number == 4:
            poison.append(seen.sha256)
        return Reply(500, b'{"error": "shape mismatch"}') if seen.sha256 in poison else None

    with ModelServer(TARGET, fault=fault) as server:
        asked = endpoint(server.url, TASK, limits=SERIAL)
        transcript = audit_endpoint(BUNDLE, asked, tmp_path, sleep=Pauses(), draw=lambda: ONCE)
    (lost,) = [exchange for exchange in transcript.exchanges if exchange.answer is None]
    assert len(lost.attempts) == 4
    assert "and the same again" in lost.reason
    assert len(server.log) == needed(12) + 3
    assert asked_queries(tmp_path)[-4:] == [lost.query] * 2 + [places(12) - 2, places(12) - 1]


def test_an_overloaded_server_is_asked_patiently(tmp_path):
    """The same 503 page three times in a row is no crash over an input as long as nobody else is answered."""
    page = Reply(503, b"<html>Service Unavailable</html>")
    with ModelServer(TARGET, fault=lambda number, seen: page if 5 <= number < 8 else None) as server:
        asked = endpoint(server.url, TASK, limits=SERIAL)
        transcript = audit_endpoint(BUNDLE, asked, tmp_path, sleep=Pauses())
    assert None not in transcript.answers
    assert max(len(exchange.attempts) for exchange in transcript.exchanges) == 4


def test_what_failed_once_gets_a_second_chance_after_the_others(tmp_path):
    """A batch that used up its attempts is asked again at the end, when the fault has passed."""
    with ModelServer(TARGET, fault=lambda number, seen: Reply(drop=True) if 5 <= number < 7 else None) as server:
        asked = endpoint(server.url, TASK, limits={"attempts": 2, **SERIAL})
        transcript = audit_endpoint(BUNDLE, asked, tmp_path, sleep=Pauses())
    assert None not in transcript.answers
    assert asked_queries(tmp_path)[-3] == 5
    assert transcript.requests == needed(12) + 2


def test_an_outage_of_a_minute_is_sat_out_and_a_longer_one_ends_the_run(tmp_path):
    """The pauses grow while nothing answers; a host that stays dead is given up, and the next run goes on."""
    pauses = Pauses()
    dead_until = [60.0]

    def fault(number, seen):
        return Reply(drop=True) if number >= 8 and sum(pauses) < dead_until[0] else None

    with ModelServer(TARGET, fault=fault) as server:
        asked = endpoint(server.url, TASK, limits={"attempts": 10, "requests": 99})
        transcript = audit_endpoint(BUNDLE, asked, tmp_path / "short", sleep=pauses, clock=pauses.clock)
        assert None not in transcript.answers
        pauses.clear()
        dead_until[0] = 1e9
        with pytest.raises(RemoteError, match=f"{GIVE_UP_AFTER} times in a row"):
            audit_endpoint(BUNDLE, asked, tmp_path / "long", sleep=pauses, clock=pauses.clock)
        assert 60 < pauses.clock() - time.monotonic() < 300
        dead_until[0] = 0
        transcript = audit_endpoint(BUNDLE, asked, tmp_path / "long", sleep=pauses, clock=pauses.clock)
    assert None not in transcript.answers


def test_what_closes_the_audit_is_asked_once_more_where_it_fails(tmp_path):
    """What was paid for is not lost to one bad moment at the end."""
    last = needed(12) - 2
    with ModelServer(TARGET, fault=lambda number, seen: Reply(404) if number == last else None) as server:
        transcript = audit_endpoint(BUNDLE, endpoint(server.url, TASK, limits=SERIAL), tmp_path)
    assert asked_queries(tmp_path) == [*range(places(12)), last]
    assert decide(BUNDLE, read(BUNDLE, transcript)).outcome is VerdictOutcome.MATCH


def test_spent_wall_time_leaves_time_for_what_closes_the_audit(tmp_path):
    """A slow server: what was answered in time is vouched for, and gets its verdict."""
    pauses = Pauses()

    def model(inputs):
        pauses.append(2.0)
        return TARGET(inputs)

    with ModelServer(model) as server:
        asked = endpoint(server.url, TASK, limits={"wall_s": 36, **SERIAL})
        transcript = audit_endpoint(BUNDLE, asked, tmp_path, sleep=pauses, clock=pauses.clock, draw=lambda: ONCE)
    assert sum(answer is not None for answer in transcript.answers) == 16
    assert "wall time of 36 seconds" in transcript.exchanges[-3].reason
    assert None not in transcript.answers[-2:]
    assert not any("asked again and again" in reason for reason in decide(BUNDLE, read(BUNDLE, transcript)).reasons)
