"""FingerprintBundle: what the owner's side hands to the auditor's side, as a folder of two files, or three.

``manifest.json`` holds everything in words and numbers, the SHA-256 of ``tensors.safetensors``, and its own seal: the
SHA-256 of its canonical JSON without the seal. That seal is the bundle's hash. Loading checks all of it, and unpickles
nothing. Saving writes a temporary folder, flushes it to disk and renames it. A commitment, ``commitment.json``, may
stand beside the two, and the statement of whoever made it again, ``rebuild.json``: they speak of the bundle and so have
no part in its hash; ``evidence`` reads them, here they are bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from metav_audit.bundle.cards import Calibration, ErrorRates, ModelCard
from metav_audit.bundle.guess import refuse_what_is_none
from metav_audit.bundle.natural import NaturalInputs
from metav_audit.bundle.place import MANIFEST, swap, write_synced
from metav_audit.bundle.verifier import MetaVerifier, VerifierKind
from metav_audit.errors import BundleError, ConfigurationError
from metav_audit.files import read_regular, strict_json
from metav_audit.statistics import WeightTable
from metav_audit.task import FloatArray, Inputs, TaskSpec

FORMAT = "metav-audit-bundle"
SCHEMA_VERSION = 4
PLAIN_VERSION = 3
"""The version of bundles without natural inputs, which are as they ever were."""
TENSORS = "tensors.safetensors"
COMMITMENT = "commitment.json"
REBUILD = "rebuild.json"
REPLAY = "replay.json"
MAX_MANIFEST_BYTES = 16 << 20
MAX_TENSOR_BYTES = 1 << 30
MAX_COMMITMENT_BYTES = 32 << 20
MOST_NUMBERS = 1 << 25
"""No array that scoring the calibration makes has more, 256 MiB, unless the bundle itself is so large."""
MOST_MODELS = 20_000
_ANCESTOR = "ancestor.features"
_FIELDS = {
    "format", "schema_version", "name", "method", "task", "verifier", "rates", "calibration", "weight", "provenance",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FingerprintBundle:
    """Fingerprint, meta-verifier, task, calibration and provenance.

    Attributes:
        name: the owner's name for the protected model.
        method: the method that made the fingerprint.
        task: what every model of the task takes and gives.
        inputs: the fingerprint, float32 of shape (N, *domain.shape), valid in the domain.
        reference: the target's own canonical features on it, float32 of shape (N, D).
        verifier: the meta-verifier.
        calibration: the held-out models' answers.
        weight: the likelihood ratio of a score, where all is shown and answered.
        rates: the error rates a verdict promises.
        provenance: target hash, zoo hash, seed, versions; JSON types.
        ancestor: the features, of the same shape, of the public model that the target was tuned from; None where there
            is none, or its last layer is another.
        natural: natural inputs, which tell whether an endpoint was asked rightly; None where the owner gave none.
        commitment: what ``commitment.json`` holds, unread; None where there is none.
        rebuild: what ``rebuild.json`` holds, unread; None where there is none.
        replay: what ``replay.json`` holds, unread; None where there is none.
        sha256: the bundle's hash, the seal of its manifest; it follows from the rest, these three aside.
    """

    name: str
    method: str
    task: TaskSpec
    inputs: Inputs
    reference: FloatArray
    verifier: MetaVerifier
    calibration: Calibration
    weight: WeightTable
    rates: ErrorRates
    provenance: Mapping[str, Any]
    natural: NaturalInputs | None = None
    ancestor: FloatArray | None = None
    commitment: bytes | None = field(default=None, compare=False, repr=False)
    rebuild: bytes | None = field(default=None, compare=False, repr=False)
    replay: bytes | None = field(default=None, compare=False, repr=False)
    sha256: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        check_bundle(self)
        object.__setattr__(self, "sha256", _manifest(self, _tensor_bytes(self))["sha256"])

    def save(self, path: Path) -> str:
        """Write the bundle to the folder ``path``, whole or not at all, replacing an older one; return its hash."""
        tensors = _tensor_bytes(self)
        manifest = _manifest(self, tensors)
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as aside:
                fresh = Path(aside) / "fresh"
                fresh.mkdir()
                write_synced(fresh / TENSORS, tensors)
                write_synced(fresh / MANIFEST, text.encode() + b"\n")
                for name, content in ((COMMITMENT, self.commitment), (REBUILD, self.rebuild), (REPLAY, self.replay)):
                    if content is not None:
                        write_synced(fresh / name, content)
                swap(fresh, path)
        except OSError as error:
            raise ConfigurationError(f"cannot write the bundle {path}: {error.strerror}") from error
        return str(manifest["sha256"])

    @classmethod
    def load(cls, path: Path) -> FingerprintBundle:
        """Read a bundle and check all of it.

        Raises:
            BundleError: it is damaged, of another schema than this program's, oversized or foreign.
            ConfigurationError: nothing is there, or an endpoint file, a project or an audit's folder.
        """
        return load_bundle(Path(path))


def check_bundle(bundle: FingerprintBundle) -> None:
    """Raise BundleError unless the bundle's parts fit each other."""
    count, width = len(bundle.inputs), bundle.task.output.size
    models = bundle.calibration.models
    expected = {
        "fingerprint.inputs": (bundle.inputs, (count, *bundle.task.domain.shape)),
        "target.features": (bundle.reference, (count, width)),
        _ANCESTOR: (bundle.reference if bundle.ancestor is None else bundle.ancestor, (count, width)),
        "calibration.features": (bundle.calibration.features, (len(models), count, width)),
    }
    if count == 0:
        raise BundleError("the bundle holds no query: it is damaged")
    for name, (array, shape) in expected.items():
        if array.shape != shape:
            raise BundleError(f"bundle part {name} has shape {array.shape}, {shape} was expected: it is damaged")
        if not np.isfinite(array).all():
            raise BundleError(f"bundle part {name} holds NaN or infinite values: it is damaged")
    _check_cost(bundle)
    if not np.array_equal(bundle.task.domain.project(bundle.inputs), bundle.inputs):
        raise BundleError("a fingerprint input is not valid in the task's input domain: fit the bundle again")
    sides = {card.derived for card in models}
    if sides != {True, False}:
        raise BundleError("the calibration needs models of both sides, derived and independent: fit the bundle again")
    if bundle.natural is not None:
        bundle.natural.check(bundle.task, count, len(models))
    _check_verifier(bundle)


def _check_cost(bundle: FingerprintBundle) -> None:
    """Refuse what a small file makes large: nothing was scored until here."""
    models, queries, width = bundle.calibration.features.shape
    try:
        largest = bundle.verifier.largest(models, queries, width)
    except (KeyError, IndexError) as error:
        raise BundleError(f"the meta-verifier does not fit the fingerprint ({error}): the bundle is damaged") from error
    if largest > max(MOST_NUMBERS, bundle.calibration.features.size) or models > MOST_MODELS:
        raise BundleError(
            f"scoring {models} calibration models on {queries} queries would take an array of {largest} numbers, more "
            f"than {MOST_NUMBERS}, or more than {MOST_MODELS} models: fit a smaller bundle"
        )


def _check_verifier(bundle: FingerprintBundle) -> None:
    models = bundle.verifier.tensors.get("models")
    if models is not None and (len(models) < 2 or not np.array_equal(models[0], bundle.reference)):
        raise BundleError("the siblings' table lacks siblings, or the target's own answers first: it is damaged")
    ones = np.ones((1, *bundle.reference.shape), dtype=bool)
    try:
        with np.errstate(all="ignore"):
            score = bundle.verifier.scores(bundle.reference[None], ones)
    except (KeyError, ValueError, IndexError) as error:
        raise BundleError(f"the meta-verifier does not fit the fingerprint ({error}): the bundle is damaged") from error
    if score.shape != (1,) or not np.isfinite(score).all():
        raise BundleError("the meta-verifier gives no finite score: the bundle is damaged")


def load_bundle(path: Path) -> FingerprintBundle:
    """Read a bundle in numbered steps, each with its own refusal; see ``FingerprintBundle.load``."""
    refuse_what_is_none(path)
    # 1. Both files are there and no larger than they may be.
    text = _read(path / MANIFEST, MAX_MANIFEST_BYTES)
    # 2. The manifest is ours, and of this make.
    manifest = _parse_manifest(text, path)
    # 3. The manifest's seal and the tensors' hash hold.
    if manifest.get("sha256") != seal(manifest):
        raise BundleError(f"{path / MANIFEST} was altered: its seal does not hold; fetch the bundle again")
    tensors = _read(path / TENSORS, MAX_TENSOR_BYTES)
    if hashlib.sha256(tensors).hexdigest() != manifest["tensors_sha256"]:
        raise BundleError(f"{path / TENSORS} is truncated or altered: its hash does not hold; fetch the bundle again")
    # 4. What was signed about it, where there is such, is no larger than it may be.
    beside = {Path(name).stem: path / name for name in (COMMITMENT, REBUILD, REPLAY)}
    attested = {name: _read(each, MAX_COMMITMENT_BYTES) for name, each in beside.items() if os.path.lexists(each)}
    # 5. The parts have the right shapes, and the inputs are valid; the tensors' header has one reading.
    try:
        strict_json(tensors[8 : 8 + int.from_bytes(tensors[:8], "little")])
        return _build(manifest, safetensors.numpy.load(tensors), attested)
    except (KeyError, TypeError, ValueError, SafetensorError, ConfigurationError) as error:
        raise BundleError(f"the bundle {path} lacks or misstates a part: {error}") from error


def _parse_manifest(text: bytes, path: Path) -> dict[str, Any]:
    try:
        manifest = strict_json(text)
        json.dumps(manifest, ensure_ascii=False).encode()
    except ValueError:
        raise BundleError(
            f"{path / MANIFEST} is not JSON: it is truncated or damaged; fetch the bundle again"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{path} is not a metav-audit bundle: give the folder that 'metav-audit fit' wrote")
    version = manifest.get("schema_version")
    if version != (SCHEMA_VERSION if "natural" in manifest else PLAIN_VERSION):
        older = isinstance(version, int) and version < PLAIN_VERSION
        raise BundleError(
            f"the bundle {path} has schema version {version}, this program reads {PLAIN_VERSION} and {SCHEMA_VERSION}: "
            + ("fit the bundle again" if older else "upgrade metav-audit")
        )
    missing = sorted((_FIELDS | {"sha256", "tensors_sha256"}) - manifest.keys())
    if missing:
        raise BundleError(f"the manifest of {path} lacks {', '.join(missing)}: it is damaged; fetch the bundle again")
    return manifest


def seal(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's canonical JSON without its seal, in hexadecimal."""
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _build(
    manifest: Mapping[str, Any], tensors: Mapping[str, FloatArray], attested: Mapping[str, bytes]
) -> FingerprintBundle:
    prefix = "verifier."
    weights = {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
    cards = tuple(ModelCard(**card) for card in manifest["calibration"])
    return FingerprintBundle(
        name=manifest["name"],
        method=manifest["method"],
        task=TaskSpec.from_json(manifest["task"]),
        inputs=tensors["fingerprint.inputs"],
        reference=tensors["target.features"],
        verifier=MetaVerifier(VerifierKind(manifest["verifier"]), weights),
        calibration=Calibration(tensors["calibration.features"], cards),
        weight=WeightTable.from_json(manifest["weight"]),
        rates=ErrorRates(**manifest["rates"]),
        provenance=manifest["provenance"],
        natural=NaturalInputs.read(manifest["natural"], tensors) if "natural" in manifest else None,
        ancestor=tensors.get(_ANCESTOR),
        **attested,
    )


def _manifest(bundle: FingerprintBundle, tensors: bytes) -> dict[str, Any]:
    manifest = {
        "format": FORMAT,
        "schema_version": PLAIN_VERSION if bundle.natural is None else SCHEMA_VERSION,
        "name": bundle.name,
        "method": bundle.method,
        "task": bundle.task.to_json(),
        "verifier": bundle.verifier.kind.value,
        "rates": asdict(bundle.rates),
        "calibration": [card.to_json() for card in bundle.calibration.models],
        "weight": asdict(bundle.weight),
        "provenance": dict(bundle.provenance),
        "tensors_sha256": hashlib.sha256(tensors).hexdigest(),
    }
    if bundle.natural is not None:
        manifest["natural"] = bundle.natural.stated()
    return {**manifest, "sha256": seal(manifest)}


def _tensor_bytes(bundle: FingerprintBundle) -> bytes:
    arrays = {f"verifier.{name}": array for name, array in bundle.verifier.tensors.items()}
    arrays["fingerprint.inputs"] = bundle.inputs
    arrays["target.features"] = bundle.reference
    arrays["calibration.features"] = bundle.calibration.features
    arrays |= {} if bundle.natural is None else bundle.natural.tensors()
    arrays |= {} if bundle.ancestor is None else {_ANCESTOR: bundle.ancestor}
    contiguous = {name: np.ascontiguousarray(arrays[name], dtype=np.float32) for name in sorted(arrays)}
    return bytes(safetensors.numpy.save(contiguous))


def _read(path: Path, limit: int) -> bytes:
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise BundleError(f"cannot read the bundle's {path}: {error.strerror}") from error
