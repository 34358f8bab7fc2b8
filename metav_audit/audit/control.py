"""The positive control: a model known to be the owner's own, audited in the same run, which must come out as a match.

If it does not, something is wrong with this run, its bundle or its way of asking, and its other verdicts do not stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from metav_audit.audit.endpoint.file import Endpoint
from metav_audit.audit.fleet import Audited
from metav_audit.errors import ConfigurationError
from metav_audit.processes import running
from metav_audit.task import TaskSpec
from metav_audit.verdict import TRANSCRIPT, AuditFolder, ControlRecord, VerdictOutcome

CONTROL = "control"
"""The name of an endpoint that serves a model for the time of a run."""


def control_record(audited: Audited) -> ControlRecord:
    """Say what became of the control."""
    name, verdict = audited.endpoint.name, audited.verdict
    if verdict is None:
        return ControlRecord(name, False, None, str(audited.error), None, None)  # noqa: FBT003
    passed = verdict.outcome is VerdictOutcome.MATCH
    return ControlRecord(name, passed, verdict.outcome.value, None, verdict.bundle_sha256, verdict.transcript_sha256)


@contextmanager
def with_control(
    control: str, endpoints: Sequence[Endpoint], bundle: Path, task: TaskSpec, folder: Path
) -> Iterator[list[Endpoint]]:
    """Put the control first among the endpoints; a model is served on the loopback until the block ends.

    Args:
        control: an endpoint's name, or what ``metav-audit serve`` takes as MODEL. A name goes before a path.
        endpoints: all that are audited.
        bundle: which names the task of a model.
        task: the bundle's.
        folder: of the audits; a model that was served before for the audits in it is served at the same address.

    Raises:
        ConfigurationError: there is neither such an endpoint nor such a model, or the model does not fit.
        RemoteError: the model cannot be served.
        TranscriptError: the transcript of the control's earlier run is damaged.
    """
    named = [each for each in endpoints if each.name == control]
    if named:
        yield [*named, *(each for each in endpoints if each.name != control)]
        return
    _check_model(control, [each.name for each in endpoints])
    port = _earlier_port(AuditFolder(folder / CONTROL))
    what = f"--control {control}" + (
        f", at port {port} as before (choose a new folder with -o to begin anew)," if port else ""
    )
    words = ["serve", control, "--bundle", bundle, "--host", "127.0.0.1", "--port", port]
    with running("metav_audit", [*words, "--end-with-stdin", "--format", "json"], what) as ready:
        yield [Endpoint.open(CONTROL, json.loads(ready), task), *endpoints]


def _check_model(control: str, names: Sequence[str]) -> None:
    if "://" in control or (":" not in control and not Path(control).exists()):
        raise ConfigurationError(
            f"--control {control} is neither an endpoint of the endpoint file ({', '.join(names)}) nor a model: give "
            "one of those names, or a project's folder, a project.toml, a .pt2 file, or module:function"
        )
    if CONTROL in names:
        raise ConfigurationError(
            f"the endpoint file has an endpoint named {CONTROL!r}, as the model of --control would be: rename it, or "
            f"say --control {CONTROL}"
        )


def _earlier_port(folder: AuditFolder) -> int:
    """Return the port that an earlier run's control was asked at, where its audit goes on, or 0."""
    return (urlsplit(folder.transcript().endpoint.url).port or 0) if folder.has(TRANSCRIPT) else 0
