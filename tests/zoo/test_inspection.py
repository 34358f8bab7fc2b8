"""What is said of the owner's model and data before anything is trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.inspection import inspect
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.target import load_target
from tests.tables import TABLE, rows, write_table
from tests.test_formats import run
from tests.toy import TASK, install_presets, network, trained, write_toy

HERE = "tests.zoo.test_inspection"


def opened(folder, section="", **changes):
    """The toy with lines added below [target]."""
    path = write_toy(folder, **changes)
    path.write_text(path.read_text().replace("[target]\n", f"[target]\n{section}"))
    return open_workshop(load_project(path))


def rewrite(folder, name, inputs, labels):
    np.savez(folder / f"{name}.npz", x=inputs, y=labels)
    open_workshop.cache_clear()


def arrays(folder, name):
    with np.load(folder / f"{name}.npz") as found:
        return found["x"], found["y"]


def test_the_target_s_own_figures_and_the_data_s_counts_are_told(tmp_path):
    """Balanced accuracy and accuracy on validation data, the figure on training data, classes by side."""
    told = inspect(opened(tmp_path, "accuracy = 0.95\n"))
    assert told[0].startswith("the target has a balanced accuracy of 0.9")
    assert "on the validation data (accuracy 0.9" in told[0]
    assert "on its training data" in told[0]
    assert "train: 120 inputs (class 0 40, class 1 40, class 2 40)" in told
    assert "warning: validation holds 90 inputs: a zoo from so few says little; give 100 or more" in told


def test_they_are_told_before_anything_is_trained(tmp_path):
    """The first line comes while the store is still empty."""
    install_presets()
    project = opened(tmp_path, preset='"mini"').project
    seen = []
    build_zoo(project, jobs=1, tell=lambda line: seen.append((line, len(list(project.store.glob("*.safetensors"))))))
    assert seen
    assert not any(count for _, count in seen)


def dark():
    """The toy target behind a normalisation that its owner forgot."""
    return nn.Sequential(Dim(), trained())


class Dim(nn.Module):
    def forward(self, inputs):
        return inputs / 255 - 0.4


def test_a_target_far_below_what_its_owner_states_stops_everything(tmp_path):
    """A forgotten normalisation: both figures, and where to look."""
    path = write_toy(tmp_path, model=f'"{HERE}:dark"', weights="")
    path.write_text(path.read_text().replace("[target]\n", "[target]\naccuracy = 0.97\n"))
    with pytest.raises(DataError, match=r"no better than guessing|normalisation is missing"):
        inspect(open_workshop(load_project(path)))
    few = opened(tmp_path / "few", "accuracy = 0.97\n")
    x, y = arrays(tmp_path / "few", "validation")
    rewrite(tmp_path / "few", "validation", x, np.where(np.arange(len(y)) % 3 == 0, (y + 1) % 3, y))
    with pytest.raises(DataError, match=r"accuracy is 0\.6.* owner states 0\.970 below \[target\]: a normal"):
        inspect(open_workshop(few.project))


def test_a_figure_of_another_kind_is_refused(tmp_path):
    """R² of a classification."""
    with pytest.raises(DataError, match="r_squared is stated of a target that has none: state accuracy"):
        inspect(opened(tmp_path, "r_squared = 0.5\n"))


def test_shuffled_training_labels_are_seen(tmp_path):
    """A target that does not know its own training data."""
    workshop = opened(tmp_path)
    x, y = arrays(tmp_path, "train")
    rewrite(tmp_path, "train", x, (y + 1) % 3)
    with pytest.raises(DataError, match=r"on its own training data, no better than guessing.*out of step"):
        inspect(open_workshop(workshop.project))


def test_held_out_data_that_are_the_training_data_are_refused(tmp_path):
    """With the first rows of both."""
    workshop = opened(tmp_path)
    rewrite(tmp_path, "heldout", *arrays(tmp_path, "train"))
    with pytest.raises(DataError, match=r"120 of 120 inputs of heldout stand in train, too \(row 0 is train's 0"):
        inspect(open_workshop(workshop.project))


def test_some_duplicates_are_a_warning_with_rows(tmp_path):
    """Two of 120."""
    workshop = opened(tmp_path)
    (x, y), (others, told) = arrays(tmp_path, "train"), arrays(tmp_path, "heldout")
    others[[3, 50]], told[[3, 50]] = x[[7, 8]], y[[7, 8]]
    rewrite(tmp_path, "heldout", others, told)
    said = inspect(open_workshop(workshop.project))
    assert (
        "warning: 2 of 120 inputs of heldout stand in train, too (row 3 is train's 7, row 50 is train's 8): drop them"
        in said
    )


def test_a_class_that_is_rare_on_one_side_is_named(tmp_path):
    """With its count."""
    workshop = opened(tmp_path)
    x, y = arrays(tmp_path, "heldout")
    kept = (y != 2) | (np.cumsum(y == 2) <= 3)
    rewrite(tmp_path, "heldout", x[kept], y[kept])
    assert any("heldout has hardly any of 'class 2' (3)" in line for line in inspect(open_workshop(workshop.project)))


class Softmax(nn.Module):
    def forward(self, inputs):
        return torch.softmax(trained()(inputs), dim=1)


def softmax():
    return Softmax()


def test_probabilities_declared_as_logits_are_seen_and_the_reverse():
    """Each with the line that is to be written."""
    with pytest.raises(DataError, match='outputs = "probabilities" below'):
        load_target(f"{HERE}:softmax", None, "logits", TASK)
    assert load_target(f"{HERE}:softmax", None, "probabilities", TASK)
    with pytest.raises(DataError, match=r'gives no probabilities: an answer sums to .* outputs = "logits" below'):
        load_target("tests.toy:network", None, "probabilities", TASK)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("guard.network", 'if guard.network is a function, write "guard:network"'),
        ("weights.safetensors", 'model = "module:function", and weights = "weights.safetensors"'),
        ("target.h5ad", "or a file ending in .cbm, .joblib, .json, .keras, .lgb"),
    ],
)
def test_a_model_that_is_named_wrongly_gets_the_right_guess(tmp_path, model, said):
    """A dotted path, weights alone, an unknown ending."""
    with pytest.raises(ConfigurationError, match=said):
        load_target(str(tmp_path / model), None, None, TASK)


def test_a_state_dict_loads_with_its_wrappers_taken_away(tmp_path):
    """What DataParallel, a checkpoint and torch.compile put around it."""
    state = trained().state_dict()
    for name, saved in {
        "plain.pth": state,
        "parallel.pt": {f"module.{key}": value for key, value in state.items()},
        "checkpoint.ckpt": {"epoch": 3, "state_dict": {f"model.{key}": value for key, value in state.items()}},
        "compiled.pth": {f"module._orig_mod.{key}": value for key, value in state.items()},
    }.items():
        torch.save(saved, tmp_path / name)
        target = load_target("tests.toy:network", tmp_path / name, None, TASK)
        assert all(torch.equal(each, state[key]) for key, each in target.network.state_dict().items())


def test_weights_that_do_not_fit_are_told_by_name_and_size(tmp_path):
    """Missing, of another size, too many."""
    state = {**trained().state_dict(), "extra.weight": torch.zeros(2, 2)}
    state["4.weight"] = torch.zeros(9, 96)
    del state["6.bias"]
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(DataError) as refused:
        load_target("tests.toy:network", tmp_path / "odd.pth", None, TASK)
    for part in (
        "'4.weight' is (9, 96) in the file and (16, 96) in the network",
        "'6.bias' of (3,) is missing",
        "'extra.weight' of (2, 2) is none of the network's",
    ):
        assert part in str(refused.value)


def test_a_whole_model_that_torch_saved_is_not_opened(tmp_path):
    """It would run code; what to save instead is said."""
    torch.save(network(), tmp_path / "whole.pth")
    with pytest.raises(DataError, match="Save the weights alone"):
        load_target("tests.toy:network", tmp_path / "whole.pth", None, TASK)
    with pytest.raises(DataError, match="is no TorchScript: if it holds weights"):
        load_target(str(tmp_path / "whole.pth"), None, None, TASK)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_a_network_with_gradients(tmp_path):
    """It answers as before, is copied, and is moved along."""
    script = torch.jit.trace(trained(), torch.zeros(2, 1, 4, 4))
    torch.jit.save(script, str(tmp_path / "target.pt"))
    target = load_target(str(tmp_path / "target.pt"), None, None, TASK)
    inputs = torch.rand(5, 1, 4, 4, requires_grad=True)
    answers = target.network(inputs)
    assert torch.allclose(answers, trained()(inputs), atol=1e-6)
    (slope,) = torch.autograd.grad(answers.sum(), inputs)
    assert bool(slope.abs().sum() > 0)


class Writes(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + torch.from_file("/tmp/none", False, 1)  # noqa: FBT003 - what must be refused


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_that_reads_files_is_refused(tmp_path):
    """Before torch opens it."""
    torch.jit.save(torch.jit.script(Writes()), str(tmp_path / "evil.pt"))
    with pytest.raises(DataError, match=r"calls .*from_file, which is none of torch's own"):
        load_target(str(tmp_path / "evil.pt"), None, None, TASK)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ({"age": None}, "row 1, column 'age': the value is missing: fill it"),
        ({"age": float("nan")}, "row 1, column 'age': the value is missing: fill it"),
        ({"age": "old"}, "row 1, column 'age': 'old' is no number: convert it"),
        ({"age": 140}, "row 1, column 'age': 140 is out of its range, 0 .. 100: clip it, or widen low and high"),
        (
            {"kind": "new"},
            r"row 1, column 'kind': 'new' is none of its categories \('rare', 'usual', 'other'\): map",
        ),
        ({"kind": None}, "row 1, column 'kind': the value is missing: name a category"),
    ],
)
def test_a_value_that_cannot_be_encoded_is_told_with_row_column_and_what_to_do(cell, said):
    """Missing, no number, out of range, unknown."""
    table = TABLE.domain.rows(rows(1, 3).inputs)
    table[1] = {**table[1], **cell}
    with pytest.raises(ValueError, match=said):
        TABLE.domain.encode(table)


def test_a_missing_column_is_named_with_its_row():
    """And a data frame is encoded as its rows are."""
    import pandas as pd

    table = TABLE.domain.rows(rows(1, 3).inputs)
    assert np.array_equal(TABLE.domain.encode(pd.DataFrame(table)), TABLE.domain.encode(table))
    del table[2]["pulse"]
    with pytest.raises(KeyError, match="row 2 has no column 'pulse'"):
        TABLE.domain.encode(table)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "nowhere.npz"), (b"no archive", "nowhere.npz"), ("other", "natural x")]
)
def test_public_natural_inputs_are_read_before_anything_is_trained(content, said, tmp_path, capsys):
    """Missing, damaged or of another task: it is found at once, and the store holds no model."""
    file = write_table(tmp_path, "pickle")
    file.write_text(file.read_text().replace("count = 4", 'source = "public"\ndata = "nowhere.npz"'))
    if content == "other":
        np.savez(tmp_path / "nowhere.npz", x=np.zeros((5, 1), np.float32), y=np.zeros(5, np.int64))
    elif content is not None:
        (tmp_path / "nowhere.npz").write_bytes(content)
    assert run("zoo", file, "--jobs", 1) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))
