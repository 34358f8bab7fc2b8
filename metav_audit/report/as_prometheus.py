"""A run in Prometheus's text exposition format, for the node exporter's textfile collector or a push gateway.

All are gauges: a file says what the last run found, and the next one takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from metav_audit.report.run import Run, Standing, Told
from metav_audit.version import __version__

OUTCOMES = (Standing.MATCH, Standing.NO_MATCH, Standing.INCONCLUSIVE, Standing.FAILED, Standing.VOID)
METRICS = {
    "outcome": "1 for what became of an endpoint, 0 for all else; void: the positive control failed.",
    "control_passed": "Whether the run's positive control came out as a match; if not, no verdict of the run stands.",
    "score": "The meta-verifier's score, from 0 to 1.",
    "log10_likelihood_ratio": "Common logarithm of the likelihood ratio, derived against independent.",
    "p_value": "The p-value of a hypothesis: independent, derived, or siblings, where independent is tested by them.",
    "queries": "Queries in the fingerprint.",
    "answered_queries": "Queries that the endpoint answered.",
    "requests": "Requests sent to the endpoint, retries included.",
    "last_record_timestamp_seconds": "When the endpoint's transcript ended, in seconds since 1970.",
    "run_timestamp_seconds": "When the run ended, in seconds since 1970.",
    "run_exit_code": "The exit code of the run.",
    "run_info": "Which program ran with which bundle.",
}
"""What each metric means, by its name behind ``metav_audit_``."""

Sample = tuple[str, dict[str, str], float]
"""A metric's name, labels and value."""


def render_prometheus(run: Run) -> bytes:
    """Write a run as metrics, UTF-8, each family together."""
    samples = [*_of_the_run(run), *(sample for told in run.told for sample in _of_an_endpoint(run, told))]
    return write_gauges(METRICS, samples)


def write_gauges(metrics: Mapping[str, str], samples: Sequence[Sample]) -> bytes:
    """Write samples as gauges, UTF-8, each family together, in the order of ``metrics``: what each means, by name."""
    lines = []
    for name, meaning in metrics.items():
        family = [sample for sample in samples if sample[0] == name]
        if family:
            lines += [f"# HELP metav_audit_{name} {meaning}", f"# TYPE metav_audit_{name} gauge"]
            lines += [_line(sample) for sample in family]
    return "".join(f"{line}\n" for line in lines).encode()


def _of_the_run(run: Run) -> Iterator[Sample]:
    bundle = {"bundle": run.bundle}
    yield "run_timestamp_seconds", bundle, run.ended.timestamp()
    yield "run_exit_code", bundle, run.exit_code
    yield "run_info", {**bundle, "bundle_sha256": run.bundle_sha256, "version": __version__}, 1
    if run.control is not None:
        yield "control_passed", {"endpoint": run.control.control, **bundle}, int(run.control.passed)


def _of_an_endpoint(run: Run, told: Told) -> Iterator[Sample]:
    labels = {"endpoint": told.entry.name, "bundle": run.bundle}
    if not told.entry.is_control:
        # A control that matches is as it should be: whoever waits for matches must not hear of it.
        for outcome in OUTCOMES:
            yield "outcome", {**labels, "outcome": outcome.value}, int(outcome is told.standing)
    for name, more, value in (*_of_the_asking(told), *_of_the_verdict(told)):
        if value is not None:
            yield name, {**labels, **more}, value


def _of_the_asking(told: Told) -> Iterator[tuple[str, dict[str, str], float | None]]:
    report = told.entry.report
    if report is not None:
        yield "queries", {}, report.verdict.queries
        yield "answered_queries", {}, report.verdict.answered
        yield "requests", {}, report.verdict.requests
        ended = None if report.finished is None else datetime.fromisoformat(report.finished).timestamp()
        yield "last_record_timestamp_seconds", {}, ended


def _of_the_verdict(told: Told) -> Iterator[tuple[str, dict[str, str], float | None]]:
    verdict = told.verdict
    if verdict is not None:
        yield "score", {}, verdict.score
        yield "log10_likelihood_ratio", {}, verdict.log10_lr
        yield "p_value", {"hypothesis": "independent"}, verdict.p_value
        yield "p_value", {"hypothesis": "derived"}, verdict.p_value_derived
        yield "p_value", {"hypothesis": "siblings"}, verdict.p_value_siblings


def _line(sample: Sample) -> str:
    name, labels, value = sample
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"metav_audit_{name}{{{pairs}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
