"""A target that was tuned from a public ancestor: rivals, the ancestor itself, and the family beside the child."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metav_audit.bundle import Calibration, FingerprintBundle
from metav_audit.errors import BundleError
from metav_audit.task import Features, OutputView, ScoreKind
from metav_audit.task.outputs.scores import clipped_log_probabilities
from metav_audit.verdict import Rule, Verdict, VerdictOutcome, calibration_doubts, decide, read, too_little_of_its_own
from metav_audit.verdict.guarantee import guarantee_of
from metav_audit.verdict.judgement import FAMILY
from metav_audit.verdict.sanity import SanityControls
from tests.builders import (
    ANCESTOR,
    linear_model,
    make_ancestor_bundle,
    make_bundle,
    make_siblings_bundle,
    make_task,
    weighed,
)
from tests.verdict.test_decide import transcript

TASK = make_task()
BUNDLE = make_ancestor_bundle(queries=12, task=TASK)
NEAR = [linear_model(TASK, 8000 + seed, distance=0.5) for seed in range(40)]
FAR = [linear_model(TASK, 8000 + seed, distance=3.0) for seed in range(40)]
COPIES = [linear_model(TASK, 8000 + seed, distance=0.03) for seed in range(10)]
ALONE = replace(make_bundle(queries=12, task=TASK), provenance={**make_bundle().provenance, "ancestor": ANCESTOR})
"""A bundle without siblings, and without independents that start from the target's ancestor."""


def decided(bundle, model):
    return decide(bundle, read(bundle, transcript(model, bundle)))


def judged(bundle, models):
    answers = [clipped_log_probabilities(model(bundle.inputs), ScoreKind.PROBABILITY) for model in models]
    values = np.array(answers, np.float32)
    rule = Rule.through(bundle)
    return [rule.conclude(one) for one in rule.score_all(Features(values, np.ones(values.shape, bool)))]


def test_rivals_of_the_ancestor_are_no_match_and_copies_are():
    """Of 40 rivals that start from it none is accused, of ten copies each is found."""
    assert VerdictOutcome.MATCH not in {one.outcome for one in judged(BUNDLE, NEAR)}
    assert {one.outcome for one in judged(BUNDLE, COPIES)} == {VerdictOutcome.MATCH}


def test_the_family_has_a_p_value_of_its_own():
    """Small for what starts from the ancestor, whoever tuned it, and within the promise for what does not."""
    assert all(one.p_value_family == 1 / 31 for one in judged(BUNDLE, NEAR + COPIES))
    assert sum(one.p_value_family <= 0.05 for one in judged(BUNDLE, FAR)) <= 4


def test_an_inconclusive_verdict_names_the_family():
    """Where it is certain; a match and a no-match do not need it, and a stranger to the family has none."""
    told = judged(BUNDLE, NEAR + FAR + COPIES)
    for one in told:
        named = one.outcome is VerdictOutcome.INCONCLUSIVE and one.p_value_family <= 0.05
        assert one.reason.startswith(FAMILY) is named
    assert any(one.reason.startswith(FAMILY) for one in told[:40])


def test_labels_alone_do_not_tell_the_family():
    """A good model's labels are the truth, and so are the family's; the rank among siblings is told all the same."""
    view, values = OutputView(label_only=True), BUNDLE.reference[None]
    rule = Rule.through(BUNDLE, view)
    (scored,) = rule.score_all(view.apply(Features(values, np.ones(values.shape, bool)), BUNDLE.task.output))
    assert scored.family is None
    assert scored.p_value_siblings is not None
    assert rule.conclude(scored).p_value_family is None


def test_a_target_with_too_little_of_its_own_leaves_the_family_alone():
    """Where no derived model comes near it nobody is accused or cleared, and the calibration is sound all the same."""
    cards = BUNDLE.calibration.models
    lost = BUNDLE.calibration.features.copy()
    lost[:30] = lost[60 + np.arange(30) % 24]
    bundle = weighed(replace(BUNDLE, calibration=Calibration(lost, cards)))
    assert calibration_doubts(bundle) == ()
    assert "comes near the target" in too_little_of_its_own(bundle)
    assert too_little_of_its_own(BUNDLE) is None
    for model in (COPIES[0], NEAR[0]):
        verdict = decided(bundle, model)
        assert verdict.outcome is VerdictOutcome.INCONCLUSIVE
        assert verdict.reasons[0].startswith(FAMILY)


def test_without_an_ancestor_there_is_no_family():
    """Neither in a verdict nor in its JSON."""
    plain = make_siblings_bundle(queries=12, task=TASK)
    assert {one.p_value_family for one in judged(plain, NEAR[:3])} == {None}
    assert not {"p_value_family"} & decided(plain, NEAR[0]).to_json().keys()


def test_an_ancestor_without_rivals_or_siblings_bears_no_match():
    """All that came near was accused; with independents that start from it, or siblings, the guard is satisfied."""
    (copy,) = judged(ALONE, COPIES[:1])
    assert copy.outcome is VerdictOutcome.INCONCLUSIVE
    assert "none of these independent models starts from the target's ancestor" in copy.reason
    kin = weighed(replace(ALONE, calibration=BUNDLE.calibration))
    assert judged(kin, COPIES[:1])[0].outcome is VerdictOutcome.MATCH
    bare = Calibration(BUNDLE.calibration.features[:60], BUNDLE.calibration.models[:60])
    assert judged(weighed(replace(BUNDLE, calibration=bare)), COPIES[:1])[0].outcome is VerdictOutcome.MATCH


def test_a_match_is_rare_among_rivals_of_the_ancestor_too():
    """A score that is rare among all independents, and usual among those that start from the ancestor, is none."""
    features = np.concatenate([BUNDLE.calibration.features[:-1], BUNDLE.reference[None]])
    close = weighed(replace(ALONE, calibration=Calibration(features, BUNDLE.calibration.models)))
    (copy,) = judged(close, [linear_model(TASK, 0)])
    assert (copy.outcome, copy.p_value) == (VerdictOutcome.INCONCLUSIVE, 2 / 55)
    assert copy.reason.endswith("start from the target's ancestor, as rivals may (p = 0.08 among 24 of them)")


def test_the_ancestor_s_own_answers_are_a_sanity_control():
    """They are judged as the suspect's are, and a rule that calls them a match bears no verdict."""
    verdict = decided(BUNDLE, COPIES[0])
    assert verdict.outcome is VerdictOutcome.MATCH
    assert verdict.sanity.ancestor != "match"
    assert f"its ancestor's: {verdict.sanity.ancestor}" in str(verdict.sanity)
    accused = decided(replace(BUNDLE, ancestor=BUNDLE.reference), COPIES[0])
    assert accused.outcome is VerdictOutcome.INCONCLUSIVE
    assert any("the ancestor that the target was tuned from would be a match" in each for each in accused.reasons)


def test_a_verdict_with_a_family_is_read_back():
    """With the ancestor's control; and one without them as it ever was."""
    verdict = decided(BUNDLE, NEAR[0])
    told = verdict.to_json()
    assert told["p_value_family"] == verdict.p_value_family
    assert told["sanity"]["ancestor"] == verdict.sanity.ancestor
    assert Verdict.from_json(told) == verdict
    plain = decided(make_siblings_bundle(queries=12, task=TASK), NEAR[0])
    assert "ancestor" not in plain.to_json()["sanity"]
    assert Verdict.from_json(plain.to_json()) == plain
    assert SanityControls(9, 0, 0.05, 3, "no_match", "match").ancestor is None


def test_a_bundle_carries_the_ancestor_and_who_starts_from_it(tmp_path):
    """Through the disk and back, in the hash; answers of another shape are refused."""
    BUNDLE.save(tmp_path / "bundle")
    loaded = FingerprintBundle.load(tmp_path / "bundle")
    assert (loaded.sha256, loaded.calibration.models) == (BUNDLE.sha256, BUNDLE.calibration.models)
    assert np.array_equal(loaded.ancestor, BUNDLE.ancestor)
    assert sum(card.of_ancestor for card in loaded.calibration.models) == 24
    assert replace(BUNDLE, ancestor=None).sha256 != BUNDLE.sha256
    with pytest.raises(BundleError, match=r"ancestor\.features has shape"):
        replace(BUNDLE, ancestor=BUNDLE.reference[:-1])


def test_the_promise_names_the_ancestor():
    """With siblings and without."""
    for bundle in (BUNDLE, ALONE):
        assert guarantee_of(bundle).endswith(f"the target was tuned from the weights {ANCESTOR}, says the owner")
