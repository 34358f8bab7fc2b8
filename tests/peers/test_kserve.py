from __future__ import annotations

import json

import numpy as np
import pytest

from tests.peers.digits import TRUTHS
from tests.peers.environments import SERVED, run_in, variables
from tests.peers.processes import serving
from tests.servers import free_port

V1 = """
adapter = "tensorflow-serving-v1"
url = "$url"
model = "$suspect"
batch = 8
"""
V2 = """
adapter = "open-inference-v2"
url = "$url"
model = "$suspect"
batch = 8
"""
BINARY = V2 + "binary = true\n"


@pytest.fixture(scope="module")
def url(environment, digits, folder):
    """One KServe process that serves both suspects."""
    kserve, port = environment("kserve"), free_port()
    models = [f"{name}={digits.npz(name)}" for name in TRUTHS]
    words = [kserve / "bin" / "python", SERVED / "kserve_server.py", port, *models]
    url = f"http://127.0.0.1:{port}"
    with serving(words, f"{url}/v2/health/ready", folder / "kserve.log", variables(kserve, folder)):
        yield url


@pytest.mark.parametrize("table", [V1, V2], ids=["v1", "v2"])
def test_kserve(audit, url, table):
    """Through v1 and v2 in JSON, the derived model matches and the independent one does not."""
    audit(table, dict.fromkeys(TRUTHS, url))


def test_kserve_binary(audit, digits, environment, folder, url):
    """So it is through binary tensors; Triton's own client reads the same numbers from the server."""
    told = {"host": url.removeprefix("http://"), "name": "input", "output": None, "binary": True, "batch": 8}
    for name, found in audit(BINARY, dict.fromkeys(TRUTHS, url)).items():
        asked = json.dumps({**told, "model": name, "values": digits.bundle.inputs.tolist()})
        theirs = run_in(environment("tritonclient"), folder, "python", SERVED / "triton.py", "ask", told=asked)
        # Batches in another order may differ in a last bit.
        assert np.allclose(found.scores(), json.loads(theirs)["scores"], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (V2.replace("$suspect", "nobody"), "404, 'Model with name nobody does not exist.'"),
        (V1.replace("$suspect", "nobody"), "404, 'Model with name nobody does not exist.'"),
        (
            V2.replace("$suspect", "finetuned") + 'output_name = "nothing"\n',
            "400, \"Unexpected inference output 'nothing'",
        ),
    ],
    ids=["no such model in v2", "no such model in v1", "no such output"],
)
def test_what_kserve_refuses_is_told_in_one_line(refused, url, table, said):
    """A model or output that the server lacks ends the audit with what is wrong."""
    assert said in refused(table, url)
