"""What owners ran into, where no other file has it; docs/formats.md lists each with its test."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from metav_audit.errors import DataError
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.inspection import inspect
from metav_audit.zoo.project import load_project, open_workshop
from tests.toy import install_presets, write_toy


class Wrapped(nn.Module):
    """A pipeline of scikit-learn in a module of torch, without a parameter."""

    def forward(self, inputs):
        return inputs.flatten(1)[:, :3] * 9


def wrapped():
    return Wrapped()


def test_a_pipeline_wrapped_in_a_module_is_refused_before_anything_is_trained(tmp_path):
    """It has no weights that could be tuned: it is to be brought as what it is."""
    install_presets()
    project = load_project(write_toy(tmp_path, model='"tests.zoo.test_owner_side:wrapped"', weights=""))
    with pytest.raises(DataError, match=r"has no weights.*return the estimator itself"):
        build_zoo(project, jobs=1)
    assert not (tmp_path / "zoo").exists()


def test_a_class_that_is_missing_on_one_side_and_thirty_pictures_are_told(tmp_path):
    """Before anything is trained, by name and count."""
    file = write_toy(tmp_path)
    with np.load(tmp_path / "heldout.npz") as data:
        x, y = data["x"], data["y"]
    kept = np.flatnonzero(y != 2)[:30]
    np.savez(tmp_path / "heldout.npz", x=x[kept], y=y[kept])
    told = inspect(open_workshop(load_project(file)))
    assert any("heldout has hardly any of 'class 2' (0)" in line for line in told)
    assert "warning: heldout holds 30 inputs: a zoo from so few says little; give 100 or more" in told


@pytest.mark.soak
def test_how_long_a_zoo_will_take_is_told_while_most_of_it_is_open(tmp_path, monkeypatch):
    """After two models of each kind, for the whole and by part, and once."""
    monkeypatch.setattr("metav_audit.zoo.build.LONG", 0.0)
    install_presets()
    project = load_project(write_toy(tmp_path))
    told = []
    build_zoo(project, jobs=1, tell=lambda line: told.append((line, len(list(project.store.glob("*.safetensors"))))))
    ((line, trained),) = [each for each in told if each[0].startswith("the zoo will take about")]
    assert "independents" in line
    assert trained < len(list(project.store.glob("*.safetensors")))


def test_pictures_of_32_by_32_in_colour_are_read_in_either_layout(tmp_path):
    """Channels first or last, as libraries have them."""
    from metav_audit.task import ClassScores, ImageDomain, TaskSpec
    from metav_audit.zoo.data import load_data

    task = TaskSpec(ImageDomain(3, 32, 32), ClassScores(("a", "b")))
    pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "last.npz", x=pictures, y=np.arange(6) % 2)
    np.savez(tmp_path / "first.npz", x=pictures.transpose(0, 3, 1, 2), y=np.arange(6) % 2)
    last, first = (load_data(str(tmp_path / f"{name}.npz"), task, "train") for name in ("last", "first"))
    assert np.array_equal(last.inputs, first.inputs)
    assert first.inputs.shape == (6, 3, 32, 32)
