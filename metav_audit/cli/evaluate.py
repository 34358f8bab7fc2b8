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
@click.option("--figures", type=click.Path(path_type=Path), help="A folder for Tippett and PAV plots, SVG and PNG.")
def command(
    projects: tuple[Path, ...], methods: tuple[str, ...], jobs: int | None, form: str, figures: Path | None
) -> None:
    """Measure methods on test surrogates that neither fit nor calibration saw.

    Several projects, say the same task with several targets, give a row each,
    then their mean and its 95 % confidence interval. AUC, ARUC and TPR at 1 %
    FPR need no threshold; TPR, FPR, TNR and FNR are those of the calibrated
    verdict, and the rest is inconclusive; Cllr is the cost of the likelihood
    ratios, 0 at best, 1 if they say nothing.

    Then, of the likelihood ratios: Cllr with the best calibration there is, the
    bounds of log10 LR (low, high), the outermost seen (from, to), and the share
    of derived models with LR < 1 and of independent ones with LR > 1. Then, by
    stratum, the AUC and the share of wrong verdicts; and the error rates by
    lineage, with their 95 % Clopper-Pearson interval, beside the stated ones.

    Methods: metav, fitprint, ipguard. For fitprint the bit-error rates follow,
    of derived (+) and of independent models (-): their mean, and the rate of
    the model nearest the other side.
    """
    import json
    from dataclasses import asdict

    from metav_audit.fingerprint import evaluate, tables
    from metav_audit.fingerprint.curves import write_curves
    from metav_audit.fingerprint.methods import find_method
    from metav_audit.progress import ProgressLine
    from metav_audit.zoo.project import load_project

    for method in methods:
        find_method(method)
    loaded = [load_project(project) for project in projects]
    results = []
    for project in loaded:
        progress = ProgressLine(f"{project.settings.name}, seed {project.settings.seed}: models trained")
        results += evaluate.evaluate_project(project, methods, jobs=jobs, progress=progress)
    if figures is not None:
        click.echo(f"{len(write_curves(results, figures))} figures in {figures}", err=True)
    found: list[tables.Rows] = [
        evaluate.target_rows(results),
        evaluate.weight_rows(results),
        evaluate.stratum_rows(results),
        evaluate.error_rows(results),
    ]
    if spelled := evaluate.spelling_rows(results):
        found.append(spelled)
    if form == "json":
        click.echo(json.dumps([[asdict(row) for row in rows] for rows in found], indent=1))
    else:
        write = {"text": tables.as_text, "markdown": tables.as_markdown, "csv": tables.as_csv}[form]
        click.echo("\n".join(write(rows) for rows in found), nl=False)
