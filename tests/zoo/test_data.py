"""The owner's data: what is taken, and what is refused."""

from __future__ import annotations

import contextlib
import io
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.errors import ConfigurationError, DataError, MetavAuditError
from metav_audit.task import ClassScores, GeneratedTensor, ImageDomain, TaskSpec
from metav_audit.task.domains import LatentDomain
from metav_audit.zoo import data as data_module
from metav_audit.zoo.data import load_data

GREY = TaskSpec(ImageDomain(1, 4, 5, -1.0, 1.0), ClassScores(("a", "b", "c")))
COLOUR = TaskSpec(ImageDomain(3, 4, 5), ClassScores(("a", "b", "c")))
X, Y = np.zeros((6, 1, 4, 5), np.float32), np.arange(6) % 3
ANSWER = {}


def give():
    """What tests ask for as ``module:function``."""
    return ANSWER["give"]


def fail():
    raise RuntimeError("no disk\nno bread")


def load(tmp_path, x, y, task=GREY):
    np.savez(tmp_path / "d.npz", x=x, y=y)
    return load_data(str(tmp_path / "d.npz"), task, "train")


def test_an_npz_file_is_read(tmp_path):
    """Inputs become float32, labels int64."""
    loaded = load(tmp_path, X.astype(np.float64), Y.astype(np.float32))
    assert (loaded.inputs.dtype, loaded.labels.dtype) == (np.float32, np.int64)
    assert loaded.labels.tolist() == Y.tolist()
    assert len(loaded) == 6


def test_bytes_are_brought_into_the_range(tmp_path):
    """8-bit images become the domain's darkest and brightest values."""
    x = np.zeros((6, 1, 4, 5), np.uint8)
    x[0] = 255
    loaded = load(tmp_path, x, Y)
    assert loaded.inputs[0].tolist() == np.ones((1, 4, 5)).tolist()
    assert (loaded.inputs[1:] == -1).all()


@pytest.mark.parametrize(("task", "shape"), [(GREY, (6, 4, 5)), (GREY, (6, 4, 5, 1)), (COLOUR, (6, 4, 5, 3))])
def test_the_channel_may_be_missing_or_last(tmp_path, task, shape):
    """Grey images without channel, and channels last, are put in order."""
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    inputs = load(tmp_path, x, Y, task).inputs
    assert inputs.shape[1:] == task.domain.shape
    assert inputs[2, 0, 3, 4] == x.reshape(6, 4, 5, -1)[2, 3, 4, 0]


def nan(x):
    return np.where(np.arange(x.size).reshape(x.shape) == 7, np.nan, x)


REFUSALS = {
    "empty": (X[:0], Y[:0], "x .* is empty"),
    "wrong shape": (np.zeros((6, 1, 5, 4)), Y, "has shape .* the task wants"),
    "a number": (np.float32(1), Y, "has shape"),
    "NaN": (nan(X), Y, "x .* holds NaN"),
    "out of range": (X + 255, Y, r"leaves the task's range .*255 \.\. 255"),
    "text": (np.full(X.shape, "a"), Y, "no real numbers"),
    "label too high": (X, Y + 1, "label 3, the task has classes 0 .. 2"),
    "label negative": (X, Y - 1, "label -1"),
    "one class": (X, Y * 0, "one class only"),
    "too few labels": (X, Y[:-1], "5 labels for 6 inputs"),
    "one-hot labels": (X, np.eye(3)[Y], "18 labels for 6 inputs"),
    "fractional labels": (X, Y + 0.5, "not integers"),
    "NaN labels": (X, np.full(6, np.nan), "not integers"),
    "infinite labels": (X, np.where(Y == 1, np.inf, Y), "not integers"),
    "text labels": (X, np.array(list("abcabc")), "not integers"),
    "complex labels": (X, Y * 1j, "not integers"),
    "objects": (X.astype(object), Y, "no .npz file of plain arrays"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_arrays_that_do_not_fit_are_refused(tmp_path, case):
    """Each kind of misfit has a message of one line that names the file."""
    x, y, said = REFUSALS[case]
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path, x, y)
    assert "\n" not in str(caught.value)
    assert "d.npz" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_pickle_is_never_loaded(tmp_path):
    """A pickle under the name of an archive runs nothing, bare or inside."""

    class Trap:
        def __reduce__(self):
            return (pytest.exit, ("the pickle was run",))

    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Trap()))
    np.savez(tmp_path / "inside.npz", x=np.array([Trap()], object), y=Y)
    for name in ("bare", "inside"):
        with pytest.raises(DataError, match=r"no .npz file of plain arrays"):
            load_data(str(tmp_path / f"{name}.npz"), GREY, "train")


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "no .npz file"), (b"PK\x03\x04 torn", "no .npz file"), (b"hello", "no .npz file")]
)
def test_a_damaged_file_is_refused(tmp_path, content, said):
    """What is no archive is told from what is not there."""
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(DataError, match=said):
        load_data(str(tmp_path / "d.npz"), GREY, "train")


def test_a_truncated_file_is_refused(tmp_path):
    """Half an archive is no archive."""
    load(tmp_path, X, Y)
    whole = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"no .npz file"):
        load_data(str(tmp_path / "d.npz"), GREY, "train")


@settings(max_examples=150)
@given(st.integers(0, 900), st.integers(1, 255))
def test_a_file_with_a_byte_changed_never_crashes(place, change):
    """Whatever byte is changed, the data are read or refused by one of our errors."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=X, y=Y)
    content = bytearray(buffer.getvalue())
    content[place % len(content)] ^= change
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.npz"
        path.write_bytes(content)
        with contextlib.suppress(MetavAuditError):
            load_data(str(path), GREY, "train")


def test_one_array_alone_is_refused(tmp_path):
    """What numpy.save wrote, under another name, is told."""
    np.save(tmp_path / "d.npy", X)
    (tmp_path / "d.npy").rename(tmp_path / "d.npz")
    with pytest.raises(DataError, match="holds a single array"):
        load_data(str(tmp_path / "d.npz"), GREY, "train")


def test_missing_files_and_arrays_are_named(tmp_path, monkeypatch):
    """A file that is not there, an array that is not in it, and a file too large."""
    with pytest.raises(ConfigurationError, match="No such file"):
        load_data(str(tmp_path / "none.npz"), GREY, "train")
    np.savez(tmp_path / "d.npz", x=X, labels=Y)
    with pytest.raises(DataError, match=r"lacks the array .*y"):
        load_data(str(tmp_path / "d.npz"), GREY, "train")
    monkeypatch.setattr(data_module, "MAX_DATA_BYTES", 10)
    with pytest.raises(DataError, match="larger than 10 bytes"):
        load_data(str(tmp_path / "d.npz"), GREY, "train")


def test_a_function_may_give_the_data():
    """``module:function`` returns (x, y), of arrays or lists."""
    ANSWER["give"] = (X.tolist(), Y.tolist())
    assert load_data("tests.zoo.test_data:give", GREY, "train").labels.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "must return"),
        ((X,), "must return"),
        (([[1], [1, 2]], Y), "no pair of plain arrays"),
        (({"a": 1}, Y), "no real numbers|has shape"),
    ],
)
def test_a_function_that_gives_something_else_is_refused(answer, said):
    """Whatever is no pair of arrays is a DataError."""
    ANSWER["give"] = answer
    with pytest.raises(DataError, match=said):
        load_data("tests.zoo.test_data:give", GREY, "train")


@pytest.mark.parametrize(
    ("reference", "kind", "said"),
    [
        ("tests.zoo.test_data:none", ConfigurationError, "cannot import train data"),
        ("no_such_module:f", ConfigurationError, "No module named"),
        (".relative:f", ConfigurationError, "write it as module:function"),
        ("train.csv", ConfigurationError, "write it as module:function"),
        ("tests.zoo.test_data:X", ConfigurationError, "is not a function"),
        ("tests.zoo.test_data:fail", DataError, "fails: RuntimeError: no disk$"),
    ],
)
def test_a_function_that_is_not_there_or_fails_is_named(reference, kind, said):
    """The message says how a function is written, or repeats the first line of its error."""
    with pytest.raises(kind, match=said):
        load_data(reference, GREY, "train")


def test_a_module_with_a_mistake_is_named(tmp_path, monkeypatch):
    """A syntax error in the owner's module is one line."""
    (tmp_path / "mistaken.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"cannot import .*SyntaxError") as caught:
        load_data("mistaken:f", GREY, "train")
    assert "\n" not in str(caught.value)


def test_the_hash_follows_inputs_and_labels(tmp_path):
    """Another input or label gives another hash."""
    hashes = {load(tmp_path, X, Y).sha256(), load(tmp_path, X + 0.5, Y).sha256(), load(tmp_path, X, Y[::-1]).sha256()}
    assert len(hashes) == 3


PAINTER = TaskSpec(LatentDomain(3), GeneratedTensor((3, 4, 5), -1.0, 1.0))


def test_a_generator_s_examples_get_latent_vectors(tmp_path):
    """Pictures as bytes, channels last, are brought into the range; as many latents are drawn, always the same."""
    pictures = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=pictures)
    one, other = (load_data(str(tmp_path / "d.npz"), PAINTER, "train") for _ in range(2))
    np.testing.assert_allclose(one.labels, pictures.transpose(0, 3, 1, 2) / np.float32(127.5) - 1, atol=1e-6)
    assert one.inputs.shape == (6, 3)
    np.testing.assert_array_equal(one.inputs, other.inputs)


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.zeros((6, 3, 4, 4), np.float32), "the task generates"),
        (np.full((6, 3, 4, 5), 2.0, np.float32), "leaves the range"),
        (np.full((6, 3, 4, 5), np.nan, np.float32), "leaves the range"),
    ],
)
def test_examples_that_no_such_generator_makes_are_refused(tmp_path, x, told):
    """Another shape, other values: what is wrong, and where."""
    np.savez(tmp_path / "d.npz", x=x)
    with pytest.raises(DataError, match=told):
        load_data(str(tmp_path / "d.npz"), PAINTER, "train")
