"""Models of an MLflow registry or run, ``models:/NAME/VERSION`` and ``runs:/RUN/PATH``, read from their own files.

MLflow itself finds and fetches the files, from wherever its own variables say; they are opened here as every other file
of their format is, and what would run code only where its owner trusts it.
"""

from __future__ import annotations

import importlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import nn

from metav_audit.errors import FOREIGN, ConfigurationError, DataError
from metav_audit.files import read_regular
from metav_audit.zoo.formats.base import Format
from metav_audit.zoo.formats.registry import FORMATS

SCHEMES = ("models:/", "runs:/")
_MOST_BYTES = 1 << 20
_FILES = {"xgboost": "data", "lightgbm": "data", "catboost": "data", "onnx": "data", "sklearn": "pickled_model"}
"""Flavours, and the key under which each names its file."""
_TORCH = "pytorch"
_EXPORTED = "model.pt2"
_PICKLED = ("data/model.pth", "model.pth")


class Kept(NamedTuple):
    """A model of MLflow's as a file of this machine: its format, or None for what torch wrote."""

    path: Path
    form: Format | None


@contextmanager
def fetched(reference: str) -> Iterator[Kept]:
    """Fetch a model and give its own file, which is there until the block ends.

    Raises:
        ConfigurationError: mlflow is not installed, or does not find it.
        DataError: it has no flavour that can be brought, or its description is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="metav-audit-mlflow-") as place:
        folder = _download(reference, place)
        yield _file_in(folder, reference)


def load_torch(path: Path, reference: str, *, trusted: bool) -> nn.Module:
    """Load a network that MLflow's flavour of torch pickled whole.

    Raises:
        ConfigurationError: its owner does not trust it.
        DataError: it is damaged, or no network.
    """
    if not trusted:
        raise ConfigurationError(
            f"{reference} is a network that was pickled whole, which runs whatever code it holds when it is read: if "
            "it is your own, write trust = true below [target] or give --trust; safer is to log it with export_model"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=False)
    except FOREIGN as error:
        raise DataError(f"{reference} cannot be read by torch ({type(error).__name__}: {str(error)[:200]})") from error
    if not isinstance(loaded, nn.Module):
        raise DataError(f"{reference} holds {type(loaded).__name__}, not a torch.nn.Module")
    return loaded


def _download(reference: str, place: str) -> Path:
    try:
        artifacts = importlib.import_module("mlflow.artifacts")
    except ImportError:
        raise ConfigurationError(
            "a model of MLflow needs the package mlflow: pip install 'metav-audit[mlflow]' brings it"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Path(artifacts.download_artifacts(artifact_uri=reference, dst_path=place))
    except FOREIGN as error:
        first = next(iter(str(error).strip().splitlines()), "")
        raise ConfigurationError(
            f"MLflow does not give {reference} ({type(error).__name__}: {first[:200]}): check its name and version, "
            "and MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI"
        ) from error


def _file_in(folder: Path, reference: str) -> Kept:
    flavours = _flavours(folder, reference)
    for flavour, key in _FILES.items():
        if flavour in flavours:
            path = _inside(folder, flavours[flavour].get(key), reference)
            pickled = path.suffix in FORMATS["pickle"].endings
            return Kept(path, FORMATS["pickle"] if pickled else FORMATS[flavour])
    if _TORCH in flavours:
        below = flavours[_TORCH].get("model_data", "data")
        for name in (_EXPORTED, f"{below}/{_EXPORTED}", f"{below}/model.pth", *_PICKLED):
            if (folder / name).is_file():
                return Kept(_inside(folder, name, reference), None)
    raise DataError(
        f"{reference} has the flavours {', '.join(sorted(flavours)) or 'none'}: of MLflow's {', '.join(_FILES)} and "
        f"{_TORCH} can be brought; bring another as module:function"
    )


def _flavours(folder: Path, reference: str) -> Mapping[str, Mapping[str, Any]]:
    import yaml

    try:
        told = yaml.safe_load(read_regular(folder / "MLmodel", _MOST_BYTES))
        flavours = told["flavors"]
        if not isinstance(flavours, dict) or not all(isinstance(each, dict) for each in flavours.values()):
            raise TypeError("flavors")
    except OSError:
        raise DataError(f"{reference} is no model of MLflow: it holds no file MLmodel") from None
    except (yaml.YAMLError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"the MLmodel of {reference} is damaged ({type(error).__name__})") from None
    return {str(name): each for name, each in flavours.items()}


def _inside(folder: Path, name: Any, reference: str) -> Path:
    """Return the path of a file that a model names within its own folder."""
    inner = PurePosixPath(name if isinstance(name, str) else "")
    if not inner.parts or inner.is_absolute() or ".." in inner.parts or not (folder / inner).is_file():
        raise DataError(f"the MLmodel of {reference} names no file of its own as the model: log it again")
    return folder / inner
