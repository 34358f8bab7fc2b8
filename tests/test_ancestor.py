"""A target that was tuned from a public ancestor, from the owner's project to audits of rivals, over HTTP."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack

import numpy as np
import pytest
import safetensors.torch
import torch

from metav_audit import audit_and_report
from metav_audit.evidence import make_commitment
from metav_audit.fingerprint.fit import make_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.verdict import VerdictOutcome
from metav_audit.verify import verify_folder
from metav_audit.zoo.ancestor import load_ancestor, whole_ancestor
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.habits import TrainingHabits, train_by_habits
from metav_audit.zoo.plan import Split
from metav_audit.zoo.presets import PRESETS, Preset
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.store import state_of
from tests.audit.helpers import endpoint
from tests.evidence.conftest import signing_key
from tests.evidence.test_independent import NOW, script
from tests.servers import ModelServer
from tests.toy import TASK, pictures, train, write_toy

NONE = dict.fromkeys(Split, 0)
KIN = Preset(
    derived={Split.FIT: 1, Split.CALIBRATION: 6, Split.TEST: 0},
    independent={Split.FIT: 10, Split.CALIBRATION: 6, Split.TEST: 0},
    twins=NONE,
)
HABITS = TrainingHabits(rate=3e-3, epochs=8)
TRAINING = """
[training]
program = "built-in"
siblings = 9
ancestor = "ancestor.safetensors"
[training.habits]
rate = 3e-3
epochs = 8
"""


def data(seed):
    inputs, labels = pictures(seed, 120)
    return LabelledData(inputs.astype(np.float32), labels)


@pytest.fixture(scope="module")
def owner(tmp_path_factory):
    """An owner who tuned a public model with the built-in program, and the bundle that follows."""
    PRESETS["kin"] = KIN
    folder = tmp_path_factory.mktemp("ancestor")
    project = load_project(write_toy(folder, TRAINING, preset='"kin"', queries="12"))
    safetensors.torch.save_file(state_of(train(50, data(51))), folder / "ancestor.safetensors")
    workshop = open_workshop(project)
    tuned = train_by_habits(HABITS, workshop.target, workshop.data, 3, load_ancestor(workshop))
    safetensors.torch.save_file(state_of(tuned), folder / "target.safetensors")
    open_workshop.cache_clear()
    workshop = open_workshop(project)
    return workshop, make_bundle(Making.of(workshop, build_zoo(project, jobs=1)))


def served(model):
    @torch.no_grad()
    def answer(inputs):
        return torch.softmax(model(torch.from_numpy(np.asarray(inputs, np.float32))), dim=1).double().numpy()

    return answer


def test_the_bundle_states_the_ancestor_and_holds_who_starts_from_it(owner):
    """In its provenance, in its calibration and among its references; and so it can be committed to."""
    workshop, bundle = owner
    sha256 = load_ancestor(workshop).sha256
    assert (bundle.provenance["ancestor"], bundle.provenance["training"]["ancestor"]) == (sha256, sha256)
    kin = [card for card in bundle.calibration.models if card.of_ancestor and not card.derived]
    assert len({card.lineage for card in kin}) == 6
    assert bundle.verifier.tensors["kin"].sum() == 5
    assert bundle.ancestor.shape == bundle.reference.shape
    commitment = make_commitment(bundle, signing_key(1), claimed_at=NOW)
    assert sha256 in commitment.envelope.payload.decode()


def test_neither_rivals_nor_the_ancestor_are_accused(owner, tmp_path):
    """A copy ranks first and is not cleared; all of it verifies, by the independent script, too."""
    workshop, bundle = owner
    target = workshop.target.network
    rivals = [
        train_by_habits(HABITS, workshop.target, dataclasses.replace(workshop.data, train=data(60 + at)), at,
                        load_ancestor(workshop))
        for at in range(2)
    ]  # fmt: skip
    models = {"copy": target, "ancestor": whole_ancestor(workshop), "rival-0": rivals[0], "rival-1": rivals[1]}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(ModelServer(served(model.eval()))) for name, model in models.items()}
        asked = [dataclasses.replace(endpoint(server.url, TASK), name=name) for name, server in servers.items()]
        case = audit_and_report(bundle, asked, tmp_path)
    verdicts = {result.endpoint.name: result.verdict for result in case.results}
    copy = verdicts.pop("copy")
    assert (copy.outcome is VerdictOutcome.NO_MATCH, copy.p_value_siblings) == (False, 0.1)
    assert all(0 < verdict.p_value_family <= 1 for verdict in (copy, *verdicts.values()))
    assert VerdictOutcome.MATCH not in {verdict.outcome for verdict in verdicts.values()}
    assert {copy.sanity.ancestor, verdicts["ancestor"].outcome.value} <= {"no_match", "inconclusive"}
    for result in case.results:
        assert [(step.name, step.detail) for step in verify_folder(result.folder) if not step.passed] == []
        assert script.check(result.folder.path)
        told = (result.folder.path / "report.html").read_text()
        assert "p if not of the family" in told
        assert f"tuned from the weights {load_ancestor(workshop).sha256}" in told
