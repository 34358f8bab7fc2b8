"""``metav-audit serve``: put one's own model behind Open Inference Protocol v2, for rehearsals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metav_audit.cli.echo import ascii_json, echo, echo_table

if TYPE_CHECKING:
    from metav_audit.zoo.formats.base import Outputs


@click.command()
@click.argument("model")
@click.option("--bundle", type=click.Path(path_type=Path), help="Names the task, where MODEL does not.")
@click.option("--project", type=click.Path(path_type=Path), help="Names the task, too.")
@click.option("--weights", type=click.Path(path_type=Path),
              help="Weights of MODULE:FUNCTION, a safetensors file.")  # fmt: skip
@click.option("--outputs", type=click.Choice(["logits", "probabilities", "values"]),
              help="What a .pt2 file or MODULE:FUNCTION gives; logits by default, or values.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address to listen on: this machine alone, unless another is named.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; any free one by default.")
@click.option("--end-with-stdin", is_flag=True, help="End when standard input does: for programs that start this one.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="Print the URL, or the endpoint table as JSON.")  # fmt: skip
def command(
    model: str,
    bundle: Path | None,
    project: Path | None,
    weights: Path | None,
    outputs: Outputs | None,
    host: str,
    port: int,
    end_with_stdin: bool,
    form: str,
) -> None:
    """Put MODEL behind Open Inference Protocol v2, to rehearse an audit.

    MODEL is a project (its folder or project.toml: the target is served), a
    .pt2 file, or MODULE:FUNCTION. The last two need --bundle or --project,
    which say what goes in and what comes out.

    A project and MODULE:FUNCTION are code, and run. A .pt2 file is looked through
    before it is opened, and refused if opening it would run code; what its
    program then computes is its own: a stranger's belongs in a container.

    The URL goes to stdout when the server is ready; a table for an endpoint
    file goes to stderr. Ctrl-C or SIGTERM ends it.
    """
    from metav_audit.serving.model import endpoint_fields, open_model
    from metav_audit.serving.open_inference import answer
    from metav_audit.serving.server import Server, serve_until, until_interrupted, until_stdin_closes

    served = open_model(model, bundle=bundle, project=project, weights=weights, outputs=outputs)
    server = Server(host, port, lambda request: answer(served, request), lambda line: echo(line, err=True))
    fields = endpoint_fields(served, server.url)

    def until_the_end() -> None:
        echo_table(_table(fields), err=True)
        echo(ascii_json(fields) if form == "json" else server.url)
        (until_stdin_closes if end_with_stdin else until_interrupted)()

    serve_until(server, until_the_end)
    echo(f"ended after {server.gate.passed} requests", err=True)


def _table(fields: dict[str, Any]) -> str:
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["# for an endpoint file:", "[endpoints.control]", *lines])
