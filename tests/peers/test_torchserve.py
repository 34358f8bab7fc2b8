from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

from tests.peers.digits import TRUTHS
from tests.peers.environments import SERVED, run_in, variables
from tests.peers.processes import serving
from tests.servers import free_port

TABLE = """
adapter = "torchserve"
url = "$url"
model = "$suspect-$variant"
send = "image"
"""
LABELS = "label_map = { " + ", ".join(f'"digit {place}" = "{place}"' for place in range(10)) + " }\n"
VARIANTS = {
    "whole": "topk: 10\n",
    "best": "topk: 5\n",
    "busy": "topk: 10\nseconds: 0.05\njobQueueSize: 1\n",
}
"""Each suspect is served in these: with every class, with the five best, and slow with room for one in the queue."""
CONFIGURATION = """\
inference_address=http://127.0.0.1:{0}
management_address=http://127.0.0.1:{1}
metrics_address=http://127.0.0.1:{2}
grpc_inference_address=127.0.0.1
grpc_management_address=127.0.0.1
grpc_inference_port={3}
grpc_management_port={4}
default_workers_per_model=1
number_of_gpu=0
disable_token_authorization=true
"""


@pytest.fixture(scope="module")
def url(environment, digits, folder):
    """TorchServe with each suspect in every variant."""
    torchserve, ports = environment("torchserve"), [free_port() for _ in range(5)]
    (folder / "store").mkdir()
    (folder / "index_to_name.json").write_text(json.dumps({str(place): f"digit {place}" for place in range(10)}))
    names = [_archive(torchserve, digits, folder, name, variant) for name in TRUTHS for variant in VARIANTS]
    (folder / "config.properties").write_text(CONFIGURATION.format(*ports))
    models = [f"{name}={name}.mar" for name in names]
    options = ["--foreground", "--ncs", "--ts-config", folder / "config.properties"]
    words = [torchserve / "bin" / "torchserve", *options, "--model-store", folder / "store", "--models", *models]
    url = f"http://127.0.0.1:{ports[0]}"
    with serving(words, f"{url}/ping", folder / "torchserve.log", variables(torchserve, folder)):
        yield url


def _archive(torchserve, digits, folder, name, variant):
    """Pack a suspect into TorchServe's archive; return the model's name."""
    model = f"{name}-{variant}"
    weights = folder / f"{model}.pt"
    torch.save(safetensors.torch.load_file(digits.weights / f"{name}.safetensors"), weights)
    (folder / f"{model}.yaml").write_text(VARIANTS[variant])
    options = {
        "--model-name": model,
        "--version": "1.0",
        "--model-file": SERVED / "torchserve_model.py",
        "--handler": SERVED / "torchserve_handler.py",
        "--serialized-file": weights,
        "--extra-files": folder / "index_to_name.json",
        "--config-file": folder / f"{model}.yaml",
        "--export-path": folder / "store",
    }
    words = [word for pair in options.items() for word in pair]
    run_in(torchserve, folder, "torch-model-archiver", *words)
    return model


def table(variant):
    return TABLE.replace("$variant", variant) + LABELS


def test_torchserve_with_every_class(audit, url):
    """A picture in, every class by its name out: both verdicts are right."""
    audit(table("whole"), dict.fromkeys(TRUTHS, url))


def test_torchserve_with_the_five_best(audit, url):
    """As TorchServe's own image classifier answers: five of ten classes are enough here, and the view is found."""
    for found in audit(table("best"), dict.fromkeys(TRUTHS, url), shown=5).values():
        assert found.verdict.view == "the top 5 classes"


def test_torchserve_overloaded(audit, url):
    """A queue that is full answers 503 too, but of another kind: those requests are asked again, and all come home."""
    found = audit(table("busy"), dict.fromkeys(TRUTHS, url))
    assert all(503 in each.statuses() for each in found.values())


@pytest.mark.parametrize(
    ("changed", "by", "said"),
    [
        ('"image"', '"data"', "503, 'Prediction failed'"),
        ("-whole", "-missing", "404, 'Model not found: finetuned-missing'"),
        ("digit 9", "nine", "mend label_map"),
    ],
    ids=["not what the handler takes", "no such model", "a label unmapped"],
)
def test_what_torchserve_refuses_is_told_in_one_line(refused, url, changed, by, said):
    """A handler that fails over its input, 503 like an overload, is not asked again; neither is a missing model."""
    assert said in refused(table("whole").replace("$suspect", "finetuned").replace(changed, by), url)
