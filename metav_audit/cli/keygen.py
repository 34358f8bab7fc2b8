"""``metav-audit keygen``: a key to sign with."""

from __future__ import annotations

import os
from pathlib import Path

import click

from metav_audit.cli.echo import echo


@click.command()
@click.argument("key", type=click.Path(path_type=Path))
def command(key: Path) -> None:
    """Make an Ed25519 key: KEY to sign with, KEY.pub to publish.

    KEY is encrypted with the passphrase in METAV_AUDIT_KEY_PASSPHRASE, and
    readable by you alone. Publish KEY.pub, or the key id that is printed,
    before you need it: others know your signatures by it.
    """
    from metav_audit.evidence import make_key

    public = make_key(key, os.environ)
    echo(f"{key}.pub  key id {public.key_id}")
