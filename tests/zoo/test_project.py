"""The owner's project file."""

from __future__ import annotations

import numpy as np
import pytest

from metav_audit.errors import ConfigurationError, DataError, MetavAuditError
from metav_audit.zoo.architectures import BUILT_IN, build_architecture
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.project import load_project, open_workshop
from tests.builders import make_task
from tests.toy import PROJECT, TASK, install_presets, write_toy


def test_a_project_is_read(tmp_path):
    """Settings, task and places follow from the file; a folder stands for its project.toml."""
    project = load_project(write_toy(tmp_path))
    assert load_project(tmp_path) == project
    assert project.task == TASK
    assert project.store == tmp_path / "zoo"
    assert (project.settings.seed, project.settings.fingerprint.queries) == (7, 6)


@pytest.mark.parametrize(("name", "file"), [("a b/c", "a-b-c"), ("../x", "x"), ("Zoë", "Zo"), ("...", "project")])
def test_a_project_s_name_becomes_a_file_name(tmp_path, name, file):
    """No name leads out of the folder."""
    assert load_project(write_toy(tmp_path, name=f'"{name}"')).file_name == file


def test_a_fifth_is_set_aside_where_validation_is_missing(tmp_path):
    """Held-out data are divided, and no row lies on both sides."""
    data = open_workshop(load_project(write_toy(tmp_path, validation=""))).data
    rows = [{each.tobytes() for each in part.inputs} for part in (data.heldout, data.validation)]
    assert (len(data.heldout), len(data.validation)) == (96, 24)
    assert not rows[0] & rows[1]


BAD_FILES = {
    "no TOML": ("= = =", "is not TOML"),
    "empty": ("", "this key is missing"),
    "no name": (PROJECT.replace('name = "toy"', ""), "name: this key is missing"),
    "an empty name": (PROJECT.replace('"toy"', '""'), "name: String should have at least 1"),
    "a surprise": (PROJECT + "\n[surprise]\na = 1", "surprise: this key is unknown"),
    "a misspelt field": (PROJECT.replace("queries", "querys"), "fingerprint.querys: this key is unknown"),
    "no query": (PROJECT.replace("queries = 6", "queries = 0"), "fingerprint.queries: Input should be greater"),
    "a rate of one": (PROJECT.replace("match = 0.2", "match = 1.0"), "rates.false_match: Input should be less"),
    "a negative seed": (PROJECT.replace("seed = 7", "seed = -7"), "seed: Input should be greater"),
    "another outputs": (PROJECT.replace("weights =", "outputs ="), "target.outputs: Input should be 'logits'"),
    "no task": (PROJECT.replace("[task]", "[rates.task]"), "task: this key is missing"),
    "one label": (PROJECT.replace(', "class 1", "class 2"', ""), "at least two labels"),
    "twice a label": (PROJECT.replace('"class 1"', '"class 0"'), "not distinct"),
    "no labels": (PROJECT.replace("labels = ", "names = "), "not described rightly"),
    "an unknown input": (PROJECT.replace('"image"', '"smell"'), "'smell' is unknown"),
    "two channels": (PROJECT.replace("channels = 1", "channels = 2"), "1 or 3 channels"),
    "a fractional height": (PROJECT.replace("height = 4", "height = 4.5"), "whole numbers"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_wrong_project_file_gets_one_line(tmp_path, case):
    """Whatever is wrong, the message of one line names the field."""
    text, said = BAD_FILES[case]
    (tmp_path / "project.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        load_project(tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_missing_binary_and_oversized_files_are_told(tmp_path):
    """Nothing there, no text, or far too much of it."""
    path = tmp_path / "project.toml"
    with pytest.raises(ConfigurationError, match="'metav-audit init' writes one"):
        load_project(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_project(path)
    path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigurationError, match="larger than"):
        load_project(path)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize(("channels", "side"), [(1, 1), (1, 5), (3, 9)])
def test_every_architecture_takes_every_task(name, channels, side):
    """Any number of channels, any size of image down to one pixel, any batch."""
    import torch

    task = make_task(classes=7, channels=channels, side=side)
    assert build_architecture(name, task)(torch.zeros(2, channels, side, side)).shape == (2, 7)


def broken(task):
    raise KeyError("width")


def nothing(task):
    return None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("transformer", "is unknown: use one of cnn-small"),
        ("tests.zoo.test_project:nothing", "gives NoneType, not a torch.nn.Module"),
        ("tests.zoo.test_project:broken", "fails: KeyError: 'width'"),
        ("tests.zoo.test_project:absent", "cannot import architecture"),
    ],
)
def test_an_architecture_that_is_none_is_refused(name, said):
    """Unknown names, and functions that give no module, are told."""
    with pytest.raises(MetavAuditError, match=said) as caught:
        build_architecture(name, TASK)
    assert caught.value.exit_code == 2


def test_a_target_that_knows_nothing_of_its_task_is_refused_before_any_training(tmp_path):
    """A target no better than guessing on the validation data, here by a wrong label order, spoils every surrogate."""
    install_presets()
    project = load_project(write_toy(tmp_path))
    with np.load(tmp_path / "validation.npz") as arrays:
        np.savez(tmp_path / "turned.npz", x=arrays["x"], y=(arrays["y"] + 1) % 3)
    project.path.write_text(project.text.replace("validation.npz", "turned.npz"))
    with pytest.raises(DataError, match="no better than guessing"):
        build_zoo(load_project(project.path), jobs=1)
    assert not list(project.store.glob("*.safetensors"))


def test_an_unknown_architecture_is_found_before_any_training(tmp_path):
    """A misspelt architecture costs no model."""
    install_presets()
    path = write_toy(tmp_path)
    path.write_text(path.read_text().replace('"cnn-small"', '"cnn-smal"'))
    project = load_project(path)
    with pytest.raises(ConfigurationError, match="cnn-smal"):
        build_zoo(project, jobs=1)
    assert not list(project.store.glob("*.safetensors"))


def test_the_owner_s_modules_are_found_beside_the_project_file(tmp_path):
    """module:function is looked for in the project's folder, wherever the command is run."""
    install_presets()
    path = write_toy(tmp_path)
    (tmp_path / "owners_own_module.py").write_text("from tests.toy import network\n")
    path.write_text(path.read_text().replace("tests.toy:network", "owners_own_module:network"))
    assert open_workshop(load_project(path)).target.sha256
