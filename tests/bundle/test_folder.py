"""The bundle on disk: what is written is what is read, and whatever is broken is refused by name."""

from __future__ import annotations

import dataclasses
import filecmp
import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from metav_audit.bundle import MANIFEST, ErrorRates, FingerprintBundle
from metav_audit.bundle import folder as bundle_module
from metav_audit.bundle.folder import TENSORS
from metav_audit.errors import BundleError, ConfigurationError
from tests.builders import make_bundle

FIXTURES = Path(__file__).parents[2] / "fixtures"
BUNDLES = FIXTURES / "bundles"

REFUSALS = {
    "missing-manifest": "cannot read the bundle's .*manifest.json: No such file",
    "missing-tensors": "cannot read the bundle's .*tensors.safetensors: No such file",
    "missing-field": "lacks rates",
    "truncated-manifest": "manifest.json is not JSON: it is truncated or damaged",
    "truncated-tensors": "tensors.safetensors is truncated or altered",
    "altered-manifest": "manifest.json was altered: its seal does not hold",
    "altered-tensors": "tensors.safetensors is truncated or altered: its hash does not hold",
    "not-json": "manifest.json is not JSON",
    "nan-in-manifest": "manifest.json is not JSON",
    "lone-surrogate": "manifest.json is not JSON",
    "foreign-folder": "is not a metav-audit bundle",
    "newer-schema": "schema version 5, this program reads 3 and 4: upgrade metav-audit",
    "older-schema": "schema version 2, this program reads 3 and 4: fit the bundle again",
    "unknown-input": "input kind 'smell' is unknown",
    "impossible-rate": "an error rate lies between 0 and 1",
    "nan-in-tensors": "calibration.features holds NaN or infinite values",
    "wrong-shape": r"target.features has shape \(4, 2\), \(4, 3\) was expected",
    "no-queries": "holds no query",
    "missing-tensor": "lacks or misstates a part: 'fingerprint.inputs'",
    "input-off-the-grid": "not valid in the task's input domain",
    "one-sided-calibration": "both sides, derived and independent",
    "weight-beyond-its-bounds": "table of likelihood ratios does not rise, or leaves its bounds",
    "weight-falls": "table of likelihood ratios does not rise, or leaves its bounds",
    "weight-not-a-number": "table of likelihood ratios does not rise, or leaves its bounds",
    "verifier-does-not-fit": "the meta-verifier does not fit the fingerprint",
    "verifier-lacks-a-part": "does not fit the fingerprint .'output.bias'",
    "verifier-not-finite": "gives no finite score",
}


def entries(folder):
    """Everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("defect", REFUSALS)
def test_a_broken_bundle_is_refused_by_name(defect):
    """Each defect has a message of one line of its own, and costs no warning."""
    with pytest.raises(BundleError, match=REFUSALS[defect]) as caught:
        FingerprintBundle.load(BUNDLES / defect)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_every_frozen_bundle_is_the_one_the_script_makes(tmp_path):
    """Making the fixtures again changes no byte, and each broken one is tested above."""
    spec = importlib.util.spec_from_file_location("make_fixtures", FIXTURES / "make_fixtures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.make_bundles(tmp_path)
    assert entries(tmp_path) == entries(BUNDLES) == sorted([*REFUSALS, script.WHOLE])
    for name in entries(BUNDLES):
        files = entries(BUNDLES / name)
        assert entries(tmp_path / name) == files
        assert filecmp.cmpfiles(tmp_path / name, BUNDLES / name, files, shallow=False) == (files, [], [])


def test_what_is_saved_is_what_is_loaded(tmp_path):
    """Every part and the hash survive, whatever the name holds."""
    saved = dataclasses.replace(make_bundle(), name='Zoë\'s "model" \u2028 <b>')
    assert saved.save(tmp_path / "deep" / "b") == saved.sha256
    loaded = FingerprintBundle.load(tmp_path / "deep" / "b")
    assert loaded.sha256 == saved.sha256
    for name in ("name", "method", "task", "rates", "provenance"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.weight == saved.weight
    assert loaded.calibration.models == saved.calibration.models
    assert np.array_equal(loaded.calibration.features, saved.calibration.features)
    assert np.array_equal(loaded.inputs, saved.inputs)
    assert np.array_equal(loaded.reference, saved.reference)
    assert loaded.verifier.tensors.keys() == saved.verifier.tensors.keys()
    assert all(np.array_equal(array, saved.verifier.tensors[name]) for name, array in loaded.verifier.tensors.items())


def test_the_whole_fixture_still_loads():
    """A bundle written earlier keeps the hash that its manifest states."""
    whole = FingerprintBundle.load(BUNDLES / "whole")
    assert f'"sha256": "{whole.sha256}"' in (BUNDLES / "whole" / MANIFEST).read_text()


def test_the_hash_follows_from_the_content():
    """The same parts give the same hash; any other name, rate, input or weight gives another."""
    whole = make_bundle()
    inputs = whole.inputs.copy()
    inputs[0, 0, 0, 0] = 1 - inputs[0, 0, 0, 0].round()
    others = [
        dataclasses.replace(whole, name="other"),
        dataclasses.replace(whole, rates=ErrorRates(0.05, 0.1)),
        dataclasses.replace(whole, inputs=inputs),
        dataclasses.replace(whole, reference=whole.reference - np.float32(0.5)),
        make_bundle(seed=1),
    ]
    assert make_bundle().sha256 == whole.sha256
    assert len({bundle.sha256 for bundle in [whole, *others]}) == 6


@pytest.mark.parametrize(("limit", "file"), [("MAX_MANIFEST_BYTES", MANIFEST), ("MAX_TENSOR_BYTES", TENSORS)])
def test_an_oversized_file_is_refused_before_it_is_read(monkeypatch, limit, file):
    """A file above its limit is no bundle of ours."""
    monkeypatch.setattr(bundle_module, limit, 1000)
    monkeypatch.setattr(bundle_module, f"MAX_{'TENSOR' if file == MANIFEST else 'MANIFEST'}_BYTES", 1 << 20)
    with pytest.raises(BundleError, match=f"{file}: it is larger than 1000 bytes"):
        FingerprintBundle.load(BUNDLES / "whole")


def test_a_bundle_in_memory_is_checked_like_one_on_disk():
    """Parts that do not fit each other make no bundle."""
    whole = make_bundle()
    with pytest.raises(BundleError, match=r"target.features has shape"):
        dataclasses.replace(whole, reference=whole.reference[:-1])


@pytest.mark.parametrize("rates", [(0.0, 0.1), (0.1, 1.0), (-1.0, 0.1), (0.1, float("nan"))])
def test_impossible_rates_are_refused(rates):
    """An error rate lies strictly between 0 and 1."""
    with pytest.raises(ConfigurationError, match="error rate"):
        ErrorRates(*rates)


def test_a_newer_bundle_takes_an_older_one_s_place(tmp_path):
    """After saving twice the second stands, alone."""
    make_bundle().save(tmp_path / "b")
    second = make_bundle(seed=1)
    second.save(tmp_path / "b")
    assert FingerprintBundle.load(tmp_path / "b").sha256 == second.sha256
    assert entries(tmp_path) == ["b"]
    assert entries(tmp_path / "b") == [MANIFEST, TENSORS]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_bundle_is_never_overwritten(tmp_path, kind):
    """A folder or file of another make stays as it is, and nothing is left beside it."""
    place = tmp_path / "precious"
    if kind == "folder":
        place.mkdir()
        (place / "thesis.txt").write_text("years of work")
    else:
        place.write_text("years of work")
    with pytest.raises(ConfigurationError, match="exists and is no bundle"):
        make_bundle().save(place)
    assert entries(tmp_path) == ["precious"]
    assert (place / "thesis.txt" if kind == "folder" else place).read_text() == "years of work"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("place", ["fsync", "rename"])
def test_an_interrupted_save_leaves_the_old_bundle_and_no_debris(tmp_path, monkeypatch, stop, place):
    """Stopped while writing or just before the new folder gets its name, the old bundle stands alone."""
    old = make_bundle()
    old.save(tmp_path / "b")

    def fail(*_):
        raise stop

    rename = Path.rename
    if place == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "rename", lambda path, to: fail() if path.name == "fresh" else rename(path, to))
    with pytest.raises((KeyboardInterrupt, ConfigurationError)):
        make_bundle(seed=1).save(tmp_path / "b")
    assert FingerprintBundle.load(tmp_path / "b").sha256 == old.sha256
    assert entries(tmp_path) == ["b"]


def test_an_interrupted_first_save_leaves_nothing(tmp_path, monkeypatch):
    """Without an older bundle, a failed save leaves an empty folder."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigurationError, match=r"cannot write the bundle .*: No space left"):
        make_bundle().save(tmp_path / "b")
    assert entries(tmp_path) == []


def test_a_bundle_below_a_file_cannot_be_written(tmp_path):
    """The message names the bundle."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot write the bundle"):
        make_bundle().save(tmp_path / "file" / "b")


def test_a_bundle_is_readable_by_others(tmp_path):
    """The folder and its files have the usual permissions, not those of a temporary folder."""
    make_bundle().save(tmp_path / "b")
    (tmp_path / "usual").mkdir()
    assert (tmp_path / "b").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_copied_bundle_is_the_same_bundle(tmp_path):
    """Nothing depends on where a bundle lies."""
    shutil.copytree(BUNDLES / "whole", tmp_path / "elsewhere")
    assert FingerprintBundle.load(tmp_path / "elsewhere").sha256 == FingerprintBundle.load(BUNDLES / "whole").sha256


def test_a_file_in_the_place_of_a_bundle_is_told_from_one(tmp_path):
    """A plan, say: with the commands that take it."""
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"plan\.json is a file, no bundle.*'metav-audit served audit'"):
        FingerprintBundle.load(tmp_path / "plan.json")
