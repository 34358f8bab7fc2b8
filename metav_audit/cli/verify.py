"""``metav-audit verify``: recompute an audit's verdict offline, step by step."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo, echo_json

if TYPE_CHECKING:
    from metav_audit.verify import Step


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--signer", metavar="KEY", help="Who should have signed: a key id, or a public key's PEM file.")
@click.option("--tsa-cert", type=click.Path(path_type=Path), metavar="PEM",
              help="Root certificates of the time-stamp authority you trust.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How the steps are printed.")  # fmt: skip
def command(folder: Path, signer: str | None, tsa_cert: Path | None, form: str) -> int:
    """Verify the audit in DIR: every hash, every figure, every field.

    DIR is one audit's folder, with bundle, transcript, verdict and reports, or
    the archive that 'metav-audit pack' made of it.
    Nothing is sent anywhere. Without --signer and --tsa-cert, signatures and
    time stamps are checked with what DIR itself holds: compare the key ids.

    Exit code: 0 every step passes, 4 a step fails.
    """
    from metav_audit.evidence import read_certificates, read_signer, unpacked
    from metav_audit.verify import Expected, verify_folder

    expected = Expected(read_signer(signer) if signer else None, read_certificates(tsa_cert) if tsa_cert else None)
    with unpacked(folder) as evidence:
        steps = verify_folder(evidence, expected)
    passed = all(step.passed for step in steps)
    if form == "json":
        echo_json({"passed": passed, "steps": [asdict(step) for step in steps]}, indent=2)
    else:
        for step in steps:
            echo(step_line(step))
    return 0 if passed else 4


def step_line(step: Step) -> str:
    """Write a step as a line."""
    detail = " ".join(step.detail.split())
    return f"{step.number}. {'pass' if step.passed else 'FAIL'}  {step.name}: {detail}"
