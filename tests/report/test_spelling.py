"""What a targeted fingerprint adds to a report."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metav_audit.bundle import OwnerMark, nonce_of
from metav_audit.report import load_report, write_reports
from metav_audit.report.spelling import chance_of, fair_bits
from metav_audit.verdict import AuditFolder
from tests.builders import MARK, linear_model, make_targeted_bundle, make_task
from tests.folders import make_folder
from tests.report.test_renderers import pdf_text


def report_of(path, model=None, **more):
    """An audit of the target itself, or of ``model``, with a targeted fingerprint."""
    folder = make_folder(path, model or linear_model(make_task(), 0), bundle=make_targeted_bundle(), **more)
    return folder, load_report(AuditFolder(folder))


@pytest.mark.parametrize(("wrong", "bits"), [(13, 64), (36, 128), (89, 256)])
def test_the_published_bounds(wrong, bits):
    """At one in a million FIT-Print allows 13 wrong bits of 64, 36 of 128, 89 of 256, and not one more."""
    assert chance_of(wrong, bits) <= 1e-6 < chance_of(wrong + 1, bits)


@given(st.integers(0, 60), st.integers(1, 60))
def test_the_chance_is_the_binomial_s_tail(wrong, bits):
    """It is the sum of the binomial coefficients over 2 to the number of bits; all wrong or fewer is certain."""
    wrong = min(wrong, bits)
    by_hand = math.fsum(math.comb(bits, k) / 2**bits for k in range(wrong + 1))
    assert chance_of(wrong, bits) == pytest.approx(by_hand, rel=1e-12)
    assert chance_of(bits, bits) == 1.0


def test_the_chance_of_many_bits_is_small_and_no_overflow():
    """Forty thousand bits have tails below any float, and sums above."""
    assert chance_of(0, 40_000) == 0.0
    assert chance_of(20_000, 40_000) == pytest.approx(0.5, abs=0.01)


def test_fair_bits_are_found_by_how_shares_scatter():
    """Shares of 50 fair bits scatter as about 50 do; in fives that always agree, as ten; alike ones tell nothing."""
    coins = np.random.default_rng(0).integers(0, 2, (4000, 50))
    assert fair_bits(coins.mean(axis=1).tolist(), 64) == pytest.approx(50, abs=4)
    assert fair_bits(np.repeat(coins[:, :10], 5, axis=1).mean(axis=1).tolist(), 50) == pytest.approx(10, abs=2)
    assert fair_bits(coins.mean(axis=1).tolist(), 20) == 20
    assert fair_bits([0.5], 64) is None
    assert fair_bits([0.25, 0.25], 64) is None


def test_the_target_spells_every_bit(tmp_path):
    """No bit of 64 is wrong, by chance one in 2 to the 64; the calibration's shares stand beside."""
    _, report = report_of(tmp_path)
    spelling = report.spelling
    assert (spelling.identity, spelling.nonce) == (MARK.identity, MARK.nonce)
    assert (spelling.bits, spelling.wrong, spelling.chance) == (64, 0, 2.0**-64)
    assert spelling.independent.lowest <= spelling.independent.mean <= spelling.independent.highest
    assert spelling.independent.lowest == pytest.approx(1 - report.sides[0].scores[-1])
    assert spelling.derived.highest == pytest.approx(1 - report.sides[1].scores[0])
    assert spelling.derived.highest < 0.2 < spelling.independent.lowest
    assert spelling.chance_of_worth == pytest.approx(2.0**-spelling.worth)


@pytest.mark.parametrize("seed", [3, "3", -1, None])
def test_a_nonce_of_the_owner_s_own_is_called_so(tmp_path, seed):
    """Where the nonce is the seed's, the report says so; otherwise it says that it cannot know who chose it."""
    bundle = make_targeted_bundle(OwnerMark("Toy", nonce_of(3)))
    bundle = dataclasses.replace(bundle, provenance={**bundle.provenance, "seed": seed})
    report = load_report(AuditFolder(make_folder(tmp_path, linear_model(make_task(), 0), bundle=bundle)))
    assert report.spelling.own_nonce is (seed == 3)
    assert any("follows from the owner's own seed" in words for words in report.wording.weight) is (seed == 3)
    assert any("Who chose the nonce does not show" in words for words in report.wording.weight) is (seed != 3)


def test_only_answered_queries_count(tmp_path):
    """Twelve queries without an answer take their 24 bits with them."""
    _, report = report_of(tmp_path, unanswered=range(12))
    assert (report.spelling.bits, report.spelling.wrong) == (40, 0)


def test_an_independent_model_spells_about_half(tmp_path):
    """Its wrong bits are counted, and the chance of so few is large."""
    _, report = report_of(tmp_path, linear_model(make_task(), 77, distance=3.0))
    assert 16 < report.spelling.wrong < 48
    assert report.spelling.chance > 1e-4
    assert round((1 - report.verdict.score) * 64) == report.spelling.wrong


def test_without_a_score_no_bit_is_counted(tmp_path):
    """Where too little was answered, the report has the identity among its settings, and no count."""
    _, report = report_of(tmp_path, unanswered=range(20))
    assert report.spelling is None
    assert (report.settings["identity"], report.settings["nonce"]) == (MARK.identity, MARK.nonce)


def test_bits_stand_in_json_and_pdf(tmp_path):
    """Counts and both chances can be read in every report, with the identity and the nonce."""
    folder, report = report_of(tmp_path)
    write_reports(folder)
    assert json.loads((folder / "report.json").read_bytes())["spelling"]["wrong"] == 0
    text = pdf_text(folder / "report.pdf")
    for words in (
        "0 of the 64 target bits of Toy & Sons Ltd are spelled wrong.",
        "would be with probability 5.4e-20.",
        "Target bits wrong",
        MARK.nonce,
        *report.wording.weight,
    ):
        assert words in text
