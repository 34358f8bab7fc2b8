"""metav-audit rebuild BUNDLE PROJECT."""

from __future__ import annotations

from pathlib import Path

import click

from metav_audit.cli.echo import echo


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("project", type=click.Path(path_type=Path))
@click.option("--reuse", is_flag=True, help="Take the models in the project's store as they are.")
@click.option("--fresh-seed", type=click.IntRange(0), metavar="N", help="Fit with seed N instead, and write -o OUT.")
@click.option("-o", "--output", metavar="OUT", type=click.Path(path_type=Path), help="Write the bundle made here.")
@click.option("--log", type=click.Path(path_type=Path), help="The sealed request log that its queries are from.")
@click.option("--jobs", type=click.IntRange(1), help="Worker processes for the zoo; all cores by default.")
def command(
    bundle: Path,
    project: Path,
    reuse: bool,
    fresh_seed: int | None,
    output: Path | None,
    log: Path | None,
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

    Exit code: 0 the same, or OUT is written; 4 different.
    """
    from metav_audit.bundle import FingerprintBundle, check_place
    from metav_audit.fingerprint.rebuild import differences, marked_as, rebuild_bundle, requests_as
    from metav_audit.progress import ProgressLine
    from metav_audit.transcript.log import open_log
    from metav_audit.zoo.project import load_project

    if fresh_seed is not None and output is None:
        raise click.UsageError("--fresh-seed makes another bundle: say with -o where to write it.")
    shown = FingerprintBundle.load(bundle)
    loaded = marked_as(load_project(project), shown)
    if output is not None:
        check_place(output)
    requests = requests_as(open_log(log) if log else None, shown)
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
    echo(f"{'different' if found else 'the same'}: {bundle} is {shown.sha256}, made again {rebuilt.sha256}")
    return 4 if found else 0
