"""``metav-audit adapters``: what is installed, and what each can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from metav_audit.cli.echo import echo_json, echo_table

if TYPE_CHECKING:
    from metav_audit.adapter import InstalledAdapter


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How the list is printed.")  # fmt: skip
def command(form: str) -> None:
    """List the installed adapters, and the options each takes."""
    from metav_audit.adapter import installed_adapters

    described = [_describe(installed) for installed in installed_adapters()]
    if form == "json":
        echo_json(described, indent=2)
    else:
        echo_table("\n\n".join(map(_text, described)))


def _describe(installed: InstalledAdapter) -> dict[str, Any]:
    shared = {"name": installed.name, "package": installed.package, "problem": installed.problem}
    if installed.adapter is None:
        return {**shared, "summary": None, "options": []}
    fields = installed.adapter.Options.model_fields
    options = [
        {
            "name": name,
            "description": field.description or "",
            "required": field.is_required(),
            "default": None
            if field.is_required()
            else json.loads(json.dumps(field.get_default(call_default_factory=True))),
        }
        for name, field in fields.items()
    ]
    return {**shared, "summary": installed.adapter.summary, "options": options}


def _text(described: dict[str, Any]) -> str:
    if described["problem"]:
        return f"{described['name']} ({described['package']}): cannot be used: {described['problem']}"
    lines = [f"{described['name']} ({described['package']})", f"  {described['summary']}"]
    for option in described["options"]:
        lines.append(f"    {option['name']}{' (required)' if option['required'] else _default(option)}")
        lines.append(f"        {option['description']}")
    return "\n".join(lines)


def _default(option: dict[str, Any]) -> str:
    return "" if option["default"] in (None, "", {}) else f" = {option['default']}"
