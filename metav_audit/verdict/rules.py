"""The rules: every threshold that decides a verdict and does not come from the bundle, in one frozen value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from metav_audit.bundle import CLOSING, LEAST_REQUESTS, OPENING, PAIRS, REPEATED, TIMES, VERIFIER_LIMITS
from metav_audit.statistics import USUAL_RATIOS, RatioRules
from metav_audit.task import LOG_FLOOR, ROUNDING, USUAL_VIEWS, OutputSpace, ViewRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The thresholds of a verdict; ``decide`` takes them, a commitment states them all.

    Attributes:
        minimum_share_answered: below this share of queries answered no verdict is given, in [0, 1].
        ratio_table_tolerance: by how much the log10 LRs of a bundle's table may differ from those that follow from its
            calibration.
        ratios: how scores become likelihood ratios.
        least_ratio: a match needs a likelihood ratio of at least this, a no-match of at most its inverse; see
            ``least_ratio_at``.
        unlike: where the target has siblings, a no-match needs the suspect to be at least as like to this share of the
            models as to the target: thieves of others' making owe it less than the zoo's do, and yet something.
        views: how it is found what an API shows, noise among it.
        machine_names: names of the machine and the software in front of a model, in which balanced servers may differ;
            a server that changes any other of its names may have changed its model.
        strangeness: answers by this share of the calibration's spread less usual than its least usual model's are those
            of no model of the task.
        least_right: of natural inputs an endpoint gets at least this share as right as the calibration's least right
            model does, or it was asked wrongly.
        misread: answers that lie nearer to the target's own when it is asked wrongly, by this share of how far these
            are from those when it is asked rightly, and nearer than any calibration model's, are to a wrong request.
        misread_apart: misreadings that change the target's own answers by less, on average, are none.
        pair_slack: near-duplicates may be answered so many times as far apart as by any model of the calibration.
        pair_noise: where there is noise, so many of its standard deviations further.
        pair_share: near-duplicates that lie apart by less than this share of how far independent models lie from the
            target there are answered alike.
        odd_pairs: the share of near-duplicates that may be answered otherwise.
        least_following: a side of the calibration goes along with the queries by at least this share of the root of
            their number, in standard deviations of shuffled answers, in the median of its models. Of 24 honest bundles
            the least had 0.44, of 48 made-up ones the most 0.15, with 16 queries and more.
        sure_following: where it does so by this much, each of its models is looked at alone.
        least_usual: such a model goes along by at least this share of the median; honest ones have half of it.
        fewest_followed: of fewer queries nothing of the kind is said.
        least_reach: the derived model that scores highest reaches this share of the log-odds of the target's own score.
        card_deviations: a model of the calibration that does worse on natural inputs than ``least_right`` of what its
            card says, by so many standard deviations of chance, is not the card's.
        below_derived: a match lies below the lowest derived lineage by at most this share of how far the median one
            lies above it, in log-odds.
        sanity_shuffles: orders in which the suspect's own answers are judged.
        sanity_chance: shufflings contradict the promise if so many matches among them come about in at most this share
            of audits where no more match on average than was promised.
        minimum_blind_controls: where blind controls were asked for, no verdict is given with fewer. With 20 of them and
            no match, the false-positive rate lies below 17 % (95 % Clopper-Pearson interval); with ten, not even 30 %
            could be ruled out. 73 are needed to show that it lies below 5 %.
        same_control: blind controls whose answers lie nowhere further apart than this, in canonical features, are one
            model under two names, and count once.
        blind_chance: controls contradict the promise if so many matches would come about in at most this share of
            honest bundles.
        look_lead: who leads a group by this share of how far its second lies above the median is named at an early
            look.

    >>> Rules().minimum_share_answered, Rules().views.most_noise
    (0.5, 0.02)
    >>> Rules(minimum_blind_controls=73).minimum_blind_controls
    73
    """

    minimum_share_answered: float = 0.5
    ratio_table_tolerance: float = 0.02
    ratios: RatioRules = USUAL_RATIOS
    least_ratio: float = 10.0
    unlike: float = 0.5
    views: ViewRules = USUAL_VIEWS
    machine_names: tuple[str, ...] = ("address", "server", "tls_certificate_sha256", "x-powered-by")
    strangeness: float = 0.5
    least_right: float = 0.75
    misread: float = 0.3
    misread_apart: float = 0.02
    pair_slack: float = 3.0
    pair_noise: float = 6.0
    pair_share: float = 0.25
    odd_pairs: float = 0.25
    least_following: float = 0.2
    sure_following: float = 6.0
    least_usual: float = 0.25
    fewest_followed: int = 4
    least_reach: float = 0.7
    card_deviations: float = 4.0
    below_derived: float = 0.5
    sanity_shuffles: int = 99
    sanity_chance: float = 0.001
    minimum_blind_controls: int = 20
    same_control: float = 1e-3
    blind_chance: float = 0.01
    look_lead: float = 0.5

    def least_ratio_at(self, rate: float) -> float:
        """Return the least ratio of a verdict that promises a rate; a promise looser than 5 % asks for less weight.

        >>> Rules().least_ratio_at(0.05), Rules().least_ratio_at(0.1)
        (10.0, 2.5)
        """
        return self.least_ratio * min(1.0, (0.05 / rate) ** 2)

    def stated(self, space: OutputSpace) -> dict[str, Any]:
        """State them in JSON types, with what the program fixes beside them: for such outputs, for every verifier."""
        return {
            **asdict(self),
            "schedule": {
                "repeated": REPEATED,
                "times": TIMES,
                "opening": OPENING,
                "pairs": PAIRS,
                "closing": CLOSING,
                "least_requests": LEAST_REQUESTS,
            },
            "repeat_tolerance": space.tolerance,
            "constant_answers": space.constant,
            "rounding": ROUNDING,
            "log_floor": LOG_FLOOR,
            "verifier": dict(VERIFIER_LIMITS),
        }


RULES = Rules()
"""The rules of this version."""
