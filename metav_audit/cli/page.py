"""``metav-audit page``: the history as a static site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import echo

if TYPE_CHECKING:
    from metav_audit.watch.database import History
    from metav_audit.watch.fleet import Fleet
    from metav_audit.watch.page.build import Site


@click.command()
@click.argument("fleet", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("page"), show_default=True,
              help="Folder to write into.")  # fmt: skip
@click.option("--title", default="Watched endpoints", show_default=True, help="Title of the site.")
@click.option("--serve", "live", is_flag=True, help="Write nothing, and serve it live on this machine alone.")
@click.option("--port", type=click.IntRange(0, 65535), default=8350, show_default=True, help="Of --serve; 0 for any.")
def command(fleet: Path, out: Path, title: str, live: bool, port: int) -> None:
    """Write what the watch of FLEET found as a site of plain files.

    OUT/index.html shows the fleet, and leads to every endpoint's audits over
    time, its events, its reports and evidence, and to the bundles and their
    limits. It needs no server and no network, and runs no script: open it as a
    file, or copy the folder to any web server. Evidence stays where it is; links
    lead to it. The path of index.html is printed.
    """
    import time

    from metav_audit.watch.database import open_standing
    from metav_audit.watch.fleet import load_fleet
    from metav_audit.watch.page.build import links_into, write_site

    laid = load_fleet(fleet)
    evidence = laid.place(laid.file.evidence)
    with open_standing(laid) as history:
        if live:
            from metav_audit.watch.page.serve import serve

            serve(lambda: _site(laid, history, title, time.time()), evidence, port, echo)
            return
        link = links_into(evidence.resolve(), (out / "endpoints").resolve(), laid.file.archive)
        write_site(_site(laid, history, title, time.time()), out, link)
    echo(out / "index.html")


def _site(fleet: Fleet, history: History, title: str, now: float) -> Site:
    from metav_audit.watch.site import read_site

    return read_site(fleet, history, title, now)
