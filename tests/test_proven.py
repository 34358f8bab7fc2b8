"""What is proven of a training program and what is claimed, from the owner's project to the report, over HTTP."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch

from metav_audit.cli import main
from metav_audit.report import load_report
from metav_audit.report.layout.cover import lay_out_cover
from metav_audit.task import ScoreKind
from metav_audit.verdict import AuditFolder, VerdictOutcome
from metav_audit.verify import verify_folder
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.store import state_of
from tests.evidence.test_independent import script
from tests.folders import FIELDS
from tests.servers import ModelServer
from tests.toy import install_presets

STEP = "target replayed by another party"
SEED = "seed = 1\n"


def call(*words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code or 0


def shaken(weights):
    """The same weights on another machine: rounded otherwise, by a little."""
    chance = torch.Generator().manual_seed(0)
    return {
        name: value + 0.03 * value.abs().mean() * torch.randn(value.shape, generator=chance)
        if value.is_floating_point()
        else value
        for name, value in weights.items()
    }


@pytest.fixture(scope="module")
def folders(toy, tmp_path_factory):
    """Give the owner's project as it is, without the target's seed, with another one, or made on another machine."""
    install_presets()
    made = {}

    def give(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp("proven") / "project"
            shutil.copytree(toy.workshop.project.folder, folder, ignore=shutil.ignore_patterns("lock"))
            # Only the table below [training] has the line by itself.
            head, _, training = (folder / "project.toml").read_text().partition("[training]")
            changed = {"claimed": "", "another seed": "seed = 2\n"}.get(kind, SEED)
            (folder / "project.toml").write_text(f"{head}[training]{training.replace(SEED, changed)}")
            if kind == "another machine":
                weights = shaken(state_of(toy.workshop.target.network))
                safetensors.torch.save_file(weights, folder / "target.safetensors")
            made[kind] = folder
        return made[kind]

    return give


@pytest.fixture(scope="module")
def fitted(folders):
    """Fit a project's bundle once."""
    made = {}

    def give(kind):
        if kind not in made:
            folder = folders(kind)
            made[kind] = call("fit", folder, "--method", "siblings", "-o", folder / "own.bundle")
        return folders(kind) / "own.bundle", made[kind]

    return give


def audited(bundle, project, out):
    """Audit a copy of the target over HTTP; return its folder and the cover's rows."""
    network = open_workshop(load_project(project)).target.network.eval()

    @torch.no_grad()
    def model(inputs):
        return torch.softmax(network(torch.from_numpy(np.asarray(inputs, np.float32))), dim=1).numpy()

    with ModelServer(model, "json-template") as server:
        fields = {**FIELDS, "url": server.url, "answer": "result.rows", "scores": ScoreKind.PROBABILITY.value}
        lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items() if name != "body"]
        text = "\n".join(["[endpoints.suspect]", *lines, 'body = { inputs = "{{inputs}}" }'])
        (out.parent / "endpoints.toml").write_text(text)
        code = call("audit", bundle, out.parent / "endpoints.toml", "-o", out)
    folder = AuditFolder(out / "suspect")
    assert code == {VerdictOutcome.MATCH: 1, VerdictOutcome.INCONCLUSIVE: 3}[folder.verdict().outcome]
    return folder, dict(lay_out_cover(load_report(folder)).glance)


OWNER = {
    "reproduced": "run with the target's own seed, the training program gave the target again",
    "another machine": "but a model much closer to it than any two siblings are to each other",
    "claimed": "that the training program made the target is claimed, the owner's word",
}


@pytest.mark.parametrize("kind", OWNER)
def test_the_cover_says_what_the_owner_proved(folders, fitted, tmp_path, kind):
    """Reproduced, nearly so, or claimed; and that nobody else has said so. The folder verifies, by the script too."""
    bundle, code = fitted(kind)
    assert code == 0
    folder, cover = audited(bundle, folders(kind), tmp_path / "audits")
    assert OWNER[kind] in cover["False matches"]
    assert cover["Replay"].startswith("Nobody has signed")
    (step,) = [step for step in verify_folder(folder) if step.name == STEP]
    assert step.status == "none"
    assert script.check(folder.path)


def test_a_seed_that_is_not_the_target_s_gives_no_bundle(fitted, capsys):
    """Fit says what came out, and what to mend."""
    bundle, code = fitted("another seed")
    assert (code, bundle.exists()) == (2, False)
    assert "does not give the target again" in capsys.readouterr().err


BY_OTHERS = {
    "reproduced": ("gave the target again, says the key", "pass"),
    "another machine": ("a model much closer to it than two siblings are to each other, says the key", "pass"),
}


@pytest.mark.parametrize("kind", BY_OTHERS)
def test_another_party_s_replay_travels_with_the_bundle(folders, fitted, tmp_path, monkeypatch, kind):
    """An expert signs what the program gave; whoever audits with that bundle shows it."""
    monkeypatch.setenv("METAV_AUDIT_KEY_PASSPHRASE", "correct horse battery")
    bundle = shutil.copytree(fitted(kind)[0], tmp_path / "bundle")
    call("keygen", tmp_path / "expert.pem")
    assert call("replay", bundle, folders(kind), "--key", tmp_path / "expert.pem") == 0
    folder, cover = audited(bundle, folders(kind), tmp_path / "audits")
    said, status = BY_OTHERS[kind]
    assert said in cover["Replay"]
    (step,) = [step for step in verify_folder(folder) if step.name == STEP]
    assert (step.status, said in step.detail) == (status, True)
    assert script.check(folder.path)


def test_a_replay_that_failed_undoes_a_claim(folders, fitted, tmp_path, monkeypatch):
    """The claimed program does not give the target by the seed that the owner names later: beside the bundle it stands,
    and whoever puts it in says so on the cover, in verify and by the script."""
    monkeypatch.setenv("METAV_AUDIT_KEY_PASSPHRASE", "correct horse battery")
    bundle = shutil.copytree(fitted("claimed")[0], tmp_path / "bundle")
    call("keygen", tmp_path / "expert.pem")
    assert call("replay", bundle, folders("another seed"), "--key", tmp_path / "expert.pem") == 4
    assert not (bundle / "replay.json").exists()
    shutil.move(tmp_path / "bundle.replay.json", bundle / "replay.json")
    folder, cover = audited(bundle, folders("claimed"), tmp_path / "audits")
    assert "did not give it: not reproduced" in cover["Replay"]
    (step,) = [step for step in verify_folder(folder) if step.name == STEP]
    assert (step.status, step.passed) == ("FAIL", False)
    with pytest.raises(script.WrongError, match="did not give it"):
        script.check(folder.path)
