"""Audits through a proxy that misbehaves at random: 1,000 of them, over five protocols, by fixed seeds.

``python -m tests.audit.test_storms`` prints what became of them.
"""

from __future__ import annotations

import gc
import json
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.errors import AnswerError, RemoteError
from metav_audit.transcript import load_transcript
from metav_audit.verdict import VerdictOutcome, decide, read
from tests.audit.fault_proxy import Fault, FaultProxy, Met, Schedule
from tests.audit.helpers import Pauses, records
from tests.builders import linear_model, make_bundle, make_task, with_natural
from tests.scale import at_scale
from tests.servers import FIELDS, ModelServer

AUDITS = at_scale(50, 250)
SHARDS = AUDITS // 50
RUNS = 8
"""So often the same command is given before an audit is left unfinished."""

TASK = make_task(classes=4)
BUNDLE = with_natural(make_bundle(queries=24, task=TASK, spread=0.5), spread=0.5)
SUSPECTS = {
    VerdictOutcome.MATCH: linear_model(TASK, 5001, distance=0.03),
    VerdictOutcome.NO_MATCH: linear_model(TASK, 7001, distance=0.7),
}
REQUESTS = 900
LIMITS = {"connect_timeout_s": 0.5, "read_timeout_s": 0.6, "total_s": 0.9, "max_response_bytes": 65536}
SLACK_S = 5.0
"""Seconds of a busy machine."""

THROTTLED = (429, {"Retry-After": "1"}, b'{"error": "slow down"}')
BUSY = (503, {}, b'{"code": 503, "type": "ServiceUnavailableException", "message": "no free worker"}')
WRONG_THROTTLING = {
    "sagemaker": (400, {"x-amzn-ErrorType": "ThrottlingException"}, b'{"message": "Rate exceeded"}'),
    "torchserve": BUSY,
}
REFUSED = (503, {}, b'{"error": "bad input"}')
BAD_INPUT = {
    "torchserve": (503, {}, b'{"code": 503, "type": "InternalServerException", "message": "Prediction failed"}')
}


class Elsewhere:
    """Another host, which no audit of ours may ever ask."""

    def __enter__(self):
        self.visits = 0
        visited = self

        class Handler(BaseHTTPRequestHandler):
            def handle(self):
                visited.visits += 1

        self._server = ThreadingHTTPServer(("127.0.0.2", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.2:{self._server.server_address[1]}/predict"
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def weather(endpoint: Endpoint, seed: int) -> Schedule:
    """From a light breeze to a storm; some audits meet inputs that the server never takes, few of them natural."""
    rng = random.Random(seed)
    natural = [endpoint.adapter.encode(each[None]).content for each in BUNDLE.natural.inputs]
    return Schedule(
        seed,
        rough=rng.choice((0.02, 0.1, 0.3, 0.7)),
        spell=rng.choice((1, 3, 12)),
        refused=rng.choice((0, 0, 0.1, 0.6)),
        spared=frozenset(sha256(body).hexdigest() for body in natural if rng.random() < 0.9),
    )


def suspect_endpoint(url: str, case: Case) -> Endpoint:
    rng = random.Random(case.seed + 10**6)
    wall_s = rng.choice((6.0, 3600.0, 3600.0))
    limits = {**LIMITS, "requests": REQUESTS, "wall_s": wall_s, "concurrency": rng.choice((1, 4, 8))}
    fields = {
        "adapter": case.adapter,
        "url": url,
        **FIELDS[case.adapter],
        "batch": rng.choice((1, 3, 8)),
        "limits": limits,
    }
    return Endpoint.open("suspect", fields, TASK)


def run(endpoint: Endpoint, folder: Path, seed: int) -> str:
    """Run one audit; return why it is not finished, or an empty text. No run outlasts its deadline."""
    pauses, limits = Pauses(), endpoint.limits
    begun, clock = time.monotonic(), pauses.clock()
    try:
        audit_endpoint(BUNDLE, endpoint, folder, clock=pauses.clock, sleep=pauses, seed=seed)
    except (RemoteError, AnswerError) as error:
        return str(error)
    finally:
        assert pauses.clock() - clock <= limits.wall_s + limits.total_s + SLACK_S, seed
        assert time.monotonic() - begun <= limits.requests * (limits.total_s + 0.1), seed
    return ""


def audited(endpoint: Endpoint, proxy: FaultProxy, folder: Path, seed: int) -> str:
    """Give the same command again and again, as a schedule would, and four times more when the storm is over."""
    for number in range(RUNS):
        if number == RUNS - 4:
            proxy.calm()
        unfinished = run(endpoint, folder, RUNS * seed + number)
        if not unfinished:
            break
        time.sleep(0.03)
    return unfinished


def check_journal(folder: Path, proxy: FaultProxy, seed: int) -> None:
    """No query is asked after its answer came, and nothing leaves that is not in the journal first."""
    asked, settled = {}, set()
    sent = Counter()
    for record in records(folder):
        if record["kind"] == "sent":
            assert not settled & set(record["queries"]), (seed, "asked again", record)
            asked[record["request"]] = record["queries"]
            sent[record["request_sha256"]] += 1
        if record["kind"] == "received" and record.get("answers"):
            settled |= set(asked[record["request"]])
    seen = Counter(met.body_sha256 for met in proxy.log)
    assert seen <= sent, (seed, "sent without a record")


@dataclass(frozen=True)
class Case:
    """One seed's audit: through which protocol, and what serves there."""

    seed: int

    @property
    def adapter(self) -> str:
        return list(FIELDS)[self.seed // 2 % len(FIELDS)]

    @property
    def truth(self) -> VerdictOutcome:
        return list(SUSPECTS)[self.seed % 2]


def storm(seeds: range, tmp_path: Path) -> tuple[Counter, Counter]:
    """Audit once for each seed, a few side by side; return how they ended, and how often each fault was met."""
    cases = [Case(seed) for seed in seeds]
    with ExitStack() as stack:
        elsewhere = stack.enter_context(Elsewhere())
        kinds = {(case.truth, case.adapter) for case in cases}
        servers = {kind: stack.enter_context(ModelServer(SUSPECTS[kind[0]], kind[1])) for kind in kinds}
        pool = stack.enter_context(ThreadPoolExecutor(4))
        ended = pool.map(lambda case: one(case, servers[case.truth, case.adapter], elsewhere.url, tmp_path), cases)
        ends, logs = zip(*ended, strict=True)
        assert elsewhere.visits == 0
    return Counter(ends), Counter(met.fault for log in logs for met in log)


def one(case: Case, server: ModelServer, elsewhere: str, tmp_path: Path) -> tuple[str, list[Met]]:
    """Audit through the proxy; return how it ended (as undisturbed, inconclusive, unfinished) and what it met."""
    folder, port = tmp_path / str(case.seed), int(server.url.rsplit(":", 1)[1])
    throttling, bad_input = WRONG_THROTTLING.get(case.adapter, THROTTLED), BAD_INPUT.get(case.adapter, REFUSED)
    schedule = weather(suspect_endpoint(server.url, case), case.seed)
    with FaultProxy(port, schedule, elsewhere, throttling, bad_input) as proxy:
        unfinished = audited(suspect_endpoint(proxy.url, case), proxy, folder, case.seed)
    check_journal(folder, proxy, case.seed)
    if unfinished:
        return "unfinished: " + re.sub(r"127.0.0.1:\d+", "HOST", unfinished), proxy.log
    verdict = decide(BUNDLE, read(BUNDLE, load_transcript(folder / "transcript.jsonl")))
    assert verdict.outcome in (case.truth, VerdictOutcome.INCONCLUSIVE), (case, verdict)
    return f"{verdict.outcome} where undisturbed {case.truth}", proxy.log


# The proxy cuts its own connections in the middle: what asyncio says of those sockets is no news of the client's.
@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_storm_changes_a_verdict_or_asks_twice(shard, tmp_path):
    """No crash, no run beyond its deadline, no answered query sent again, no other verdict but inconclusive."""
    each = AUDITS // SHARDS
    ends, faults = storm(range(shard * each, (shard + 1) * each), tmp_path)
    assert sum(ends.values()) == each
    assert sum(count for end, count in ends.items() if "unfinished" in end) <= each // 4
    assert set(faults) == set(Fault), "every kind of fault was met"
    gc.collect()  # So that they are spoken of in this test and in no other.


if __name__ == "__main__":
    begun = time.monotonic()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else AUDITS
    with tempfile.TemporaryDirectory() as name:
        ends, faults = storm(range(count), Path(name))
    print(json.dumps({"audits": dict(sorted(ends.items())), "requests that met": dict(faults.most_common())}, indent=1))
    print(f"{time.monotonic() - begun:.0f} s")
