"""metav-audit drill BUNDLE."""

from __future__ import annotations

from pathlib import Path

import click

from metav_audit.cli.echo import echo_json, echo_table


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--project", type=click.Path(path_type=Path), help="Its project; by default the folder that BUNDLE is in."
)
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, show_default=True, help="Bundles of each kind.")
@click.option("--seeds", type=click.IntRange(1, 10_000), default=20, show_default=True,
              help="Seeds an accuser tries for a lucky one.")  # fmt: skip
@click.option("--work", type=click.Path(path_type=Path), help="Folder of fitted bundles; PROJECT/drill by default.")
@click.option("--jobs", type=click.IntRange(1), help="Worker processes; all cores by default.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How the table is printed; json has every round.")  # fmt: skip
def command(
    bundle: Path, project: Path | None, rounds: int, seeds: int, work: Path | None, jobs: int | None, form: str
) -> int:
    """Rig bundles against innocent models, and see what exposes each.

    Seven kinds are made for real from the project of BUNDLE: a rival's models
    labelled derived, a verifier that always says yes, rates and calibration
    tuned after the suspect's answers, a lucky seed, transferable adversarial
    queries, a calibration that is made up altogether, and the one that accuses
    of two bundles that were committed to. Each is shown to independent test
    models, and put to the checks: sanity controls, the calibration's models,
    blind controls, a rebuild of the project, a rebuild with seeds the accuser
    did not choose, and the commitment. Honest bundles have to pass the same.

    Exit code: 0 all rigged bundles exposed, all honest ones pass; 4 not so.
    """
    from dataclasses import asdict

    from metav_audit.bundle import FingerprintBundle
    from metav_audit.drill.play import play, prepare_drill
    from metav_audit.drill.rounds import Kind, as_text, passed, summarise
    from metav_audit.progress import ProgressLine
    from metav_audit.zoo.project import find_project, load_project

    drilled = FingerprintBundle.load(bundle)
    loaded = load_project(project or find_project(bundle))
    work = work or loaded.folder / "drill"
    drill = prepare_drill(loaded, drilled, rounds=rounds, seeds=seeds, work=work, jobs=jobs, progress=ProgressLine)
    progress, played = ProgressLine("drill: rounds played"), []
    for one in play(drill, rounds):
        played.append(one)
        progress(len(played), len(Kind) * rounds)
    rows = summarise(played)
    if form == "json":
        echo_json({"rows": [asdict(row) for row in rows], "rounds": [asdict(one) for one in played]}, indent=1)
    else:
        echo_table(as_text(rows))
    return 0 if passed(rows) else 4
