"""report.csv: one row a query, for spreadsheets and pandas; and summary.csv.

Every cell stands in quotes. Where a text, or a part of it behind a semicolon, begins like a formula, an apostrophe
stands before the sign.

Columns of report.csv, in this order; a cell is empty where there is nothing to say:

- ``endpoint``: the endpoint's name.
- ``query``: the query's number, as in transcript.jsonl, from 0.
- ``status``: answered, unanswered or open.
- ``reason``: why it is unanswered.
- ``sent``: when it was first sent, ISO 8601.
- ``attempts``: requests that carried the query.
- ``http_status``: status of the last of them.
- ``elapsed_s``: seconds spent waiting for them.
- ``target_label``, ``target_probability``: the target's top label and what it gives to it; empty without classes.
- ``suspect_label``, ``suspect_probability``: the suspect's.
- ``labels_agree``: True or False.
- ``divergence``: total variation distance of the two answers, 0 to 1; of values the root of the mean squared
  difference, in standard deviations, or in widths of a generated tensor's range.
- ``derived_divergence``, ``independent_divergence``: the median of the same for derived and for independent calibration
  models: what is usual on either side.
- ``target_probabilities``, ``suspect_probabilities``: all of them, or the values, a JSON array in the order of the
  task's labels; null where a class was hidden.
- ``response_sha256``: hash of the response body that held the answer.

summary.csv: one row an endpoint, in the order of the summary. Columns:

- ``endpoint``, ``folder``: its name, and its audit's folder.
- ``outcome``: match, no_match, inconclusive, or empty where there is no verdict.
- ``control``: "is the control", or whether the run's control "passed" or "failed"; empty where it had none.
- ``score``, ``log10_lr``, ``support``, ``p_value``, ``p_value_derived``, ``p_value_siblings``: the verdict's;
  support is the ratio in words.
- ``answered``, ``queries``, ``requests``, ``view``: how much was asked and shown.
- ``registration``, ``seal``: what commitment and seal are worth.
- ``first_query``, ``last_record``: ISO 8601.
- ``reasons``: of the verdict, or why there is none.
- ``bundle_sha256``, ``url``: what was asked, and where.
- ``bundle``: by what name a run asked with it, where it asked with several.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence

import pandas as pd

from metav_audit.progress import printable
from metav_audit.report.entries import Entry, corrected
from metav_audit.report.model import EvidenceReport, Query

COLUMNS = (
    "endpoint",
    "query",
    "status",
    "reason",
    "sent",
    "attempts",
    "http_status",
    "elapsed_s",
    "target_label",
    "target_probability",
    "suspect_label",
    "suspect_probability",
    "labels_agree",
    "divergence",
    "derived_divergence",
    "independent_divergence",
    "target_probabilities",
    "suspect_probabilities",
    "response_sha256",
)
SUMMARY_COLUMNS = (
    "endpoint",
    "folder",
    "outcome",
    "control",
    "score",
    "log10_lr",
    "support",
    "p_value",
    "p_value_derived",
    "p_value_siblings",
    "p_value_corrected",
    "answered",
    "queries",
    "requests",
    "view",
    "registration",
    "seal",
    "first_query",
    "last_record",
    "reasons",
    "bundle_sha256",
    "url",
    "bundle",
)
_FORMULA = re.compile(r"(^|;)(\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Where a spreadsheet would begin to read a formula: at a cell's start, and behind what some locales part cells with;
full-width signs count as the plain ones."""

Cell = str | int | float | bool | None


def render_csv(report: EvidenceReport) -> bytes:
    """Write one row a query, UTF-8, lines ended by a line feed."""
    return written([_row(report, query) for query in report.queries], COLUMNS)


def render_summary(entries: Sequence[Entry]) -> bytes:
    """Write one row an endpoint, in the same way."""
    told = corrected(entries)
    return written([_summary_row(entry, told.get(entry.folder)) for entry in entries], SUMMARY_COLUMNS)


def written(rows: Sequence[tuple[Cell, ...]], columns: Sequence[str]) -> bytes:
    """Write rows below their columns, every cell in quotes and none a formula."""
    # dtype=object: whole numbers stay whole beside empty cells.
    frame = pd.DataFrame([[_cell(value) for value in row] for row in rows], columns=list(columns), dtype=object)
    return frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_ALL).encode()


def _summary_row(entry: Entry, corrected_p: float | None) -> tuple[Cell, ...]:
    control = "is the control" if entry.is_control else {None: None, True: "passed", False: "failed"}[entry.stands]
    if entry.report is None:
        known = {
            "endpoint": entry.endpoint,
            "folder": entry.folder,
            "bundle": entry.bundle,
            "control": control,
            "reasons": entry.error,
        }
        return tuple(known.get(name) for name in SUMMARY_COLUMNS)
    verdict, custody = entry.report.verdict, entry.report.custody
    return (
        entry.endpoint,
        entry.folder,
        entry.outcome,
        control,
        verdict.score,
        verdict.log10_lr,
        verdict.verbal,
        verdict.p_value,
        verdict.p_value_derived,
        verdict.p_value_siblings,
        corrected_p,
        verdict.answered,
        verdict.queries,
        verdict.requests,
        verdict.view,
        custody.commitment.status,
        custody.seal.status,
        entry.report.started,
        entry.report.finished,
        "; ".join(verdict.reasons),
        verdict.bundle_sha256,
        verdict.url,
        entry.bundle,
    )


def _row(report: EvidenceReport, query: Query) -> tuple[Cell, ...]:
    shown = [value for value in query.suspect or () if value is not None]
    return (
        report.endpoint.name,
        query.number,
        query.status,
        query.reason,
        query.sent,
        query.attempts,
        query.http_status,
        query.elapsed_s,
        query.target_label,
        max(query.target) if query.target_label else None,
        query.suspect_label,
        max(shown, default=None) if query.suspect_label else None,
        query.agrees,
        query.divergence,
        query.derived_divergence,
        query.independent_divergence,
        json.dumps(query.target),
        json.dumps(query.suspect) if query.suspect else None,
        query.response_sha256,
    )


def _cell(value: Cell) -> Cell:
    """Make text plain: a spreadsheet takes a cell that begins like a formula for one, and runs it."""
    return _FORMULA.sub(r"\1\2'", printable(value)) if isinstance(value, str) else value
