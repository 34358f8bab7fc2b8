"""The demo: owner, suspects and auditor in turn. Whatever stands from an earlier run is used again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metav_audit.audit import load_endpoints
from metav_audit.bundle import FingerprintBundle
from metav_audit.casework import audit_and_report
from metav_audit.demo.digits import write_project
from metav_audit.demo.suspects import SUSPECTS, Suspect, performance_of, serving, train_suspects
from metav_audit.errors import MetavAuditError
from metav_audit.files import write_atomically
from metav_audit.fingerprint.fit import fit_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.progress import Progress
from metav_audit.verdict import AuditFolder, Verdict, VerdictOutcome
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.project import load_project, open_workshop


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo found of one suspect.

    Attributes:
        name: the suspect.
        truth: the right outcome.
        performance: its balanced accuracy at the task.
        verdict: what the audit says.
        folder: where the evidence lies.
    """

    name: str
    truth: VerdictOutcome
    performance: float
    verdict: Verdict
    folder: Path


def run_demo(out: Path, seed: int, say: Callable[[str], None], progress: Callable[[str], Progress]) -> list[DemoResult]:
    """Run the whole chain below ``out`` and return what it found, one entry a suspect.

    Args:
        out: made if need be.
        seed: of everything.
        say: told in a sentence what happens.
        progress: given what is counted, returns a progress callback.

    Raises:
        MetavAuditError: something went wrong on the way.
    """
    # 1. The owner: a trained target, its zoo, and the bundle.
    say("1/4  the owner trains a target on digits, and a zoo of models derived from it or independent of it")
    project = load_project(write_project(out / "owner", seed, preset="quick"))
    workshop = open_workshop(project)
    zoo = build_zoo(project, progress=progress("     models trained"))
    say("2/4  fingerprint and meta-verifier are optimised together, and calibrated on held-out models")
    bundle, fitted = fit_bundle(Making.of(workshop, zoo), out / "digits.bundle", progress("     steps"))
    if not fitted:
        say("     zoo and bundle stand from an earlier run: nothing was trained again")
    # 2. The suspects, unknown to the zoo.
    say("3/4  three suspects, unknown to the zoo, are trained and served over HTTP on the loopback")
    train_suspects(workshop, out / "suspects", progress("     suspects trained"))
    # 3. The auditor, who sees the bundle and three addresses.
    say("4/4  the auditor sends the fingerprint to each, decides, and writes the evidence")
    folders = {suspect.name: out / "audits" / suspect.name for suspect in SUSPECTS}
    if all(_finished(folder, bundle) for folder in folders.values()):
        say("     all three audits are finished: nothing was asked again")
        verdicts = _audit(bundle, out)
    else:
        with serving(workshop, out / "suspects", _ports(out / "endpoints.toml")) as ports:
            write_atomically(out / "endpoints.toml", endpoint_file(ports).encode())
            verdicts = _audit(bundle, out)
    return [
        DemoResult(suspect.name, suspect.truth, performance_of(workshop, suspect), verdict, folders[suspect.name])
        for suspect, verdict in zip(SUSPECTS, verdicts, strict=True)
    ]


def endpoint_file(ports: list[int]) -> str:
    """Write the endpoint file for the suspects on these ports."""
    tables = [_table(suspect, port) for suspect, port in zip(SUSPECTS, ports, strict=True)]
    return "# Written by metav-audit demo: three APIs on the loopback.\n\n" + "\n".join(tables)


def _table(suspect: Suspect, port: int) -> str:
    fields = {"adapter": suspect.adapter, "url": f"http://127.0.0.1:{port}{suspect.path}", **suspect.options}
    lines = [f"{name} = {_toml(value)}" for name, value in fields.items()]
    return "\n".join([f"[endpoints.{suspect.name}]", *lines, ""])


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + " }"
    return json.dumps(value)


def _audit(bundle: FingerprintBundle, out: Path) -> list[Verdict]:
    """Audit all suspects.

    Raises:
        MetavAuditError: one of them could not be audited.
    """
    case = audit_and_report(bundle, load_endpoints(out / "endpoints.toml", bundle.task), out / "audits")
    for result in case.results:
        if result.error is not None:
            raise result.error
    return [result.verdict for result in case.results if result.verdict is not None]


def _finished(folder: Path, bundle: FingerprintBundle) -> bool:
    try:
        transcript = AuditFolder(folder).transcript()
    except MetavAuditError:
        return False
    return transcript.finished is not None and transcript.bundle_sha256 == bundle.sha256


def _ports(endpoints: Path) -> list[int]:
    """Return the ports of an earlier run, whose audits may go on there, or zeros."""
    import tomllib
    from urllib.parse import urlsplit

    try:
        tables = tomllib.loads(endpoints.read_text())["endpoints"]
        return [urlsplit(tables[suspect.name]["url"]).port or 0 for suspect in SUSPECTS]
    except (OSError, ValueError, KeyError, TypeError):
        return [0] * len(SUSPECTS)
