"""What a targeted fingerprint adds to a report: the target bits, how many are wrong, and how rare that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from statistics import fmean, pvariance

from metav_audit.bundle import FingerprintBundle, is_targeted, mark_of, nonce_of
from metav_audit.report.model import CalibrationSide, ErrorShare, Spelling
from metav_audit.report.text import shorten
from metav_audit.verdict import Verdict


def spelling_of(
    bundle: FingerprintBundle, verdict: Verdict, sides: tuple[CalibrationSide, CalibrationSide]
) -> Spelling | None:
    """Count the wrong bits of the endpoint and of the calibration; None where there is no bit or no score.

    Args:
        bundle: whose bits.
        verdict: on the endpoint.
        sides: independents, then derived models; a lineage counts by the member that speaks most against its side.

    Raises:
        BundleError: the bundle's provenance names no identity or no nonce.
    """
    if not is_targeted(bundle) or verdict.score is None:
        return None
    mark = mark_of(bundle)
    bits = verdict.answered * bundle.verifier.tensors["bits"].shape[1]
    wrong = bits - round(verdict.score * bits)
    independent, derived = ([1 - score for score in side.scores] for side in sides)
    worth = fair_bits(independent, bits)
    return Spelling(
        identity=mark.identity,
        nonce=mark.nonce,
        own_nonce=mark.nonce == _nonce_of_seed(bundle),
        bits=bits,
        wrong=wrong,
        chance=chance_of(wrong, bits),
        independent=_share(independent),
        derived=_share(derived),
        worth=worth,
        chance_of_worth=None if worth is None else chance_of(ceil(worth * wrong / bits), worth),
    )


def chance_of(wrong: int, bits: int) -> float:
    """Return the probability that at most ``wrong`` of ``bits`` fair, independent bits are wrong, exactly."""
    ways = total = 1
    for k in range(wrong):
        ways = ways * (bits - k) // (k + 1)
        total += ways
    return float(total / 2**bits)


def fair_bits(shares: Sequence[float], bits: int) -> int | None:
    """Return how many fair, independent bits scatter as ``shares`` of wrong bits do, at most ``bits``.

    N independent bits, each wrong with probability p, scatter with variance p (1 - p) / N.
    """
    mean, variance = fmean(shares), pvariance(shares) * len(shares) / max(1, len(shares) - 1)
    return min(bits, max(1, round(mean * (1 - mean) / variance))) if variance > 1e-12 else None


def spelling_sentences(spelling: Spelling | None) -> Iterator[str]:
    """Say how rare so few wrong bits are, by the bound for fair bits and by what independent models show."""
    if spelling is None:
        return
    other, own = spelling.independent, spelling.derived
    yield (
        f"{spelling.wrong} of the {spelling.bits} target bits of {shorten(spelling.identity, 80)} are spelled wrong. "
        f"If bits were fair and independent, so few would be with probability {spelling.chance:.2g}."
    )
    yield (
        f"Bits of real answers hang together. Independent calibration lineages spell {other.mean:.1%} wrong on average "
        f"and {other.lowest:.1%} at least, derived ones {own.mean:.1%} on average and {own.highest:.1%} at most."
    )
    if spelling.worth is not None:
        yield (
            f"The independent lineages scatter as {spelling.worth} fair, independent bits would, not {spelling.bits}; "
            f"with so few, an equal share or less would be wrong with probability {spelling.chance_of_worth:.2g}."
        )
    yield (
        "The nonce follows from the owner's own seed: the owner may have tried several."
        if spelling.own_nonce
        else "Who chose the nonce does not show here: an owner who chose it may have tried several."
    )


def _nonce_of_seed(bundle: FingerprintBundle) -> str | None:
    seed = bundle.provenance.get("seed")
    return nonce_of(seed) if isinstance(seed, int) and 0 <= seed < 2**53 else None


def _share(shares: Sequence[float]) -> ErrorShare:
    return ErrorShare(min(shares), fmean(shares), max(shares))
