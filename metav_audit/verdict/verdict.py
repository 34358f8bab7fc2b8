"""The verdict: what the answers say, in one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from metav_audit.verdict.accounts import AccountFinding
from metav_audit.verdict.asked import LooksTaken
from metav_audit.verdict.blind import BlindControls
from metav_audit.verdict.sanity import SanityControls


class VerdictOutcome(StrEnum):
    """What a verdict says of the suspect."""

    MATCH = "match"
    NO_MATCH = "no_match"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the answers say.

    Attributes:
        outcome: match, no_match or inconclusive.
        score: the meta-verifier's, in [0, 1]; None where too little was answered.
        p_value: conformal p-value of "independent of the target": the share of independent lineages, the suspect
            counted among them, that score at least as high. Never finer than 1 / (independents + 1).
        p_value_derived: its mirror, of "derived from the target", among derived lineages that score at most as high.
        p_value_siblings: exact p-value of "independent of the target": the share of models, the target counted among
            them, that the suspect is at least as like as the target, where the others are reruns of its training. It
            holds for any suspect, and is never finer than 1 / (siblings + 1). None without siblings.
        p_value_family: conformal p-value of "not of the ancestor's family": the share of independent lineages that do
            not start from the target's ancestor, the suspect counted among them, that are at least as like to
            what else was tuned from it. It never makes a match. None without an ancestor, and behind labels alone.
        log10_lr: common logarithm of the likelihood ratio, how much more probable such a score is under "derived" than
            under "independent"; None where there is no score.
        log10_lr_bounds: what the calibration can bear, at least and at most; ``log10_lr`` never leaves them.
        verbal: the likelihood ratio on ENFSI's verbal scale, for the proposition that it supports.
        independents: number of independent lineages behind ``p_value``.
        derived: number of derived lineages behind ``p_value_derived``.
        siblings: number of siblings behind ``p_value_siblings``; None without any.
        false_match_rate: the promised rate of false matches.
        false_no_match_rate: the promised rate of false no-matches.
        guarantee: what the promised rate of false matches rests on, in words.
        queries: queries in the fingerprint.
        answered: queries answered.
        requests: requests sent, retries included.
        reasons: sentences that say why.
        bundle_sha256: the bundle's hash.
        transcript_sha256: the head of the transcript's chain.
        endpoint: the endpoint's name.
        url: where it was asked.
        view: what the endpoint showed of its model's outputs, in words.
        natural: how natural inputs were answered, or that none were asked, in words.
        sanity: what the same rule says of answers whose origin is known; None where no score was given.
        controls: what it says of the controls that a third party supplied; None without any, or without a score.
        accounts: what the answers to each account's inputs say, where the queries are from the owner's request log;
            None otherwise, or without a score.
        looks: which looks were taken, where the audit might stop early; None where it asked all.
    """

    outcome: VerdictOutcome
    score: float | None
    p_value: float | None
    p_value_derived: float | None
    p_value_siblings: float | None
    log10_lr: float | None
    log10_lr_bounds: tuple[float, float] | None
    verbal: str | None
    independents: int
    derived: int
    siblings: int | None
    false_match_rate: float
    false_no_match_rate: float
    guarantee: str
    queries: int
    answered: int
    requests: int
    reasons: tuple[str, ...]
    bundle_sha256: str
    transcript_sha256: str
    endpoint: str
    url: str
    view: str
    natural: str
    sanity: SanityControls | None = None
    controls: BlindControls | None = None
    accounts: tuple[AccountFinding, ...] | None = None
    p_value_family: float | None = None
    looks: LooksTaken | None = None

    @property
    def p_value_match(self) -> float | None:
        """The p-value of "independent of the target" that a match needs: the larger where siblings give one of two."""
        given = [each for each in (self.p_value, self.p_value_siblings) if each is not None]
        return max(given, default=None)

    def to_json(self) -> dict[str, Any]:
        """Describe the verdict in JSON types."""
        bounds = list(self.log10_lr_bounds) if self.log10_lr_bounds else None
        words = {"outcome": self.outcome.value, "reasons": list(self.reasons)}
        told = {**asdict(self), **words, "log10_lr_bounds": bounds}
        # Without a request log, an ancestor, or where all is asked, there is no such field.
        accounts, family = told.pop("accounts"), told.pop("p_value_family")
        del told["looks"]
        if told["sanity"] is not None and told["sanity"]["ancestor"] is None:
            del told["sanity"]["ancestor"]
        told |= {} if family is None else {"p_value_family": family}
        told |= {} if accounts is None else {"accounts": list(accounts)}
        return told if self.looks is None else {**told, "looks": self.looks.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            TypeError, ValueError, KeyError: a field is missing, unknown or misstated.
        """
        values = dict(fields)
        values["outcome"] = VerdictOutcome(values["outcome"])
        values["reasons"] = tuple(values["reasons"])
        bounds = values["log10_lr_bounds"]
        values["log10_lr_bounds"] = None if bounds is None else tuple(bounds)
        for name, read in (("sanity", lambda each: SanityControls(**each)), ("controls", BlindControls.from_json)):
            values[name] = None if values[name] is None else read(values[name])
        if "accounts" in values:
            values["accounts"] = tuple(AccountFinding(**each) for each in values["accounts"])
        if "looks" in values:
            values["looks"] = LooksTaken.from_json(values["looks"])
        return cls(**values)
