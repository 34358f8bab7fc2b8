"""Merkle trees as in RFC 6962, section 2.1: a day's rows in one hash, and proofs that a row is among them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

EMPTY = hashlib.sha256(b"").digest()
"""The root of no rows at all."""


def leaf_hash(row: bytes) -> bytes:
    """Return the hash of one row, 32 bytes; what it covers can never pass for two other hashes."""
    return hashlib.sha256(b"\x00" + row).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: Iterable[bytes]) -> tuple[bytes, int]:
    """Return the root over leaves' hashes and how many there are, in memory that grows with their logarithm.

    >>> root_of([leaf_hash(b"a"), leaf_hash(b"b")])[0] == node_hash(leaf_hash(b"a"), leaf_hash(b"b"))
    True
    """
    subtrees: list[bytes] = []
    count = 0
    for leaf in leaves:
        subtrees.append(leaf)
        count += 1
        # As many full subtrees of the same size meet here as the count ends in binary noughts.
        for _ in range((count & -count).bit_length() - 1):
            right = subtrees.pop()
            subtrees.append(node_hash(subtrees.pop(), right))
    if not subtrees:
        return EMPTY, 0
    root = subtrees.pop()
    while subtrees:
        root = node_hash(subtrees.pop(), root)
    return root, count


def proof_of(leaves: Sequence[bytes], place: int) -> list[bytes]:
    """Return the hashes that lead from the leaf at ``place`` to the root, from the leaf up (RFC 6962, 2.1.1)."""
    if len(leaves) == 1:
        return []
    half = _half(len(leaves))
    if place < half:
        return [*proof_of(leaves[:half], place), root_of(leaves[half:])[0]]
    return [*proof_of(leaves[half:], place - half), root_of(leaves[:half])[0]]


def root_by(leaf: bytes, place: int, count: int, proof: Sequence[bytes]) -> bytes | None:
    """Return the root that a proof leads to from a leaf; None where the proof cannot be one of such a place.

    >>> leaves = [leaf_hash(bytes([n])) for n in range(5)]
    >>> root_by(leaves[3], 3, 5, proof_of(leaves, 3)) == root_of(leaves)[0]
    True
    """
    if not 0 <= place < count or (count > 1) != bool(proof):
        return None
    if count == 1:
        return leaf
    half, last = _half(count), proof[-1]
    if place < half:
        left = root_by(leaf, place, half, proof[:-1])
        return None if left is None else node_hash(left, last)
    right = root_by(leaf, place - half, count - half, proof[:-1])
    return None if right is None else node_hash(last, right)


def _half(count: int) -> int:
    """Return the largest power of two below ``count``, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1
