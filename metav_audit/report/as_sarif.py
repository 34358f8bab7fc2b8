"""A run as SARIF 2.1.0, which code-scanning services read: a result for each endpoint that somebody must look at.

An endpoint that does not match gives no result, as with any other scanner; ``runs[0].properties.endpoints`` lists all
of them, so that nobody takes one that was never asked for one that was cleared.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any
from urllib.parse import quote

from metav_audit.report.run import Run, Standing, Told
from metav_audit.version import __version__

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RULES = {
    "derived": (
        "error",
        "The endpoint serves what looks like a model derived from the protected one",
        "The endpoint's answers are what one expects of a model derived from the protected model, and are rare among "
        "independent models. That is no finding of who made it, or whether that was allowed: read the report in the "
        "audit's folder, and have it verified, before anything is said of anybody.",
    ),
    "changed": (
        "error",
        "The endpoint no longer serves the model that was approved",
        "An approved deployment's answers are no longer those of the model that was approved. An audit for derivation "
        "never gives this result.",
    ),
    "not-comparable": (
        "warning",
        "It cannot be told what the endpoint serves",
        "The endpoint could not be asked, its answers do not decide, or the run's positive control failed. This clears "
        "nobody: the message says why, and the same command asks what is still open.",
    ),
}
"""Each rule's level, what it finds, and what that means, by its id. Ids are never given another meaning."""


def render_sarif(run: Run) -> bytes:
    """Write a run as SARIF 2.1.0, in ASCII."""
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(run)]}
    return json.dumps(log, indent=1, allow_nan=False).encode() + b"\n"


def artifact_uri(path: str) -> str:
    """Write a path as SARIF's ``artifactLocation.uri`` has it: relative where it is, else as a file's address.

    >>> artifact_uri("audit/my endpoints.toml"), artifact_uri("/srv/a.toml")
    ('audit/my%20endpoints.toml', 'file:///srv/a.toml')
    """
    return ("file://" if path.startswith("/") else "") + quote(path, errors="surrogateescape")


def _run(run: Run) -> dict[str, Any]:
    ended = run.ended.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    driver = {"name": "metav-audit", "version": __version__, "semanticVersion": __version__, "rules": _rules()}
    invocation = {"executionSuccessful": run.whole, "exitCode": run.exit_code, "endTimeUtc": ended}
    endpoints = {each.entry.name: each.standing.value for each in run.told}
    return {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"metav-audit/{quote(run.bundle, safe='')}/{run.name}"},
        "invocations": [invocation],
        "results": [_result(run, each, rule) for each in run.told if (rule := _rule(each.standing)) is not None],
        "properties": {"bundle": run.bundle, "bundle_sha256": run.bundle_sha256, "endpoints": endpoints},
    }


def _rules() -> list[dict[str, Any]]:
    return [
        {
            "id": name,
            "name": "".join(word.capitalize() for word in name.split("-")),
            "shortDescription": {"text": f"{short}."},
            "fullDescription": {"text": long},
            "help": {"text": long},
            "defaultConfiguration": {"level": level},
        }
        for name, (level, short, long) in RULES.items()
    ]


def _rule(standing: Standing) -> str | None:
    """Return the rule by which somebody must look at an endpoint; None where nobody needs to."""
    if standing is Standing.MATCH:
        return "derived"
    return None if standing.comparable else "not-comparable"


def _result(run: Run, told: Told, rule: str) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": artifact_uri(run.source)}}
    if told.line is not None:
        place["region"] = {"startLine": told.line}
    logical = {"name": told.entry.name, "fullyQualifiedName": f"endpoints.{told.entry.name}"}
    return {
        "ruleId": rule,
        "ruleIndex": list(RULES).index(rule),
        "level": RULES[rule][0],
        "message": {"text": _plain(told.sentence)},
        "locations": [{"physicalLocation": place, "logicalLocations": [logical]}],
        "partialFingerprints": {"bundleAndEndpoint/v1": f"{run.bundle_sha256}:{told.entry.name}"},
        "properties": {"standing": told.standing.value, "folder": told.entry.folder, **_figures(told)},
    }


def _plain(text: str) -> str:
    """Write a text as a message's: a brace, which begins a placeholder, stands twice, and nothing is a link."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _figures(told: Told) -> dict[str, Any]:
    verdict = told.verdict
    if verdict is None:
        return {}
    names = ("url", "score", "log10_lr", "p_value", "p_value_derived", "p_value_siblings", "answered", "queries",
             "requests", "transcript_sha256")  # fmt: skip
    return {name: value for name in names if (value := getattr(verdict, name)) is not None}
