"""EvidenceReport: everything a renderer may print, and nothing else.

Renderers (JSON, CSV, PDF, HTML) lay it out; they compute no figure and look nothing up. Text that came from outside
(names, labels, reasons, URLs) stands here as it came: a renderer escapes it in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metav_audit.evidence import Custody
from metav_audit.task import OutputKind
from metav_audit.transcript import Campaign, EndpointRecord
from metav_audit.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Wording:
    """The report's sentences.

    Attributes:
        headline: the verdict in one sentence.
        derivation: the first proposition.
        independence: the second proposition.
        weight: what the likelihood ratio and each p-value mean here.
        other_side: what speaks against the outcome, or, where it is inconclusive, what each side may say.
        limits: what the report does not say.
        method: the method in plain words: titles of its steps, and their text.
        terms: the words that need it, and what they mean.
    """

    headline: str
    derivation: str
    independence: str
    weight: tuple[str, ...]
    other_side: tuple[str, ...]
    limits: tuple[str, ...]
    method: tuple[tuple[str, str], ...]
    terms: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Stratum:
    """The calibration models of one kind; strata are never pooled away.

    Attributes:
        derived: the side they are on.
        recipe: how they were made.
        architecture: of independents; None on the derived side, where the recipe alone makes the stratum.
        data: what independents were trained on, "train" (the owner's data) or "heldout"; None on the derived side.
        models: their number.
        lineages: the number of independent witnesses among them.
        lowest: the lowest score; None, like all below, where the suspect has no score.
        median: the median score.
        highest: the highest score.
        as_high: models that score at least as high as the suspect.
        as_low: models that score at most as high as the suspect.
        interval: the 95 % Clopper-Pearson interval of the share that speaks against the suspect's side: the true share
            of independent models that score at least as high, or of derived ones that score at most as high.
    """

    derived: bool
    recipe: str
    architecture: str | None
    data: str | None
    models: int
    lineages: int
    lowest: float | None
    median: float | None
    highest: float | None
    as_high: int | None
    as_low: int | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class CalibrationSide:
    """One side of the calibration, one score a lineage.

    Attributes:
        derived: the side.
        scores: sorted, one a lineage, under the mask of what the suspect answered; empty where it has no score.
        boundary: scores beyond it (above for independents, below for derived models) are rare on this side, at the
            promised rate; None where so few lineages can promise no such rate, or the suspect has no score.
        interval: as in Stratum, over lineages.
    """

    derived: bool
    scores: tuple[float, ...]
    boundary: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class RatioCheck:
    """How well likelihood ratios made as the endpoint's fare on the calibration, each lineage weighed by the others.

    Attributes:
        derived: log10 likelihood ratios of derived lineages, sorted.
        independent: log10 likelihood ratios of independent lineages, sorted.
        cllr: their cost, 0 for perfect ones and 1 for ones that say nothing.
        cllr_min: what it would be with the best calibration of these very lineages.
        misleading_derived: derived lineages whose ratio is below 1.
        misleading_independent: independent lineages whose ratio is above 1.
    """

    derived: tuple[float, ...]
    independent: tuple[float, ...]
    cllr: float
    cllr_min: float
    misleading_derived: int
    misleading_independent: int


@dataclass(frozen=True, slots=True)
class ErrorShare:
    """The shares of wrong target bits on one side of the calibration, one a lineage.

    Attributes:
        lowest: the smallest.
        mean: their mean.
        highest: the largest.
    """

    lowest: float
    mean: float
    highest: float


@dataclass(frozen=True, slots=True)
class Spelling:
    """How well the endpoint spells the target bits of a targeted fingerprint.

    Attributes:
        identity: whose bits they are.
        nonce: what they follow from beside the identity, in hexadecimal.
        own_nonce: whether the nonce follows from the owner's own seed.
        bits: bits asked for in the answered queries.
        wrong: how many of them the endpoint spells wrong.
        chance: the probability that at most as many of ``bits`` fair, independent bits are wrong.
        independent: what the independent calibration lineages spell wrong.
        derived: what the derived ones do.
        worth: so many fair, independent bits would scatter as the independent lineages do; None where these are all
            alike or fewer than two.
        chance_of_worth: as ``chance``, with as many bits as ``worth`` says and the endpoint's share of wrong ones.
    """

    identity: str
    nonce: str
    own_nonce: bool
    bits: int
    wrong: int
    chance: float
    independent: ErrorShare
    derived: ErrorShare
    worth: int | None
    chance_of_worth: float | None


@dataclass(frozen=True, slots=True)
class Query:
    """One fingerprint input, the target's answer and the suspect's.

    Attributes:
        number: as in transcript.jsonl, from 0.
        picture: the input as a PNG file; of generated images the target's, and beside it the suspect's; or None.
        row: the input as named cells; None where the domain is no table.
        status: "answered", "unanswered", or "open" where the audit stopped before it was asked out.
        reason: why it is unanswered.
        target: the target's probabilities, one a label, not below 1e-6; or its values.
        suspect: the suspect's; None where a class is hidden; None altogether where it is unanswered.
        target_label: the label to which the target gives most; None where the task has no classes.
        suspect_label: the label to which the suspect gives most, of those shown.
        agrees: whether the two are the same.
        divergence: how far the two answers lie apart: total variation distance, in [0, 1], or of values the root of
            the mean squared difference in the space's units; None where a class is hidden.
        derived_divergence: the median distance of derived calibration models' answers from the target's.
        independent_divergence: the same of independent ones.
        sent: when it was first sent, ISO 8601.
        attempts: requests that carried the query.
        http_status: the status of the last of them.
        elapsed_s: seconds spent waiting for them.
        response_sha256: hash of the body that held the answer.
    """

    number: int
    picture: bytes | None
    row: Mapping[str, Any] | None
    status: str
    reason: str | None
    target: tuple[float, ...]
    suspect: tuple[float | None, ...] | None
    target_label: str | None
    suspect_label: str | None
    agrees: bool | None
    divergence: float | None
    derived_divergence: float
    independent_divergence: float
    sent: str | None
    attempts: int
    http_status: int | None
    elapsed_s: float | None
    response_sha256: str | None


@dataclass(frozen=True, slots=True)
class Repeated:
    """A request of the owner's log whose input was asked.

    Attributes:
        query: its number, as in the transcript.
        account: who sent it.
        at: when, UTC.
        day: the day of the log that it stands in.
        row: its number among that day's rows, from 0.
    """

    query: int
    account: str
    at: str
    day: str
    row: int


@dataclass(frozen=True, slots=True)
class RequestLog:
    """The owner's request log, as far as a bundle tells of it.

    Attributes:
        sentence: how old its seal is beside the suspect.
        head: the hash that stands for all of it.
        repeated: the requests whose inputs were asked, in the order of the queries.
    """

    sentence: str
    head: str
    repeated: tuple[Repeated, ...]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Queries left out of the verdict, and why."""

    reason: str
    queries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Requests that brought no answer, of one kind."""

    outcome: str
    http_status: int | None
    error: str | None
    requests: int


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """One audit's evidence, ready to print; the same evidence gives the same value.

    Attributes:
        model_name: the owner's name for the protected model.
        method: the method that made the fingerprint.
        kind, unit: what an output is, and in what distances between values are given.
        labels: the task's labels, or the names of a regression's quantities.
        verdict: what was decided, and from what.
        wording: the sentences.
        endpoint: who was asked and how.
        sides: calibration independents, then calibration derived models.
        strata: the same, kind by kind.
        ratios: how well such likelihood ratios fare on the calibration; None where the endpoint has no score.
        queries: one an input.
        agreeing: answered queries with the target's own top label.
        mean_divergence: over the queries that have one.
        exclusions: queries left out.
        failures: requests that failed.
        identities: how the answering servers named themselves.
        steadiness: how often the same inputs were asked again, and how far their answers lay apart.
        hashes: SHA-256 by what they are of, in hexadecimal.
        software: programs and versions, by what they did.
        settings: what else the bundle says of its making.
        rules: every threshold that decides, as a commitment states them.
        spelling: how well target bits are spelled; None where the fingerprint is not targeted, or there is no score.
        requests: the owner's request log; None where the queries are from none.
        custody: who vouches for the folder, and since when.
        campaign: among how many audits with the bundle this one was begun; None where that was not kept.
        started, finished: ISO 8601, UTC; ``finished`` is None where queries are still open.
    """

    model_name: str
    method: str
    kind: OutputKind
    unit: str
    labels: tuple[str, ...]
    verdict: Verdict
    wording: Wording
    endpoint: EndpointRecord
    sides: tuple[CalibrationSide, CalibrationSide]
    strata: tuple[Stratum, ...]
    ratios: RatioCheck | None
    queries: tuple[Query, ...]
    agreeing: int
    mean_divergence: float | None
    exclusions: tuple[Exclusion, ...]
    failures: tuple[Failure, ...]
    identities: tuple[Mapping[str, str], ...]
    steadiness: str
    hashes: Mapping[str, str]
    software: Mapping[str, str]
    settings: Mapping[str, Any]
    rules: Mapping[str, Any]
    spelling: Spelling | None
    requests: RequestLog | None
    custody: Custody
    campaign: Campaign | None
    started: str
    finished: str | None
