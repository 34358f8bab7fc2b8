"""metav-audit replay BUNDLE PROJECT."""

from __future__ import annotations

import os
from pathlib import Path

import click

from metav_audit.cli.echo import echo
from metav_audit.cli.stamping import stamp_options, stamper_of


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("project", type=click.Path(path_type=Path))
@click.option("--key", help="Sign the statement: the key's path, or env:NAME for a variable that holds its PEM.")
@stamp_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The statement's file; BUNDLE/replay.json by default, BUNDLE.replay.json where the target was "
    "not reproduced or BUNDLE lies in an audit's folder.",
)
def command(
    bundle: Path, project: Path, key: str | None, tsa: str | None, tsa_cert: Path | None, output: Path | None
) -> int:
    """Run the training program of PROJECT with the target's own seed.

    If it gives the answers of BUNDLE's target again, program and data are the
    target's own, and its siblings can be trusted. Neither the zoo nor the
    siblings are needed: how near is near is read from the bundle. With --key
    what was found is signed, to BUNDLE/replay.json by default, which an audit
    takes along: without one the report says that nobody did.

    Exit code: 0 reproduced, or nearly; 4 not reproduced.
    """
    from datetime import UTC, datetime

    from metav_audit.bundle import REPLAY, FingerprintBundle
    from metav_audit.evidence import check_free, make_replay_statement, read_key, save_attestation
    from metav_audit.fingerprint.proof import replay_bundle, replayed
    from metav_audit.verdict import place_beside
    from metav_audit.zoo.program import describe_program
    from metav_audit.zoo.project import load_project, open_workshop
    from metav_audit.zoo.replay import ReplayStatus

    if key is None and (output is not None or tsa is not None):
        raise click.UsageError("-o and --tsa are for a signed statement: name a key with --key.")
    signing, stamper = (read_key(key, os.environ) if key else None), stamper_of(tsa, tsa_cert)
    aside = place_beside(bundle, REPLAY)
    inside = bundle / REPLAY if aside.parent == bundle.absolute().parent else aside
    if signing is not None:
        check_free(output or inside)
    shown, workshop = FingerprintBundle.load(bundle), open_workshop(load_project(project))
    found = replay_bundle(shown, workshop)
    echo(str(found))
    reproduced = found.status is not ReplayStatus.NOT_REPRODUCED
    if signing is not None:
        path = output or (inside if reproduced else aside)
        statement = make_replay_statement(
            shown,
            replayed(found),
            describe_program(workshop),
            signing,
            claimed_at=datetime.now(UTC),
            stamper=stamper,
        )
        save_attestation(statement, path)
        echo(str(path))
    return 0 if reproduced else 4
