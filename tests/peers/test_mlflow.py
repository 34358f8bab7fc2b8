from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.peers.digits import TRUTHS
from tests.peers.environments import SERVED, run_in, variables
from tests.peers.processes import serving
from tests.servers import free_port

INPUTS = """
adapter = "mlflow"
url = "$url"
send = "inputs"
batch = 8
"""
INSTANCES = INPUTS.replace('"inputs"', '"instances"')
FRAME = """
adapter = "mlflow"
url = "$url/invocations"
send = "dataframe_split"
encoding = "flat"
batch = 8
"""


@pytest.fixture(scope="module")
def urls(environment, digits, folder):
    """One MLflow scoring server a suspect."""
    mlflow, names = environment("mlflow"), list(TRUTHS)
    pairs = [path for name in names for path in (digits.npz(name), folder / name)]
    run_in(mlflow, folder, "python", SERVED / "save_mlflow.py", *pairs)
    with ExitStack() as stack:
        urls = {}
        for name in names:
            port = free_port()
            urls[name] = f"http://127.0.0.1:{port}"
            options = ["-m", folder / name, "--env-manager", "local", "-h", "127.0.0.1", "-p", port, "-w", 1]
            words = [mlflow / "bin" / "mlflow", "models", "serve", *options]
            env = variables(mlflow, folder)
            stack.enter_context(serving(words, f"{urls[name]}/ping", folder / f"mlflow-{name}.log", env))
        yield urls


@pytest.mark.parametrize("table", [INPUTS, INSTANCES, FRAME], ids=["inputs", "instances", "frame"])
def test_mlflow(audit, urls, table):
    """Sent as tensors or as a data frame, the derived model matches and the independent one does not."""
    audit(table, urls)


def test_what_mlflow_refuses_is_told_in_one_line_without_its_stack_trace(refused, urls):
    """A tensor where the model takes another name is refused with the first line of what the server says."""
    said = refused(INPUTS + 'input_name = "x"\nscale = 255\n', urls["finetuned"])
    assert "400, 'Encountered an unexpected error while evaluating the model" in said
    assert "Traceback" not in said
    assert "File" not in said
