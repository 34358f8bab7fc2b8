"""A run as JUnit's XML, which CI services read: a test case for each endpoint, which passes where there is no match.

A match is a failure. Whatever could not be compared is an error and not a test that was skipped: most services count
what was skipped among what is in order, and an endpoint that nobody could compare is not cleared.
"""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

from metav_audit.progress import printable
from metav_audit.report.run import Run, Standing, Told


def render_junit(run: Run) -> bytes:
    """Write a run as JUnit's XML, UTF-8."""
    told = run.told
    failures = sum(each.standing is Standing.MATCH for each in told)
    errors = sum(not each.standing.comparable for each in told)
    counts = {"tests": str(len(told)), "failures": str(failures), "errors": str(errors)}
    suites = ElementTree.Element("testsuites", {"name": "metav-audit", **counts})
    bundle, ended = printable(run.bundle), run.ended.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    suite = ElementTree.SubElement(suites, "testsuite", {"name": bundle, **counts, "skipped": "0", "timestamp": ended})
    properties = ElementTree.SubElement(suite, "properties")
    facts = {"run": run.name, "bundle_sha256": run.bundle_sha256, "endpoints": printable(run.source)}
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", {"name": name, "value": value})
    for each in told:
        _add(suite, each, f"metav-audit.{bundle}")
    ElementTree.indent(suites)
    written: bytes = ElementTree.tostring(suites, encoding="UTF-8", xml_declaration=True)
    return written + b"\n"


def _add(suite: ElementTree.Element, told: Told, group: str) -> None:
    case = {"name": told.entry.name, "classname": group, "time": _seconds(told)}
    element = ElementTree.SubElement(suite, "testcase", case)
    if told.standing is Standing.MATCH:
        kind, words = "failure", {"type": "derived", "message": told.sentence}
    elif not told.standing.comparable:
        kind, words = "error", {"type": f"not-comparable.{told.standing.value}", "message": told.sentence}
    else:
        ElementTree.SubElement(element, "system-out").text = told.sentence
        return
    ElementTree.SubElement(
        element, kind, words
    ).text = f"{told.sentence} Audit's folder: {printable(told.entry.folder)}"


def _seconds(told: Told) -> str:
    """Return how long the endpoint was asked, from the first record to the last."""
    report = told.entry.report
    if report is None or report.finished is None:
        return "0"
    asked = datetime.fromisoformat(report.finished) - datetime.fromisoformat(report.started)
    return f"{max(asked.total_seconds(), 0):.3f}"
