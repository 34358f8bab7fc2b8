"""A folder of pictures and Parquet files as data: the same arrays as from an .npz file."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.task import ClassScores, TabularDomain, TaskSpec
from metav_audit.zoo import data_files
from metav_audit.zoo.data import load_data
from tests.bench.tasks import WARFARIN
from tests.builders import make_task

GREY = make_task(classes=3, side=4)
COLOUR = make_task(classes=3, side=4, channels=3)
LABELS = GREY.output.labels
TABLE = TaskSpec(WARFARIN.domain, ClassScores(("low", "high")))


def pictures(task, count=6):
    return np.random.default_rng(0).integers(0, 256, size=(count, *task.domain.shape), dtype=np.uint8)


def encoded(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture[0] if len(picture) == 1 else np.moveaxis(picture, 0, -1)).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(folder, task):
    """Six pictures by label; return the arrays that an .npz file would hold, in the order of names."""
    raw = pictures(task)
    for at, picture in enumerate(raw):
        path = folder / LABELS[at // 2] / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture))
    return raw, np.arange(6) // 2


def as_npz(folder, raw, labels, task):
    np.savez(folder / "same.npz", x=raw, y=labels)
    return load_data(str(folder / "same.npz"), task, "train")


def write_parquet(path, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=4)
    return str(path)


def table(count=9):
    domain = TABLE.domain
    assert isinstance(domain, TabularDomain)
    inputs = domain.sample(count, np.random.default_rng(0))
    rows = domain.rows(inputs)
    return inputs, {column.name: [row[column.name] for row in rows] for column in domain.columns}


@pytest.mark.parametrize("task", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_folder_of_pictures_is_its_arrays(tmp_path, task):
    """Label by label in the task's order; other files beside them are left alone."""
    same = as_npz(tmp_path, *write_folder(tmp_path / "pictures", task), task)
    (tmp_path / "pictures" / "notes.txt").write_text("taken in spring")
    assert load_data(str(tmp_path / "pictures"), task, "train").sha256() == same.sha256()


@pytest.mark.parametrize("shape", ["bytes", "struct"])
@pytest.mark.parametrize("named", [True, False])
def test_pictures_in_parquet_are_their_arrays(tmp_path, monkeypatch, shape, named):
    """As bytes or as data sets on hubs have them; labels by name or number; read in batches."""
    monkeypatch.setattr(data_files, "_BATCH", 4)
    raw, labels = pictures(COLOUR), np.arange(6) // 2
    cells = [encoded(one) if shape == "bytes" else {"bytes": encoded(one), "path": None} for one in raw]
    told = [LABELS[each] for each in labels] if named else labels.tolist()
    path = write_parquet(tmp_path / "train.parquet", image=cells, label=told, more=list(range(6)))
    assert load_data(path, COLOUR, "train").sha256() == as_npz(tmp_path, raw, labels, COLOUR).sha256()


def test_a_table_in_parquet_is_its_encoded_rows(tmp_path, monkeypatch):
    """Numbers in their own units, categories by name; a regression's values by the quantities' names."""
    monkeypatch.setattr(data_files, "_BATCH", 4)
    inputs, columns = table()
    path = write_parquet(tmp_path / "classes.parquet", label=["low", "high", "low"] * 3, **columns)
    found = load_data(path, TABLE, "train")
    assert np.allclose(found.inputs, inputs, atol=1e-6)
    assert found.labels.tolist() == [0, 1, 0] * 3
    doses = np.linspace(10, 90, 9)
    path = write_parquet(tmp_path / "doses.parquet", dose_mg_week=doses.tolist(), **columns)
    assert np.allclose(load_data(path, WARFARIN, "train").labels[:, 0], doses)


def test_what_is_wrong_with_a_folder_is_told_with_its_file(tmp_path):
    """A folder that is no label, another size, no picture, a link, nothing."""
    with pytest.raises(DataError, match="holds no pictures"):
        load_data(str(tmp_path), GREY, "train")
    write_folder(tmp_path / "odd", GREY)
    (tmp_path / "odd" / "zebra").mkdir()
    (tmp_path / "odd" / "zebra" / "1.png").write_bytes(encoded(pictures(GREY)[0]))
    with pytest.raises(DataError, match="'zebra', which is none of the task's labels"):
        load_data(str(tmp_path / "odd"), GREY, "train")
    write_folder(tmp_path / "size", GREY)
    (tmp_path / "size" / LABELS[0] / "1.png").write_bytes(encoded(np.zeros((1, 4, 5), np.uint8)))
    with pytest.raises(DataError, match=r"1\.png is 5 x 4, the task wants 4 x 4: resize"):
        load_data(str(tmp_path / "size"), GREY, "train")
    (tmp_path / "size" / LABELS[0] / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1\.png is no picture that can be read"):
        load_data(str(tmp_path / "size"), GREY, "train")
    (tmp_path / "size" / LABELS[0] / "1.png").unlink()
    (tmp_path / "size" / LABELS[0] / "1.png").symlink_to(tmp_path / "odd" / "zebra" / "1.png")
    with pytest.raises(ConfigurationError, match="cannot read the pictures"):
        load_data(str(tmp_path / "size"), GREY, "train")
    with pytest.raises(DataError, match="this task has none"):
        load_data(str(tmp_path / "size"), TABLE, "train")


def test_what_is_wrong_with_a_parquet_file_is_told_with_its_row(tmp_path, monkeypatch):
    """A column that is not there, a label that is none, a value out of range, a picture that is none, another file."""
    _, columns = table()
    for change, message in (
        ({"labels": [0] * 9}, "lacks the column 'label'"),
        ({"label": ["low", "tall", *["high"] * 7]}, "row 1: 'tall' is neither a number nor one of the task's labels"),
        ({"label": [0.0, 0.5, *[1.0] * 7]}, "row 1: 0.5 is no class"),
        ({"label": [0, 7, *[1] * 7]}, "holds label 7"),
        ({"label": [0, 1] * 4 + [1], "age": ["young"] * 9}, "age"),
    ):
        with pytest.raises(DataError, match=message):
            load_data(write_parquet(tmp_path / "odd.parquet", **{**columns, **change}), TABLE, "train")
    path = write_parquet(tmp_path / "pictures.parquet", image=["a", "b"], label=[0, 1])
    with pytest.raises(DataError, match="row 0: image holds no encoded picture"):
        load_data(path, GREY, "train")
    with pytest.raises(ConfigurationError, match="cannot read the data"):
        load_data(str(tmp_path / "missing.parquet"), GREY, "train")
    monkeypatch.setattr(data_files, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="more than 10: give a smaller sample"):
        load_data(path, GREY, "train")


@given(content=st.binary(max_size=200))
def test_any_bytes_are_no_parquet_file_and_no_picture(tmp_path_factory, content):
    """One error of ours, whatever they are."""
    path = tmp_path_factory.mktemp("bytes") / "train.parquet"
    path.write_bytes(content)
    with pytest.raises((DataError, ConfigurationError)):
        load_data(str(path), GREY, "train")
    with pytest.raises(DataError):
        data_files._decoded(content, GREY.domain, "it")
