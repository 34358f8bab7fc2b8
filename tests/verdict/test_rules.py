"""The rules: every one of them decides something, and a commitment states whatever decides."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
from pathlib import Path

import numpy as np
import pytest

import metav_audit
from metav_audit.errors import MetavAuditError
from metav_audit.statistics import RatioRules
from metav_audit.task import ViewRules
from metav_audit.task.texts import TEXT_LIMITS
from metav_audit.verdict import RULES, Asked, Controls, Rules, conclude
from tests.builders import linear_model, make_bundle, make_siblings_bundle, make_task, softmax, with_natural
from tests.verdict.test_blind import BUNDLE as CONTROLLED
from tests.verdict.test_blind import control, controls, independents
from tests.verdict.test_decide import BUNDLE, TASK, bent, transcript
from tests.verdict.test_soundness import invented, shuffled

TARGET = linear_model(TASK, 0)
LOOKED = make_siblings_bundle(queries=24, task=TASK)
RANKED = make_siblings_bundle(queries=12, task=TASK)
ASKED = with_natural(make_bundle(queries=24, task=make_task(classes=6), spread=0.2))
CLOSE = make_bundle(queries=24, task=make_task(classes=6), spread=0.2)


def partly(rules):
    """The target on a third of the queries."""
    return conclude(BUNDLE, transcript(TARGET, unanswered=range(4)), None, rules)


def bent_a_little(rules):
    """A bundle whose table does not quite follow from its calibration."""
    bundle = bent(BUNDLE, 0.015)
    return conclude(bundle, transcript(TARGET, bundle), None, rules)


def but_one(rules):
    """The target on all queries but one, so that ratios are fitted anew."""
    return conclude(BUNDLE, transcript(TARGET, unanswered=(1,)), None, rules)


def stranger(rules):
    """A model far from target and siblings alike."""
    return conclude(RANKED, transcript(linear_model(TASK, 9, distance=3.0), RANKED), None, rules)


def at_a_look(rules):
    """The target at an early look, where it leads its siblings by far."""
    looks = {"looks": (8, 24)}
    whole = transcript(TARGET, LOOKED, **looks)
    end = Asked.of(LOOKED, whole).schedule.ends[0]
    early = tuple(dataclasses.replace(each, answer=None, rank=None) for each in whole.exchanges[end:])
    return conclude(LOOKED, dataclasses.replace(whole, exchanges=(*whole.exchanges[:end], *early)), None, rules)


def nearly_rounded(rules):
    """The target, rounded to three decimals but for a millionth."""
    return conclude(BUNDLE, transcript(lambda inputs: np.round(TARGET(inputs), 3) + 1e-6), None, rules)


def rounded(rules):
    """The target, rounded to four decimals."""
    return conclude(BUNDLE, transcript(lambda inputs: np.round(TARGET(inputs), 4)), None, rules)


def cut_off(rules):
    """The target, whose probabilities are cut off after two decimals."""
    return conclude(BUNDLE, transcript(lambda inputs: np.floor(TARGET(inputs) * 100) / 100), None, rules)


def noisy(rules):
    """The target with noise on its probabilities, which add up to 1 no more."""
    rng = np.random.default_rng(0)

    def shaken(answer):
        shares = np.maximum(np.array(answer.scores) + rng.normal(0, 0.004, len(answer.scores)), 0)
        return dataclasses.replace(answer, scores=tuple(shares.tolist()))

    return conclude(BUNDLE, transcript(TARGET, shaken=shaken), None, rules)


def balanced(rules):
    """The target behind two servers that name their software differently."""
    names = ({"server": "one"}, {"server": "other"})
    return conclude(BUNDLE, transcript(TARGET, identities=names), None, rules)


def strange(rules):
    """Random answers."""
    rng = np.random.default_rng(0)
    dice = transcript(lambda inputs: softmax(4 * rng.normal(size=(len(inputs), 6))), CLOSE)
    return conclude(CLOSE, dice, None, rules)


def misread(rules):
    """The target, which is shown everything bright for dark."""
    target = linear_model(ASKED.task, 0)
    return conclude(ASKED, transcript(lambda inputs: target(1 - inputs), ASKED), None, rules)


def keyed(size, rng=0):
    """The target, with noise on its probabilities that hangs on the input."""
    shaking = np.random.default_rng(rng)

    def model(inputs):
        shares = linear_model(ASKED.task, 0)(inputs)
        shares = np.maximum(shares + shaking.normal(0, size, shares.shape), 1e-9)
        return shares / shares.sum(axis=1, keepdims=True)

    return model


def keyed_a_little(rules):
    """Noise that hangs on the input, ten times as much as a near-duplicate may make."""
    return conclude(ASKED, transcript(keyed(0.02), ASKED), None, rules)


def keyed_and_shaken(rules):
    """Noise that hangs on the input, and a little that does not."""
    rng = np.random.default_rng(1)

    def shaken(answer):
        return dataclasses.replace(
            answer, scores=tuple(np.maximum(np.array(answer.scores) + rng.normal(0, 0.004, 6), 0))
        )

    return conclude(ASKED, transcript(keyed(0.008), ASKED, shaken=shaken), None, rules)


def few_controls(rules):
    """The target beside five blind controls."""
    return conclude(CONTROLLED, transcript(TARGET, CONTROLLED), controls(independents(5)), rules)


def matching_controls(rules):
    """The target beside twenty blind controls that are copies of it, none quite like another."""
    models = (linear_model(TASK, 9000 + at, distance=0.02) for at in range(20))
    copies = tuple(control(f"copy {at}", model) for at, model in enumerate(models))
    return conclude(CONTROLLED, transcript(TARGET, CONTROLLED), Controls(CONTROLLED.sha256, copies), rules)


SOUND = make_bundle(queries=24, task=make_task(classes=6), spread=0.4)
NATURAL = with_natural(SOUND)
ODD = shuffled(make_bundle(queries=64, task=make_task(classes=6), spread=0.4), [41])
MADE_UP = invented(SOUND)


def sound(rules):
    """The target, by an honest bundle."""
    return conclude(SOUND, transcript(linear_model(SOUND.task, 0), SOUND), None, rules)


def one_shuffled(rules):
    """The target, by a bundle of which one independent's answers were shuffled."""
    return conclude(ODD, transcript(linear_model(ODD.task, 0), ODD), None, rules)


def made_up(rules):
    """The target, by a bundle whose calibration is made up."""
    return conclude(MADE_UP, transcript(linear_model(MADE_UP.task, 0), MADE_UP), None, rules)


def natural(rules):
    """The target, by a bundle of which some models do a little worse than their cards say."""
    return conclude(NATURAL, transcript(linear_model(NATURAL.task, 0), NATURAL), None, rules)


CHANGES = {
    "minimum_share_answered": (partly, Rules(minimum_share_answered=0.1)),
    "ratio_table_tolerance": (bent_a_little, Rules(ratio_table_tolerance=0.001)),
    "ratios.edge": (but_one, Rules(ratios=RatioRules(edge=0.05))),
    "ratios.step": (but_one, Rules(ratios=RatioRules(step=0.4))),
    "ratios.extreme": (but_one, Rules(ratios=RatioRules(extreme=0.1))),
    "unlike": (stranger, Rules(unlike=1.0)),
    "least_ratio": (but_one, Rules(least_ratio=1e3)),
    "views.most_decimals": (rounded, Rules(views=ViewRules(most_decimals=2))),
    "views.most_noise": (noisy, Rules(views=ViewRules(most_noise=0.001))),
    "views.least_rounds": (noisy, Rules(views=ViewRules(least_rounds=6))),
    "views.alike": (noisy, Rules(views=ViewRules(alike=100.0))),
    "views.most_alike": (noisy, Rules(views=ViewRules(most_alike=-1.0))),
    "views.largest_step": (noisy, Rules(views=ViewRules(largest_step=0.0))),
    "views.sum_tolerance": (noisy, Rules(views=ViewRules(sum_tolerance=1.0))),
    "views.cut_answers": (cut_off, Rules(views=ViewRules(cut_answers=10**6))),
    "views.exactness": (nearly_rounded, Rules(views=ViewRules(exactness=1e-5))),
    "machine_names": (balanced, Rules(machine_names=())),
    "strangeness": (strange, Rules(strangeness=1e6)),
    "least_right": (misread, Rules(least_right=1.0)),
    "misread": (misread, Rules(misread=2.0)),
    "misread_apart": (misread, Rules(misread_apart=2.0)),
    "pair_slack": (keyed_a_little, Rules(pair_slack=1e6)),
    "pair_share": (keyed_a_little, Rules(pair_share=1e6)),
    "pair_noise": (keyed_and_shaken, Rules(pair_noise=0.0)),
    "odd_pairs": (keyed_a_little, Rules(odd_pairs=1.0)),
    "least_following": (sound, Rules(least_following=2.0)),
    "sure_following": (one_shuffled, Rules(sure_following=99.0)),
    "least_usual": (one_shuffled, Rules(least_usual=-1.0)),
    "fewest_followed": (made_up, Rules(fewest_followed=25)),
    "least_reach": (sound, Rules(least_reach=2.0)),
    "card_deviations": (natural, Rules(card_deviations=-9.0)),
    "below_derived": (sound, Rules(below_derived=-9.0)),
    "sanity_shuffles": (but_one, Rules(sanity_shuffles=9)),
    "sanity_chance": (but_one, Rules(sanity_chance=1.0)),
    "minimum_blind_controls": (few_controls, Rules(minimum_blind_controls=5)),
    "same_control": (matching_controls, Rules(same_control=10.0)),
    "blind_chance": (matching_controls, Rules(blind_chance=0.0)),
    "look_lead": (at_a_look, Rules(look_lead=1e9)),
}


def leaves(fields, above=""):
    """The fields of nested dicts by dotted name."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def said(case, rules):
    """What is read and decided, or why it cannot be."""
    try:
        decision = case(rules)
    except MetavAuditError as error:
        return str(error)
    return decision.reading.view, decision.reading.faults, decision.verdict


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_threshold_changes_what_is_said(name):
    """On evidence that it bears on, another value than this version's reads or decides otherwise."""
    case, changed = CHANGES[name]
    usual = dict(leaves(dataclasses.asdict(RULES)))
    assert [leaf for leaf, value in leaves(dataclasses.asdict(changed)) if value != usual[leaf]] == [name]
    assert said(case, RULES) == said(case, Rules())
    assert said(case, changed) != said(case, RULES)


def test_every_threshold_is_shown_to_change_something():
    """No field is there for nothing."""
    assert set(CHANGES) == dict(leaves(dataclasses.asdict(RULES))).keys()


def test_the_statement_has_every_rule():
    """All fields by name, in JSON's types, and the limits of task and verifiers beside them."""
    stated = json.loads(json.dumps(RULES.stated(TASK.output)))
    own = json.loads(json.dumps(dataclasses.asdict(RULES)))
    assert {name: stated[name] for name in own} == own
    assert stated["repeat_tolerance"] == TASK.output.tolerance
    assert stated["constant_answers"] == TASK.output.constant


PRECISION = {"DIGITS", "_ENOUGH", "_TINY", "DRAWS", "_BATCH"}
"""How finely figures are computed and written."""
PRINTED = {"CONFIDENCE", "_MARGIN"}
"""What intervals and plots show."""
REFUSED = {
    *("_SUM_TOLERANCE", "_COARSE_TOLERANCE", "SCHEMA_VERSION", "PLAIN_VERSION", "MOST_NUMBERS", "MOST_MODELS"),
    *("KEY_BYTES", "_MOST_TOLD"),
}
"""What is no answer or no file of ours at all is an error, and no verdict; so is what is too large: MAX."""


def thresholds(package):
    """The numbers that stand at the top of a package's modules, with where they stand."""
    root = Path(metav_audit.__file__).parent
    for path in sorted((root / package).rglob("*.py")):
        place = path.relative_to(root.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            for name in (target.id for target in targets if isinstance(target, ast.Name)):
                value = getattr(importlib.import_module(place), name)
                if type(value) in (int, float) and "MAX_" not in name:
                    yield name, value, place


@pytest.mark.parametrize("package", ["verdict", "task", "bundle", "statistics"])
def test_no_number_decides_unseen(package):
    """Any number at the top of a module that a decision runs through is stated, in a commitment or a served plan."""
    stated = set(TEXT_LIMITS.values())
    for _, value in leaves(RULES.stated(TASK.output)):
        stated |= {value} if type(value) in (int, float) else set()
    unseen = [
        f"{place}.{name}"
        for name, value, place in thresholds(package)
        if name not in PRECISION | PRINTED | REFUSED and value not in stated
    ]
    assert unseen == []
