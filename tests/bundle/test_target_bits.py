"""Target bits: what identity and nonce fix, and nothing else does."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.bundle import (
    MetaVerifier,
    OwnerMark,
    VerifierKind,
    check_target_bits,
    is_targeted,
    nonce_of,
    target_bits,
)
from metav_audit.errors import BundleError, ConfigurationError
from tests.builders import MARK, make_bundle, make_targeted_bundle

NONCES = st.binary(min_size=32, max_size=32).map(bytes.hex)
NAMES = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=40)
MARKS = st.builds(OwnerMark, NAMES, NONCES)
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 6), st.integers(7, 30))


def test_the_bits_are_the_documented_hash():
    """The first 256 bits are SHA-256 of tag, purpose, nonce, block number and identity, computed here by hand."""
    told = b"metav-audit target bits 1\nbits\n" + bytes.fromhex(MARK.nonce) + bytes(8) + b"Toy & Sons Ltd"
    digits = "".join(f"{byte:08b}" for byte in hashlib.sha256(told).digest())
    bits = target_bits(MARK, 128, 2, 4).bits.ravel()
    assert "".join("1" if bit > 0 else "0" for bit in bits) == digits


def test_the_splits_are_the_documented_hash():
    """The first query's splits: the two classes of the smallest words of 8 bytes, hash blocks in order."""
    start = b"metav-audit target bits 1\nsplits\n" + bytes.fromhex(MARK.nonce)
    stream = b"".join(hashlib.sha256(start + i.to_bytes(8, "big") + MARK.identity.encode()).digest() for i in range(9))
    words = [stream[8 * i : 8 * i + 8] for i in range(36)]
    drawn = []
    for first in range(0, 36, 4):
        smallest = sorted(range(4), key=lambda index: words[first + index])[:2]
        division = {frozenset(smallest), frozenset(range(4)) - frozenset(smallest)}
        if division not in [before for before, _ in drawn]:
            drawn.append((division, [1.0 if index in smallest else -1.0 for index in range(4)]))
    assert target_bits(MARK, 1, 3, 4).splits[0].tolist() == [split for _, split in drawn[:3]]


def test_bits_and_splits_are_what_they_were():
    """Vectors frozen when the derivation was written: bundles in the world rest on them."""
    found = target_bits(MARK, 16, 4, 10)
    packed = np.packbits(found.bits.ravel() > 0).tobytes().hex()
    splits = hashlib.sha256(np.packbits(found.splits.ravel() > 0).tobytes()).hexdigest()
    assert (packed, splits) == FROZEN
    assert nonce_of(7) == "48b2e9f66b49d85f27450038353791c0d7140969158cb44fd66bb2959b8959b4"


FROZEN = ("a52f30a1db2553bb", "0974a12f8997c3694769fd63936ea7b8fa7845aafaa86ab92f366a288524d9f2")


@settings(max_examples=60)
@given(MARKS, SIZES)
def test_splits_are_balanced_and_no_two_of_a_query_divide_alike(mark, sizes):
    """Of C classes C // 2 are on the plus side; one query's splits are neither equal nor complements."""
    queries, per_query, classes = sizes
    found = target_bits(mark, queries, per_query, classes)
    assert found.bits.shape == (queries, per_query)
    assert found.splits.shape == (queries, per_query, classes)
    assert found.bits.dtype == found.splits.dtype == np.float32
    assert set(np.unique(found.bits)) <= {-1.0, 1.0}
    assert set(np.unique(found.splits)) == {-1.0, 1.0}
    assert ((found.splits > 0).sum(axis=2) == classes // 2).all()
    likeness = np.abs(np.einsum("nkc,njc->nkj", found.splits, found.splits))
    assert (likeness == classes).sum() == queries * per_query


@given(MARKS, st.integers(2, 6))
def test_few_classes_have_splits_enough(mark, classes):
    """C classes spell up to C - 1 bits a query; one more, or none, is refused."""
    assert target_bits(mark, 2, classes - 1, classes).splits.shape == (2, classes - 1, classes)
    for impossible in (0, classes):
        with pytest.raises(ConfigurationError, match=f"with {classes} classes a query spells 1 to {classes - 1} bits"):
            target_bits(mark, 2, impossible, classes)


@given(MARKS, MARKS)
def test_another_mark_has_other_bits_and_splits(mark, other):
    """Another nonce or another identity changes about half of the bits, and the splits."""
    for changed in (dataclasses.replace(mark, nonce=other.nonce), dataclasses.replace(mark, identity=other.identity)):
        one, two = target_bits(mark, 128, 2, 10), target_bits(changed, 128, 2, 10)
        if changed == mark:
            assert np.array_equal(one.bits, two.bits)
            assert np.array_equal(one.splits, two.splits)
        else:
            assert 0.25 < (one.bits != two.bits).mean() < 0.75
            assert not np.array_equal(one.splits, two.splits)


def test_a_longer_fingerprint_begins_like_a_shorter_one():
    """Bits and splits come query by query, so that more queries add to them."""
    short, long = target_bits(MARK, 5, 3, 10), target_bits(MARK, 50, 3, 10)
    assert np.array_equal(long.bits[:5], short.bits)
    assert np.array_equal(long.splits[:5], short.splits)


@pytest.mark.parametrize("identity", ["", " x", "x ", "a\nb", "a\u202eb", "e\u0301", "x" * 1001, "\ud800"])
def test_an_identity_that_two_could_read_differently_is_refused(identity):
    """Blanks at the ends, lines, invisible marks, unnormalised or endless text are no identity."""
    with pytest.raises(ConfigurationError, match="the owner's identity is"):
        OwnerMark(identity, "0" * 64)


@pytest.mark.parametrize("nonce", ["", "0" * 63, "0" * 65, "A" * 64, "0x" + "0" * 62, "0" * 64 + "\n"])
def test_a_nonce_is_64_digits(nonce):
    """Any other text is refused."""
    with pytest.raises(ConfigurationError, match="a nonce is 32 bytes"):
        OwnerMark("Toy", nonce)


def test_a_bundle_s_bits_are_derived_again():
    """The mark in the manifest is found again; a bundle of another method claims no bits."""
    assert check_target_bits(make_targeted_bundle()) == MARK
    assert not is_targeted(make_bundle())


def flipped(name):
    def change(bundle):
        tensors = {key: value.copy() for key, value in bundle.verifier.tensors.items()}
        tensors[name].flat[5] *= -1
        return dataclasses.replace(bundle, verifier=MetaVerifier(VerifierKind.BITS, tensors))

    return change


def provenance(**fields):
    return lambda bundle: dataclasses.replace(bundle, provenance={**bundle.provenance, **fields})


def first_bits(bundle):
    tensors = {name: value[:, :0] for name, value in bundle.verifier.tensors.items()}
    return dataclasses.replace(bundle, verifier=MetaVerifier(VerifierKind.BITS, tensors))


FORGERIES = {
    "a bit": (flipped("bits"), "the verifier's bits are not those of the identity 'Toy & Sons Ltd'"),
    "a split": (flipped("splits"), "the verifier's splits are not those of"),
    "the identity": (provenance(identity="Rival Inc"), "are not those of the identity 'Rival Inc'"),
    "the nonce": (provenance(nonce="0" * 64), "the verifier's bits are not those of"),
    "no nonce": (provenance(nonce=None), "names no identity or no nonce"),
    "a short nonce": (provenance(nonce="00"), "a nonce is 32 bytes"),
    "no bits": (first_bits, "impossible form"),
    "the method": (lambda bundle: dataclasses.replace(bundle, method="metav"), "method is 'metav', but its verifier"),
    "the verifier": (
        lambda bundle: dataclasses.replace(bundle, verifier=make_bundle(inputs=bundle.inputs).verifier),
        "method is 'fitprint', but its verifier is joint",
    ),
}
"""What a forger changes, sealing the bundle anew, and what is said."""


@pytest.mark.parametrize("forgery", FORGERIES)
def test_whatever_is_altered_is_named(forgery):
    """A bundle with another bit, split, identity, nonce, method or verifier is refused by name."""
    alter, said = FORGERIES[forgery]
    forged = alter(make_targeted_bundle())
    assert is_targeted(forged)
    with pytest.raises(BundleError, match=said):
        check_target_bits(forged)
