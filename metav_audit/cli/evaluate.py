"""metav-audit evaluate PROJECT..."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("projects", nargs=-1, required=True, metavar="PROJECT...", type=click.Path(path_type=Path))
@click.option("--method", "methods", multiple=True, default=("metav", "ipguard"), show_default=True)
@click.option("--jobs", type=click.IntRange(1), help="Worker processes for the zoo; all cores by default.")
@click.option(
    "--format", "form", type=click.Choice(["text", "markdown", "csv", "json"]), default="text", show_default=True
)
def command(projects: tuple[Path, ...], methods: tuple[str, ...], jobs: int | None, form: str) -> None:
    """Measure methods on test surrogates that neither fit nor calibration saw.

    Several projects, say the same task with several targets, give a row each,
    then their mean and its 95 % confidence interval; then, by stratum, the AUC
    and the share of wrong verdicts.

    AUC, ARUC and TPR at 1 % and 5 % FPR need no threshold; TPR, FPR, TNR and
    FNR are those of the calibrated verdict, and the rest is inconclusive.
    """
    import json
    from dataclasses import asdict

    from metav_audit.fingerprint import evaluate
    from metav_audit.fingerprint.fit import check_method
    from metav_audit.progress import ProgressLine
    from metav_audit.zoo.project import load_project

    for method in methods:
        check_method(method)
    loaded = [load_project(project) for project in projects]
    results = []
    for project in loaded:
        progress = ProgressLine(f"{project.settings.name}, seed {project.settings.seed}: models trained")
        results += evaluate.evaluate_project(project, methods, jobs=jobs, progress=progress)
    tables = [evaluate.target_rows(results), evaluate.stratum_rows(results)]
    if form == "json":
        click.echo(json.dumps([[asdict(row) for row in table] for table in tables], indent=1))
    else:
        write = {"text": evaluate.as_text, "markdown": evaluate.as_markdown, "csv": evaluate.as_csv}[form]
        click.echo("\n".join(write(table) for table in tables), nl=False)
