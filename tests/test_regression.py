"""The whole chain on a regression: a table in, two quantities out, asked over HTTP with a schema in front."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from metav_audit.bundle import FingerprintBundle
from metav_audit.cli import main
from metav_audit.fingerprint.fit import fit_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.task import Quantities, ScoreKind, TabularDomain, TaskSpec
from metav_audit.task.domains import CategoryColumn, NumberColumn
from metav_audit.task.outputs import Quantity
from metav_audit.verdict import VerdictOutcome, conclude
from metav_audit.zoo.architectures import mlp
from metav_audit.zoo.build import build_zoo, load_model
from metav_audit.zoo.outputs.registry import trained
from metav_audit.zoo.plan import Split
from metav_audit.zoo.presets import PRESETS, Preset
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.store import state_of
from metav_audit.zoo.training import descend, seeded
from tests.evidence.test_independent import load_script
from tests.once import once_a_run
from tests.servers import PROTOCOLS, ModelServer
from tests.toy import typical_suspect
from tests.verdict.test_decide import transcript

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

DOMAIN = TabularDomain(
    (
        NumberColumn("age", 18, 90),
        NumberColumn("weight", 40, 140, 0.5),
        CategoryColumn("gene", ("AA", "AG", "GG")),
        CategoryColumn("smoker", ("no", "yes")),
    )
)
TASK = TaskSpec(DOMAIN, Quantities((Quantity("dose", 30.0, 8.0), Quantity("days", 5.0, 2.0))))

SOME = Preset(
    derived={Split.FIT: 10, Split.CALIBRATION: 8, Split.TEST: 3},
    independent={Split.FIT: 10, Split.CALIBRATION: 8, Split.TEST: 3},
    twins={Split.FIT: 0.5, Split.CALIBRATION: 0.0, Split.TEST: 0.0},
)
PROJECT = """\
name = "doses"
seed = 3
[task]
kind = "regression"
quantities = [{ name = "dose", center = 30.0, scale = 8.0 }, { name = "days", center = 5.0, scale = 2.0 }]
input = { kind = "tabular", columns = [
  { name = "age", low = 18, high = 90 }, { name = "weight", low = 40, high = 140, step = 0.5 },
  { name = "gene", categories = ["AA", "AG", "GG"] }, { name = "smoker", categories = ["no", "yes"] },
] }
[target]
model = "tests.test_regression:network"
weights = "target.safetensors"
[data]
train = "train.npz"
heldout = "heldout.npz"
[zoo]
preset = "doses"
architectures = ["mlp-wide", "mlp-small"]
[fingerprint]
queries = 16
steps = 400
[rates]
false_match = 0.2
false_no_match = 0.2
"""


def network() -> nn.Module:
    """A perceptron that gives doses and days in their own units."""
    return mlp(48, 24)(TASK)


def patients(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Patients, and what they need, with noise."""
    rng = np.random.default_rng(seed)
    inputs = DOMAIN.sample(count, rng)
    age, weight, gene, smoker = inputs[:, 0], inputs[:, 1], inputs[:, 2:5] @ [8.0, 0.0, -8.0], inputs[:, 6]
    dose = 30 - 14 * (age - 0.5) + 12 * weight * (1 + smoker) + gene + rng.normal(0, 2, count)
    days = 5 + 3 * np.sin(4 * age) - 2 * smoker + rng.normal(0, 0.5, count)
    return inputs, np.stack([dose, days], axis=1).astype(np.float32)


class Patient(BaseModel):
    """What the API takes, strictly."""

    model_config = ConfigDict(extra="forbid", strict=True)
    age: int = Field(ge=18, le=90)
    weight: float = Field(ge=40, le=140, multiple_of=0.5)
    gene: Literal["AA", "AG", "GG"]
    smoker: Literal["no", "yes"]


def checked(model, body):
    """An API that refuses what its schema does not know, and names its quantities."""
    rows = [Patient.model_validate(row).model_dump() for row in body["patients"]]
    return {"needs": [{"dose": dose, "days": days} for dose, days in model(DOMAIN.encode(rows)).tolist()]}


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Project, zoo and bundle, trained and fitted."""
    PRESETS["doses"] = SOME
    with once_a_run(tmp_path_factory, "doses") as folder:
        if not (folder / "project.toml").exists():
            _write(folder)
        project = load_project(folder)
        zoo, workshop = build_zoo(project, jobs=1), open_workshop(project)
        bundle, _ = fit_bundle(Making.of(workshop, zoo), folder / "doses.bundle")
        return folder, workshop, zoo, bundle


def _write(folder):
    """Data, a trained target and the project file."""
    for name, seed, count in (("train", 1, 200), ("heldout", 2, 250)):
        inputs, needs = patients(seed, count)
        np.savez(folder / f"{name}.npz", x=inputs, y=needs)
    torch.manual_seed(0)
    target, loss = network(), trained(TASK.output).loss()
    pairs = tuple(map(torch.from_numpy, patients(1, 200)))
    descend(target, list(target.parameters()), pairs, loss, epochs=60, rate=5e-3, generator=seeded(0))
    safetensors.torch.save_file(state_of(target), folder / "target.safetensors")
    (folder / "project.toml").write_text(PROJECT)


def test_surrogates_know_the_task_and_performance_is_r_squared(chain):
    """All kept models explain most of the variance; the figure is scikit-learn's."""
    from sklearn.metrics import r2_score

    _, workshop, zoo, _ = chain
    inputs, needs = workshop.data.validation.inputs, workshop.data.validation.labels
    for one in (zoo.surrogates[0], zoo.surrogates[-1]):
        model = load_model(workshop, one.plan)
        with torch.no_grad():
            given = model(torch.from_numpy(inputs)).numpy()
        assert one.performance == pytest.approx(r2_score(needs, given), abs=1e-5)
        assert trained(TASK.output).performance(model, torch.from_numpy(inputs), torch.from_numpy(needs)) > 0.6
    assert {one.plan.architecture for one in zoo.surrogates} == {"target", "mlp-small", "mlp-wide"}


def test_the_bundle_survives_the_disk(chain):
    """A task with a table and quantities is read back, the inputs valid rows."""
    folder, _, _, bundle = chain
    loaded = FingerprintBundle.load(folder / "doses.bundle")
    assert loaded.sha256 == bundle.sha256
    assert loaded.task == TASK


@pytest.mark.parametrize(("derived", "outcome", "code"), [(True, "match", 1), (False, "no_match", 0)])
def test_an_endpoint_behind_a_schema_is_told_from_the_other_side(chain, tmp_path, capsys, derived, outcome, code):
    """Held-out models behind a strict API get the right verdict; the folder verifies, by the script as well."""
    folder, workshop, zoo, bundle = chain
    model = typical_suspect(workshop, zoo, bundle, derived=derived)
    PROTOCOLS["patients"] = checked
    with ModelServer(model, "patients") as server:
        fields = {
            "adapter": "json-template", "url": server.url, "encoding": "rows", "batch": 4,
            "body": {"patients": "{{inputs}}"}, "answer": "needs",
        }  # fmt: skip
        body = fields.pop("body")
        lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
        text = "\n".join(["[endpoints.api]", *lines, f'body = {{ patients = "{body["patients"]}" }}'])
        (tmp_path / "endpoints.toml").write_text(text + "\n")
        with pytest.raises(SystemExit) as end:
            main(["audit", str(folder / "doses.bundle"), str(tmp_path / "endpoints.toml"), "-o", str(tmp_path / "out")])
    shown = capsys.readouterr()
    assert (end.value.code or 0, shown.out.split(" (")[0]) == (code, f"api: {outcome}"), shown.err
    audit = tmp_path / "out" / "api"
    assert json.loads((audit / "verdict.json").read_text())["answered"] == 16
    with pytest.raises(SystemExit) as end:
        main(["verify", str(audit)])
    assert end.value.code == 6, capsys.readouterr()
    load_script().check(Path(audit))
    report = json.loads((audit / "report.json").read_text())
    assert report["labels"] == ["dose", "days"]
    assert all(query["target_label"] is None and query["divergence"] is not None for query in report["queries"])


@pytest.mark.parametrize("derived", [True, False])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda model: lambda rows: model(rows)[:, ::-1],
        lambda model: lambda rows: model(rows) * 1000,
        lambda model: lambda rows: model(np.roll(rows, 1, axis=1)),
        lambda model: lambda rows: np.broadcast_to(model(rows[:1]), (len(rows), 2)),
    ],
    ids=["exchanged", "another unit", "columns in another order", "always the same"],
)
def test_values_that_do_not_follow_the_target_s_are_no_verdict(chain, wrong, derived):
    """Whoever is read wrongly or does another task, copy or not, is neither accused nor cleared."""
    _, workshop, zoo, bundle = chain
    model = wrong(typical_suspect(workshop, zoo, bundle, derived=derived))
    verdict = conclude(bundle, transcript(model, bundle, kind=ScoreKind.VALUE)).verdict
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE, verdict.natural


def test_values_of_the_task_correlate_with_the_target_s(chain):
    """Copies and independent models are understood, and the verdict says how well they do."""
    _, workshop, zoo, bundle = chain
    for derived in (True, False):
        model = typical_suspect(workshop, zoo, bundle, derived=derived)
        decision = conclude(bundle, transcript(model, bundle, kind=ScoreKind.VALUE))
        assert decision.reading.faults == ()
        assert "the values correlate with the target's by" in decision.verdict.natural


def test_methods_that_compare_classes_say_that_they_cannot(chain, capsys):
    """IPGuard and FIT-Print need labels, which a regression has not."""
    folder = chain[0]
    for method in ("ipguard", "fitprint"):
        with pytest.raises(SystemExit) as end:
            main(["fit", str(folder), "--method", method, "-o", str(folder / "other.bundle")])
        assert end.value.code == 2
        assert "compares classes, and a regression has none" in capsys.readouterr().err
