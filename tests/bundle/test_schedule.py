"""The schedule: everything is asked, some again and nearly again, in an order that only the nonce tells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from metav_audit.bundle import (
    CLOSING,
    OPENING,
    PAIRS,
    REPEATED,
    TIMES,
    Schedule,
    asked_inputs,
    planned_places,
    usual_looks,
)
from tests.builders import make_bundle, make_task, with_natural

NONCES = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(st.integers(1, 70), st.integers(0, 20), NONCES)
def test_everything_is_asked_and_some_of_it_again(queries, natural, nonce):
    """Each input once, four of them five times, near-duplicates of eight; twins only where there are natural inputs."""
    schedule = Schedule.of(queries, natural, nonce)
    base, counts = queries + natural, np.bincount(schedule.numbers, minlength=2 * (queries + natural))
    repeated = min(REPEATED, base)
    assert sorted(counts[:base].tolist()) == [1] * (base - repeated) + [TIMES] * repeated
    assert counts[base:].max(initial=0) <= 1
    assert counts[base:].sum() == (min(PAIRS, base) if natural else 0)
    assert {number for number, _, _ in schedule.pairs} >= set(schedule.numbers[: min(OPENING, natural)])
    assert all(number >= queries for number in schedule.numbers[: min(OPENING, natural)])
    assert [schedule.numbers[place] for place in schedule.first] == list(range(base))
    assert all(counts[number] > 1 for number in schedule.numbers[schedule.closing :])
    assert len(schedule.numbers) - schedule.closing == CLOSING
    assert schedule == Schedule.of(queries, natural, nonce)


@given(st.integers(9, 140), st.integers(0, 20), NONCES)
def test_looks_ask_the_same_as_one_look_does(queries, natural, nonce):
    """Every look asks the next queries of the bundle, and ends with two repetitions of what was asked before it."""
    looks = usual_looks(queries)
    schedule, whole = Schedule.of(queries, natural, nonce, looks), Schedule.of(queries, natural, nonce)
    assert len(schedule.numbers) == len(whole.numbers) == schedule.ends[-1]
    assert len(schedule.ends) == len(looks)
    for look, end, closing in zip(looks, schedule.ends, schedule.closings, strict=True):
        before = schedule.numbers[:end]
        assert {number for number in before if number < queries} == set(range(look))
        assert end - closing == CLOSING
        assert set(schedule.numbers[closing:end]) <= set(schedule.numbers[:closing])
        assert {schedule.look_of(place) for place in range(closing, end)} == {looks.index(look)}
    shown = [number for number in schedule.numbers[: schedule.ends[0]] if queries <= number < queries + natural]
    assert len(set(shown)) >= natural / 2
    counts = np.bincount(schedule.numbers, minlength=2 * (queries + natural))
    assert sorted(counts[: queries + natural].tolist())[-REPEATED:] == [TIMES] * REPEATED


@pytest.mark.parametrize("looks", [(8, 16), (16, 8, 32), (8, 8, 32), (0, 32), (1, 2, 3, 4, 32)])
def test_looks_that_do_not_rise_to_all_queries_are_refused(looks):
    """They come from a file."""
    with pytest.raises(ValueError, match="they rise"):
        Schedule.of(32, 16, "00" * 16, looks)


def test_another_nonce_gives_another_order():
    """What is asked again, and when, nobody knows before the nonce is drawn; how much it is, everybody."""
    some = [Schedule.of(32, 16, f"{at:032x}") for at in range(50)]
    assert len({each.numbers for each in some}) == 50
    assert {len(each.numbers) for each in some} == {72}
    bundle = with_natural(make_bundle(task=make_task(classes=6), spread=0.2))
    assert planned_places(bundle) == len(Schedule.for_bundle(bundle, "0" * 32).numbers)
    assert len(asked_inputs(bundle)) == 2 * (6 + 16)


def told_by_order(nonces):
    """What a host sees of each request without its content, and whether it is natural, in audits of 32 queries."""
    seen, natural = [], []
    for nonce in nonces:
        schedule = Schedule.of(32, 16, f"{nonce:032x}")
        times, last = {}, {}
        for place, number in enumerate(schedule.numbers):
            if place >= OPENING:
                gap = min(place - last[number], 20) if number in last else 0
                seen.append([place // 4, times.get(number, 0), gap])
                base = number - 48 if number >= 48 else number
                natural.append(base >= 32)
            times[number], last[number] = times.get(number, 0) + 1, place
    return np.array(seen), np.array(natural)


def test_order_and_repetition_do_not_tell_queries_from_natural_inputs():
    """A classifier trained on 400 audits does no better than chance on 200 others, behind the opening."""
    encoder = OneHotEncoder(handle_unknown="ignore")
    seen, natural = told_by_order(range(400))
    model = LogisticRegression(max_iter=500).fit(encoder.fit_transform(seen), natural)
    seen, natural = told_by_order(range(400, 600))
    auc = roc_auc_score(natural, model.predict_proba(encoder.transform(seen))[:, 1])
    print(f"AUC behind the opening {auc:.3f}")
    assert 0.47 < auc < 0.53
