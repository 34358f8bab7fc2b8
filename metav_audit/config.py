"""What a user sets: the one variable that no file may name, and what is wrong with a file, in one line."""

from __future__ import annotations

from pydantic import ValidationError

PASSPHRASE = "METAV_AUDIT_KEY_PASSPHRASE"  # noqa: S105 - the variable's name, not its value


def first_problem(error: ValidationError, *where: str) -> str:
    """Return "place: what is wrong" for the first problem; no value is repeated, since it may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join([*where, *map(str, first["loc"])]) or "options"
    what = {"extra_forbidden": "this key is unknown: check its spelling", "missing": "this key is missing: add it"}
    return f"{place}: {what.get(first['type'], first['msg'])}"
