from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import numpy as np
import pytest

from metav_audit.adapter import Adapter, AdapterOptions, Request, Response, Wait, read_json, read_rows
from metav_audit.audit import Endpoint, Limits, audit_endpoint
from metav_audit.audit.pace.retries import LONGEST_PAUSE_S
from metav_audit.audit.run import PATIENCE
from metav_audit.errors import AnswerError, ConfigurationError, RemoteError, TranscriptError
from metav_audit.verdict import VerdictOutcome, decide, read
from tests.audit.helpers import Pauses, asked_queries, endpoint, needed, places, records
from tests.builders import NONCE, linear_model, make_bundle, make_task
from tests.servers import FIELDS, ModelServer, Reply, always, at, free_port

TASK = make_task()
BUNDLE = make_bundle(queries=12, task=TASK)
TARGET = linear_model(TASK, 0)
SERIAL = {"concurrency": 1}


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("adapter", FIELDS)
def test_the_target_itself_matches_over_every_protocol(tmp_path, adapter, batch):
    """Each built-in adapter carries the fingerprint to a real server and the verdict is a match."""
    with ModelServer(TARGET, adapter) as server:
        asked = endpoint(server.url, TASK, adapter, batch=batch)
        transcript = audit_endpoint(BUNDLE, asked, tmp_path)
    assert decide(BUNDLE, read(BUNDLE, transcript)).outcome is VerdictOutcome.MATCH
    assert transcript.requests == len(server.log) == needed(12, batch)
    assert sorted(asked_queries(tmp_path)) == list(range(places(12)))
    assert asked_queries(tmp_path)[-2:] == [places(12) - 2, places(12) - 1], "what closes the audit comes last"
    assert transcript.finished


def test_an_independent_model_does_not_match(tmp_path):
    """A model far from the target gets no match."""
    with ModelServer(linear_model(TASK, 77, distance=3.0)) as server:
        transcript = audit_endpoint(BUNDLE, endpoint(server.url, TASK), tmp_path)
    assert decide(BUNDLE, read(BUNDLE, transcript)).outcome is not VerdictOutcome.MATCH


def test_a_finished_audit_is_returned_and_nothing_is_asked_again(tmp_path):
    """The second run sends nothing, changes no byte and says so."""
    notes = []
    with ModelServer(TARGET) as server:
        asked = endpoint(server.url, TASK)
        first = audit_endpoint(BUNDLE, asked, tmp_path)
        before = (tmp_path / "transcript.jsonl").read_bytes()
        second = audit_endpoint(BUNDLE, asked, tmp_path, progress=notes.append)
    assert second == first
    assert len(server.log) == needed(12)
    assert (tmp_path / "transcript.jsonl").read_bytes() == before
    assert notes[-1].final
    assert "nothing was asked again" in notes[-1].note


@pytest.mark.parametrize(
    ("model", "scores", "said"),
    [
        (lambda x: np.full((len(x), 3), 1 / 3), "probability", "3 scores"),
        (lambda x: np.full((len(x), 4), np.nan), "probability", "NaN"),
        (lambda x: np.full((len(x), 4), np.inf), "logit", "infinite"),
        (lambda x: np.full((len(x), 4), 7.5), "probability", "declare what the API returns"),
        (lambda x: np.full((len(x) + 1, 4), 0.25), "probability", "2 answers came back"),
    ],
)
def test_an_answer_that_does_not_fit_costs_one_request(tmp_path, model, scores, said):
    """The first batch goes alone: an endpoint that does not fit the task is asked once and no more."""
    with ModelServer(model) as server, pytest.raises(AnswerError, match=said):
        audit_endpoint(BUNDLE, endpoint(server.url, TASK, scores=scores, limits={"concurrency": 8}), tmp_path)
    assert len(server.log) == 1
    assert records(tmp_path)[-1]["outcome"] == "unusable"


@pytest.mark.parametrize("body", [b"", b"<html>hi</html>", b'{"outputs": [', b"[]", b"{}", b"\xff\xfe"])
def test_a_body_that_is_no_answer_costs_one_request(tmp_path, body):
    """HTML, nothing, truncated or foreign JSON: one AnswerError, one request."""
    with ModelServer(TARGET, fault=always(200, body)) as server, pytest.raises(AnswerError):
        audit_endpoint(BUNDLE, endpoint(server.url, TASK), tmp_path)
    assert len(server.log) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_name_the_header_and_the_variable(tmp_path, monkeypatch, status):
    """A 401 is not asked again, and the message says which header and which variable to check."""
    monkeypatch.setenv("SUSPECT_TOKEN", "abcdefgh12345678")
    headers = {"Authorization": "Bearer ${SUSPECT_TOKEN}"}
    with (
        ModelServer(TARGET, fault=always(status)) as server,
        pytest.raises(RemoteError, match=r"Authorization \(variable SUSPECT_TOKEN\)"),
    ):
        audit_endpoint(BUNDLE, endpoint(server.url, TASK, headers=headers), tmp_path)
    assert len(server.log) == 1
    assert server.log[0].headers["authorization"] == "Bearer abcdefgh12345678"


@pytest.mark.parametrize("batch", [1, 4])
def test_a_run_that_goes_on_ends_where_its_credentials_are_refused(tmp_path, batch):
    """A refusal that no input can be to blame for costs a later run one request, as it does the first."""
    with ModelServer(TARGET, fault=lambda number, _: Reply(503, b"busy") if number >= 8 else None) as server:
        run = endpoint(server.url, TASK, batch=batch, limits={"attempts": 1, "concurrency": 1})
        with pytest.raises(RemoteError):
            audit_endpoint(BUNDLE, run, tmp_path, sleep=Pauses())
    port = int(server.url.rsplit(":", 1)[1])
    with ModelServer(TARGET, fault=always(401), port=port) as server:
        with pytest.raises(RemoteError, match="credentials"):
            audit_endpoint(BUNDLE, run, tmp_path, sleep=Pauses())
        assert len(server.log) == 1


def test_missing_credentials_say_where_to_put_them(tmp_path):
    """A 401 without any header declared says how to declare one."""
    with ModelServer(TARGET, fault=always(401)) as server, pytest.raises(RemoteError, match=r"suspect.headers\]"):
        audit_endpoint(BUNDLE, endpoint(server.url, TASK), tmp_path)


def test_a_refusal_repeats_the_servers_own_words_in_one_line(tmp_path):
    """A 404 carries the server's error text, its first line alone."""
    with (
        ModelServer(TARGET, fault=always(404, b'{"error": "no model m\\nTraceback: x"}')) as server,
        pytest.raises(RemoteError, match="HTTP 404, 'no model m'") as caught,
    ):
        audit_endpoint(BUNDLE, endpoint(server.url, TASK), tmp_path)
    assert "Traceback" not in str(caught.value)
    assert len(server.log) == 1


def test_a_redirect_is_not_followed(tmp_path):
    """A redirect is refused: it could lead the credentials elsewhere."""
    with (
        ModelServer(TARGET) as other,
        ModelServer(TARGET, fault=always(307, headers={"Location": other.url})) as server,
        pytest.raises(RemoteError, match="redirects are not followed"),
    ):
        audit_endpoint(BUNDLE, endpoint(server.url, TASK), tmp_path)
    assert other.log == []


def test_a_dead_address_is_tried_a_few_times_and_the_audit_can_be_resumed(tmp_path):
    """Nothing listens: the attempts are bounded; once the server is up, the same folder finishes."""
    pauses = Pauses()
    port = free_port()
    dead = endpoint(f"http://127.0.0.1:{port}", TASK, limits={"attempts": 3})
    with pytest.raises(RemoteError, match="no connection"):
        audit_endpoint(BUNDLE, dead, tmp_path, sleep=pauses, clock=pauses.clock)
    assert len(pauses) == 2
    assert pauses[1] > pauses[0] * 0.9
    assert [record["kind"] for record in records(tmp_path)].count("sent") == 3
    assert records(tmp_path)[-1]["kind"] == "received"
    with ModelServer(TARGET, port=port):
        transcript = audit_endpoint(BUNDLE, dead, tmp_path)
    assert None not in transcript.answers
    assert transcript.requests == 3 + needed(12)
    assert sorted(asked_queries(tmp_path)) == [0, 0, 0, *range(places(12))]


def test_passing_faults_are_asked_again_until_answered(tmp_path):
    """503, 429 and a dropped connection are tried again; every attempt stands in the transcript."""
    faults = {4: Reply(503), 5: Reply(429), 6: Reply(drop=True), 8: Reply(500, b"oops")}
    with ModelServer(TARGET, fault=lambda number, seen: faults.get(number)) as server:
        transcript = audit_endpoint(BUNDLE, endpoint(server.url, TASK, limits=SERIAL), tmp_path, sleep=Pauses())
    assert None not in transcript.answers
    assert [attempt.outcome for attempt in transcript.exchanges[4].attempts] == [
        "transient",
        "throttled",
        "reset",
        "ok",
    ]
    assert transcript.requests == len(server.log) == 4 + needed(12)


def test_retry_after_is_honoured_and_capped(tmp_path):
    """Seconds and dates are honoured; an absurd wish is capped."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    wishes = ["7", format_datetime(now + timedelta(seconds=40), usegmt=True), "1e9"]
    pauses = Pauses()

    def fault(number, seen):
        return Reply(429, headers={"Retry-After": wishes[number]}) if number < 3 else None

    with ModelServer(TARGET, fault=fault) as server:
        audit_endpoint(BUNDLE, endpoint(server.url, TASK), tmp_path, sleep=pauses, clock=pauses.clock, now=lambda: now)
    assert 7 <= pauses[0] <= 9
    assert 40 <= pauses[1] <= 45
    assert LONGEST_PAUSE_S <= pauses[2] <= LONGEST_PAUSE_S + 30


def test_jitter_follows_the_seed(tmp_path):
    """The same seed pauses alike, another one otherwise."""

    def pauses_of(seed):
        pauses = Pauses()
        with ModelServer(TARGET, fault=at(0, 1, reply=Reply(503))) as server:
            audit_endpoint(
                BUNDLE,
                endpoint(server.url, TASK),
                tmp_path / f"{server.url[-5:]}",
                sleep=pauses,
                clock=pauses.clock,
                seed=seed,
            )
        return pauses

    assert pauses_of(1) == pauses_of(1) != pauses_of(2)


def test_a_later_batch_that_fails_for_good_stays_unanswered_with_its_reason(tmp_path):
    """One refused query does not end the audit: it is recorded as unanswered, and the rest is asked."""
    with ModelServer(TARGET, fault=at(13, reply=Reply(422, b'{"error": "odd input"}'))) as server:
        transcript = audit_endpoint(BUNDLE, endpoint(server.url, TASK, limits=SERIAL), tmp_path)
    assert transcript.finished
    assert len(server.log) == needed(12)
    assert [each.query for each in transcript.exchanges if each.answer is None] == [13]
    assert "odd input" in transcript.exchanges[13].reason


def test_a_later_answer_that_does_not_fit_stays_unanswered(tmp_path):
    """HTML in the middle of an audit is no reason to stop, and no answer, not even when asked once more at the end."""
    with ModelServer(TARGET, fault=at(9, needed(12) - 2, reply=Reply(200, b"<html>"))) as server:
        transcript = audit_endpoint(BUNDLE, endpoint(server.url, TASK, limits=SERIAL), tmp_path)
    assert transcript.exchanges[9].answer is None
    assert "HTML" in transcript.exchanges[9].reason


def test_an_endpoint_that_goes_down_is_given_up_and_resumed(tmp_path):
    """When what was answered before fails, too, the run stops and spoils nothing; the next asks only what is open."""
    down = [True]
    with ModelServer(TARGET, fault=lambda number, seen: Reply(404) if number >= 8 and down[0] else None) as server:
        asked = endpoint(server.url, TASK, limits=SERIAL)
        with pytest.raises(RemoteError, match=f"{PATIENCE + 1} requests in a row"):
            audit_endpoint(BUNDLE, asked, tmp_path, draw=lambda: NONCE)
        assert len(server.log) == 8 + PATIENCE + 1
        answered = asked_queries(tmp_path)[:8]
        before = len(asked_queries(tmp_path))
        assert "finished" not in {record["kind"] for record in records(tmp_path)}
        down[0] = False
        transcript = audit_endpoint(BUNDLE, asked, tmp_path)
    assert None not in transcript.answers
    assert sorted(answered + asked_queries(tmp_path)[before:]) == list(range(places(12)))
    assert len(server.log) == PATIENCE + 1 + needed(12)
    assert "resumed" in {record["kind"] for record in records(tmp_path)}


def test_a_spent_budget_finishes_the_audit_with_unanswered_queries(tmp_path):
    """Not one request more than the ceiling leaves; the queries left say why, and what closes the audit is paid for."""
    with ModelServer(TARGET, fault=at(5, 6, 7, reply=Reply(503))) as server:
        asked = endpoint(server.url, TASK, limits={"requests": 28, **SERIAL})
        transcript = audit_endpoint(BUNDLE, asked, tmp_path, sleep=Pauses())
    assert len(server.log) == transcript.requests == 28
    assert transcript.finished
    reasons = {each.reason for each in transcript.exchanges if each.answer is None}
    assert reasons == {"the budget of 28 requests is spent"}
    assert sum(answer is not None for answer in transcript.answers) == 28 - 3
    assert asked_queries(tmp_path)[-2:] == [places(12) - 2, places(12) - 1]
    assert decide(BUNDLE, read(BUNDLE, transcript)).outcome is VerdictOutcome.MATCH


def test_the_budget_counts_what_earlier_runs_sent(tmp_path):
    """The ceiling holds over all runs of one audit."""
    with ModelServer(TARGET, fault=lambda number, seen: Reply(503) if number < 4 else None) as server:
        asked = endpoint(server.url, TASK, limits={"requests": 28, "attempts": 4, **SERIAL})
        with pytest.raises(RemoteError):
            audit_endpoint(BUNDLE, asked, tmp_path, sleep=Pauses())
        transcript = audit_endpoint(BUNDLE, asked, tmp_path, sleep=Pauses())
    assert len(server.log) == 28
    assert sum(answer is not None for answer in transcript.answers) == 28 - 4


def test_a_budget_below_one_request_a_batch_is_refused_before_anything_is_sent(tmp_path):
    """The message names the option and the number needed."""
    with (
        ModelServer(TARGET) as server,
        pytest.raises(ConfigurationError, match=r"limits.requests = 27 does not cover the 28"),
    ):
        audit_endpoint(BUNDLE, endpoint(server.url, TASK, limits={"requests": 27}), tmp_path / "new")
    assert server.log == []
    assert not (tmp_path / "new").exists()


def test_spent_wall_time_finishes_the_audit(tmp_path):
    """A clock that runs away leaves the rest unanswered, with the wall time as the reason."""
    ticks = iter(range(0, 10**6, 10))
    with ModelServer(TARGET) as server:
        asked = endpoint(server.url, TASK, limits={"wall_s": 200, "concurrency": 1})
        transcript = audit_endpoint(BUNDLE, asked, tmp_path, clock=lambda: float(next(ticks)))
    assert transcript.finished
    assert 0 < len(server.log) < 12
    assert "wall time of 200 seconds" in transcript.exchanges[-1].reason


def test_another_bundle_or_endpoint_does_not_go_on_in_the_same_folder(tmp_path):
    """A folder belongs to one bundle and one endpoint; limits may change."""
    with ModelServer(TARGET) as server:
        audit_endpoint(BUNDLE, endpoint(server.url, TASK), tmp_path)
        audit_endpoint(BUNDLE, endpoint(server.url, TASK, limits={"attempts": 2}), tmp_path)
        with pytest.raises(ConfigurationError, match=r"another bundle.*choose another folder"):
            audit_endpoint(make_bundle(seed=1, queries=12, task=TASK), endpoint(server.url, TASK), tmp_path)
        for other in ({"model": "other"}, {"scores": "logit"}, {"headers": {"X-Variant": "b"}}):
            with pytest.raises(ConfigurationError, match=r"another endpoint.*choose another folder"):
                audit_endpoint(BUNDLE, endpoint(server.url, TASK, **other), tmp_path)
    assert len(server.log) == needed(12)


def test_an_altered_transcript_is_refused_before_anything_is_sent(tmp_path):
    """An edited answer breaks the chain, and running again says so."""
    with ModelServer(TARGET) as server:
        asked = endpoint(server.url, TASK)
        audit_endpoint(BUNDLE, asked, tmp_path)
        path = tmp_path / "transcript.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"status":200', b'"status":201', 1))
        with pytest.raises(TranscriptError, match="the chain is broken"):
            audit_endpoint(BUNDLE, asked, tmp_path)
    assert len(server.log) == needed(12)


def test_the_server_s_names_are_recorded(tmp_path):
    """Who answered is evidence: allowed headers and body fields, and no other."""
    headers = {"x-amzn-invoked-production-variant": "blue", "set-cookie": "session=1"}
    with ModelServer(TARGET, headers=headers) as server:
        transcript = audit_endpoint(BUNDLE, endpoint(server.url, TASK), tmp_path)
    (identity,) = transcript.identities
    assert identity["x-amzn-invoked-production-variant"] == "blue"
    assert identity["model_name"] == "m"
    assert "set-cookie" not in identity


def test_no_request_is_sent_that_is_not_in_the_journal(tmp_path):
    """The record of a request is on disk when the request arrives."""
    late = []

    def fault(number, seen):
        sent = {record["request_sha256"] for record in records(tmp_path) if record["kind"] == "sent"}
        late.append(seen.sha256 not in sent)

    with ModelServer(TARGET, fault=fault) as server:
        audit_endpoint(BUNDLE, endpoint(server.url, TASK), tmp_path)
    assert late == [False] * needed(12)


def test_no_more_requests_are_in_flight_than_allowed(tmp_path):
    """Concurrency is bounded by the limits."""
    import threading

    lock, now, most = threading.Lock(), [0], [0]

    def model(inputs):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.01)
        with lock:
            now[0] -= 1
        return TARGET(inputs)

    with ModelServer(model) as server:
        audit_endpoint(BUNDLE, endpoint(server.url, TASK, limits={"concurrency": 3}), tmp_path)
    assert most[0] <= 3


class Polling(Adapter):
    """Submits, waits, polls."""

    name, summary = "polling", "submit and poll"
    elsewhere = ""

    def encode(self, inputs):
        return Request(self.options.url + "/submit", json.dumps(inputs.tolist()).encode())

    def decode(self, response, count):
        return read_rows(read_json(response), count)

    def flow(self, inputs):
        ticket = read_json((yield self.encode(inputs)))["ticket"]
        while True:
            yield Wait(2.5)
            response = yield Request(f"{self.elsewhere or self.options.url}/poll/{ticket}", b"", "GET", {})
            if response.content != b'"busy"':
                return self.decode(response, len(inputs))


def polling_server():
    """An httpx transport that plays a submit-then-poll service; each result takes two polls."""
    tickets, polls = {}, {}

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/submit":
            ticket = str(len(tickets))
            tickets[ticket] = TARGET(np.array(json.loads(request.content)))
            return httpx.Response(200, json={"ticket": ticket})
        ticket = request.url.path.removeprefix("/poll/")
        polls[ticket] = polls.get(ticket, 0) + 1
        return httpx.Response(200, json=tickets[ticket].tolist() if polls[ticket] > 1 else "busy")

    return httpx.MockTransport(handle)


def polling(task=TASK, kind=Polling, **options):
    return Endpoint(
        "suspect", kind(task, AdapterOptions(url="http://service.test", **options)), {}, Limits(requests=99)
    )


def test_submit_then_poll_services_are_asked_step_by_step(tmp_path):
    """A flow of several requests and waits is driven, and each request counts."""
    pauses = Pauses()
    transcript = audit_endpoint(
        BUNDLE, polling(batch=4), tmp_path, transport=polling_server(), sleep=pauses, clock=pauses.clock
    )
    assert decide(BUNDLE, read(BUNDLE, transcript)).outcome is VerdictOutcome.MATCH
    assert transcript.requests == 3 * needed(12, 4) == 3 * 15
    assert pauses == [2.5] * 2 * 15


def test_a_request_to_another_host_is_not_sent(tmp_path):
    """A server that names another address to poll does not get the credentials sent there."""

    class Astray(Polling):
        elsewhere = "http://elsewhere.test"

    with pytest.raises(AnswerError, match="another host"):
        audit_endpoint(BUNDLE, polling(kind=Astray), tmp_path, transport=polling_server(), sleep=Pauses())


@pytest.mark.parametrize(
    "flow",
    [
        lambda self, inputs: 1 / 0,
        lambda self, inputs: iter(["text"]),
        lambda self, inputs: (yield "text"),
        lambda self, inputs: [(yield self.encode(inputs))] and "no answers",
    ],
)
def test_a_broken_adapter_is_named(tmp_path, flow):
    """Whatever a stranger's adapter does wrong is one AnswerError that names it."""
    broken = type("Broken", (Polling,), {"name": "broken", "flow": flow})
    with pytest.raises(AnswerError, match="adapter broken"):
        audit_endpoint(BUNDLE, polling(kind=broken), tmp_path, transport=polling_server())


def test_a_broken_classify_is_named(tmp_path):
    """An adapter that cannot classify a response is named."""
    broken = type("Broken", (Polling,), {"name": "broken", "classify": lambda self, response: "fine"})
    with pytest.raises(AnswerError, match="adapter broken could not classify"):
        audit_endpoint(BUNDLE, polling(kind=broken), tmp_path, transport=polling_server())


def test_a_missing_class_stays_missing(tmp_path):
    """Top-k answers are journaled with None where a class was not shown."""

    class TopTwo(Polling):
        def flow(self, inputs):
            response = yield self.encode(inputs)
            assert isinstance(response, Response)
            return read_rows([[0.6, None, 0.3, None]] * len(inputs), len(inputs))

    transcript = audit_endpoint(BUNDLE, polling(kind=TopTwo), tmp_path, transport=polling_server())
    assert transcript.answers[0].scores == (0.6, None, 0.3, None)
