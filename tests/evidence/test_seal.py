"""Seals: the end of an audit fixed, and any later change found."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from metav_audit.evidence import Attestation, Sealed, check_commitment, check_seal, make_commitment, make_seal
from tests.evidence.conftest import signing_key

CLAIMED = datetime(2026, 3, 4, 10, 7, tzinfo=UTC)
OPERATOR = {"name": "A. Uditor, Audit Ltd"}
SEALED = Sealed("1" * 64, "2" * 64, "match", OPERATOR, {"verdict.json": "3" * 64})


@pytest.fixture(scope="module")
def seal(key, authority):
    return make_seal(SEALED, key, claimed_at=CLAIMED, stamper=authority.stamp)


def test_a_seal_holds_offline(seal, key, authority):
    """Signature, contents and time stamp hold; who operated is told."""
    read = Attestation.from_bytes(seal.to_bytes())
    findings = check_seal(read, SEALED, signer=key.public.key_id, roots=authority.roots)
    assert findings.passed, findings.problem
    assert "A. Uditor, Audit Ltd" in findings.findings[1].detail
    assert findings.claimed_at == CLAIMED
    assert findings.stamped.authority == "CN=Time,O=Test"


@pytest.mark.parametrize("part", [field.name for field in dataclasses.fields(Sealed)])
@pytest.mark.parametrize("value", ["5" * 64, None, {}])
def test_whatever_changed_after_the_seal_is_found(seal, part, value):
    """Transcript, bundle, outcome, operator or a file, changed or gone."""
    findings = check_seal(seal, dataclasses.replace(SEALED, **{part: value}))
    assert not findings.passed
    assert "changed after it was sealed" in findings.problem
    assert part in findings.problem


def test_a_seal_of_another_signer_is_refused(seal):
    """Where the reader knows who should have sealed."""
    findings = check_seal(seal, SEALED, signer=signing_key(2).public.key_id)
    assert "was expected" in findings.problem


def test_a_seal_is_no_commitment_and_a_commitment_no_seal(seal, bundle, key):
    """Each kind of statement stands for itself."""
    assert "of the kind" in check_commitment(seal, bundle).problem
    commitment = make_commitment(bundle, key, claimed_at=CLAIMED)
    assert "of the kind" in check_seal(commitment, SEALED).problem
