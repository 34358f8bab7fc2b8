"""``metav-audit commit``: fix a bundle, signed and time-stamped, before the first query."""

from __future__ import annotations

import os
from pathlib import Path

import click

from metav_audit.cli.echo import echo
from metav_audit.cli.stamping import stamp_options, stamper_of


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--key", required=True, help="The key's path, or env:NAME for a variable that holds its PEM.")
@stamp_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file; BUNDLE/commitment.json by default.")
@click.option("--register", type=click.Path(path_type=Path), metavar="FILE",
              help="Where the key's commitments are numbered; KEY.commitments by default.")  # fmt: skip
def command(
    bundle: Path, key: str, tsa: str | None, tsa_cert: Path | None, output: Path | None, register: Path | None
) -> None:
    """Commit to BUNDLE before the first query: sign it, time-stamp it.

    What decides a verdict (queries, verifier, error rates, calibration, this
    program's source) is stated by hash, signed with KEY and time-stamped by an
    independent authority. An audit takes BUNDLE/commitment.json along.

    A key's commitments are numbered, each with the hash of the one before, in a
    register beside the key: keep it with the key, and show all of them when you
    show one.

    An encrypted key's passphrase is read from METAV_AUDIT_KEY_PASSPHRASE.
    """
    from datetime import UTC, datetime

    from metav_audit.bundle import COMMITMENT, FingerprintBundle
    from metav_audit.evidence import (
        ENDING,
        check_commitment,
        check_free,
        make_commitment,
        opened_register,
        read_key,
        save_attestation,
    )

    path = output or bundle / COMMITMENT
    fingerprint = FingerprintBundle.load(bundle)
    check_free(path)
    signing, stamper = read_key(key, os.environ), stamper_of(tsa, tsa_cert)
    if register is None and key.startswith("env:"):
        raise click.UsageError("a key in a variable has no place beside it: name its register with --register.")
    with opened_register(register or Path(key + ENDING)) as numbered:
        commitment = make_commitment(
            fingerprint, signing, claimed_at=datetime.now(UTC), stamper=stamper, register=numbered
        )
        save_attestation(commitment, path)
    echo(str(path))
    for finding in check_commitment(commitment, fingerprint, signer=signing.public.key_id).findings:
        echo(f"{finding.name}: {finding.detail}", err=True)
    if stamper is None:
        echo("warning: without --tsa nothing but your own word says when this was signed", err=True)
