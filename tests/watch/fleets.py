"""Fleets that tests make up: plans, and sightings of endpoints that answer as they are told."""

from __future__ import annotations

import dataclasses
from datetime import UTC

import numpy as np

from metav_audit.task import OutputView, ScoreKind
from metav_audit.task.outputs import clipped_log_probabilities
from metav_audit.verdict import VerdictOutcome
from metav_audit.watch.due import Rhythm
from metav_audit.watch.enrolment import Plan
from metav_audit.watch.fleet import Budget
from metav_audit.watch.hours import QuietHours
from metav_audit.watch.patience import Patience
from metav_audit.watch.sighting import Sighting

DAY, WEEK = 86400.0, 7 * 86400.0
START = 1_767_225_600.0
"""2026-01-01, UTC."""
INPUTS, CLASSES = 48, 10
WEEKLY, FULL = Rhythm(WEEK), OutputView()
PATIENCE = Patience(lease=600.0, retry=3600.0, tries=3, lost_after=2, warn=0.8)


def plan(endpoint="a", host="host", bundle="digits", rhythm=WEEKLY, needed=50, ceiling=200, price=0, **budgets):
    """A plan; ``budgets`` are of_fleet, of_host and of_bundle."""
    scopes = {"of_fleet": "fleet", "of_host": f"host:{host}", "of_bundle": f"bundle:{bundle}"}
    held = {scope: budgets.get(name, Budget()) for name, scope in scopes.items()}
    return Plan(
        endpoint, bundle, "0" * 64, f"http://{host}/{endpoint}", host, rhythm, QuietHours((), UTC), needed, ceiling,
        price, held,
    )  # fmt: skip


def answers_of(model: int, peaked: float = 3.0) -> np.ndarray:
    """Probabilities of shape (inputs, classes) that a model gives; every number is another model."""
    logits = peaked * np.random.default_rng(model).normal(size=(INPUTS, CLASSES))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def sighting(model=0, view=FULL, seed=0, lost=0.0, outcome=VerdictOutcome.NO_MATCH, **more) -> Sighting:
    """What an audit shows of a model through a view; a share ``lost`` of the inputs stays unanswered."""
    rng = np.random.default_rng(seed)
    shares = answers_of(model) if isinstance(model, int) else model
    if view.noise:
        shares = np.maximum(shares + view.noise * rng.normal(size=shares.shape), 0.0)
        shares /= shares.sum(axis=1, keepdims=True)
    if view.decimals is not None:
        shares = np.round(shares, view.decimals)
    if view.label_only:
        shares = np.where(np.arange(CLASSES) == shares.argmax(axis=1)[:, None], 1.0, np.nan)
    elif view.top is not None:
        ranks = np.argsort(np.argsort(-shares, axis=1), axis=1)
        shares = np.where(ranks < view.top, shares, np.nan)
    answers = clipped_log_probabilities(shares, ScoreKind.PROBABILITY).astype(np.float32)
    answers[rng.random(INPUTS) < lost] = np.nan
    answered = int((~np.isnan(answers[:32]).all(axis=1)).sum())
    made = Sighting(
        bundle_sha256="0" * 64, outcome=outcome, score=0.3, score_noise=0.0, p_value=0.5, p_value_derived=0.02,
        p_value_siblings=None, log10_lr=-1.0, queries=32, answered=answered, requests=50, latency=0.02, steady=True,
        why=None, view=view, view_words="all classes", labelled=True, tolerance=0.05, identities={}, answers=answers,
    )  # fmt: skip
    return dataclasses.replace(made, **more)
