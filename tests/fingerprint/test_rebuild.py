"""A bundle made again, and what is said where it differs."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from metav_audit.bundle import ErrorRates, FingerprintBundle
from metav_audit.cli import main
from metav_audit.errors import ConfigurationError
from metav_audit.evidence import AttestedStatus, rebuild_of
from metav_audit.fingerprint.rebuild import differences
from metav_audit.statistics import NEUTRAL
from metav_audit.zoo.project import find_project
from metav_audit.zoo.store import Store
from tests.builders import make_bundle, yes_sayer
from tests.toy import install_presets, write_toy

BUNDLE = make_bundle()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A toy project with its bundle, toy.bundle."""
    install_presets()
    folder = write_toy(tmp_path_factory.mktemp("toy"), preset='"mini"').parent
    call("fit", folder, "--jobs", 1)
    return folder


def call(*words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code or 0


def test_the_same_project_gives_the_same_hash_without_its_store(project, capsys):
    """All models are trained anew, elsewhere: a store that was tampered with is not looked at."""
    bundle = project / "toy.bundle"
    store = sorted(project.glob("zoo/*"))
    assert call("rebuild", bundle, project, "--jobs", 1) == 0
    assert capsys.readouterr().out.startswith(f"the same: {bundle} is ")
    assert sorted(project.glob("zoo/*")) == store


def test_what_came_out_is_signed_and_taken_along(project, tmp_path, capsys, monkeypatch):
    """The same: in the bundle, where an audit finds it; different: beside the bundle, and it bears nothing out."""
    monkeypatch.setenv("METAV_AUDIT_KEY_PASSPHRASE", "a passphrase for tests")
    call("keygen", tmp_path / "expert.pem")
    shutil.copytree(project / "toy.bundle", tmp_path / "toy.bundle")
    assert call("rebuild", tmp_path / "toy.bundle", project, "--reuse", "--key", tmp_path / "expert.pem") == 2
    assert call("rebuild", tmp_path / "toy.bundle", project, "--jobs", 1, "--key", tmp_path / "expert.pem") == 0
    assert str(tmp_path / "toy.bundle" / "rebuild.json") in capsys.readouterr().out
    shown = FingerprintBundle.load(tmp_path / "toy.bundle")
    said = rebuild_of(shown, None)
    assert (said.status, "came out the same" in said.sentence) == (AttestedStatus.REBUILT, True)
    replace(shown, rates=ErrorRates(0.5, 0.2), rebuild=None).save(tmp_path / "tuned")
    assert call("rebuild", tmp_path / "tuned", project, "--jobs", 1, "--key", tmp_path / "expert.pem") == 4
    statement = (tmp_path / "tuned.rebuild.json").read_bytes()
    told = rebuild_of(replace(FingerprintBundle.load(tmp_path / "tuned"), rebuild=statement), None)
    assert (told.status, "came out different: rates" in told.sentence) == (AttestedStatus.INVALID, True)


def test_a_bundle_with_other_rates_is_named_by_its_part(project, tmp_path, capsys):
    """Exit code 4, and the part that differs in words."""
    shown = FingerprintBundle.load(project / "toy.bundle")
    replace(shown, rates=ErrorRates(0.5, 0.2)).save(tmp_path / "tuned")
    assert call("rebuild", tmp_path / "tuned", project, "--reuse", "--jobs", 1) == 4
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("rates: the bundle says {'false_match': 0.5")
    assert lines[1].startswith("different: ")


def test_a_fresh_seed_makes_another_bundle(project, tmp_path, capsys):
    """It is written where -o says, remembers its seed, and is not compared; without -o the command is refused."""
    shown = FingerprintBundle.load(project / "toy.bundle")
    arguments = ["rebuild", project / "toy.bundle", project, "--reuse", "--jobs", 1, "--fresh-seed", 5]
    assert call(*arguments, "-o", tmp_path / "fresh") == 0
    fresh = FingerprintBundle.load(tmp_path / "fresh")
    assert fresh.provenance["seed"] == 5
    assert fresh.sha256 in capsys.readouterr().out
    assert any(each.startswith("provenance.seed: ") for each in differences(shown, fresh))
    assert call(*arguments) == 2


def test_a_targeted_bundle_is_made_again_with_its_own_mark(project, tmp_path, capsys):
    """Identity and nonce that the command line gave are taken from the manifest, not from the project."""
    options = ("--method", "fitprint", "--identity", "Rival Inc", "--nonce", "ab" * 32)
    assert call("fit", project, "--jobs", 1, "-o", tmp_path / "targeted", *options) == 0
    capsys.readouterr()
    assert call("rebuild", tmp_path / "targeted", project, "--reuse", "--jobs", 1) == 0
    assert capsys.readouterr().out.startswith("the same: ")


def test_a_store_that_lies_is_found_out(project, tmp_path, capsys, toy):
    """A bundle from models that are not what the project makes is different when all are trained anew."""
    del toy
    liar = write_toy(tmp_path / "liar", preset='"mini"').parent
    call("zoo", liar, "--jobs", 1)
    weights = sorted(liar.glob("zoo/*.safetensors"))
    _swap_weights(liar, weights)
    call("fit", liar, "--jobs", 1)
    assert call("rebuild", liar / "toy.bundle", liar, "--jobs", 1) == 4
    assert "calibration.answers: " in capsys.readouterr().out


def _swap_weights(folder, paths):
    """Give the first model the weights of another of its structure, stored as its own."""
    import safetensors

    store, by_shape = Store(folder / "zoo"), {}
    for path in paths:
        with safetensors.safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        key = tuple((name, tuple(tensor.shape)) for name, tensor in sorted(state.items()))
        by_shape.setdefault(key, []).append((path, state))
    for models in by_shape.values():
        for (path, _), (_, other) in zip(models, models[1:] + models[:1], strict=True):
            store.save(path.stem, _Weights(other), 1.0)


class _Weights:
    def __init__(self, state):
        self._state = state

    def state_dict(self):
        return self._state


def test_the_same_bundle_differs_in_nothing():
    """Equal hashes need no comparison."""
    assert differences(BUNDLE, make_bundle()) == ()


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"name": "other"}, "name: "),
        ({"rates": ErrorRates(0.1, 0.05)}, "rates: "),
        ({"weight": NEUTRAL}, "weight: "),
        ({"inputs": BUNDLE.inputs[::-1].copy()}, "inputs: "),
        ({"reference": BUNDLE.reference - np.float32(0.5)}, "reference: 100.0% of its numbers differ, by 0.5 at most"),
        ({"provenance": {**BUNDLE.provenance, "platform": "Plan 9"}}, "provenance.platform: it is in one of the two"),
    ],
)
def test_each_part_is_named(changes, part):
    """One part changed, one sentence."""
    (found,) = differences(BUNDLE, replace(BUNDLE, **changes))
    assert found.startswith(part)


def test_another_verifier_and_calibration_are_named():
    """Weights by name, also those that only one of the two has."""
    found = [each.split(":")[0] for each in differences(BUNDLE, yes_sayer(BUNDLE))]
    assert "calibration.answers" in found
    assert "verifier.hidden.weight" in found


def test_the_project_is_found_above_its_bundle(project, tmp_path):
    """Any folder above may hold project.toml; where none does, the message says what to give."""
    assert find_project(project / "toy.bundle") == project.resolve()
    with pytest.raises(ConfigurationError, match="--project"):
        find_project(tmp_path / "bundle")
