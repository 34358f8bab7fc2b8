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


def proofs_of(leaves: Sequence[bytes], places: Sequence[int]) -> list[list[bytes]]:
    """Return for each place the hashes that lead from its leaf to the root, from the leaf up (RFC 6962, 2.1.1)."""
    proofs: list[list[bytes]] = [[] for _ in places]
    level, at = list(leaves), list(places)
    while len(level) > 1:
        for number, place in enumerate(at):
            # A last one without a neighbour goes up as it is.
            proofs[number] += level[place ^ 1 : (place ^ 1) + 1]
        at = [place // 2 for place in at]
        pairs = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(level) & ~1 :]
    return proofs


def root_by(leaf: bytes, place: int, count: int, proof: Sequence[bytes]) -> bytes | None:
    """Return the root that a proof leads to from a leaf; None where the proof cannot be one of such a place.

    >>> leaves = [leaf_hash(bytes([n])) for n in range(5)]
    >>> root_by(leaves[3], 3, 5, proofs_of(leaves, [3])[0]) == root_of(leaves)[0]
    True
    """
    if not 0 <= place < count:
        return None
    root, rest = leaf, list(proof)
    while count > 1:
        if place ^ 1 < count:
            if not rest:
                return None
            other = rest.pop(0)
            root = node_hash(other, root) if place % 2 else node_hash(root, other)
        place, count = place // 2, (count + 1) // 2
    return None if rest else root
