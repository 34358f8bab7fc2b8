"""Dither: a keyed coin for each account and input moves the log-odds of the two likeliest classes.

What an API serves then carries a mark that no one can tell from the model's own doubt without the key, and that whoever
trains on its answers learns. All other classes stay as they are, and so does every label but those that were undecided.

The log-odds of the likeliest class over the second are its lead, in nats. Heads, 1, adds epsilon to it and tails, -1,
takes epsilon away; but where the lead is not below ``undecided``, the likeliest class stays just ahead.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metav_audit.errors import ConfigurationError
from metav_audit.task.outputs import ScoreKind

KEY_BYTES = 32
_SHARES = (ScoreKind.PROBABILITY, ScoreKind.PERCENT)
_TINY = 1e-300

LEAST_LEAD = 0.05
"""Nats by which a class stays ahead that a coin would else have overtaken: shares of .512 and .488."""


@dataclass(frozen=True, slots=True)
class Dither:
    """How answers are dithered.

    Attributes:
        key: 32 secret bytes, from which every coin follows.
        epsilon: by how many nats a coin moves the lead.
        undecided: nats of lead below which a label may change; 0 for no label ever.

    Raises:
        ConfigurationError: the key is shorter, epsilon no positive number, or ``undecided`` not from 0 to epsilon.
    """

    key: bytes = field(repr=False)
    epsilon: float = 2.0
    undecided: float = 0.5

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise ConfigurationError(f"a dither's key has {KEY_BYTES} bytes, not {len(self.key)}")
        if not (math.isfinite(self.epsilon) and 0 <= self.undecided <= self.epsilon and self.epsilon > 0):
            raise ConfigurationError(
                f"epsilon = {self.epsilon:g} and undecided = {self.undecided:g}: epsilon is a positive number of nats, "
                "undecided lies between 0 and epsilon"
            )

    @property
    def key_sha256(self) -> str:
        """The key's hash, in hexadecimal: what is committed to."""
        return hashlib.sha256(self.key).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Describe the dither in JSON types, the key among them; ``from_json`` reads it back."""
        return {"key": self.key.hex(), "epsilon": self.epsilon, "undecided": self.undecided}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            ConfigurationError: a field is missing, unknown or misstated; no message repeats any of it.
        """
        try:
            if fields.keys() != {"key", "epsilon", "undecided"}:
                raise ValueError
            return cls(bytes.fromhex(fields["key"]), float(fields["epsilon"]), float(fields["undecided"]))
        except (AttributeError, TypeError, ValueError):
            raise ConfigurationError("it has a key of 64 hexadecimal digits, epsilon and undecided, no more") from None

    def coins(self, account: str, inputs: Sequence[bytes]) -> NDArray[np.float64]:
        """Return a coin for each input that an account sent, 1.0 or -1.0, of shape (n,).

        The first bit of HMAC-SHA256 over the account's UTF-8, its length in four bytes before it, and the input.

        Args:
            account: as the request log names it.
            inputs: each as the log has it: float32, little-endian, see ``input_bytes``.
        """
        name = account.encode()
        prefix = len(name).to_bytes(4, "big") + name
        firsts = [hmac.digest(self.key, prefix + each, "sha256")[0] for each in inputs]
        return np.array([1.0 - 2.0 * (first >> 7) for first in firsts])

    def served(
        self,
        scores: NDArray[np.float64],
        coins: NDArray[np.float64],
        kind: ScoreKind = ScoreKind.PROBABILITY,
    ) -> NDArray[np.float64]:
        """Return scores as they are served; the two likeliest classes keep what they have together.

        Args:
            scores: of shape (n, classes): probabilities, percentages, logits or log-probabilities.
            coins: 1.0 or -1.0, of shape (n,).
            kind: of the scores.

        >>> tails = np.array([-1.0])
        >>> Dither(bytes(32), 1.0, undecided=1.0).served(np.array([[0.6, 0.3, 0.1]]), tails).round(3).tolist()
        [[0.381, 0.519, 0.1]]
        """
        both, lead = leaders(scores), leads(scores, kind)
        moved = lead + self.epsilon * coins
        decided = (lead >= self.undecided) & (moved < LEAST_LEAD)
        moved = np.where(decided, np.minimum(lead, LEAST_LEAD), moved)
        # The logarithms of the two classes' shares of what they have together.
        parts = -np.logaddexp(0.0, np.stack([-moved, moved], axis=-1))
        given = np.take_along_axis(scores, both, axis=-1)
        if kind in _SHARES:
            new = given.sum(axis=-1, keepdims=True) * np.exp(parts)
        else:
            new = np.logaddexp.reduce(given, axis=-1, keepdims=True) + parts
        result = np.array(scores, dtype=np.float64)
        np.put_along_axis(result, both, new, axis=-1)
        return result


def input_bytes(inputs: NDArray[np.float32]) -> list[bytes]:
    """Return each of n inputs as the request log has it: float32, little-endian, no negative noughts."""
    return [row.tobytes() for row in np.ascontiguousarray(inputs, "<f4") + np.float32(0.0)]


def leaders(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the two likeliest classes of each answer, the likeliest first, of shape (n, 2); the earlier of equals."""
    return np.asarray(np.argsort(-scores, axis=-1, kind="stable")[:, :2], dtype=np.int64)


def leads(scores: NDArray[np.float64], kind: ScoreKind = ScoreKind.PROBABILITY) -> NDArray[np.float64]:
    """Return by how much the likeliest class leads, in nats, of shape (n,); infinite where there is no other."""
    first, second = np.take_along_axis(scores, leaders(scores), axis=-1).T
    if kind in _SHARES:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.maximum(first, _TINY)) - np.log(second), dtype=np.float64)
    return np.asarray(first - second, dtype=np.float64)
