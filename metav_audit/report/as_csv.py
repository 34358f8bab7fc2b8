"""report.csv: one row a query, for spreadsheets and pandas.

Columns, in this order; a cell is empty where there is nothing to say:

- ``endpoint``: the endpoint's name.
- ``query``: the query's number, as in transcript.jsonl, from 0.
- ``status``: answered, unanswered or open.
- ``reason``: why it is unanswered.
- ``sent``: when it was first sent, ISO 8601.
- ``attempts``: requests that carried the query.
- ``http_status``: status of the last of them.
- ``elapsed_s``: seconds spent waiting for them.
- ``target_label``, ``target_probability``: the target's top label and what it gives to it.
- ``suspect_label``, ``suspect_probability``: the suspect's.
- ``labels_agree``: True or False.
- ``divergence``: total variation distance of the two answers, 0 to 1.
- ``derived_divergence``, ``independent_divergence``: the median of the same for derived and for independent calibration
  models: what is usual on either side.
- ``target_probabilities``, ``suspect_probabilities``: all of them, a JSON array in the order of the task's labels; null
  where a class was hidden.
- ``response_sha256``: hash of the response body that held the answer.
"""

from __future__ import annotations

import json

import pandas as pd

from metav_audit.report.model import EvidenceReport, Query
from metav_audit.report.text import printable

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
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

Cell = str | int | float | bool | None


def render_csv(report: EvidenceReport) -> bytes:
    """Write one row a query, UTF-8, lines ended by a line feed."""
    rows = [[_cell(value) for value in _row(report, query)] for query in report.queries]
    # dtype=object: whole numbers stay whole beside empty cells.
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    return frame.to_csv(index=False, lineterminator="\n").encode()


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
        max(query.target),
        query.suspect_label,
        max(shown, default=None),
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
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
