"""Hosts that recognise audits and answer them with another model: no such run ends in a no-match."""

from __future__ import annotations

import numpy as np
import pytest

from metav_audit.verdict import Rules, VerdictOutcome, conclude
from tests.builders import linear_model, make_bundle, make_task, with_natural
from tests.scale import at_scale
from tests.verdict.test_decide import undisturbed

TASK = make_task(classes=6)
BUNDLE = with_natural(make_bundle(queries=32, task=TASK, spread=0.2))
COPY = linear_model(TASK, 7, distance=0.05)
INDEPENDENT = linear_model(TASK, 9, distance=0.2)
RUNS = at_scale(12, 100)
NATURAL = {one.tobytes() for one in BUNDLE.natural.inputs}


class Host:
    """Answers one input after another by a copy, and as its kind goes by another model."""

    def __init__(self, kind, seed):
        self.kind, self.rng, self.seen, self.switched = kind, np.random.default_rng(seed), {}, False

    def __call__(self, one):
        key, count = one.tobytes(), len(self.seen)
        known = self.seen.get(key)
        answer = getattr(self, self.kind)(one, key, known, count)
        self.seen.setdefault(key, answer)
        return answer

    def copy(self, one):
        return COPY(one[None])[0]

    def other(self, one):
        return INDEPENDENT(one[None])[0]

    def sticky(self, one, key, known, count):
        """Changes its model for good at the first input that is not natural."""
        near = any(np.abs(np.frombuffer(each, np.float32) - one.ravel()).max() < 0.01 for each in NATURAL)
        self.switched = self.switched or not near
        return self.other(one) if self.switched else self.copy(one)

    def steady(self, one, key, known, count):
        """Answers what it knows as it did, and all else with noise."""
        return self.noisy(one) if known is None else known

    def keyed(self, one, key, known, count):
        """Adds noise that hangs on the input alone."""
        self.rng = np.random.default_rng(np.frombuffer(key[-32:], np.uint32))
        return self.noisy(one)

    def swapped(self, one, key, known, count):
        """Changes its model after ten requests."""
        return self.copy(one) if count < 10 else self.other(one)

    def remembering(self, one, key, known, count):
        """Changes its model after ten requests, and answers what it knows as it did."""
        return known if known is not None else self.swapped(one, key, known, count)

    def repeated(self, one, key, known, count):
        """Has another model for what is asked again."""
        return self.copy(one) if known is None else self.other(one)

    def noisy(self, one):
        shares = np.maximum(self.copy(one) + self.rng.normal(0, 0.1, 6), 1e-6)
        return shares / shares.sum()


HOSTS = ("sticky", "steady", "keyed", "swapped", "remembering", "repeated")


@pytest.mark.scaled
@pytest.mark.parametrize("kind", HOSTS)
def test_a_host_that_evades_gets_no_no_match(kind):
    """Whatever the nonce: nobody who answers an audit with several models is cleared."""
    outcomes = [
        conclude(BUNDLE, undisturbed(Host(kind, seed), BUNDLE, f"{seed:032x}")).verdict.outcome for seed in range(RUNS)
    ]
    print(kind, {each.value: outcomes.count(each) for each in VerdictOutcome})
    assert VerdictOutcome.NO_MATCH not in outcomes


@pytest.mark.scaled
def test_honest_hosts_are_not_taken_for_evading_ones():
    """The same models, one at a time: never inconclusive for what was asked again, nearly again, or natural."""
    for seed in range(RUNS):
        model = linear_model(TASK, 100 + seed, distance=0.05 if seed % 2 else 0.2)
        decision = conclude(BUNDLE, undisturbed(lambda one, model=model: model(one[None])[0], BUNDLE, f"{seed:032x}"))
        assert decision.reading.faults == ()


def steep(one, size):
    """An independent model whose scores jump by up to so much from one input to the next, always the same way."""
    rng = np.random.default_rng(np.frombuffer(one.tobytes(), np.uint32))
    shares = INDEPENDENT(one[None])[0] * np.exp(rng.uniform(-size, size, 6))
    return shares / shares.sum()


def test_a_steep_model_is_not_taken_for_an_evading_host():
    """Near-duplicates may lie further apart than the calibration's, if by little of how far models lie apart there."""
    told = undisturbed(lambda one: steep(one, 0.1), BUNDLE, f"{5:032x}")
    (fault,) = conclude(BUNDLE, told, rules=Rules(pair_share=0.0)).reading.faults
    assert "near-duplicates" in fault
    assert conclude(BUNDLE, told).verdict.outcome is VerdictOutcome.NO_MATCH
