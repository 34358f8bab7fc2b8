"""What a user sets: the variable that no file may name, what no fault may show, what is wrong with a file in a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

PASSPHRASE = "METAV_AUDIT_KEY_PASSPHRASE"  # noqa: S105 - the variable's name, not its value

HANDED_OUT: set[str] = set()
"""Credentials that a cloud's library gave to this process, not by a variable: a fault's traceback omits them."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Ask, as the end of a message, whether the nearest of some names was meant; nothing where none is near.

    >>> nearest("json-templat", ["json-template", "sagemaker"]), nearest("grpc", ["sagemaker"])
    ("; did you mean 'json-template'?", '')
    """
    # What differs by its case alone is nearest of all.
    folded = {each.casefold(): each for each in known}
    found = get_close_matches(name.casefold(), folded, n=1, cutoff=0.7)
    return f"; did you mean {folded[found[0]]!r}?" if found else ""


def first_problem(error: ValidationError, *where: str, model: type[BaseModel], beside: Iterable[str] = ()) -> str:
    """Return "place: what is wrong" for the first problem; no value is repeated, since it may be a secret.

    Args:
        error: what pydantic found.
        where: what stands before the place.
        model: what was read; a key that it does not know is told with the nearest that it does.
        beside: keys that may stand beside those of the model, and are read by others.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join([*where, *map(str, first["loc"])]) or "options"
    if first["type"] == "extra_forbidden":
        *above, key = first["loc"]
        meant = nearest(str(key), [*_keys(model, above), *([] if above else beside)])
        return f"{place}: this key is unknown: check its spelling{meant}"
    return f"{place}: {'this key is missing: add it' if first['type'] == 'missing' else first['msg']}"


def _keys(model: type[BaseModel], above: Sequence[int | str]) -> list[str]:
    """Return the keys that the table at a place may have; none where that cannot be told."""
    from pydantic import BaseModel

    found: Any = model
    for name in above:
        fields = found.model_fields if isinstance(found, type) and issubclass(found, BaseModel) else {}
        by_key = {field.alias or own: field for own, field in fields.items()}
        if name in by_key:
            kinds = (by_key[name].annotation, *get_args(by_key[name].annotation))
            found = next((each for each in kinds if isinstance(each, type) and issubclass(each, BaseModel)), None)
        else:
            found = None
    if found is None:
        return []
    return [field.alias or own for own, field in found.model_fields.items()]
