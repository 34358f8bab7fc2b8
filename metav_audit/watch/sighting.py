"""The sighting: what one audit showed of an endpoint, small enough to be kept for ever and compared with the next."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from metav_audit.errors import EvidenceError
from metav_audit.files import strict_json
from metav_audit.task import Features, OutputView, features
from metav_audit.transcript import Transcript
from metav_audit.verdict import Decision, Verdict, VerdictOutcome
from metav_audit.verdict.asked import Asked
from metav_audit.verdict.steadiness import Steadiness

_DRAWS = 24
"""Times that noise is put on the answers again, to see how far the score moves."""
_MOST_WHY = 500
_MAX_BYTES = 1 << 28


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What an audit showed.

    Attributes:
        bundle_sha256: whose inputs were asked.
        outcome: of its verdict.
        score: the meta-verifier's; None without one.
        score_noise: its standard deviation under the noise that the endpoint's answers carry; 0 where they carry none.
        p_value: of "independent of the target"; None without a score, as are the next three.
        p_value_derived: of "derived from it".
        p_value_siblings: of its rank among the siblings; None without siblings, too.
        log10_lr: common logarithm of the likelihood ratio.
        queries: of the fingerprint.
        answered: of them.
        requests: sent, retries included.
        latency: median seconds from a request to its answer; None without any.
        why: why the verdict is inconclusive; None where it is not.
        steady: whether one model gave all of its answers.
        view: what the endpoint showed of its outputs.
        view_words: the same in words.
        labelled: whether an answer is probabilities of classes; else it is values.
        tolerance: by how much the features of two answers of one model may differ.
        identities: every value that the server gave to a name of its own, by name.
        answers: canonical features of the first answers to the fingerprint's queries and then the natural inputs,
            float32 of shape (inputs, D); NaN where nothing was shown.
    """

    bundle_sha256: str
    outcome: VerdictOutcome
    score: float | None
    score_noise: float
    p_value: float | None
    p_value_derived: float | None
    p_value_siblings: float | None
    log10_lr: float | None
    queries: int
    answered: int
    requests: int
    latency: float | None
    why: str | None
    steady: bool
    view: OutputView
    view_words: str
    labelled: bool
    tolerance: float
    identities: Mapping[str, tuple[str, ...]]
    answers: NDArray[np.float32]

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """See what an audit showed."""
        bundle, transcript, verdict = decision.bundle, decision.transcript, decision.verdict
        asked, space = Asked.of(bundle, transcript), bundle.task.output
        given = [each.answer for each in (*asked.queries, *asked.natural)]
        shown = features(given, space, transcript.endpoint.scores)
        steadiness = Steadiness.of(bundle, transcript, decision.rules)
        return cls(
            bundle_sha256=bundle.sha256,
            outcome=verdict.outcome,
            score=verdict.score,
            score_noise=_score_noise(decision),
            p_value=verdict.p_value,
            p_value_derived=verdict.p_value_derived,
            p_value_siblings=verdict.p_value_siblings,
            log10_lr=verdict.log10_lr,
            queries=verdict.queries,
            answered=verdict.answered,
            requests=verdict.requests,
            latency=_latency(transcript),
            why=_why(verdict),
            steady=not list(steadiness.faults()),
            view=replace(decision.reading.view, seed=0),
            view_words=verdict.view,
            labelled=space.labelled,
            tolerance=space.tolerance,
            identities=_identities(transcript),
            answers=np.where(shown.mask, shown.values, np.nan).astype(np.float32),
        )

    @property
    def p_value_match(self) -> float | None:
        """The p-value that a match needs: the larger where siblings give one of two."""
        given = [each for each in (self.p_value, self.p_value_siblings) if each is not None]
        return max(given, default=None)

    def told(self) -> dict[str, Any]:
        """Return what a history keeps as text, in JSON types: all that has no column of its own."""
        return {
            "steady": self.steady,
            "view": asdict(self.view),
            "labelled": self.labelled,
            "tolerance": self.tolerance,
            "identities": {name: list(values) for name, values in self.identities.items()},
            "shape": list(self.answers.shape),
        }


def pack_answers(answers: NDArray[np.float32]) -> bytes:
    """Return answers as bytes, compressed."""
    return zlib.compress(np.ascontiguousarray(answers, dtype="<f4").tobytes(), 6)


def sighting_of(row: sa.RowMapping) -> Sighting | None:
    """Read a sighting from a row of the table of audits; None where it holds none, or its answers were thinned.

    Raises:
        EvidenceError: it is damaged.
    """
    if row["sighting"] is None or row["answers"] is None:
        return None
    try:
        told = strict_json(row["sighting"])
        shape = tuple(map(int, told["shape"]))
        raw = zlib.decompressobj().decompress(row["answers"], min(_MAX_BYTES, 4 * int(np.prod(shape)) + 1))
        return Sighting(
            **{name: row[name] for name in _COLUMNS},
            outcome=VerdictOutcome(row["outcome"]),
            view_words=row["view"],
            view=OutputView(**told["view"]),
            identities={name: tuple(values) for name, values in told["identities"].items()},
            answers=np.frombuffer(raw, dtype="<f4").reshape(shape).astype(np.float32),
            **{name: told[name] for name in ("steady", "labelled", "tolerance")},
        )
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise EvidenceError(f"audit {row['id']} of the history is damaged: {error}") from error


_COLUMNS = (
    "bundle_sha256", "score", "score_noise", "p_value", "p_value_derived", "p_value_siblings", "log10_lr", "queries",
    "answered", "requests", "latency", "why",
)  # fmt: skip


def columns_of(sighting: Sighting) -> dict[str, Any]:
    """Return a sighting as columns of the table of audits."""
    return {
        **{name: getattr(sighting, name) for name in _COLUMNS},
        "outcome": sighting.outcome.value,
        "view": sighting.view_words,
        "sighting": json.dumps(sighting.told(), allow_nan=False),
        "answers": pack_answers(sighting.answers),
    }


def _why(verdict: Verdict) -> str | None:
    """Say in a line why a verdict is inconclusive."""
    return "; ".join(verdict.reasons)[:_MOST_WHY] if verdict.outcome is VerdictOutcome.INCONCLUSIVE else None


def _latency(transcript: Transcript) -> float | None:
    seconds = {attempt.request: attempt.elapsed_s for exchange in transcript.exchanges for attempt in exchange.attempts
               if attempt.outcome == "ok" and attempt.elapsed_s is not None}  # fmt: skip
    return float(np.median(list(seconds.values()))) if seconds else None


def _identities(transcript: Transcript) -> dict[str, tuple[str, ...]]:
    names = sorted({name for each in transcript.identities for name in each})
    return {name: tuple(sorted({each[name] for each in transcript.identities if name in each})) for name in names}


def _score_noise(decision: Decision) -> float:
    """Return how far the score moves, as a standard deviation, where the answers' noise is drawn again."""
    view, shown, space = decision.reading.view, decision.reading.shown, decision.bundle.task.output
    if not view.noise or decision.verdict.score is None:
        return 0.0
    verifier = decision.bundle.verifier.through(view, space)
    drawn = [OutputView(noise=view.noise, seed=seed).apply(shown, space).values for seed in range(_DRAWS)]
    again = Features(np.stack(drawn), np.stack([shown.mask] * _DRAWS))
    return float(verifier.scores(again.values, again.mask).std(ddof=1))
