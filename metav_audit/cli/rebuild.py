"""metav-audit rebuild BUNDLE PROJECT."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo
from metav_audit.cli.stamping import stamp_options, stamper_of

if TYPE_CHECKING:
    from metav_audit.bundle import FingerprintBundle


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("project", type=click.Path(path_type=Path))
@click.option("--reuse", is_flag=True, help="Take the models in the project's store as they are.")
@click.option("--fresh-seed", type=click.IntRange(0), metavar="N", help="Fit with seed N instead, and write -o OUT.")
@click.option("-o", "--output", metavar="OUT", type=click.Path(path_type=Path), help="Write the bundle made here.")
@click.option("--log", type=click.Path(path_type=Path), help="The sealed request log that its queries are from.")
@click.option("--key", help="Sign what came out: the key's path, or env:NAME for a variable that holds its PEM.")
@stamp_options
@click.option("--statement", type=click.Path(path_type=Path), metavar="FILE", help="The signed statement's file.")
@click.option("--jobs", type=click.IntRange(1), help="Worker processes for the zoo; all cores by default.")
def command(
    bundle: Path,
    project: Path,
    reuse: bool,
    fresh_seed: int | None,
    output: Path | None,
    log: Path | None,
    key: str | None,
    tsa: str | None,
    tsa_cert: Path | None,
    statement: Path | None,
    jobs: int | None,
) -> int:
    """Make BUNDLE again from its PROJECT, and compare the hashes.

    All models are trained anew, so that nothing rests on the owner's store. A
    bundle that was rigged, or made from other data, comes out different; so
    does one made on another platform or with other versions, and that is said
    first.

    A project is code, and runs: a stranger's belongs in a container without a
    network (docs/false-claims.md has the command).

    With --fresh-seed the bundle is made with a seed that its owner did not
    choose. A match that hangs on a lucky seed is gone when the endpoint is
    audited with OUT.

    With --key what came out is signed. Where it is the same, the statement goes
    to BUNDLE/rebuild.json by default, which an audit takes along: without one
    the report's cover says that nobody made the bundle again. Where it is not,
    or BUNDLE lies in an audit's folder, it goes beside.

    Exit code: 0 the same, or OUT is written; 4 different.
    """
    from metav_audit.bundle import FingerprintBundle, check_place
    from metav_audit.evidence import open_checked
    from metav_audit.fingerprint.rebuild import differences, marked_as, rebuild_bundle, requests_as
    from metav_audit.progress import ProgressLine
    from metav_audit.zoo.project import load_project

    if fresh_seed is not None and output is None:
        raise click.UsageError("--fresh-seed makes another bundle: say with -o where to write it.")
    sign = _signer(key, tsa, tsa_cert, statement, anew=not reuse and fresh_seed is None)
    shown = FingerprintBundle.load(bundle)
    loaded = marked_as(load_project(project), shown)
    if output is not None:
        check_place(output)
    requests = requests_as(open_checked(log) if log else None, shown)
    rebuilt = rebuild_bundle(
        loaded, shown.method, reuse=reuse, seed=fresh_seed, jobs=jobs, requests=requests, progress=ProgressLine
    )
    if output is not None:
        rebuilt.save(output)
    if fresh_seed is not None:
        echo(f"{output}  sha256 {rebuilt.sha256}, with the seed {fresh_seed}")
        return 0
    found = differences(shown, rebuilt)
    for difference in found:
        echo(difference)
    if sign is not None:
        echo(str(sign(bundle, shown, rebuilt.sha256, found)))
    echo(f"{'different' if found else 'the same'}: {bundle} is {shown.sha256}, made again {rebuilt.sha256}")
    return 4 if found else 0


Sign = Callable[[Path, "FingerprintBundle", str, Sequence[str]], Path]
"""Signs what came out of a bundle made again, given its place, it, the other's hash and the differences."""


def _signer(
    key: str | None, tsa: str | None, tsa_cert: Path | None, statement: Path | None, *, anew: bool
) -> Sign | None:
    """Return what signs a rebuild and writes the statement; None where no key is named."""
    from datetime import UTC, datetime

    from metav_audit.bundle import REBUILD
    from metav_audit.evidence import check_free, make_rebuild_statement, read_key, save_attestation
    from metav_audit.verdict import place_beside

    if key is None:
        if statement is not None or tsa is not None:
            raise click.UsageError("--statement and --tsa are for a signed statement: name a key with --key.")
        return None
    if not anew:
        raise click.UsageError("--key states what came out with all models trained anew, from the project's own seed.")
    signing, stamper = read_key(key, os.environ), stamper_of(tsa, tsa_cert)
    if statement is not None:
        check_free(statement)

    def sign(place: Path, shown: FingerprintBundle, sha256: str, found: Sequence[str]) -> Path:
        aside = place_beside(place, REBUILD)
        inside = not found and aside.parent == place.absolute().parent
        path = statement or (place / REBUILD if inside else aside)
        made = make_rebuild_statement(shown, sha256, found, signing, claimed_at=datetime.now(UTC), stamper=stamper)
        save_attestation(made, path)
        return path

    return sign
