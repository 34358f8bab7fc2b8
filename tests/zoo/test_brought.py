"""Folders of Hugging Face's and files of Keras' as targets: what is read, what is refused, and why."""

from __future__ import annotations

import copy
import json
import shutil
import sys
import warnings
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.task import ClassScores, ImageDomain, TaskSpec
from metav_audit.zoo.hugging_face import load_folder
from metav_audit.zoo.keras_files import Keras, load_keras
from metav_audit.zoo.recipes.base import fresh_model
from metav_audit.zoo.target import in_form_of, load_target
from tests.networks import LABELS, keras_model, vision
from tests.tables import TABLE
from tests.toy import TASK

FEW = TASK.domain.sample(5, np.random.default_rng(0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A folder of Hugging Face's."""
    folder = tmp_path_factory.mktemp("saved") / "vit"
    torch.manual_seed(0)
    vision().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(saved, tmp_path / "vit"))


def rewrite(folder: Path, name: str = "config.json", **fields) -> None:
    """Change fields of a folder's JSON; None leaves one out."""
    path = folder / name
    told = {**(json.loads(path.read_text()) if path.exists() else {}), **fields}
    path.write_text(json.dumps({key: value for key, value in told.items() if value is not None}))


def own_logits(folder: Path, given: torch.Tensor) -> torch.Tensor:
    """What transformers itself answers to prepared pictures."""
    from transformers import ViTForImageClassification

    model = ViTForImageClassification.from_pretrained(folder, attn_implementation="eager").eval()
    return model(pixel_values=given).logits.detach()


def test_a_folder_answers_as_transformers_does_in_the_tasks_order(folder):
    """With what it says of processing done inside, and gradients."""
    rewrite(folder, "preprocessor_config.json", image_mean=[0.2], image_std=[0.5], rescale_factor=1 / 255)
    model = load_folder(folder, TASK)
    inputs = torch.from_numpy(FEW).requires_grad_()
    wanted = own_logits(folder, (inputs - 0.2) / 0.5).flip(1)
    found = model(inputs)
    assert torch.allclose(found, wanted, atol=1e-5)
    found[0, 0].backward()
    assert inputs.grad.abs().sum() > 0
    wide = TaskSpec(ImageDomain(1, 4, 4, low=-1.0, high=1.0), ClassScores(LABELS))
    assert torch.allclose(load_folder(folder, wide)(2 * inputs.detach() - 1), wanted, atol=1e-5)


def test_pictures_of_another_size_are_resized_as_the_folder_says(folder):
    """Bilinear where nothing else is said."""
    rewrite(folder, "preprocessor_config.json", size={"height": 4, "width": 4}, do_normalize=False)
    large = TaskSpec(ImageDomain(1, 8, 8), ClassScores(LABELS))
    inputs = torch.rand(3, 1, 8, 8)
    small = torch.nn.functional.interpolate(inputs, size=(4, 4), mode="bilinear", align_corners=False, antialias=True)
    assert torch.allclose(load_folder(folder, large)(inputs), own_logits(folder, small).flip(1), atol=1e-5)


def test_classes_without_names_stand_in_the_tasks_order(folder):
    """As transformers numbers them."""
    rewrite(folder, id2label={str(at): f"LABEL_{at}" for at in range(3)}, label2id=None)
    inputs = torch.from_numpy(FEW)
    assert torch.allclose(load_folder(folder, TASK)(inputs), own_logits(folder, inputs), atol=1e-5)


CONFIG, PROCESSING = "config.json", "preprocessor_config.json"


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        (CONFIG, {"id2label": {"0": "class 0", "1": "class 1"}}, "knows 2 classes, the task has 3"),
        (CONFIG, {"id2label": {"0": "cat", "1": "class 1", "2": "class 2"}}, r"the task has not \('cat'\)"),
        (CONFIG, {"auto_map": {"AutoModelForImageClassification": "mine.Net"}}, "needs code of its own"),
        (CONFIG, {"model_type": "unheard-of", "architectures": None}, "no picture classifier of transformers"),
        (CONFIG, {"model_type": "bert"}, "no picture classifier of transformers"),
        (CONFIG, {"num_hidden_layers": 2}, "lacks weights of the model: vit"),
        (PROCESSING, {"image_mean": [0.1, 0.2, 0.3]}, "image_mean has to be 1 numbers, one a channel"),
        (PROCESSING, {"image_std": [0.0]}, "image_std has to be above 0"),
        (PROCESSING, {"size": {"height": 4, "width": 4}, "do_center_crop": True}, "crops pictures to their centre"),
        (PROCESSING, {"size": {"longest_edge": 9}}, "states a size that is none"),
        (PROCESSING, {"resample": 5}, "filter 5: use 0, 2 or 3"),
        ("adapter_config.json", {"base_model_name_or_path": "x"}, "an adapter: merge it"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(name, fields, message, folder):
    """Each with what to do."""
    rewrite(folder, name, **fields)
    with pytest.raises(DataError, match=message):
        load_folder(folder, TASK)


def test_pickled_weights_are_never_opened(folder):
    """A pytorch_model.bin alone is no model here, whatever it holds."""
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(ConfigurationError, match="pickled weights are not opened"):
        load_folder(folder, TASK)


def test_a_damaged_folder_and_one_of_another_task_are_told(folder, tmp_path):
    """No JSON, no weights, no picture."""
    with pytest.raises(ConfigurationError, match=r"no texts yet"):
        load_folder(folder, TABLE)
    with pytest.raises(
        ConfigurationError, match="a folder as a target is one that transformers' save_pretrained wrote"
    ):
        load_target(str(tmp_path), None, None, TASK)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="or is damaged"):
        load_folder(folder, TASK)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(DataError, match="is no JSON object"):
        load_folder(folder, TASK)


def test_a_sibling_of_a_folder_keeps_the_processing_and_has_its_own_weights(folder):
    """And the target's hash hangs on both."""
    rewrite(folder, PROCESSING, image_mean=[0.2], image_std=[0.5])
    target = load_target(str(folder), None, None, TASK)
    torch.manual_seed(1)
    other = vision()
    sibling = in_form_of(target, other, "program")
    assert torch.equal(sibling.get_buffer("factor"), target.network.get_buffer("factor"))
    assert torch.equal(sibling.model.classifier.weight, other.classifier.weight)
    rewrite(folder, PROCESSING, image_mean=[0.3])
    assert load_target(str(folder), None, None, TASK).sha256 != target.sha256


@pytest.mark.parametrize("package", ["transformers", "keras"])
def test_a_missing_library_is_named_with_its_extra(package, folder, tmp_path, monkeypatch):
    """As for every other format."""
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "target.keras").write_bytes(b"")
    load, path = {"transformers": (load_folder, folder), "keras": (load_keras, tmp_path / "target.keras")}[package]
    with pytest.raises(ConfigurationError, match=r"pip install 'metav-audit\[(hugging-face|keras)\]'"):
        load(path, TASK)


@lru_cache
def kept() -> bytes:
    """A file of Keras'."""
    import tempfile

    import keras

    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras_model().save(Path(place) / "m.keras")
        return (Path(place) / "m.keras").read_bytes()


@pytest.fixture
def file(tmp_path) -> Path:
    """The same, to be changed."""
    (tmp_path / "target.keras").write_bytes(kept())
    return tmp_path / "target.keras"


def test_a_keras_file_answers_and_has_gradients(file):
    """Channels come first in the task and last in the model."""
    model = load_keras(file, TASK)
    inputs = torch.from_numpy(FEW).requires_grad_()
    found = model(inputs)
    assert torch.allclose(found, model.model(inputs.permute(0, 2, 3, 1), training=False), atol=1e-6)
    found[0, 0].backward()
    assert inputs.grad.abs().sum() > 0


def test_weights_stand_by_layer_whatever_keras_calls_them(file):
    """So siblings, copies and stored models fit each other, and a copy shares nothing."""
    target = load_target(str(file), None, None, TASK)
    assert load_target(str(file), None, None, TASK).sha256 == target.sha256
    names = list(target.network.state_dict())
    assert names[:2] == ["layers.0.kernel", "layers.0.bias"]
    other = keras_model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sibling = in_form_of(target, other, "program")
        assert np.array_equal(sibling.state_dict()["layers.0.kernel"].numpy(), np.asarray(other.weights[0]))
    twin = copy.deepcopy(target.network)
    assert list(twin.state_dict()) == names
    with torch.no_grad():
        twin.layers[0].kernel.zero_()
    assert target.network.layers[0].kernel.abs().sum() > 0
    assert not torch.equal(twin(torch.from_numpy(FEW)), target.network(torch.from_numpy(FEW)))


def test_running_statistics_are_no_targets_in_a_fresh_model(file):
    """An independent of the target's own architecture begins without them."""
    target = load_target(str(file), None, None, TASK)
    with torch.no_grad():
        target.network.layers[1].moving_mean.fill_(5)
    fresh = fresh_model("target", target.network, TASK, 3)
    assert torch.equal(fresh.layers[1].moving_mean, torch.zeros(6))
    assert not torch.equal(fresh.layers[0].kernel, target.network.layers[0].kernel)


def test_a_sibling_of_another_build_is_refused(file):
    """By its shapes."""
    import keras

    target = load_target(str(file), None, None, TASK)
    with pytest.raises(DataError, match="another structure than the target's"):
        in_form_of(target, keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()]), "program")


def test_code_in_a_keras_file_is_not_run(tmp_path):
    """A Lambda layer is refused in safe mode."""
    import keras

    path = tmp_path / "target.keras"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layers = [keras.Input((4, 4, 1)), keras.layers.Lambda(lambda x: x + 1), keras.layers.Flatten()]
        keras.Sequential(layers).save(path)
    with pytest.raises(DataError, match=r"safe mode.*without Lambda layers"):
        load_keras(path, TASK)


def test_damaged_files_other_shapes_and_other_backends_are_told(file, monkeypatch):
    """In one line each."""
    import keras

    with pytest.raises(DataError, match=r"takes inputs of shape \(4, 4, 1\), the task has"):
        load_keras(file, TABLE)
    with pytest.raises(ConfigurationError, match="cannot read the target model"):
        load_keras(file.with_name("other.keras"), TASK)
    monkeypatch.setattr("metav_audit.zoo.keras_files.MOST_BYTES", 10)
    with pytest.raises(DataError, match="larger than 10 bytes when it is unpacked"):
        load_keras(file, TASK)
    monkeypatch.undo()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(DataError, match="or is damaged"):
        load_keras(file, TASK)
    file.write_bytes(b"no archive")
    with pytest.raises(DataError, match="or is damaged"):
        load_keras(file, TASK)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ConfigurationError, match="Keras runs on jax in this process: set KERAS_BACKEND=torch"):
        load_keras(file, TASK)


def test_a_grey_picture_may_lack_its_channel(tmp_path):
    """As a model of rows takes it."""
    import keras

    model = keras.Sequential([keras.Input((4, 4)), keras.layers.Flatten(), keras.layers.Dense(3)])
    assert Keras(model, (1, 4, 4)).eval()(torch.from_numpy(FEW)).shape == (5, 3)


def test_weights_in_parts_are_read(folder):
    """As large models are saved: an index, and safetensors beside it."""
    whole = load_folder(folder, TASK)
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for name, held in parts.items():
        safetensors.torch.save_file({key: weights[key] for key in held}, folder / name, {"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": {key: name for name, held in parts.items() for key in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(load_folder(folder, TASK)(torch.from_numpy(FEW)), whole(torch.from_numpy(FEW)))
