"""Endpoints that play tricks, over a real server and the real client: never a wrong verdict, and the trick is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import sha256

import numpy as np
import pytest

from metav_audit.audit import audit_endpoint
from metav_audit.errors import AnswerError, RemoteError
from metav_audit.verdict import Verdict, VerdictOutcome, decide, read
from tests.audit.helpers import endpoint, needed
from tests.builders import linear_model, make_bundle, make_task, softmax
from tests.scale import at_scale
from tests.servers import ModelServer, Reply, Seen, v2

TASK = make_task(classes=6)
pytestmark = pytest.mark.scaled

BUNDLE = make_bundle(queries=24, task=TASK, spread=0.2, lineages=40)
BATCH = 8
REQUESTS = needed(24, BATCH)
RUNS = at_scale(10, 100)
UNSTEADY = "answered differently from call to call"
CHANGED = "the model was changed"

Trick = Callable[[int, np.ndarray], np.ndarray]
"""Given the request's number (from 0) and its inputs, the probabilities to answer."""


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(linear_model(TASK, 0)) as running:
        yield running


@pytest.fixture
def audit(server, tmp_path) -> Callable[[object], Verdict]:
    """Audit the server, in a folder of its own, while it replies by ``fault``."""

    def run(fault, name, **limits) -> Verdict:
        server.fault = fault
        server.log.clear()
        asked = endpoint(server.url, TASK, batch=BATCH, limits=limits)
        nonce = sha256(str(name).encode()).hexdigest()[:32]
        transcript = audit_endpoint(BUNDLE, asked, tmp_path / str(name), draw=lambda: nonce)
        return decide(BUNDLE, read(BUNDLE, transcript))

    return run


def answering(trick: Trick) -> Callable[[int, Seen], Reply]:
    def reply(number: int, seen: Seen) -> Reply:
        answer = v2(lambda inputs: trick(number, inputs), json.loads(seen.body))
        return Reply(body=json.dumps(answer).encode(), headers={"Content-Type": "application/json"})

    return reply


def derived(seed: int):
    return linear_model(TASK, 5000 + seed, distance=0.03)


def independent(seed: int, distance: float = 0.2):
    return linear_model(TASK, 7000 + seed, distance=distance)


def one_of(seed: int):
    return (derived, independent)[seed % 2](seed)


def noisy(seed: int, rng: np.random.Generator) -> Trick:
    model, size = one_of(seed), 10 ** rng.uniform(-2, 0.3)

    def trick(number, inputs):
        noise = np.random.default_rng([seed, number]).normal(size=(len(inputs), 6))
        return softmax(np.log(model(inputs)) + size * noise)

    return trick


def swapped(seed: int, rng: np.random.Generator) -> Trick:
    """The model changes before a request after the first; the last one closes the audit."""
    models = [derived(seed), independent(seed)][:: 1 if seed % 2 else -1]
    moment = int(rng.integers(1, REQUESTS))
    return lambda number, inputs: models[number >= moment](inputs)


def constant(seed: int, rng: np.random.Generator) -> Trick:
    same = softmax(rng.uniform(0, 6) * rng.normal(size=6))
    return lambda number, inputs: np.tile(same, (len(inputs), 1))


def random_by_call(seed: int, rng: np.random.Generator) -> Trick:
    size = rng.uniform(1, 6)
    return lambda number, inputs: softmax(size * np.random.default_rng([seed, number]).normal(size=(len(inputs), 6)))


def random_by_input(seed: int, rng: np.random.Generator) -> Trick:
    size = rng.uniform(1, 6)

    def trick(number, inputs):
        words = [np.frombuffer(one.tobytes(), np.uint32).tolist() for one in inputs]
        return softmax(size * np.stack([np.random.default_rng([seed, *each]).normal(size=6) for each in words]))

    return trick


def balanced(seed: int, rng: np.random.Generator) -> Trick:
    models = [derived(seed), independent(seed)][:: 1 if seed % 2 else -1]
    return lambda number, inputs: models[number % 2](inputs)


def diced(seed: int, rng: np.random.Generator) -> Trick:
    # Each model in its half of as many requests as an audit has: dice that fell one way throughout would be one model.
    models, dice = [derived(seed), independent(seed)], np.tile(rng.permutation(np.arange(REQUESTS) % 2), 4)
    return lambda number, inputs: models[dice[number]](inputs)


TRICKS = {
    swapped: {UNSTEADY, CHANGED},
    constant: {"every input gets the same answer"},
    random_by_call: {UNSTEADY},
    random_by_input: {"unlike those of any model"},
    balanced: {UNSTEADY, CHANGED},  # Which one, hangs on how the requests in flight fall.
    diced: {UNSTEADY, CHANGED},
}


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_a_trick_is_named_and_gets_no_verdict(audit, trick):
    """100 runs of each: inconclusive without a score, and a reason says what was seen."""
    for seed in range(RUNS):
        # One request at a time, dice fall on the same inputs in every run of this test.
        limits = {"concurrency": 1} if trick is diced else {}
        verdict = audit(answering(trick(seed, np.random.default_rng(seed))), seed, **limits)
        assert (verdict.outcome, verdict.score) == (VerdictOutcome.INCONCLUSIVE, None), seed
        assert any(said in reason for said in TRICKS[trick] for reason in verdict.reasons), (seed, verdict.reasons)


def test_noise_is_named_and_told_from_a_change_or_gets_no_verdict(audit):
    """100 runs: too much is inconclusive; a little is part of the view, and verdicts are as wrong as promised."""
    wrong = {VerdictOutcome.MATCH: 0, VerdictOutcome.NO_MATCH: 0}
    small = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        # One request at a time, each has the same noise in every run of this test.
        verdict = audit(answering(noisy(seed, rng)), seed, concurrency=1)
        if verdict.score is None:
            # Noise about as large as the tolerance may pass two rounds and be seen in a later one.
            assert any(said in reason for said in (UNSTEADY, CHANGED) for reason in verdict.reasons), seed
        else:
            # Below the tolerance of what two computers may differ by it is none.
            small += ", noise of 0.0" in verdict.view
            mistake = VerdictOutcome.MATCH if seed % 2 else VerdictOutcome.NO_MATCH
            wrong[mistake] += verdict.outcome is mistake
    assert 0 < small < RUNS
    assert max(wrong.values()) <= 5


def test_a_block_page_gets_no_verdict(audit):
    """HTML with status 200 from any moment but the last, 100 runs: an error, or the reason of inconclusive."""
    page = Reply(200, b"<html><body>Are you a robot?</body></html>", {"Content-Type": "text/html"})
    for seed in range(RUNS):
        moment = int(np.random.default_rng(seed).integers(0, REQUESTS - 1))
        honest = answering(lambda number, inputs, seed=seed: one_of(seed)(inputs))
        try:
            verdict = audit(lambda number, seen, m=moment, h=honest: page if number >= m else h(number, seen), seed)
        except (AnswerError, RemoteError) as error:
            assert "HTML" in str(error), seed  # noqa: PT017
        else:
            assert (verdict.outcome, verdict.score) == (VerdictOutcome.INCONCLUSIVE, None), (seed, moment)
            assert any("HTML" in reason for reason in verdict.reasons), (seed, moment, verdict.reasons)


def test_honest_endpoints_get_their_verdict(audit, server):
    """Derived and independent models, 25 of each: every copy found, no independent accused, four of five cleared.

    The independents lie a little further out than the calibration's; one that lies where derived models may lie, or
    beyond all independents, is inconclusive. Nobody is asked more than needed.
    """
    runs = at_scale(4, 25)
    cleared = 0
    for seed in range(runs):
        copy, other = derived(seed), independent(seed, distance=0.25)
        verdict = audit(answering(lambda number, inputs, m=copy: m(inputs)), f"{seed}-derived")
        assert verdict.outcome is VerdictOutcome.MATCH, (seed, verdict.reasons)
        assert len(server.log) == REQUESTS
        verdict = audit(answering(lambda number, inputs, m=other: m(inputs)), f"{seed}-independent")
        assert verdict.outcome is not VerdictOutcome.MATCH, (seed, verdict.reasons)
        assert len(server.log) == REQUESTS
        cleared += verdict.outcome is VerdictOutcome.NO_MATCH
    assert cleared >= 0.8 * runs
