"""Models of MLflow's registry and runs: which file is read, what needs trust, what is refused. MLflow is played."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.zoo.target import load_target
from tests.networks import owner_data
from tests.tables import PROGRAMS, TABLE, content_of, rows, write_table
from tests.test_formats import run
from tests.toy import TASK, train

FEW = torch.from_numpy(rows(4, 9).inputs)


@pytest.fixture
def logged(tmp_path, monkeypatch) -> Path:
    """A folder of models that the registry gives: models:/NAME/1 is the folder NAME."""
    place = tmp_path / "registry"
    place.mkdir()
    artifacts = ModuleType("mlflow.artifacts")

    def download_artifacts(artifact_uri: str, dst_path: str) -> str:
        name = artifact_uri.split("/")[1]
        if not (place / name).exists():
            raise RuntimeError(f"Registered Model with name={name} not found\nand more")
        return str(shutil.copytree(place / name, Path(dst_path) / name))

    artifacts.download_artifacts = download_artifacts
    monkeypatch.setitem(sys.modules, "mlflow", ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.artifacts", artifacts)
    return place


def log(place: Path, name: str, flavours: dict, files: dict[str, bytes]) -> str:
    """Log a model as MLflow does; return its address."""
    for inner, content in files.items():
        path = place / name / inner
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (place / name).mkdir(exist_ok=True)
    (place / name / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours, "mlflow_version": "3"}))
    return f"models:/{name}/1"


@pytest.mark.parametrize(
    ("kind", "flavour", "file"),
    [
        ("xgboost", {"xgboost": {"data": "model.ubj"}}, "model.ubj"),
        ("lightgbm", {"lightgbm": {"data": "model.lgb"}}, "model.lgb"),
        ("catboost", {"catboost": {"data": "model.cb"}}, "model.cb"),
        ("onnx", {"onnx": {"data": "model.onnx"}}, "model.onnx"),
        ("sklearn", {"sklearn": {"pickled_model": "model.skops"}}, "model.skops"),
    ],
)
def test_a_flavours_own_file_is_the_model(kind, flavour, file, logged, tmp_path):
    """Whatever python_function says beside it; nothing of it stays on the disk."""
    content = content_of(kind, PROGRAMS[kind](1, rows(1, 160)))
    reference = log(logged, kind, {"python_function": {"loader_module": "os"}, **flavour}, {file: content})
    feed = "frame" if kind == "sklearn" else "array"
    target = load_target(reference, None, None, TABLE, feed)
    (tmp_path / file.replace(".cb", ".cbm")).write_bytes(content)
    alone = load_target(str(tmp_path / file.replace(".cb", ".cbm")), None, None, TABLE, feed)
    assert target.sha256 == alone.sha256
    assert torch.equal(target.network(FEW), alone.network(FEW))


def test_a_pickle_of_mlflows_needs_trust(logged):
    """As every pickle does; LightGBM's own classes are kept in one, too."""
    content = content_of("pickle", PROGRAMS["pickle"](1, rows(1, 160)))
    for flavour in ({"sklearn": {"pickled_model": "model.pkl"}}, {"lightgbm": {"data": "model.pkl"}}):
        reference = log(logged, "pickled", flavour, {"model.pkl": content})
        with pytest.raises(ConfigurationError, match=r"^model.pkl of models:/pickled/1: .*give --trust"):
            load_target(reference, None, None, TABLE)
        assert load_target(reference, None, None, TABLE, trusted=True)


def test_a_network_of_mlflows_needs_trust_where_it_was_pickled_whole(logged, tmp_path):
    """One that was exported does not."""
    network = train(1, owner_data())
    torch.save(network, tmp_path / "model.pth")
    reference = log(
        logged, "net", {"pytorch": {"model_data": "data"}}, {"data/model.pth": (tmp_path / "model.pth").read_bytes()}
    )
    with pytest.raises(ConfigurationError, match=r"pickled whole.*--trust"):
        load_target(reference, None, None, TASK)
    inputs = torch.rand(3, 1, 4, 4)
    assert torch.equal(load_target(reference, None, None, TASK, trusted=True).network(inputs), network.eval()(inputs))
    log(logged, "net", {"pytorch": {"model_data": "data"}}, {"data/model.pth": b"no network"})
    with pytest.raises(DataError, match="cannot be read by torch"):
        load_target(reference, None, None, TASK, trusted=True)


@pytest.mark.parametrize(
    ("flavours", "message"),
    [
        ({"python_function": {}, "spark": {}}, "has the flavours python_function, spark"),
        ({"xgboost": {"data": "../../etc/passwd"}}, "names no file of its own"),
        ({"xgboost": {"data": "/etc/passwd"}}, "names no file of its own"),
        ({"xgboost": {"data": "absent.ubj"}}, "names no file of its own"),
        ({"xgboost": {}}, "names no file of its own"),
        ({"xgboost": 3}, "MLmodel of models:/odd/1 is damaged"),
    ],
)
def test_what_mlflow_keeps_otherwise_is_refused(flavours, message, logged):
    """Other flavours, files elsewhere, a damaged description."""
    with pytest.raises(DataError, match=message):
        load_target(log(logged, "odd", flavours, {}), None, None, TABLE)
    (logged / "odd" / "MLmodel").write_text("!!python/object/apply:os.system [true]")
    with pytest.raises(DataError, match="is damaged"):
        load_target("models:/odd/1", None, None, TABLE)
    (logged / "odd" / "MLmodel").unlink()
    with pytest.raises(DataError, match="it holds no file MLmodel"):
        load_target("models:/odd/1", None, None, TABLE)


def test_a_model_that_mlflow_does_not_know_and_a_missing_mlflow_are_told(logged, monkeypatch):
    """With its first line, and the variables that say where it looks."""
    with pytest.raises(ConfigurationError, match=r"name=none not found\): check .* MLFLOW_TRACKING_URI"):
        load_target("models:/none/1", None, None, TABLE)
    monkeypatch.setitem(sys.modules, "mlflow.artifacts", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'metav-audit\[mlflow\]'"):
        load_target("runs:/abc/model", None, None, TABLE)


@pytest.mark.soak
def test_a_model_of_the_registry_goes_through_fit(logged, tmp_path):
    """Named in the project by its version."""
    content = content_of("xgboost", PROGRAMS["xgboost"](1, rows(1, 160)))
    reference = log(logged, "tabular", {"xgboost": {"data": "model.ubj"}}, {"model.ubj": content})
    project = write_table(tmp_path, "xgboost", model=reference)
    (tmp_path / "target.ubj").unlink()
    assert run("fit", project, "-o", tmp_path / "bundle", "--jobs", 1) == 0
