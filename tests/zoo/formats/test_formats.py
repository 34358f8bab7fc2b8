"""Models of other libraries: each format gives what its library gives, and nothing of it runs code unasked."""

from __future__ import annotations

import copy
import io
import pickle
import zipfile

import joblib
import numpy as np
import pytest
import torch

from metav_audit.errors import ConfigurationError, DataError
from metav_audit.task import Quantities, TaskSpec
from metav_audit.task.outputs import Quantity
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.formats.base import Said, frame_of
from metav_audit.zoo.formats.opaque import Opaque, changed, has_gradients, settled
from metav_audit.zoo.formats.reading import as_opaque, columns_of
from metav_audit.zoo.formats.registry import FORMATS
from metav_audit.zoo.store import Store, weights_hash
from metav_audit.zoo.target import load_target
from tests.tables import FILES, FRAMES, PROGRAMS, TABLE, content_of, rows, shares_of
from tests.toy import TASK as PICTURES

KINDS = list(FILES)


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    """One format after the other."""
    return request.param


@pytest.fixture(scope="module")
def model(kind):
    """The library's own object."""
    return PROGRAMS[kind](1, rows(1, 160))


@pytest.fixture(scope="module")
def path(kind, model, tmp_path_factory):
    """Its file."""
    path = tmp_path_factory.mktemp(kind) / FILES[kind]
    path.write_bytes(content_of(kind, model))
    return path


def open_file(path, kind, **changes):
    return load_target(str(path), None, None, TABLE, "frame" if kind in FRAMES else "array", trusted=True, **changes)


def own_shares(model, kind):
    inputs = rows(4, 50).inputs
    return inputs, model.predict_proba(frame_of(inputs, TABLE) if kind in FRAMES else inputs)


def test_a_file_gives_what_its_library_gives(kind, model, path):
    """Probabilities of all classes in the task's order, equal to those of the library itself."""
    target = open_file(path, kind)
    inputs, own = own_shares(model, kind)
    assert np.allclose(shares_of(target.network, inputs), own, atol=2e-6)
    assert not has_gradients(target.network)


def test_a_copy_and_a_stored_model_are_the_model(kind, path, tmp_path):
    """Copied, and through the store into an empty shell: the same answers, the same hash."""
    network = open_file(path, kind).network
    store = Store(tmp_path)
    store.save("a" * 64, network, 0.5)
    again = store.load("a" * 64, network.shell())
    inputs = rows(4, 20).inputs
    for other in (copy.deepcopy(network), again):
        assert np.array_equal(shares_of(other, inputs), shares_of(network, inputs))
        assert weights_hash(other) == weights_hash(network)
    assert store.performance("a" * 64) == 0.5


def test_the_same_training_gives_the_same_hash(kind, model):
    """Nothing of the hour or of addresses in memory is kept; CatBoost writes the hour into its own file."""
    if kind in ("onnx", "catboost"):
        pytest.skip("the target is exported, or the library's own file names the hour")
    feed = "frame" if kind in FRAMES else "array"
    twins = [as_opaque(each, TABLE, feed, None) for each in (model, PROGRAMS[kind](1, rows(1, 160)))]
    assert weights_hash(twins[0]) == weights_hash(twins[1])


def test_a_damaged_file_is_one_line(kind, path, tmp_path):
    """With the file's name, and no traceback."""
    damaged = tmp_path / path.name
    damaged.write_bytes(b"\x00no model" * 9)
    with pytest.raises(DataError, match=str(damaged)) as refused:
        open_file(damaged, kind)
    assert "\n" not in str(refused.value)


def test_a_pickle_is_not_opened_unless_it_is_trusted(tmp_path):
    """What it would have run is not run, and the message says what to write."""
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (type(ran).touch, (ran,))

    for name, write in (("a.pkl", pickle.dump), ("a.joblib", joblib.dump)):
        with (tmp_path / name).open("wb") as file:
            write(Evil(), file)
        with pytest.raises(ConfigurationError, match=r"trust = true below \[target\] or give --trust"):
            load_target(str(tmp_path / name), None, None, TABLE)
    assert not ran.exists()


def test_a_type_of_one_s_own_within_an_estimator_must_be_trusted(tmp_path):
    """skops names it; trusted, it is read."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.tree import DecisionTreeClassifier

    data = rows(1, 80)
    model = make_pipeline(FunctionTransformer(halved), DecisionTreeClassifier(max_depth=3)).fit(
        data.inputs, data.labels
    )
    (tmp_path / "own.skops").write_bytes(FORMATS["sklearn"].pack(model))
    with pytest.raises(DataError, match=r"holds tests.zoo.formats.test_formats.halved.*trust = true"):
        load_target(str(tmp_path / "own.skops"), None, None, TABLE)
    trusted = load_target(str(tmp_path / "own.skops"), None, None, TABLE, trusted=True)
    assert np.allclose(shares_of(trusted.network, data.inputs), model.predict_proba(data.inputs), atol=1e-6)


def halved(inputs):
    return inputs / 2


def test_an_archive_that_unpacks_to_too_much_is_refused(monkeypatch):
    """Before anything of it is read."""
    monkeypatch.setattr("metav_audit.zoo.formats.sklearn._MOST", 1000)
    model = PROGRAMS["pickle"](1, rows(1, 80))
    with pytest.raises(DataError, match="larger than 1000 bytes"):
        FORMATS["sklearn"].unpack(FORMATS["sklearn"].pack(model), False)  # noqa: FBT003 - the format's own contract


def test_a_numbered_archive_has_no_hour(tmp_path):
    """All entries bear the same time, and objects are numbered from 0."""
    with zipfile.ZipFile(io.BytesIO(FORMATS["sklearn"].pack(PROGRAMS["pickle"](1, rows(1, 40))))) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert '"__id__": 0' in archive.read("schema.json").decode()


def test_a_missing_library_is_named_with_its_extra(monkeypatch, path, kind):
    """Nothing else than what to install."""
    monkeypatch.setattr(
        "metav_audit.zoo.formats.base.importlib.import_module", lambda _: (_ for _ in ()).throw(ImportError)
    )
    with pytest.raises(ConfigurationError, match=r"needs the package .*pip install 'metav-audit\[\w+\]'"):
        open_file(path, kind)


@pytest.mark.parametrize(
    ("said", "classes", "shares"),
    [
        (Said("probabilities", np.array([0.25])), None, [0.75, 0.25]),
        (Said("probabilities", np.array([[0.25]])), None, [0.75, 0.25]),
        (Said("logits", np.array([np.log(3)])), None, [0.25, 0.75]),
        (Said("logits", np.array([[0.0, np.log(3)]])), None, [0.25, 0.75]),
        (Said("probabilities", np.array([[0.9, 0.1]])), [1, 0], [0.1, 0.9]),
        (Said("probabilities", np.array([[1.0]])), [1], [0.0, 1.0]),
    ],
)
def test_whatever_a_model_says_becomes_shares_of_all_classes(said, classes, shares):
    """One number is the second class's; classes in another order or missing find their places."""
    assert np.allclose(np.exp(settled(said, classes, TABLE))[0], shares, atol=1e-6)


def test_what_does_not_fit_the_task_is_refused():
    """Too many numbers, none, classes that the task has not."""
    with pytest.raises(DataError, match="gives 3 numbers an input, the task has 2 classes"):
        settled(Said("logits", np.zeros((2, 3))), None, TABLE)
    with pytest.raises(DataError, match="NaN"):
        settled(Said("logits", np.full((2, 2), np.nan)), None, TABLE)
    with pytest.raises(DataError, match="knows a class 'maybe', the task's labels are 'no', 'yes'"):
        columns_of(["maybe", "yes"], TABLE)
    assert columns_of(["yes", "no"], TABLE) == columns_of([1.0, 0.0], TABLE) == [1, 0]


def test_what_is_no_model_is_refused():
    """With what can be brought."""
    with pytest.raises(ConfigurationError, match=r"gives list, not a torch.nn.Module.*docs/formats.md"):
        as_opaque([1, 2], TABLE, "array", None)


def test_an_estimator_without_probabilities_is_refused_with_what_to_do():
    """A classifier of margins alone."""
    from sklearn.svm import LinearSVC

    data = rows(1, 80)
    model = as_opaque(LinearSVC().fit(data.inputs, data.labels), TABLE, "array", None)
    with pytest.raises(DataError, match="LinearSVC gives no probabilities: wrap it in sklearn's"):
        shares_of(model, data.inputs)


def test_changes_are_what_they_say():
    """Stretched, shifted, rounded and mixed, each against the numbers themselves."""
    data = rows(1, 120)
    one, two = (as_opaque(PROGRAMS["pickle"](seed, data), TABLE, "array", None) for seed in (1, 2))
    inputs = rows(5, 30).inputs

    def odds(model):
        shares = shares_of(model, inputs)
        return np.log(shares[:, 1]) - np.log(shares[:, 0])

    held = np.isfinite(odds(one)) & (np.abs(odds(one)) < 8) & (np.abs(odds(two)) < 8)
    assert np.allclose(
        odds(changed([one], slope=0.5, shift=[0.0, 0.25]))[held], 0.5 * odds(one)[held] + 0.25, atol=1e-4
    )
    assert np.allclose(
        odds(changed([one, two], weights=[0.3, 0.7]))[held], (0.3 * odds(one) + 0.7 * odds(two))[held], atol=1e-4
    )
    steps = odds(changed([one], step=0.5))[held] / 0.5
    assert np.allclose(steps, np.round(steps), atol=1e-4)
    again = changed([changed([one], slope=2.0)], slope=0.5)
    assert np.allclose(odds(copy.deepcopy(again))[held], odds(one)[held], atol=1e-4)


def test_values_come_in_their_own_units():
    """A regressor of a quantity, and its copy shifted in scales."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    task = TaskSpec(TABLE.domain, Quantities((Quantity("dose", 30.0, 10.0),)))
    data = rows(1, 120)
    values = (30 + 10 * data.inputs[:, 0]).astype(np.float32)
    own = HistGradientBoostingRegressor(max_iter=10).fit(data.inputs, values)
    model = as_opaque(own, task, "array", None)
    with torch.no_grad():
        said = model(torch.from_numpy(data.inputs)).numpy()
        moved = changed([model], shift=[0.5])(torch.from_numpy(data.inputs)).numpy()
    assert np.allclose(said[:, 0], own.predict(data.inputs), atol=1e-3)
    assert np.allclose(moved, said + 5, atol=1e-3)


def test_a_network_may_be_the_sibling_of_a_target_that_is_a_file():
    """Exported, it answers in batches of any size as it did."""
    network = torch.nn.Sequential(torch.nn.Linear(TABLE.domain.shape[0], 2))
    model = as_opaque(network, TABLE, "array", None)
    assert isinstance(model, Opaque)
    for count in (1, 7):
        inputs = rows(3, count).inputs
        with torch.no_grad():
            own = torch.softmax(network(torch.from_numpy(inputs)), dim=1).numpy()
        assert np.allclose(shares_of(model, inputs), own, atol=1e-6)


def test_frames_are_for_tables():
    """Pictures have no columns."""
    with pytest.raises(ConfigurationError, match='feed = "frame" is for tables'):
        frame_of(np.zeros((2, *PICTURES.domain.shape), np.float32), PICTURES)


def test_a_frame_has_the_columns_own_units():
    """Names, whole numbers, categories."""
    frame = frame_of(rows(1, 9).inputs, TABLE)
    assert list(frame.columns) == ["age", "weight", "pulse", "kind"]
    assert frame["age"].between(0, 100).all()
    assert (frame["age"] == frame["age"].round()).all()
    assert frame["kind"].cat.categories.tolist() == ["rare", "usual", "other"]


def test_labels_alone_may_be_learnt():
    """The owner's program fits whatever rows and labels it is given."""
    data = rows(6, 60)
    model = PROGRAMS["sklearn"](3, LabelledData(data.inputs, 1 - data.labels))
    shares = shares_of(as_opaque(model, TABLE, "frame", None), data.inputs)
    assert (shares.argmax(axis=1) == 1 - data.labels).mean() > 0.8
