"""The model that is served: a project's target, a ``.pt2`` file, or ``module:function``."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import ConfigurationError
from metav_audit.serving.open_inference import Predict, ServedModel
from metav_audit.task import OutputKind, TaskSpec
from metav_audit.zoo.formats.base import Outputs
from metav_audit.zoo.formats.registry import known_endings
from metav_audit.zoo.project import load_project, open_target
from metav_audit.zoo.target import TargetModel, load_target

_VERSION_LENGTH = 12
_BATCH = 8


def predictor(network: nn.Module, kind: OutputKind = OutputKind.CLASSIFICATION) -> Predict:
    """Return a function from inputs (n, *shape) to probabilities or values (n, size); one call at a time, on one core.

    Args:
        network: gives logits of shape (n, classes), or values, in evaluation mode.
        kind: of its outputs.
    """
    torch.set_num_threads(1)
    turn = threading.Lock()

    def predict(inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        with turn, torch.no_grad():
            outputs = network(torch.from_numpy(inputs)).double().flatten(1)
            shown = torch.softmax(outputs, dim=1) if kind is OutputKind.CLASSIFICATION else outputs
            return np.asarray(shown.numpy(), dtype=np.float64)

    return predict


def open_model(
    reference: str,
    *,
    bundle: Path | None = None,
    project: Path | None = None,
    weights: Path | None = None,
    outputs: Outputs | None = None,
) -> ServedModel:
    """Load a model and make it ready to be served.

    Args:
        reference: a project's folder or project.toml, whose target is meant; a ``.pt2`` file; or ``module:function``.
        bundle: names the task; that of a project must be the same.
        project: names the task where ``reference`` does not and there is no bundle.
        weights: a safetensors file, where ``module:function`` gives an untrained network.
        outputs: "logits", "probabilities" or "values"; a project says so itself. See ``load_target``.

    Raises:
        ConfigurationError: something cannot be found, or is said twice or not at all.
        DataError: the model does not fit the task.
        BundleError: the bundle is damaged.
    """
    if Path(reference).is_dir() or reference.endswith(".toml"):
        name, target = _of_project(Path(reference), [project, weights, outputs])
        if bundle is not None and FingerprintBundle.load(bundle).task != target.task:
            raise ConfigurationError(f"the project {reference} and the bundle {bundle} are of different tasks")
    else:
        if Path(reference).suffix not in known_endings() and ":" not in reference:
            raise ConfigurationError(
                f"{reference} is no model: give a project's folder, a project.toml, a .pt2 file, or module:function; "
                "docs/formats.md has other files"
            )
        name, task = _task(reference, bundle, project)
        target = load_target(reference, weights, outputs, task)
    predict = predictor(target.network, target.task.output.kind)
    return ServedModel(name, target.sha256[:_VERSION_LENGTH], target.task, predict)


def _of_project(path: Path, told: list[object]) -> tuple[str, TargetModel]:
    if any(each is not None for each in told):
        raise ConfigurationError(
            f"the project {path} names its own task, weights and outputs: leave --project, --weights and --outputs out"
        )
    project = load_project(path)
    return project.file_name, open_target(project)


def _task(reference: str, bundle: Path | None, project: Path | None) -> tuple[str, TaskSpec]:
    if bundle is not None and project is None:
        loaded = FingerprintBundle.load(bundle)
        return loaded.name, loaded.task
    if project is not None and bundle is None:
        settings = load_project(project)
        return settings.file_name, settings.task
    raise ConfigurationError(f"what {reference} takes and gives is not known: name --bundle or --project, one of them")


def endpoint_fields(model: ServedModel, url: str) -> dict[str, Any]:
    """Return the fields of an endpoint table that asks this model."""
    return {
        "adapter": "open-inference-v2",
        "url": url,
        "model": model.name,
        "version": model.version,
        "batch": _BATCH,
    }
