"""report.json: the EvidenceReport for programs, pictures left out."""

from __future__ import annotations

import json
from dataclasses import asdict

from metav_audit.report.model import EvidenceReport

FORMAT = "metav-audit-report"
SCHEMA_VERSION = 1


def render_json(report: EvidenceReport) -> bytes:
    """Write the report as indented JSON with sorted names, UTF-8; the fields are EvidenceReport's own."""
    fields = asdict(report)
    fields["verdict"] = report.verdict.to_json()
    fields["endpoint"] = report.endpoint.to_json()
    for query in fields["queries"]:
        # The bundle holds the inputs themselves.
        del query["picture"]
    text = json.dumps(
        {"format": FORMAT, "schema_version": SCHEMA_VERSION, **fields},
        indent=1,
        sort_keys=True,
        ensure_ascii=False,
        allow_nan=False,
    )
    # A lone surrogate has no UTF-8; its escape is JSON's own.
    return text.encode("utf-8", "backslashreplace") + b"\n"
