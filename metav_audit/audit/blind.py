"""Blind controls gathered: models that a third party vouches are independent, asked over HTTP or brought as answers."""

from __future__ import annotations

import hashlib
import io
import tomllib
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metav_audit.audit.endpoint.file import Endpoint, load_endpoints
from metav_audit.audit.endpoint.grant import NOTHING, Grant
from metav_audit.audit.fleet import Audited, audit_side_by_side
from metav_audit.audit.folder import prepare_folder
from metav_audit.audit.run import ProgressCallback
from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import AnswerError, ConfigurationError
from metav_audit.files import read_regular, strict_json, write_atomically
from metav_audit.task import Answer, ScoreKind, features
from metav_audit.verdict import (
    BLIND_CONTROLS,
    MAX_CONTROLS_BYTES,
    SUPPLIER,
    Asked,
    AuditFolder,
    ControlModel,
    Controls,
    check_names,
)

FOLDER = "blind-controls"
"""Where the controls' own audits stand, beside those of the suspects."""


def control_endpoints(source: Path, bundle: FingerprintBundle, grant: Grant = NOTHING) -> list[Endpoint]:
    """Return the endpoints that the controls are asked at; none where ``source`` holds their answers.

    The file is a third party's: of ``grant`` it takes what a stranger's may.
    """
    return load_endpoints(source, bundle.task, grant.for_strangers()) if source.suffix == ".toml" else []


def gather_controls(
    bundle: FingerprintBundle,
    source: Path,
    folder: Path,
    *,
    parallel: int,
    complain: Callable[[str], None],
    progress: ProgressCallback | None = None,
    grant: Grant = NOTHING,
) -> Controls:
    """Ask the controls of an endpoint file like any suspect, or read their answers from a file.

    Args:
        bundle: whose fingerprint they answer.
        source: an endpoint file, ``.toml``; or answers, ``.json`` or ``.npz``, see ``read_answers``.
        folder: the audits' folder; the controls' own stand in its ``blind-controls``.
        parallel: controls asked at once.
        complain: told why a control is missing.
        progress: told of every step.
        grant: what of this machine endpoint files may take; see ``control_endpoints``.

    Raises:
        ConfigurationError: the file is missing or misstates something.
        AnswerError: an answer in the file does not fit the task.
    """
    if source.suffix != ".toml":
        return read_answers(bundle, source)
    endpoints, place = control_endpoints(source, bundle, grant), folder / FOLDER
    _check(source, [endpoint.name for endpoint in endpoints])
    for endpoint in endpoints:
        prepare_folder(bundle, endpoint, AuditFolder(place / endpoint.name))
    models: list[ControlModel] = []

    def keep(audited: Audited) -> None:
        if audited.error is not None:
            complain(f"blind control {audited.endpoint.name}: {audited.error}")
            return
        transcript = audited.folder.transcript()
        answers, kind = tuple(Asked.of(bundle, transcript).answers), transcript.endpoint.scores
        models.append(ControlModel(audited.endpoint.name, kind, answers, transcript.head, observed=True))

    audit_side_by_side(bundle, endpoints, place, parallel=parallel, finish=keep, progress=progress)
    return Controls(bundle.sha256, tuple(models))


def put_controls(controls: Controls, folder: AuditFolder, signed: bytes | None = None) -> None:
    """Write the controls into an audit's folder, where the verdict takes them up, and what their supplier signed."""
    write_atomically(folder / BLIND_CONTROLS, controls.to_bytes())
    if signed is not None:
        write_atomically(folder / SUPPLIER, signed)


def signed_beside(source: Path) -> Path:
    """Return where a supplier's statement about a file of blind controls stands."""
    return source.with_name(f"{source.name}.signed.json")


def control_names(source: Path) -> tuple[str, list[str]]:
    """Return the SHA-256 of a file of blind controls, and their names.

    Raises:
        ConfigurationError: the file is missing, oversized, or holds something else.
    """
    content = _read(source, (".toml", ".json", ".npz"))
    try:
        if source.suffix == ".toml":
            names = list(tomllib.loads(content.decode("utf-8-sig"))["endpoints"])
        else:
            names = list((_from_json(content) if source.suffix == ".json" else _from_npz(content))[1])
    except _UNFIT as error:
        raise ConfigurationError(f"cannot read blind controls from {source}: {_unfit(error)}") from None
    _check(source, names)
    return hashlib.sha256(content).hexdigest(), names


def read_answers(bundle: FingerprintBundle, source: Path) -> Controls:
    """Read the controls' answers to the fingerprint, in the order of its inputs and of the task's labels.

    A ``.json`` file holds ``{"scores": "probability", "models": {NAME: [[...], ...]}}``, null for what is not shown; a
    ``.npz`` file one array of shape (models, queries, classes), named after the kind of score, and perhaps ``names``.

    Raises:
        ConfigurationError: the file is missing, oversized, or holds something else.
        AnswerError: an answer does not fit the task.
    """
    content = _read(source, (".json", ".npz"))
    try:
        kind, rows = _from_json(content) if source.suffix == ".json" else _from_npz(content)
    except _UNFIT as error:
        raise ConfigurationError(f"cannot read blind controls from {source}: {_unfit(error)}") from None
    _check(source, list(rows))
    digest, queries = hashlib.sha256(content).hexdigest(), len(bundle.inputs)
    for name, answers in rows.items():
        if len(answers) != queries:
            raise AnswerError(f"{source}: control {name} has {len(answers)} answers, the fingerprint {queries} queries")
        features(answers, bundle.task.output, kind)
    return Controls(bundle.sha256, tuple(ControlModel(name, kind, rows[name], digest) for name in rows))


_UNFIT = (ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, zipfile.BadZipFile)


def _unfit(error: BaseException) -> str:
    return f"{'it lacks' if isinstance(error, KeyError) else 'it holds no such answers:'} {error}"


Rows = Mapping[str, tuple[Answer | None, ...]]


def _from_json(content: bytes) -> tuple[ScoreKind, Rows]:
    fields = strict_json(content)
    rows = {}
    for name, answers in fields["models"].items():
        shared = {"name": name, "scores": fields["scores"], "source_sha256": ""}
        rows[name] = ControlModel.from_json({**shared, "answers": answers}).answers
    return ScoreKind(fields["scores"]), rows


def _from_npz(content: bytes) -> tuple[ScoreKind, Rows]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_CONTROLS_BYTES:
            raise ValueError(f"its arrays have more than {MAX_CONTROLS_BYTES} bytes")
    arrays: Any = np.load(io.BytesIO(content), allow_pickle=False)
    kinds = [kind for kind in ScoreKind if kind.value in arrays]
    if len(kinds) != 1:
        raise ValueError(f"one array named {', '.join(kind.value for kind in ScoreKind)} is needed")
    scores = np.asarray(arrays[kinds[0].value], dtype=np.float64)
    if scores.ndim != 3:
        raise ValueError(f"its array has shape {scores.shape}, (models, queries, classes) is needed")
    names = arrays["names"].tolist() if "names" in arrays else [f"control {at}" for at in range(len(scores))]
    check_names(names)
    rows = ([Answer(tuple(row)) for row in model] for model in scores.tolist())
    return kinds[0], {str(name): tuple(answers) for name, answers in zip(names, rows, strict=True)}


def _check(source: Path, names: list[str]) -> None:
    try:
        check_names(names)
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}") from None


def _read(source: Path, endings: Collection[str]) -> bytes:
    if source.suffix not in endings:
        raise ConfigurationError(f"blind controls come as .toml, .json or .npz, not as {source}")
    try:
        return read_regular(source, MAX_CONTROLS_BYTES, follow=True)
    except OSError as error:
        raise ConfigurationError(f"cannot read the blind controls {source}: {error.strerror}") from None
