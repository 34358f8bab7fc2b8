"""The whole chain on a generator: a latent vector in, an image out, asked over HTTP for PNG files."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from metav_audit.cli import main
from metav_audit.errors import AnswerError, DataError
from metav_audit.fingerprint.fit import fit_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.task import GeneratedTensor, ScoreKind, TaskSpec
from metav_audit.task.domains import LatentDomain
from metav_audit.verdict import VerdictOutcome, conclude
from metav_audit.zoo.architectures import dcgan
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.data import load_data
from metav_audit.zoo.generative import descend_against, quality
from metav_audit.zoo.plan import Split
from metav_audit.zoo.presets import PRESETS, Preset
from metav_audit.zoo.project import load_project, open_workshop
from metav_audit.zoo.store import state_of
from metav_audit.zoo.training import seeded
from tests.evidence.test_independent import load_script
from tests.once import once_a_run
from tests.servers import PROTOCOLS, ModelServer
from tests.toy import typical_suspect
from tests.verdict.test_decide import transcript

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

TASK = TaskSpec(LatentDomain(6), GeneratedTensor((1, 8, 8), -1.0, 1.0, 256))
SOME = Preset(
    derived={Split.FIT: 6, Split.CALIBRATION: 6, Split.TEST: 3},
    independent={Split.FIT: 8, Split.CALIBRATION: 6, Split.TEST: 3},
    twins={Split.FIT: 0.25, Split.CALIBRATION: 0.0, Split.TEST: 0.0},
)
PROJECT = """\
name = "blobs"
seed = 5
[task]
kind = "generation"
shape = [1, 8, 8]
low = -1.0
high = 1.0
levels = 256
input = { kind = "latent", size = 6 }
[target]
model = "tests.test_generation:network"
weights = "target.safetensors"
[data]
train = "train.npz"
heldout = "heldout.npz"
[zoo]
preset = "blobs"
architectures = ["decoder-small"]
[fingerprint]
queries = 8
steps = 250
[rates]
false_match = 0.25
false_no_match = 0.25
"""


def network() -> nn.Module:
    """A small generator."""
    return dcgan(6)(TASK)


def blobs(seed: int, count: int) -> np.ndarray:
    """Round spots anywhere on an 8 x 8 image, as 8-bit levels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:8, :8]
    places, widths = rng.uniform(1, 7, (2, count, 1, 1)), rng.uniform(1, 4, (count, 1, 1))
    spots = np.exp(-((rows - places[0]) ** 2 + (columns - places[1]) ** 2) / widths)
    return np.rint(255 * spots).astype(np.uint8)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Project, zoo and bundle, trained and fitted."""
    PRESETS["blobs"] = SOME
    with once_a_run(tmp_path_factory, "blobs") as folder:
        if not (folder / "project.toml").exists():
            _write(folder)
        project = load_project(folder)
        zoo, workshop = build_zoo(project, jobs=1), open_workshop(project)
        bundle, _ = fit_bundle(Making.of(workshop, zoo), folder / "blobs.bundle")
        return folder, workshop, zoo, bundle


def _write(folder):
    """Data, a trained target and the project file."""
    for name, seed in (("train", 1), ("heldout", 2)):
        np.savez(folder / f"{name}.npz", x=blobs(seed, 320))
    data = load_data(str(folder / "train.npz"), TASK, "train")
    torch.manual_seed(0)
    target = network()
    pairs = torch.from_numpy(data.labels), torch.from_numpy(data.inputs)
    descend_against(target, list(target.parameters()), *pairs, epochs=40, rate=5e-3, generator=seeded(0))
    safetensors.torch.save_file(state_of(target), folder / "target.safetensors")
    (folder / "project.toml").write_text(PROJECT)


def test_quality_is_one_for_real_examples_and_zero_for_their_mean():
    """Other real examples come near 1, their mean alone is 0, and noise is worse."""
    real, others = (torch.from_numpy(blobs(seed, 300) / 127.5 - 1).float()[:, None] for seed in (1, 2))
    latents = torch.zeros(300, 6)
    assert quality(lambda _: others, latents, real) > 0.97
    assert quality(lambda _: real.mean(0, keepdim=True).expand_as(real), latents, real) == pytest.approx(0, abs=0.01)
    assert quality(lambda _: torch.rand(300, 1, 8, 8), latents, real) < 0


def test_training_makes_a_generator_better(chain):
    """The target is far better than a fresh network of its structure."""
    _, workshop, _, _ = chain
    held = workshop.data.validation
    pairs = torch.from_numpy(held.inputs), torch.from_numpy(held.labels)
    assert quality(workshop.target.network, *pairs) > max(0.5, quality(network().eval(), *pairs) + 0.2)


def png(elements: np.ndarray) -> str:
    levels = np.rint((elements.reshape(8, 8) + 1) * 127.5).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def studio(model, body):
    """An API that makes a PNG file of a latent vector, within the sampler's range."""
    latents = np.array(body["latents"], np.float32)
    assert np.abs(latents).max() <= 3
    return {"images": [png(each) for each in model(latents)]}


@pytest.mark.parametrize(("derived", "outcome", "code"), [(True, "match", 1), (False, "no_match", 0)])
def test_an_endpoint_that_draws_is_told_from_the_other_side(chain, tmp_path, capsys, derived, outcome, code):
    """Held-out generators behind PNG files get the right verdict; the folder verifies, by the script as well."""
    folder, workshop, zoo, bundle = chain
    model = typical_suspect(workshop, zoo, bundle, derived=derived)
    PROTOCOLS["studio"] = studio
    with ModelServer(model, "studio") as server:
        text = f'[endpoints.api]\nadapter = "json-template"\nurl = "{server.url}"\nbatch = 4\nanswer = "images"\n'
        (tmp_path / "endpoints.toml").write_text(text + 'body = { latents = "{{inputs}}" }\n')
        with pytest.raises(SystemExit) as end:
            main(["audit", str(folder / "blobs.bundle"), str(tmp_path / "endpoints.toml"), "-o", str(tmp_path / "out")])
    shown = capsys.readouterr()
    assert (end.value.code or 0, shown.out.split(" (")[0]) == (code, f"api: {outcome}"), shown.err
    audit = tmp_path / "out" / "api"
    with pytest.raises(SystemExit) as end:
        main(["verify", str(audit)])
    assert end.value.code == 6, capsys.readouterr()
    load_script().check(audit)
    report = json.loads((audit / "report.json").read_text())
    assert report["kind"] == "generation"
    assert all(len(query["suspect"]) == 64 for query in report["queries"])


@pytest.mark.parametrize("derived", [True, False])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda model: lambda latents: -model(latents),
        lambda model: lambda latents: np.random.default_rng(3).uniform(-1, 1, (len(latents), 1, 8, 8)),
        lambda model: lambda latents: np.full((len(latents), 1, 8, 8), 0.9),
    ],
    ids=["inverted", "noise", "blank"],
)
def test_outputs_unlike_the_task_s_are_no_verdict(chain, wrong, derived):
    """Whoever is read wrongly or draws something else, copy or not, is neither accused nor cleared."""
    _, workshop, zoo, bundle = chain
    model = wrong(typical_suspect(workshop, zoo, bundle, derived=derived))
    answered = transcript(lambda latents: model(latents).reshape(len(latents), -1), bundle, kind=ScoreKind.VALUE)
    verdict = conclude(bundle, answered).verdict
    assert verdict.outcome is VerdictOutcome.INCONCLUSIVE, verdict.natural


def test_outputs_of_the_task_are_like_those_of_its_models(chain):
    """Copies and independent generators are understood, and the verdict says how like they are."""
    _, workshop, zoo, bundle = chain
    for derived in (True, False):
        model = typical_suspect(workshop, zoo, bundle, derived=derived)
        shown = transcript(lambda latents, m=model: m(latents).reshape(len(latents), -1), bundle, kind=ScoreKind.VALUE)
        decision = conclude(bundle, shown)
        assert decision.reading.faults == ()
        assert "a likeness of" in decision.verdict.natural


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"GIF89a", "no PNG or JPEG"), (base64.b64decode(png(np.zeros(64)))[:45], "no PNG or JPEG")],
)
def test_an_answer_that_is_no_picture_is_refused(content, why):
    """Foreign and truncated files have a sentence, and never an exception of the image library."""
    with pytest.raises(AnswerError, match=why):
        TASK.output.from_picture(content)


def test_examples_out_of_range_are_refused(tmp_path):
    """Real examples are within the range that the task says."""
    np.savez(tmp_path / "x.npz", x=np.full((4, 1, 8, 8), 3.0))
    with pytest.raises(DataError, match="leaves the range"):
        load_data(str(tmp_path / "x.npz"), TASK, "train")
