"""A dither's commitment: to this key and these sizes, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from metav_audit.evidence import AttestedStatus, check_dither, commit_dither, dither_attested
from metav_audit.task import Dither
from tests.bundle.test_coins import DITHER, PLAN

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def commitment(key):
    return commit_dither(DITHER, key, claimed_at=NOW)


def test_it_shows_the_key_s_hash_and_nothing_of_the_key(commitment):
    """Whoever has the key can check it, nobody can read it there."""
    assert check_dither(commitment, DITHER).passed
    content = commitment.to_bytes() + commitment.envelope.payload
    assert DITHER.key_sha256.encode() in content
    assert DITHER.key.hex().encode() not in content


@pytest.mark.parametrize(
    "other", [Dither(bytes(32), 2.0, 1.0), replace(DITHER, epsilon=3.0), replace(DITHER, undecided=0)]
)
def test_another_key_or_size_does_not_fit(commitment, other):
    """The statement fails, the signature holds."""
    signature, statement = check_dither(commitment, other).findings
    assert signature.passed
    assert not statement.passed


def test_what_it_is_worth_for_a_plan(commitment, key):
    """None, signed alone, and one that is another's."""
    assert dither_attested(replace(PLAN, commitment=None)).status is AttestedStatus.NONE
    assert dither_attested(replace(PLAN, commitment=commitment.to_bytes())).status is AttestedStatus.SIGNED
    assert not dither_attested(PLAN).holds
    others = commit_dither(Dither(bytes(32), 2.0, 1.0), key, claimed_at=NOW)
    assert not dither_attested(replace(PLAN, commitment=others.to_bytes())).holds
