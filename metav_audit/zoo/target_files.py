"""The files that the target lies in, by hash, and an OpenSSF model-signing manifest of them where one stands beside.

The manifest is what ``model_signing sign`` writes: a Sigstore bundle around an in-toto statement that names files by
SHA-256. What it says of the files is held against them here; who signed it, ``model_signing verify`` says.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.files import open_regular, read_regular, strict_json
from metav_audit.zoo.project import Project

PREDICATE_TYPE = "https://model_signing/signature/v1.0"
MANIFEST = "model.sig"

_MOST_BYTES = 1 << 26
_MOST_FILES = 10_000
_PART = 1 << 20
_OF_FOLDERS = ("config.json", "preprocessor_config.json", "model*.safetensors", "model.safetensors.index.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def files_of_target(project: Project) -> dict[str, Any]:
    """Return in JSON types the SHA-256 of each of the target's files, and what a signed manifest says of them.

    Returns:
        ``target_files``, by name; and ``model_signing``, where a manifest stands beside: its name, its hash and the
        subjects that it states. Nothing where the target is a function alone.

    Raises:
        ConfigurationError: a file cannot be read.
        DataError: the manifest is damaged, says nothing of a file, or something else than what is there.
    """
    target = project.settings.target
    named = [each for each in (target.model, target.weights, target.endpoint) if each and ":" not in each]
    paths = [project.folder / each for each in named]
    found = {name: _sha256(path) for place in paths for name, path in _files(place)}
    if not found:
        return {}
    told: dict[str, Any] = {"target_files": dict(sorted(found.items()))}
    for place in paths:
        if (manifest := _manifest(place)) is not None:
            signed = {name: sha256 for name, sha256 in found.items() if name in dict(_files(place))}
            told["model_signing"] = _signed(manifest, place, signed)
            break
    return told


def _files(place: Path) -> list[tuple[str, Path]]:
    """Name the files that decide the model: itself, or those of a folder that transformers reads."""
    if not place.is_dir():
        return [(place.name, place)]
    inner = sorted(each.name for each in place.iterdir() if any(fnmatch(each.name, one) for one in _OF_FOLDERS))
    return [(f"{place.name}/{name}", place / name) for name in inner[:_MOST_FILES]]


def _manifest(place: Path) -> Path | None:
    beside = [place / MANIFEST] if place.is_dir() else [place.with_name(f"{place.name}.sig"), place.parent / MANIFEST]
    return next((each for each in beside if each.is_file()), None)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open_regular(path, follow=True) as file:
            while part := file.read(_PART):
                digest.update(part)
    except OSError as error:
        raise ConfigurationError(f"cannot read the target's file {path}: {error.strerror or error}") from None
    return digest.hexdigest()


def _signed(manifest: Path, place: Path, files: Mapping[str, str]) -> dict[str, Any]:
    try:
        content = read_regular(manifest, _MOST_BYTES, follow=True)
        envelope = strict_json(content)["dsseEnvelope"]
        statement = strict_json(base64.b64decode(envelope["payload"], validate=True))
        if statement["predicateType"] != PREDICATE_TYPE:
            raise ValueError(f"its statement is of type {str(statement['predicateType'])[:80]!r}")
        subjects = {str(each["name"]): _digest(each["digest"]["sha256"]) for each in statement["subject"]}
        stated = _resources(statement["predicate"]["resources"])
    except OSError as error:
        raise ConfigurationError(f"cannot read the manifest {manifest}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise DataError(
            f"{manifest} is no model-signing manifest of sha256, or is damaged ({error}): have the model signed again, "
            "or take the file away"
        ) from None
    _check(stated, manifest, place, files)
    return {"manifest": manifest.name, "sha256": hashlib.sha256(content).hexdigest(), "subjects": subjects}


def _resources(told: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return digests by name; of a single file's manifest the name is "."."""
    return {str(each["name"]): _digest(each["digest"]) for each in told if each.get("algorithm", "sha256") == "sha256"}


def _digest(told: Any) -> str:
    if not isinstance(told, str) or not _SHA256.fullmatch(told):
        raise ValueError("a digest is no SHA-256")
    return told


def _check(stated: Mapping[str, str], manifest: Path, place: Path, files: Mapping[str, str]) -> None:
    for name, sha256 in files.items():
        inner = name.removeprefix(f"{place.name}/") if place.is_dir() else name
        known = stated.get(inner, stated.get(".") if len(files) == 1 else None)
        if known is None:
            raise DataError(f"{manifest} says nothing of {name}: have the model signed as it is, or take the file away")
        if known != sha256:
            raise DataError(
                f"{manifest} states another content of {name} than is there (SHA-256 {known[:12]}..., not "
                f"{sha256[:12]}...): name the model that was signed, or have it signed again"
            )
