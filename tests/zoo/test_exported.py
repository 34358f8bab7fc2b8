"""A stranger's .pt2 file: refused before torch opens it where that would run code; what torch wrote passes."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from metav_audit.errors import DataError
from metav_audit.zoo.exported import check_exported
from metav_audit.zoo.target import load_target
from tests.builders import make_task

TASK = make_task()


class Network(nn.Module):
    """Convolution, normalisation, a constant, a buffer, a shape: what exporting writes of each is known."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm, self.linear = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(36, 4)
        self.register_buffer("kept", torch.ones(4))
        self.constant = torch.arange(4.0)

    def forward(self, inputs):
        seen = torch.relu(self.norm(self.convolution(inputs)))
        return self.linear(seen.reshape(seen.shape[0], -1)) * self.kept + self.constant


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.pt2"
    dynamic = ({0: torch.export.Dim("n")},)
    torch.export.save(torch.export.export(Network().eval(), (torch.zeros(2, 1, 5, 5),), dynamic_shapes=dynamic), path)
    return path


class Evil:
    """Unpickled, it writes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def rewritten(source, target, change):
    """The archive with its parts changed: ``change`` gets and returns a dictionary by name."""
    with zipfile.ZipFile(source) as archive:
        parts = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in change(parts).items():
            archive.writestr(f"model/{name}", content)
    return target


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def in_program(change):
    """A change of the program's text."""

    def rewrite(parts, _):
        program = json.loads(parts["models/model.json"])
        change(program)
        return {**parts, "models/model.json": json.dumps(program).encode()}

    return rewrite


def operator(name):
    def change(program):
        program["graph_module"]["graph"]["nodes"][0]["target"] = name

    return in_program(change)


def expression(text):
    def change(program):
        for tensor in program["graph_module"]["graph"]["tensor_values"].values():
            tensor["sizes"][:1] = [{"as_expr": {"expr_str": text, "hint": {"as_int": 2}}}]

    return in_program(change)


def pickled_weights(parts, mark):
    config = json.loads(parts["data/weights/model_weights_config.json"])
    next(iter(config["config"].values()))["use_pickle"] = True
    text = json.dumps(config).encode()
    return {**parts, "data/weights/model_weights_config.json": text, "data/weights/weight_0": pickle.dumps(Evil(mark))}


HOSTILE = {
    "example inputs": lambda parts, mark: {**parts, "data/sample_inputs/model.pt": saved(Evil(mark))},
    "bare pickle": lambda parts, mark: {**parts, "data/sample_inputs/model.pt": pickle.dumps(Evil(mark))},
    "pickled weights": pickled_weights,
    "legacy weights": lambda parts, mark: {**parts, "data/weights/model.pt": saved(Evil(mark))},
    "custom object": lambda parts, mark: {**parts, "data/constants/custom_obj_0": saved(Evil(mark))},
    "opaque object": lambda parts, mark: {**parts, "data/constants/opaque_obj_0": pickle.dumps(Evil(mark))},
    "library": lambda parts, mark: {**parts, "data/aotinductor/model/model.so": b"\x7fELF"},
    "operator": operator("torch.os.system"),
    "operator of files": operator("torch.ops.aten.from_file.default"),
    "caller": operator("_operator.methodcaller"),
    "expression": expression("__import__('pathlib').Path('{mark}').touch()"),
    "builtin": expression("eval(chr(49))"),
    "guard": in_program(lambda program: program.update(guards_code=["__import__('os').getcwd()"])),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_would_run_code_is_refused_before_torch_opens_it(tmp_path, honest, kind):
    """Wherever it stands; the message says what it is, and nothing has run."""
    mark = tmp_path / "it ran"
    path = rewritten(honest, tmp_path / "model.pt2", lambda parts: HOSTILE[kind](parts, mark))
    with pytest.raises(DataError, match="it is not opened"):
        load_target(str(path), None, "logits", TASK)
    assert not mark.exists()


def test_what_torch_wrote_passes_and_answers(honest, tmp_path):
    """The check alters nothing, and a copy written anew passes as well."""
    assert load_target(str(honest), None, "logits", TASK).network(torch.zeros(3, 1, 5, 5)).shape == (3, 4)
    check_exported(rewritten(honest, tmp_path / "copy.pt2", dict))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive at all", pickle.dumps([1])])
def test_what_is_no_archive_is_refused(tmp_path, content):
    """One message."""
    (tmp_path / "model.pt2").write_bytes(content)
    with pytest.raises(DataError, match="no program that torch"):
        check_exported(tmp_path / "model.pt2")


def test_a_name_twice_or_a_compressed_part_is_refused(honest, tmp_path):
    """Two readers might not see the same."""
    packed = zipfile.ZipFile(tmp_path / "model.pt2", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(honest) as source, packed as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(DataError, match="compressed"):
        check_exported(tmp_path / "model.pt2")
