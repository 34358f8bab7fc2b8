"""``metav-audit verify``: recompute an audit's verdict offline, step by step."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo, echo_json
from metav_audit.cli.lines import step_line

if TYPE_CHECKING:
    from metav_audit.verify import Verification


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--auditor", metavar="KEY", help="Who sealed it: a key id, or a public key's PEM file.")
@click.option("--owner", metavar="KEY", help="Who committed to the bundle, likewise.")
@click.option("--tsa-cert", "certificates", type=click.Path(path_type=Path), metavar="PEM", multiple=True,
              help="Root certificates of a time-stamp authority you trust; may be repeated.")  # fmt: skip
@click.option("--commitment", "others", type=click.Path(path_type=Path), metavar="FILE", multiple=True,
              help="Another commitment of the owner's key: none may be left out; may be repeated.")  # fmt: skip
@click.option("--beside", "others_of_run", type=click.Path(path_type=Path), metavar="DIR", multiple=True,
              help="Another audit's folder or archive, whose answers this one took over; may be repeated.")  # fmt: skip
@click.option("--signer", hidden=True)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How the steps are printed.")  # fmt: skip
def command(
    folder: Path,
    auditor: str | None,
    owner: str | None,
    certificates: tuple[Path, ...],
    others: tuple[Path, ...],
    others_of_run: tuple[Path, ...],
    signer: str | None,
    form: str,
) -> int:
    """Verify the audit in DIR: every hash, every figure, every field.

    DIR is one audit's folder, with bundle, transcript, verdict and reports, or
    the archive that 'metav-audit pack' made of it. Nothing is sent anywhere.

    Whoever makes a folder can sign it: what it says is only as good as the keys
    that you know from elsewhere. Each that you name must have signed, and the
    auditor's signs all of it. The last line says whose word it is.

    Where answers were taken over from an audit with another bundle ('audit
    --beside'), they are compared with that audit's own transcript, which is
    looked for beside DIR, in folders and archives.

    Exit code: 0 every step holds and the auditor named signed it, 6 every step
    holds but it is not authenticated, 3 a step could compare nothing (NOT
    CHECKED), 4 a step fails.
    """
    from metav_audit.cli.integrity import verify_plan
    from metav_audit.errors import ConfigurationError
    from metav_audit.evidence import load_attestation, read_certificates, read_signer, unpacked
    from metav_audit.verdict import AuditFolder
    from metav_audit.verdict.folder import INTEGRITY_PLAN
    from metav_audit.verify import Expected, packed_beside, verify_audit

    missing = [each for each in others_of_run if not each.exists()]
    if missing:
        raise ConfigurationError(f"--beside {missing[0]}: no such folder or archive")
    if AuditFolder(folder).has(INTEGRITY_PLAN):
        if auditor or owner or certificates or others:
            raise ConfigurationError(
                f"{folder} is the folder of an integrity audit, which nobody signs: leave out --auditor, --owner, "
                "--tsa-cert and --commitment"
            )
        return verify_plan(AuditFolder(folder), form)
    if signer is not None:
        raise click.UsageError("--signer is gone: name who sealed it with --auditor, who committed with --owner.")
    roots = "".join(map(read_certificates, certificates)) or None
    committed, sealed = (read_signer(key) if key else None for key in (owner, auditor))
    shown = tuple(map(load_attestation, others))
    with ExitStack() as stack:
        evidence = stack.enter_context(unpacked(folder))
        neighbours = packed_beside(folder, AuditFolder(evidence))
        beside = tuple(AuditFolder(stack.enter_context(unpacked(each))) for each in (*others_of_run, *neighbours))
        found = verify_audit(evidence, Expected(committed, sealed, roots, shown, beside))
    if form == "json":
        echo_json(_described(found), indent=2)
    else:
        for line in (*map(step_line, found.steps), found.authenticity):
            echo(line)
    return found.exit_code


def _described(found: Verification) -> dict[str, object]:
    steps = [
        {"number": step.number, "name": step.name, "status": step.status, "passed": step.passed, "detail": step.detail}
        for step in found.steps
    ]
    passed = all(step.passed for step in found.steps)
    return {"passed": passed, "authentic": found.authentic, "authenticity": found.authenticity, "steps": steps}
