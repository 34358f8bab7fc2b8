from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.adapter import Response
from metav_audit.audit.pace.retries import LONGEST_PAUSE_S, PassingError, retrying
from metav_audit.audit.wire.hints import announced_rest, retry_after, wished_pause
from tests.scale import at_scale

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EPOCH = NOW.timestamp()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "Tue, 01 Jan 2030 00:00:10 GMT"}, 10),
        ({"retry-after": "Mon, 31 Dec 2029 00:00:00 GMT"}, 0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers, seconds):
    """Seconds, milliseconds and dates are read; nonsense is no wish."""
    assert retry_after(headers, NOW) == seconds


@given(st.text())
def test_retry_after_never_fails(text):
    """Any text is a pause or none."""
    assert (retry_after({"retry-after": text}, NOW) or 0) >= 0


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "6m0s"}, b"", 360),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, b"", 3723.5),
        ({"x-ratelimit-reset-tokens": "250ms"}, b"", 0.25),
        ({"x-ratelimit-reset": f"{EPOCH + 42:.0f}"}, b"", 42),
        ({"x-ratelimit-reset": f"{1000 * (EPOCH + 42):.0f}"}, b"", 42),
        ({"x-ratelimit-reset": f"{EPOCH - 42:.0f}"}, b"", 0),
        ({"ratelimit-reset": "55", "ratelimit-remaining": "0"}, b"", 55),
        ({"x-ratelimit-reset-a": "5s", "x-ratelimit-reset-b": "9s"}, b"", 9),
        (
            {
                "x-ratelimit-reset-requests": "9s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "1500",
            },
            b"",
            9,
        ),
        ({"x-ratelimit-reset": "soon"}, b"", None),
        ({"ratelimit": '"api";r=0;t=55'}, b"", 55),
        ({"ratelimit": '"burst";r=0;t=5, "day"; r=0; t=70, "month";r=9;t=9999'}, b"", 70),
        ({"ratelimit": '"api";r=12;t=55'}, b"", None),
        ({"ratelimit": '"api"'}, b"", None),
        ({}, b'{"error": "Model m is currently loading", "estimated_time": 20.5}', 20.5),
        ({}, b'{"estimated_time": "inf"}', None),
        ({}, b'{"estimated_time": null}', None),
        ({}, b'{"error": "rate limit, resets in ~30s"}', 30),
        ({}, b"Please try again in 1.5s. Visit", 1.5),
        ({}, b"Please try again in 340ms.", 0.34),
        ({}, b"Retry after 2 minutes", 120),
        ({}, b"retry after 7", 7),
        ({}, b"try again in a while", None),
        ({"retry-after": "3", "ratelimit": '"api";r=0;t=55'}, b"resets in 9s", 3),
    ],
)
def test_a_wish_is_read_wherever_it_stands(headers, body, seconds):
    """Headers of three kinds, JSON fields and plain text; the more formal one first."""
    assert wished_pause(Response(429, headers, body), NOW) == pytest.approx(seconds)


KINDS = ["ratelimit", "ratelimit-reset", "x-ratelimit-reset", "x-ratelimit-reset-a", "x-ratelimit-remaining-a"]
NAMES = st.sampled_from(["retry-after", "retry-after-ms", *KINDS])
NUMBERS = st.integers().map(str) | st.floats().map(str)
WORDS = st.sampled_from(['"api";r=0;t=', "m", "s", "ms", "h", ";", ",", "resets in ~", "again in ", "r=", "٣", "²"])
TEXTS = st.lists(NUMBERS | WORDS | st.text(max_size=4), max_size=5).map("".join)
BODIES = TEXTS.map(str.encode) | TEXTS.map(lambda text: json.dumps({"estimated_time": text}).encode())
BODIES |= st.binary(max_size=30) | st.floats().map(lambda number: json.dumps({"estimated_time": number}).encode())


@pytest.mark.scaled
@settings(max_examples=at_scale(100, 500))
@given(st.dictionaries(NAMES, TEXTS), BODIES)
def test_no_server_s_words_make_a_pause_that_is_not_bounded(headers, body):
    """Whatever a server says: a finite pause or none, and what is slept stays below the cap."""
    wish = wished_pause(Response(429, headers, body), NOW)
    assert wish is None or (math.isfinite(wish) and wish >= 0)
    assert slept_after(PassingError("busy", "wait", wish)) <= LONGEST_PAUSE_S + 30


def slept_after(fault):
    """Seconds that the retry policy sleeps after a fault."""
    import asyncio

    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    async def once():
        async for attempt in retrying(2, lambda: 1e9, sleep, random.Random(0), lambda *_: None):
            with attempt:
                if not slept:
                    raise fault

    asyncio.run(once())
    return slept[0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"ratelimit": '"api";r=0;t=55'}, 55),
        ({"ratelimit": '"api";r=3;t=55'}, 0),
        ({"ratelimit": '"api";t=55'}, 0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "6m0s"}, 0),
        ({"x-ratelimit-reset-requests": "6m0s"}, 0),
        ({"x-ratelimit-remaining": "0"}, 0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "4"}, 4),
        ({"retry-after": "4"}, 0),
    ],
)
def test_a_good_answer_announces_a_rest_only_outright(headers, seconds):
    """A limit that is said to be used up is waited for; one of which something may remain is not."""
    assert announced_rest(Response(200, headers, b""), NOW) == seconds


AHEAD = NOW + timedelta(hours=1)
"""What a server's clock says that goes an hour ahead of ours."""
ITS_DATE = {"date": format_datetime(AHEAD, usegmt=True)}


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": f"{AHEAD.timestamp() + 3:.0f}", **ITS_DATE}, b"", 3),
        ({"retry-after": f"{1000 * (AHEAD.timestamp() + 3):.0f}", **ITS_DATE}, b"", 3),
        ({"retry-after": format_datetime(AHEAD + timedelta(seconds=3), usegmt=True), **ITS_DATE}, b"", 3),
        ({"x-ratelimit-reset": f"{AHEAD.timestamp() + 3:.0f}", **ITS_DATE}, b"", 3),
        ({"x-rate-limit-reset": "3"}, b"", 3),
        ({"retry-after": f"{NOW.timestamp() + 3:.0f}"}, b"", 3),
        ({"retry-after": "3s"}, b"", 3),
        ({"retry-after": (NOW + timedelta(seconds=3)).isoformat()}, b"", 3),
        ({"x-retry-after": "3"}, b"", 3),
        ({"x-ms-retry-after-ms": "3000"}, b"", 3),
        ({}, b'[{"estimated_time": 3}]', 3),
        ({}, b'{"error": {"details": [{"retryDelay": "3s"}]}}', 3),
        ({}, b'{"retry_after": 3}', 3),
        ({}, b'{"error": "Please wait 3 seconds"}', 3),
        ({}, b'{"retry_after": 1e300, "retryDelay": {"a": []}}', None),
        ({}, b"[" * 3000, None),
    ],
)
def test_a_pause_is_read_by_the_servers_clock_and_wherever_it_stands(headers, body, seconds):
    """Epochs, dates of a clock that goes wrong, vendors' names, lists, nested bodies, words."""
    found = wished_pause(Response(429, headers, body), NOW)
    assert found == (None if seconds is None else pytest.approx(seconds, abs=1))


def test_a_good_answer_s_reset_is_counted_by_the_servers_clock():
    """A healthy server whose clock goes ahead is not left alone for an hour."""
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{AHEAD.timestamp() + 2:.0f}", **ITS_DATE}
    assert announced_rest(Response(200, headers, b""), NOW) == pytest.approx(2, abs=1)
