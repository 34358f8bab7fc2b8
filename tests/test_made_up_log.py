"""A dishonest owner makes up a request log after having asked the suspect: what it does, and what alone shows it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metav_audit.evidence import check_asked, log_sentence
from metav_audit.task import Features, OutputView, ScoreKind
from metav_audit.task.outputs import clipped_log_probabilities
from metav_audit.verdict import Rule, VerdictOutcome
from tests.builders import linear_model, make_task
from tests.logs import make_accounts_bundle, sealed_log

TASK = make_task()
LABELS = OutputView(label_only=True)
TARGET, INNOCENT = linear_model(TASK, 0), linear_model(TASK, 9, distance=3.0)
KNOWN = {"suspect_known_since": "2026-05-01"}


def labels(model, inputs: np.ndarray) -> np.ndarray:
    return np.asarray(model(inputs)).argmax(axis=1)


def judged(bundle, model):
    rule = Rule.through(bundle, LABELS)
    values = clipped_log_probabilities(np.asarray(model(bundle.inputs)), ScoreKind.PROBABILITY).astype(np.float32)
    return rule.conclude(rule.score(LABELS.apply(Features(values, np.ones(values.shape, bool)), TASK.output)))


@pytest.fixture(scope="module")
def pool():
    return TASK.domain.sample(6000, np.random.default_rng(0))


def test_a_log_made_up_of_a_suspect_s_own_answers_accuses_an_innocent(pool, tmp_path):
    """Every figure is true, every proof holds; only the age of the seal speaks, and the cover says so."""
    siblings = np.stack([labels(linear_model(TASK, 3000 + number, distance=0.5), pool) for number in range(39)])
    agree = labels(INNOCENT, pool) == labels(TARGET, pool)
    alone = (siblings == labels(TARGET, pool)).mean(axis=0)
    kept = pool[agree][np.argsort(alone[agree], kind="stable")[:120]]
    log = sealed_log(tmp_path / "log", TASK, TARGET, {"made up": kept})
    made_up = make_accounts_bundle(log, queries=120, lineages=50)
    judgement = judged(made_up, INNOCENT)
    assert judgement.p_value_siblings == 1 / 40
    assert "which no seal covers: nothing shows when it was there" in check_asked(made_up)
    assert "nothing shows that the log is older" in log_sentence(made_up, KNOWN)


def test_a_true_log_leaves_the_same_innocent_alone(pool, tmp_path):
    """Its inputs were not chosen by what the suspect answers."""
    log = sealed_log(tmp_path / "log", TASK, TARGET, {"user": pool[:120]})
    assert judged(make_accounts_bundle(log, queries=48, lineages=50), INNOCENT).outcome is not VerdictOutcome.MATCH
    assert json.loads((tmp_path / "log" / "log.json").read_text())["format"] == "metav-audit-log"
