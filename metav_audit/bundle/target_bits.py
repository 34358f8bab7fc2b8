r"""Target bits: the owner's identity and a nonce, hashed, say what a fingerprint's answers have to spell (FIT-Print).

Nothing here depends on a model or on data, so whoever holds identity and nonce computes the bits again. Block i of a
stream is the SHA-256 of

    b"metav-audit target bits 1\n" + purpose + b"\n" + nonce + (i as 8 bytes, the highest first) + identity in UTF-8

with purpose ``bits`` or ``splits``, and i from 0.

- Target bits are the bits of the first stream, the highest bit of a byte first, 1 as +1 and 0 as -1, query by query.
- A split of C classes takes the next C words of 8 bytes, the highest byte first, of the second stream: the C // 2
  classes with the smallest words make the plus side, the others the minus side. A split that divides the classes as an
  earlier one of its query does is dropped, since two bits could then contradict each other.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from metav_audit.bundle.folder import FingerprintBundle
from metav_audit.bundle.verifier import VerifierKind
from metav_audit.errors import BundleError, ConfigurationError
from metav_audit.task import FloatArray

FITPRINT = "fitprint"
"""The method's name."""
TAG = b"metav-audit target bits 1\n"
MAX_IDENTITY = 1000
"""Characters of an identity at most."""


@dataclass(frozen=True, slots=True)
class OwnerMark:
    """What the target bits follow from.

    Attributes:
        identity: who claims the model, in words, such as a company's registered name: one line in Unicode's form NFC.
        nonce: 32 bytes as 64 hexadecimal digits in lower case.
    """

    identity: str
    nonce: str

    def __post_init__(self) -> None:
        text = self.identity
        if not 0 < len(text) <= MAX_IDENTITY or text != text.strip() or not text.isprintable():
            raise ConfigurationError(
                f"the owner's identity is one line of printable text, 1 to {MAX_IDENTITY} characters, without blanks "
                "at its ends"
            )
        if unicodedata.normalize("NFC", text) != text:
            raise ConfigurationError("the owner's identity is not in Unicode's form NFC: normalise it")
        if not re.fullmatch("[0-9a-f]{64}", self.nonce):
            raise ConfigurationError("a nonce is 32 bytes, written as 64 hexadecimal digits in lower case")


@dataclass(frozen=True, slots=True)
class TargetBits:
    """What each query has to spell.

    Attributes:
        bits: the target bits, +1 or -1, float32 of shape (N, K).
        splits: the split of the classes that spells each, +1 or -1, float32 of shape (N, K, C).
    """

    bits: FloatArray
    splits: FloatArray


def nonce_of(seed: int) -> str:
    """Return the nonce that follows from a project's seed."""
    return hashlib.sha256(b"metav-audit nonce 1\n" + seed.to_bytes(8)).hexdigest()


def target_bits(mark: OwnerMark, queries: int, per_query: int, classes: int) -> TargetBits:
    """Derive the bits and splits of N queries, K bits a query, C classes, as the module's docstring says.

    Raises:
        ConfigurationError: a query cannot spell that many bits; C - 1 are the most.
    """
    if not 1 <= per_query < classes:
        raise ConfigurationError(f"with {classes} classes a query spells 1 to {classes - 1} bits, not {per_query}")
    number = queries * per_query
    source = b"".join(islice(_blocks(mark, b"bits"), -(-number // 256)))
    bits = np.unpackbits(np.frombuffer(source, np.uint8))[:number].reshape(queries, per_query)
    stream = _splits(mark, classes)
    splits = [_distinct(stream, per_query) for _ in range(queries)]
    return TargetBits(2 * bits.astype(np.float32) - 1, np.stack(splits))


def is_targeted(bundle: FingerprintBundle) -> bool:
    """Say whether a bundle claims to spell target bits, by its method or by its verifier."""
    return bundle.method == FITPRINT or bundle.verifier.kind is VerifierKind.BITS


def mark_of(bundle: FingerprintBundle) -> OwnerMark:
    """Return the identity and nonce that a bundle's manifest names.

    Raises:
        BundleError: it names none, or none that can be.
    """
    named = [bundle.provenance.get(name) for name in ("identity", "nonce")]
    if not all(isinstance(value, str) for value in named):
        raise BundleError("the bundle's provenance names no identity or no nonce: fit it again with both")
    try:
        return OwnerMark(*map(str, named))
    except ConfigurationError as error:
        raise BundleError(f"the bundle's provenance: {error}") from error


def check_target_bits(bundle: FingerprintBundle) -> OwnerMark:
    """Derive a bundle's bits and splits again from its identity and nonce, and return these.

    Raises:
        BundleError: the bundle's verifier reads other bits or splits, or no bits at all.
    """
    mark = mark_of(bundle)
    held = bundle.verifier.tensors
    if bundle.method != FITPRINT or bundle.verifier.kind is not VerifierKind.BITS:
        raise BundleError(f"the bundle's method is {bundle.method!r}, but its verifier is {bundle.verifier.kind.value}")
    queries, classes = bundle.reference.shape
    try:
        derived = target_bits(mark, queries, held["bits"].shape[1], classes)
    except (KeyError, IndexError, ConfigurationError) as error:
        raise BundleError(f"the verifier's bits have an impossible form: {error}") from error
    for name, expected in (("bits", derived.bits), ("splits", derived.splits)):
        if not np.array_equal(held[name], expected):
            raise BundleError(f"the verifier's {name} are not those of the identity {mark.identity!r} and its nonce")
    return mark


def _blocks(mark: OwnerMark, purpose: bytes) -> Iterator[bytes]:
    start, end = TAG + purpose + b"\n" + bytes.fromhex(mark.nonce), mark.identity.encode()
    return (hashlib.sha256(start + number.to_bytes(8) + end).digest() for number in count())


def _splits(mark: OwnerMark, classes: int) -> Iterator[FloatArray]:
    blocks, held = _blocks(mark, b"splits"), b""
    while True:
        while len(held) < 8 * classes:
            held += next(blocks)
        words, held = np.frombuffer(held[: 8 * classes], ">u8"), held[8 * classes :]
        split = np.full(classes, -1, np.float32)
        split[words.argsort(kind="stable")[: classes // 2]] = 1
        yield split


def _distinct(stream: Iterator[FloatArray], number: int) -> FloatArray:
    """Take the next splits, without those that divide the classes as an earlier one does."""
    chosen = [next(stream)]
    while len(chosen) < number:
        split = next(stream)
        if all(abs(split @ other) < len(split) for other in chosen):
            chosen.append(split)
    return np.stack(chosen)
