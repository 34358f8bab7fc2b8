"""Surrogates that the owner trained elsewhere: their cards, their splits, and what of answers alone is possible."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import tomlkit
import torch

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import ConfigurationError, DataError
from metav_audit.zoo.own import own_models, own_plans
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.store import state_of
from tests.tables import PROGRAMS, TABLE, content_of, rows, write_table
from tests.test_formats import run
from tests.toy import network, write_toy

CARD = {"derived": False, "recipe": "a rival's boosting", "architecture": "trees", "data": "heldout"}
SIZES = {side: {Split.FIT: 2, Split.CALIBRATION: 4, Split.TEST: 0} for side in (True, False)}


def put(folder: Path, name: str, content: bytes | None = None, ending: str = ".ubj", **card) -> Path:
    """Write a card, and a model of XGBoost beside it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(tomlkit.dumps({**CARD, **card}))
    if content is not None:
        (folder / f"{name}{ending}").write_bytes(content)
    return path


def boosted(seed: int) -> bytes:
    """XGBoost's own file."""
    return content_of("xgboost", PROGRAMS["xgboost"](seed, rows(seed, 160)))


def put_answers(folder: Path, name: str, seed: int, **card) -> None:
    """A card, and what a forest answered to the validation data."""
    put(folder, name, **card)
    inputs = rows(3, 120).inputs
    np.savez(folder / f"{name}.npz", x=inputs, answers=PROGRAMS["pickle"](seed, rows(seed, 160)).predict_proba(inputs))


def owned(tmp_path: Path):
    """A table's project with a folder of own surrogates; the project and the folder."""
    project = write_table(tmp_path, "xgboost")
    told = tomlkit.parse(project.read_text())
    told["zoo"]["own"] = "own"
    project.write_text(tomlkit.dumps(told))
    return project, tmp_path / "own"


def test_own_lineages_join_the_splits_in_the_presets_shares(tmp_path):
    """Always the same ones; a stated split stands; what shares a lineage stays together; twins count once."""
    project, folder = owned(tmp_path)
    model = boosted(5)
    for number in range(6):
        put(folder, f"r{number}", model)
    put(folder, "r5b", model, lineage="r5", recipe="tuned on")
    put(folder, "late", model, split="test", derived=True)
    (folder / "as-json.json").write_text(json.dumps({**CARD, "model": "r0.ubj", "split": "fit"}))
    workshop = open_workshop(load_project(project))
    splits = {plan.recipe + plan.lineage: plan.split for plan, _ in own_plans(workshop, SIZES)}
    drawn = [splits[f"own: {CARD['recipe']}own-r{number}"] for number in range(6)]
    # The stated one counts among the two of fit.
    assert sorted(drawn) == [Split.CALIBRATION] * 5 + [Split.FIT]
    assert splits["own: tuned onown-r5"] is drawn[5]
    assert splits[f"own: {CARD['recipe']}own-late"] is Split.TEST
    assert splits[f"own: {CARD['recipe']}own-as-json"] is Split.FIT
    assert all(0.5 < performance <= 1 for _, performance in own_plans(workshop, SIZES))


@pytest.mark.parametrize(
    ("card", "kind", "message"),
    [
        ({"recipe": ""}, ConfigurationError, r"card .*one.toml: recipe"),
        ({"lineag": "x"}, ConfigurationError, r"lineag: this key is unknown: check its spelling.*lineage"),
        ({"data": "theirs"}, ConfigurationError, r"data: "),
        ({"derived": "perhaps"}, ConfigurationError, r"derived: "),
        ({"split": "training"}, ConfigurationError, r"split: "),
        ({"model": "two.ubj"}, ConfigurationError, r"one.toml: cannot read .*two.ubj"),
        ({"model": "../own/one.toml"}, ConfigurationError, r"is of no format that is known"),
        ({"model": "one.npz"}, ConfigurationError, r"cannot read the data .*one.npz"),
    ],
)
def test_a_bad_card_gets_one_clear_message(card, kind, message, tmp_path):
    """The file, the key, what may stand there."""
    project, folder = owned(tmp_path)
    put(folder, "one", b"", **card)
    with pytest.raises(kind, match=message):
        own_models(load_project(project))


def test_what_is_no_card_and_what_lacks_a_model_is_told(tmp_path):
    """An empty folder, no folder, no TOML, no JSON, a card alone, two models of one name, a damaged model."""
    project, folder = owned(tmp_path)
    loaded = load_project(project)
    with pytest.raises(ConfigurationError, match="cannot read the folder of own surrogates"):
        own_models(loaded)
    folder.mkdir()
    with pytest.raises(ConfigurationError, match="holds 0 cards"):
        own_models(loaded)
    for name, text in (("a.toml", "derived ="), ("a.json", "{]")):
        (folder / name).write_text(text)
        with pytest.raises(ConfigurationError, match=r"a\.(toml|json) is no (TOML|JSON)"):
            own_models(loaded)
        (folder / name).unlink()
    put(folder, "a")
    with pytest.raises(ConfigurationError, match="0 models of its name stand beside it"):
        own_models(loaded)
    put(folder, "a", b"no booster")
    with pytest.raises(DataError, match=r"card .*a.toml: .*a.ubj is no file of an XGBoost model, or is damaged"):
        own_models(loaded)
    put(folder, "a", b"", ".onnx")
    with pytest.raises(ConfigurationError, match="2 models of its name stand beside it"):
        own_models(loaded)


def test_a_lineage_lies_on_one_side(tmp_path):
    """Two cards that disagree are refused."""
    project, folder = owned(tmp_path)
    put(folder, "a", boosted(5), lineage="same")
    put(folder, "b", boosted(6), lineage="same", derived=True)
    with pytest.raises(ConfigurationError, match="'own-same' is derived on one card and independent on another"):
        own_models(load_project(project))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": rows(3, 9).inputs, "answers": np.full((9, 2), 0.4)}, "those to input 0 sum to 0.8"),
        ({"x": rows(3, 9).inputs, "answers": np.full((8, 2), 0.5)}, "each of the 9 inputs"),
        ({"x": rows(3, 9).inputs, "answers": np.full((9, 3), 0.5)}, "have 3 columns, the task has 2"),
        ({"x": rows(3, 9).inputs, "y": np.full((9, 2), 0.5)}, "must hold x and answers"),
        ({"x": rows(8, 9).inputs, "answers": np.full((9, 2), 0.5)}, "answers none of the validation data"),
    ],
)
def test_answers_that_do_not_fit_are_refused(arrays, message, tmp_path):
    """With the row and what to do."""
    project, folder = owned(tmp_path)
    put(folder, "one")
    np.savez(folder / "one.npz", **arrays)
    workshop = open_workshop(load_project(project))
    with pytest.raises(DataError, match=message):
        own_plans(workshop, SIZES)


def test_methods_that_move_queries_are_refused_beside_answers_alone(tmp_path, capsys):
    """Before anything is trained, the usual method, too: it says which can be used."""
    from tests.toy import install_presets

    install_presets()
    project = write_toy(tmp_path)
    project.write_text(project.read_text().replace('store = "zoo"', 'store = "zoo"\nown = "own"'))
    folder = tmp_path / "own"
    put(folder, "answers")
    with np.load(tmp_path / "validation.npz") as data:
        np.savez(folder / "answers.npz", x=data["x"], answers=np.eye(3)[data["y"]])
    for words in (["--method", "metav"], []):
        assert run("fit", project, *words) == 2
        assert "own surrogates of answers alone were never asked: use one of" in capsys.readouterr().err
    assert not list((tmp_path / "zoo").glob("*.safetensors"))


def test_a_network_of_ones_own_comes_as_a_target_does(tmp_path):
    """A function and weights beside the card."""
    project = write_toy(tmp_path)
    project.write_text(project.read_text().replace('store = "zoo"', 'store = "zoo"\nown = "own"'))
    folder = tmp_path / "own"
    put(folder, "net", model="tests.toy:network", weights="net.safetensors", architecture="target")
    torch.manual_seed(0)
    (folder / "net.safetensors").write_bytes(safetensors.torch.save(state_of(network())))
    ((plan, _),) = own_plans(open_workshop(load_project(project)), SIZES)
    assert (plan.architecture, plan.derived, plan.answers_only) == ("target", False, False)


@pytest.mark.soak
def test_own_surrogates_of_both_kinds_are_calibrated_on(tmp_path, capsys):
    """A model and answers alone, on either side; their cards stand in the bundle, marked as one's own."""
    project, folder = owned(tmp_path)
    put(folder, "rival", boosted(9), split="calibration")
    put(folder, "tuned", boosted(1), split="calibration", derived=True, recipe="tuned on", family="fine-tune")
    put_answers(folder, "asked", 11, split="calibration")
    assert run("fit", project, "-o", tmp_path / "bundle", "--jobs", 1) == 0
    said = capsys.readouterr().err
    assert "own surrogates: 3 models, 1 derived and 2 independent lineages" in said
    assert "of 1 of them the answers alone are at hand: queries are picked" in said
    bundle = FingerprintBundle.load(tmp_path / "bundle")
    cards = {card.lineage: card for card in bundle.calibration.models}
    assert cards["own-tuned"].derived
    assert cards["own-tuned"].family == "fine-tune"
    assert cards["own-rival"].recipe == f"own: {CARD['recipe']}"
    assert not cards["own-asked"].derived
    # What cannot be asked anything stands last, and natural inputs are asked of the others.
    assert bundle.calibration.models[-1].lineage == "own-asked"
    assert len(bundle.natural.models) == len(bundle.calibration.models) - 1
    shares = PROGRAMS["pickle"](11, rows(11, 160)).predict_proba(bundle.inputs)
    at = len(bundle.calibration.models) - 1
    assert np.allclose(np.exp(bundle.calibration.features[at]), np.maximum(shares, 1e-12), atol=1e-5)
    assert TABLE.output.size == 2
