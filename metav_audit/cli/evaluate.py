"""metav-audit evaluate PROJECT..."""

from __future__ import annotations

from pathlib import Path

import click

from metav_audit.cli.echo import echo, echo_json, echo_table

WIRES = ("png", "jpeg-90", "resized", "noise-0.01", "noise-0.05")
VIEWS = ("full", "top5", "top3", "top1", "3-decimals", "2-decimals", "noisy", "label")


@click.command()
@click.argument("projects", nargs=-1, required=True, metavar="PROJECT...", type=click.Path(path_type=Path))
@click.option("--method", "methods", multiple=True, help="As often as wanted; by default committee, metav and ipguard.")
@click.option("--jobs", type=click.IntRange(1), help="Worker processes for the zoo; all cores by default.")
@click.option(
    "--format", "form", type=click.Choice(["text", "markdown", "csv", "json"]), default="text", show_default=True
)
@click.option("--view", "views", multiple=True, type=click.Choice(VIEWS), help="What an API shows; may be repeated.")
@click.option("--queries", "budgets", multiple=True, type=click.IntRange(1), help="Fingerprint size; may be repeated.")
@click.option(
    "--wire", "wires", multiple=True, type=click.Choice(WIRES), help="What happens on the way; may be repeated."
)
@click.option(
    "--held-out",
    "held_out",
    multiple=True,
    type=click.Choice(["family", "architecture", "data"]),
    help="Leave each out of fit and calibration in turn, and test it.",
)
@click.option("--figures", type=click.Path(path_type=Path), help="A folder for curves, as SVG and PNG.")
def command(
    projects: tuple[Path, ...],
    methods: tuple[str, ...],
    jobs: int | None,
    form: str,
    views: tuple[str, ...],
    budgets: tuple[int, ...],
    wires: tuple[str, ...],
    held_out: tuple[str, ...],
    figures: Path | None,
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
    Then, for several projects, the first method less each other one, in pairs.

    With --view and --queries a table follows by what is shown and asked; views
    are full, top5, top3, top1, 3-decimals, 2-decimals, noisy (a standard
    deviation of 0.01) and label. With --wire something happens on the way of
    which calibration knows nothing: pictures go through a PNG, a JPEG of quality
    90, or twice the size and back; answers get noise of that standard deviation.

    --held-out family adds figures for each family of copies, unknown to the zoo:
    mean AUC, the lowest of any target (min), TPR at 5 % FPR (@5%) and the shares
    of verdicts; --held-out architecture the rate of false matches on independents
    of each architecture, unknown likewise, and --held-out data that on
    independents of the owner's data, and of other. Bare is that rate if a match
    needed no independents of the target's own architecture in the calibration.

    Methods: committee, metav, local, fitprint, siblings, and the baselines
    ipguard, irisfp, anafp, akh, sac and random. For fitprint the bit-error rates
    follow, of derived (+) and of independent models (-): their mean, and the rate
    of the model nearest the other side. The figures are Tippett and PAV plots, and robustness with
    uniqueness.
    """
    from dataclasses import asdict

    from metav_audit.evaluation import tables
    from metav_audit.evaluation.comparisons import all_rows
    from metav_audit.evaluation.conditions import conditions_of
    from metav_audit.evaluation.curves import write_curves
    from metav_audit.evaluation.heldout import HeldOut, evaluate_held_out
    from metav_audit.evaluation.run import evaluate_project
    from metav_audit.evaluation.scores import TestScores
    from metav_audit.fingerprint.methods.registry import choose_methods
    from metav_audit.progress import ProgressLine
    from metav_audit.zoo.formats.opaque import has_gradients
    from metav_audit.zoo.project import load_project, open_workshop

    loaded = [load_project(project) for project in projects]
    gradients = all(has_gradients(open_workshop(project).target.network) for project in loaded)
    methods = choose_methods(methods, {project.task.output.kind for project in loaded}, gradients=gradients)
    conditions = conditions_of(views, budgets, wires)
    results: list[TestScores] = []
    left_out: dict[str, list[TestScores]] = {what: [] for what in held_out}
    for project in loaded:
        name = f"{project.settings.name}, seed {project.settings.seed}"
        line = ProgressLine(f"{name}: models trained")
        results += evaluate_project(project, methods, conditions, jobs=jobs, progress=line)
        for what, found in left_out.items():
            fits = ProgressLine(f"{name}: {what} left out")
            found.extend(evaluate_held_out(project, methods, HeldOut(what), conditions, jobs=jobs, progress=fits))
    if figures is not None:
        echo(f"{len(write_curves(results, figures))} figures in {figures}", err=True)
    rows = all_rows(results, left_out)
    if form == "json":
        echo_json([[asdict(row) for row in each] for each in rows], indent=1)
    else:
        write = {"text": tables.as_text, "markdown": tables.as_markdown, "csv": tables.as_csv}[form]
        echo_table("\n".join(write(each) for each in rows))
