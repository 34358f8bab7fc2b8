"""A dither's file: the key from which every coin follows, and how far coins move answers; for its owner alone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from metav_audit.errors import ConfigurationError, SecretError
from metav_audit.files import read_private, strict_json, write_atomically
from metav_audit.task.dither import KEY_BYTES, Dither

FORMAT = "metav-audit-dither"
SCHEMA_VERSION = 1
MAX_DITHER_BYTES = 1 << 14
_VARIABLE = "env:"
_MADE_BY = "metav-audit dither keygen"


def make_dither(path: Path, epsilon: float, undecided: float) -> Dither:
    """Draw a key, and write a dither with it to ``path``, readable by its owner alone.

    Raises:
        ConfigurationError: a file of that name exists, or cannot be written, or the numbers are out of range.
    """
    if path.exists():
        raise ConfigurationError(f"{path} exists: a key is never overwritten, choose another name")
    dither = Dither(secrets.token_bytes(KEY_BYTES), epsilon, undecided)
    fields = {"format": FORMAT, "schema_version": SCHEMA_VERSION, **dither.to_json()}
    write_atomically(path, json.dumps(fields, indent=1).encode() + b"\n", mode=0o600)
    return dither


def read_dither(source: str | Path, environment: Mapping[str, str]) -> Dither:
    """Read a dither; no message repeats any of it.

    Args:
        source: a path, or ``env:NAME`` for the variable NAME that holds the file's content.
        environment: the variables.

    Raises:
        SecretError: the variable is not set, or others may read the file.
        ConfigurationError: the file cannot be read, or is none.
    """
    name = str(source).removeprefix(_VARIABLE)
    if str(source).startswith(_VARIABLE):
        content = environment.get(name, "").encode()
        if not content:
            raise SecretError(f"the environment variable {name} is not set or empty: it should hold a dither's file")
    else:
        content = read_private(Path(source), MAX_DITHER_BYTES, _MADE_BY)
    try:
        fields = strict_json(content)
        if (fields.pop("format"), fields.pop("schema_version")) != (FORMAT, SCHEMA_VERSION):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(f"{name} holds no dither: '{_MADE_BY}' makes one") from None
    try:
        return Dither.from_json(fields)
    except ConfigurationError as error:
        raise ConfigurationError(f"the dither {name}: {error}") from None
