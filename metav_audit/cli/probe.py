"""``metav-audit probe``: find out how an API wants to be asked, and write its endpoint file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from metav_audit.cli.echo import ascii_json, echo, echo_json, echo_table

if TYPE_CHECKING:
    from metav_audit.audit.probe.found import Found
    from metav_audit.audit.probe.run import Plan


@click.command()
@click.argument("url")
@click.option("--bundle", "-b", type=click.Path(path_type=Path), required=True, help="Whose natural inputs are sent.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("endpoint.toml"), show_default=True,
              help="The endpoint file to write; none is overwritten.")  # fmt: skip
@click.option("--name", default="suspect", show_default=True, help="The endpoint's name in the file.")
@click.option("--requests", type=click.IntRange(1, 1000), default=12, show_default=True,
              help="Requests in all, polls and descriptions included.")  # fmt: skip
@click.option("--header", "headers", metavar="'NAME: VALUE'", multiple=True,
              help="Header to send, such as 'X-API-Key: ${KEY}'; repeatable.")  # fmt: skip
@click.option("--secret", "secrets", metavar="NAME[@HOST]", multiple=True,
              help="Environment variable that may be sent, to HOST alone if named; repeatable.")  # fmt: skip
@click.option("--describe", metavar="FILE|URL",
              help="OpenAPI description in JSON; by default /openapi.json is tried.")  # fmt: skip
@click.option("--ca", metavar="FILE", type=click.Path(path_type=Path), help="Root certificates that TLS trusts, PEM.")
@click.option("--cert", metavar="FILE", type=click.Path(path_type=Path), help="Client certificate to show, PEM.")
@click.option("--key", metavar="FILE", type=click.Path(path_type=Path), help="Its private key, if not in that file.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent; send nothing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How what was found is printed.")  # fmt: skip
def command(
    url: str,
    bundle: Path,
    out: Path,
    name: str,
    requests: int,
    headers: tuple[str, ...],
    secrets: tuple[str, ...],
    describe: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    dry_run: bool,
    form: str,
) -> None:
    """Find out how the API at URL wants to be asked; write an endpoint file.

    A few of the bundle's natural inputs, which the target gets right, are sent
    in one way after another, until the API takes them and answers them rightly:
    fields, encodings, ranges, layouts, jobs to be polled. Where the answers
    lie, what kind of scores they are and whose label is which is found from
    what came back, without further requests. What is written is an endpoint
    file with comments, ready for 'metav-audit audit'. It is no verdict.

    Only URL's host is asked, no more often than --requests says, and no
    variable is sent but those of --secret.

    Exit code: 0 the file was written; 2 usage or configuration; 4 the API
    cannot be asked, or no way was found that does the task.
    """
    from metav_audit.audit import Grant
    from metav_audit.audit.probe.run import Plan, probe
    from metav_audit.bundle import FingerprintBundle
    from metav_audit.errors import ConfigurationError
    from metav_audit.files import write_atomically

    given = dict(_header(each) for each in headers)
    # In the endpoint file they stand in full: there they would be looked for beside it.
    way = {name: str(path.resolve()) for name, path in (("ca", ca), ("cert", cert), ("key", key)) if path is not None}
    grant = Grant(frozenset(secrets))
    plan = Plan(FingerprintBundle.load(bundle), url, name, given, grant, requests, describe, way)
    outlook = _outlook(plan, form)
    if dry_run:
        echo_table(outlook if form == "json" else f"{outlook}\n  nothing was sent")
        return
    if out.exists():
        raise ConfigurationError(f"{out} exists: choose another file with -o")
    echo_table(_outlook(plan, "text"), err=True)
    found = probe(plan)
    if out.exists():
        raise ConfigurationError(f"{out} exists by now: choose another file with -o")
    write_atomically(out, found.text().encode())
    _tell(found, out, form)


def _header(text: str) -> tuple[str, str]:
    from metav_audit.errors import ConfigurationError

    name, colon, value = text.partition(":")
    if not colon or not value.strip():
        raise ConfigurationError("--header is written 'NAME: VALUE', such as 'X-API-Key: ${KEY}'")
    return name.strip(), value.strip()


def _outlook(plan: Plan, form: str) -> str:
    """Say what would be sent, and where."""
    import os
    from urllib.parse import urlsplit

    from metav_audit.bundle import SOURCES

    natural, endpoint = plan.natural(), plan.endpoint()
    host, variables = urlsplit(plan.url).netloc, endpoint.variables(os.environ)
    if form == "json":
        return ascii_json({"url": plan.url, "requests_at_most": plan.requests, "natural_inputs": len(natural.inputs),
                           "source": natural.source, "variables": dict.fromkeys(variables, host)})  # fmt: skip
    lines = [
        f"{plan.name}: at most {plan.requests} requests to {host}",
        f"  with some of {len(natural.inputs)} natural inputs {SOURCES[natural.source]}",
    ]
    return "\n".join(lines + [f"  {variable} goes to {host}" for variable in variables])


def _tell(found: Found, out: Path, form: str) -> None:
    if form == "json":
        echo_json({"endpoint": found.name, "file": str(out), "adapter": found.fields["adapter"],
                   "requests": found.requests, "answered": len(found.reading.answers), "agreement": found.agreement,
                   "view": found.view, "doubts": list(found.doubts)})  # fmt: skip
        return
    echo(f"{found.name}: {found.accuracy}")
    echo(f"  requests: {found.requests}")
    echo(f"  it shows: {found.view}")
    for doubt in found.doubts:
        echo(f"  note: {doubt}")
    echo(f"  -> {out}")
