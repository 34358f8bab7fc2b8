from __future__ import annotations

import json

import pytest

from tests.peers.digits import TRUTHS
from tests.peers.environments import SERVED, run_in, variables
from tests.peers.processes import serving
from tests.servers import free_port

V2 = """
adapter = "open-inference-v2"
url = "$url"
model = "$suspect"
output_name = "predict_proba"
batch = 8
"""


@pytest.fixture(scope="module")
def url(environment, digits, folder):
    """One MLServer with its scikit-learn runtime, which serves both suspects."""
    mlserver, port = environment("mlserver"), free_port()
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    (folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": 0}))
    pairs = [(digits.npz(name), _model(folder, name)) for name in TRUTHS]
    run_in(mlserver, folder, "python", SERVED / "save_joblib.py", *[path for pair in pairs for path in pair])
    url = f"http://127.0.0.1:{port}"
    words = [mlserver / "bin" / "mlserver", "start", folder]
    with serving(words, f"{url}/v2/health/ready", folder / "mlserver.log", variables(mlserver, folder)):
        yield url


def _model(folder, name):
    """Announce a model in a folder of its own; return where its file belongs."""
    (folder / name).mkdir()
    settings = {"name": name, "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "model.joblib"}}
    (folder / name / "model-settings.json").write_text(json.dumps(settings))
    return folder / name / "model.joblib"


def test_mlserver(audit, url):
    """Through v2 in JSON, asked for the output with the probabilities, both verdicts are right."""
    audit(V2, dict.fromkeys(TRUTHS, url))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("binary = true\n", "500"),
        ('output_name = "nothing"\n', '400, "SKLearnModel only supports'),
        ('output_name = "predict"\n', "an answer has 1 scores, the task has 10 classes"),
    ],
    ids=["binary", "no such output", "labels for scores"],
)
def test_what_mlserver_refuses_is_told_in_one_line(refused, url, more, said):
    """Binary tensors (500), an unknown output (400), and labels where scores are expected end the audit."""
    table = V2.replace("$suspect", "finetuned").replace('output_name = "predict_proba"\n', "")
    assert said in refused(table + more, url)
