"""``metav-audit vouch``: a third party signs for the models that serve as blind controls."""

from __future__ import annotations

import os
from pathlib import Path

import click

from metav_audit.cli.echo import echo
from metav_audit.cli.stamping import stamp_options, stamper_of


@click.command()
@click.argument("controls", type=click.Path(path_type=Path))
@click.option("--key", required=True, help="The key's path, or env:NAME for a variable that holds its PEM.")
@stamp_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file; CONTROLS.signed.json by default.")
def command(controls: Path, key: str, tsa: str | None, tsa_cert: Path | None, output: Path | None) -> None:
    """Sign that the models of CONTROLS are independent of the model in dispute.

    CONTROLS is what 'metav-audit audit --blind-controls' takes: an endpoint
    file, or a .json or .npz file of answers. The statement goes with it: an
    audit that finds CONTROLS.signed.json beside CONTROLS takes it along, and
    its report says whose word the controls are. Nothing is asked.

    An encrypted key's passphrase is read from METAV_AUDIT_KEY_PASSPHRASE.
    """
    from datetime import UTC, datetime

    from metav_audit.audit import control_names, signed_beside
    from metav_audit.evidence import check_free, make_supplier_statement, read_key, save_attestation

    path = output or signed_beside(controls)
    sha256, names = control_names(controls)
    check_free(path)
    signing, stamper = read_key(key, os.environ), stamper_of(tsa, tsa_cert)
    now = datetime.now(UTC)
    save_attestation(
        make_supplier_statement(controls.name, sha256, names, signing, claimed_at=now, stamper=stamper), path
    )
    echo(f"{path}  {len(names)} models, signed by the key {signing.public.key_id}")
