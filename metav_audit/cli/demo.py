"""metav-audit demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo

if TYPE_CHECKING:
    from metav_audit.demo.run import DemoResult


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default="out", show_default=True, help="Folder to fill.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def command(out: Path, seed: int) -> int:
    """Run the whole chain on real digits, over HTTP on the loopback.

    Trains a target and its zoo, fits a bundle, serves three suspects (a
    fine-tuned copy, a copy distilled into another architecture, an independent
    model of the same architecture and data) and audits each.
    """
    from metav_audit.demo.run import run_demo
    from metav_audit.progress import ProgressLine

    results = run_demo(out, seed, lambda line: echo(line, err=True), ProgressLine)
    heads = ("accuracy", "score", "p indep.", "p deriv.", "p sibl.")
    echo(f"{'suspect':<12} {' '.join(f'{head:>8}' for head in heads)}  outcome")
    for result in results:
        echo(_line(result))
    echo("")
    echo("Open:")
    for result in results:
        echo(f"  {result.folder / 'report.pdf'}")
    wrong = [result.name for result in results if result.verdict.outcome is not result.truth]
    if wrong:
        echo(f"metav-audit: the demo did not reach the right outcome for {', '.join(wrong)}", err=True)
    return 4 if wrong else 0


def _line(result: DemoResult) -> str:
    verdict = result.verdict
    figures = (verdict.score, verdict.p_value, verdict.p_value_derived, verdict.p_value_siblings)
    told = (f"{result.performance:.3f}", *(f"{each:.4f}" if each is not None else "-" for each in figures))
    return f"{result.name:<12} {' '.join(f'{each:>8}' for each in told)}  {verdict.outcome}"
