"""The rates that ``evaluate`` publishes are those of the rule that an audit decides by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.bundle import ErrorRates, MetaVerifier, Schedule, asked_inputs
from metav_audit.evaluation.conditions import VIEWS, Condition
from metav_audit.evaluation.run import score_test_split
from metav_audit.fingerprint.fit import models_of, seal_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.task import Answer, OutputView, ScoreKind
from metav_audit.transcript import EndpointRecord, Exchange, Transcript
from metav_audit.verdict import Rules, VerdictOutcome, conclude
from metav_audit.zoo.plan import Split
from tests.builders import NONCE, make_bundle, weighed
from tests.toy import TASK
from tests.verdict.test_decide import strangers

SPACE = TASK.output


def random_bundle(toy, seed, *, own):
    """Random inputs, a verifier that measures distance with random weights, random rates; the zoo's calibration."""
    rng = np.random.default_rng(seed)
    inputs = TASK.domain.sample(int(rng.integers(3, 9)), rng)
    template = make_bundle(task=TASK, inputs=inputs, lineages=2)
    bundle = seal_bundle(Making.of(toy.workshop, toy.zoo, "metav"), inputs, template.verifier)
    tensors = dict(template.verifier.tensors)
    slope = tensors["output.weight"] * rng.uniform(0, 2, tensors["output.weight"].shape)
    tensors |= {"reference": bundle.reference, "output.weight": slope.astype(np.float32)}
    rates = ErrorRates(*rng.choice([0.2, 0.4], 2).tolist())
    bundle = weighed(replace(bundle, verifier=MetaVerifier(template.verifier.kind, tensors), rates=rates))
    return bundle if own else strangers(bundle)


def answer(row, view):
    """One output as an API with this view writes it, and the kind of its scores."""
    shares = np.exp(row.astype(np.float64))
    if view.decimals is not None:
        return Answer(tuple(np.round(shares, view.decimals).tolist())), ScoreKind.PROBABILITY
    order = np.argsort(-row, kind="stable")
    shown = set(order[: 1 if view.label_only else view.top or len(row)].tolist())
    scores = [1.0 if view.label_only else float(score) for score in row]
    kind = ScoreKind.LABEL if view.label_only else ScoreKind.LOG_PROBABILITY
    return Answer(tuple(score if at in shown else None for at, score in enumerate(scores))), kind


def transcript_of(bundle, model, view):
    """What an undisturbed audit of a model behind such an API leaves."""
    schedule = Schedule.for_bundle(bundle, NONCE)
    own = features_of_all([model], asked_inputs(bundle), SPACE)[0][list(schedule.numbers)]
    answers = [answer(row, view) for row in own]
    exchanges = tuple(Exchange(place, one, None, (), place) for place, (one, _) in enumerate(answers))
    endpoint = EndpointRecord("suspect", "test", "test:model", answers[0][1], {})
    return Transcript(bundle.sha256, endpoint, "test", "", "", exchanges, len(own), NONCE, (), "f" * 64, {})


SEEN = {
    **{name: VIEWS[name] for name in ("full", "top1", "2-decimals", "3-decimals")},
    "label": OutputView(top=1, label_only=True),
}
"""Conditions without noise, and the views that an audit finds where they hold."""


UNQUESTIONED = Rules(fewest_followed=1000, least_reach=-1e9, card_deviations=1e9)
"""A few random inputs and a random verifier make no calibration that stands; what it says is compared all the same."""


def compared(toy, seed, name, own):
    """What evaluate and what decide say of each test model whose answers and sanity controls are in order."""
    bundle = random_bundle(toy, seed, own=own)
    scored = score_test_split(toy.workshop, toy.zoo, bundle, Condition(name))
    tested = toy.zoo.select(Split.TEST, derived=True) + toy.zoo.select(Split.TEST, derived=False)
    for outcome, model in zip(scored.outcomes, models_of(toy.workshop, tested), strict=True):
        decision = conclude(bundle, transcript_of(bundle, model, SEEN[name]), None, UNQUESTIONED)
        undisturbed = decision.reading.view == SEEN[name] and not decision.reading.faults
        if undisturbed and not decision.verdict.sanity.failures:
            yield outcome, decision.verdict.outcome


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from(sorted(SEEN)), st.booleans())
def test_evaluate_says_of_a_model_what_an_audit_says(toy, seed, name, own):
    """Random fingerprints and verifiers, each view: of the same answers, both come to the same outcome."""
    for evaluated, decided in compared(toy, seed, name, own):
        assert evaluated is decided


def test_all_outcomes_are_among_those_compared(toy):
    """The comparison is no empty one: matches, no-matches and inconclusive ones occur, and strangers bar matches."""
    known, strange = (
        {decided for seed in range(4) for _, decided in compared(toy, seed, "full", own)} for own in (True, False)
    )
    assert known == set(VerdictOutcome)
    assert strange == known - {VerdictOutcome.MATCH}
