"""Sanity controls: shuffled, uniform and the target's own answers, judged by the suspect's rule."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import binom

from metav_audit.statistics import most_by_chance
from metav_audit.task import FULL_VIEW, Features, OutputView
from metav_audit.verdict import RULES, VerdictOutcome, decide, read
from metav_audit.verdict.sanity import SanityControls, run_sanity_controls, sanity_seed
from tests.builders import linear_model, make_bundle, make_task, reversed_verifier, yes_sayer
from tests.verdict.test_decide import transcript

TASK = make_task()
BUNDLE = make_bundle(queries=8, task=TASK)
TARGET = linear_model(TASK, 0)
VALUES = np.log(TARGET(BUNDLE.inputs)).clip(-13.8).astype(np.float32)
SHOWN = Features(VALUES, np.ones(VALUES.shape, bool))


def run(judge, shown=SHOWN, view=FULL_VIEW, seed=0):
    rules = RULES.sanity_shuffles, RULES.sanity_chance
    return run_sanity_controls(shown, BUNDLE.reference, BUNDLE.task.output, view, judge, 0.05, seed, *rules)


def never(_):
    return "no_match"


@pytest.mark.parametrize("seed", [0, 1, 2001])
def test_an_honest_bundle_passes(seed):
    """Whatever the suspect is, nobody's answers score independent, and the verdict stands."""
    verdict = decide(
        BUNDLE, read(BUNDLE, transcript(linear_model(TASK, seed, distance=0.05 if seed < 2 else 3.0), BUNDLE))
    )
    assert verdict.sanity.failures == ()
    assert verdict.outcome is (VerdictOutcome.MATCH if seed < 2 else VerdictOutcome.NO_MATCH)


def test_a_verifier_that_says_yes_to_all_gives_no_verdict():
    """Shuffled and uniform answers match: the reason names both, and the score stays on record."""
    bundle = yes_sayer(BUNDLE)
    verdict = decide(bundle, read(bundle, transcript(linear_model(TASK, 2001, distance=3.0), bundle)))
    assert verdict.p_value <= 0.05 < verdict.p_value_derived
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE
    assert [reason.split(",")[0] for reason in verdict.reasons][:2] == [
        "sanity control failed: 99 of 99 shufflings of the endpoint's answers over the queries would be a match",
        "sanity control failed: uniform answers",
    ]


def test_a_verifier_that_does_not_know_the_target_gives_no_verdict():
    """Where the target's own answers would be no match, nothing can be said of others."""
    bundle = reversed_verifier(BUNDLE)
    verdict = decide(bundle, read(bundle, transcript(TARGET, bundle)))
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE
    assert verdict.sanity.target != "match"


def test_shufflings_give_no_query_its_own_answer():
    """Each is a rearrangement of the suspect's answers, without a fixed point, and no two runs of a seed differ."""
    seen = []
    run(lambda shown: seen.append(shown.values) or "no_match")
    assert len(seen) == RULES.sanity_shuffles + 2
    for values in seen[: RULES.sanity_shuffles]:
        assert sorted(map(tuple, values)) == sorted(map(tuple, VALUES))
        assert not (values == VALUES).all(axis=1).any()
    again = []
    run(lambda shown: again.append(shown.values) or "no_match")
    assert all(np.array_equal(one, two) for one, two in zip(seen, again, strict=True))


def test_the_seed_follows_from_bundle_and_transcript():
    """Another transcript gives other shufflings; nobody chooses them."""
    assert sanity_seed("a", "b") == sanity_seed("a", "b") != sanity_seed("a", "c")


def test_unanswered_queries_stay_unanswered():
    """Controls are shown where the suspect answered, and seen as its API shows."""
    mask = SHOWN.mask.copy()
    mask[[0, 3]] = False
    shown = OutputView(top=2).apply(Features(np.where(mask, VALUES, 0), mask), BUNDLE.task.output)
    seen = []
    run(lambda each: seen.append(each.mask) or "no_match", shown, OutputView(top=2))
    assert all(not each[[0, 3]].any() for each in seen)
    assert all((each.sum(axis=1)[[1, 2, 4, 5, 6, 7]] == 2).all() for each in seen)


def test_one_answer_cannot_be_shuffled():
    """With a single answer no shuffling is tried, and none fails."""
    mask = np.zeros_like(SHOWN.mask)
    mask[2] = True
    controls = run(never, Features(np.where(mask, VALUES, 0), mask))
    assert (controls.shuffles, controls.shuffled_matches) == (0, 0)


def test_the_promised_share_of_shufflings_may_match_and_what_chance_adds():
    """Up to 13 of 99 where 5 % were promised, up to 5 where 1 % were: more come about in one audit of a thousand."""
    assert RULES.sanity_chance == 0.001
    for promised, most in ((0.05, 13), (0.01, 5)):
        seen = SanityControls(99, most, promised, most_by_chance(99, promised, 0.001), "no_match", "match")
        assert seen.failures == ()
        assert len(dataclasses.replace(seen, shuffled_matches=most + 1).failures) == 1
    tail = binom.sf(np.arange(99), 99, 0.05)
    assert most_by_chance(99, 0.05, 0.001) == np.flatnonzero(tail <= 0.001)[0]
