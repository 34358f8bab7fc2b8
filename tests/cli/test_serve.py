"""``metav-audit serve`` in processes of its own: each kind of model, its answers over HTTP, and its end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tomllib
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import safetensors.torch
import torch

from metav_audit.audit import Endpoint, audit_endpoint
from metav_audit.cli import main
from metav_audit.verdict import Asked
from metav_audit.zoo.store import state_of
from tests.builders import linear_model, make_bundle
from tests.serving import models
from tests.serving.helpers import ask_json, program
from tests.toy import TASK, trained, write_toy

BUNDLE = make_bundle(queries=8, task=TASK)


@pytest.fixture
def folder(tmp_path):
    """A project and a bundle of its task."""
    write_toy(tmp_path)
    BUNDLE.save(tmp_path / "bundle")
    return tmp_path


@contextmanager
def serving(*words):
    """Serve, and yield process and URL once it is ready."""
    with program("serve", *words) as process:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), process.stderr.read()
        yield process, url


def ended(process, how=signal.SIGTERM):
    """End a server; return its exit code, and what it still printed."""
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def asked(url, folder, **options):
    """What our own client reads from the server, (queries, classes), through the endpoint table on its stderr."""
    fields = {"adapter": "open-inference-v2", "url": url, **options}
    transcript = audit_endpoint(BUNDLE, Endpoint.open("control", fields, TASK), folder)
    return np.array([answer.scores for answer in Asked.of(BUNDLE, transcript).answers])


def test_a_project_serves_its_target_and_says_how_to_ask_it(folder):
    """The URL alone on stdout, a table that can be copied on stderr, the trained target's own probabilities."""
    with serving(folder) as (process, url):
        table = "".join(process.stderr.readline() for _ in range(7))
        fields = tomllib.loads(table)["endpoints"]["control"]
        assert (fields["url"], fields["model"]) == (url, "toy")
        seen = [asked(folder=folder / f"audit-{binary}", **{**fields, "binary": binary}) for binary in (False, True)]
        code, out, err = ended(process)
    assert (code, out) == (0, "")
    assert err == f"ended after {2 * 24} requests\n"
    with torch.no_grad():
        own = torch.softmax(trained()(torch.from_numpy(BUNDLE.inputs)).double(), dim=1).numpy()
    assert np.allclose(seen, own, rtol=0, atol=1e-6)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("words", "truth"),
    [
        (["tests.serving.models:target", "--bundle", "@/bundle"], 0),
        (["tests.serving.models:target", "--project", "@"], 0),
        (["tests.serving.models:target_probabilities", "--bundle", "@/bundle", "--outputs", "probabilities"], 0),
        (["tests.serving.models:untrained", "--bundle", "@/bundle", "--weights", "@/w.safetensors"], 5),
        (["@/model.pt2", "--bundle", "@/bundle"], 5),
    ],
    ids=["bundle", "project", "probabilities", "weights", "pt2"],
)
def test_a_model_is_served_whichever_way_it_is_brought(folder, words, truth):
    """A function with the task of a bundle or project, probabilities, weights of its own, an exported program."""
    safetensors.torch.save_file(state_of(models.independent()), folder / "w.safetensors")
    if words[0].endswith(".pt2"):
        example = (torch.zeros(2, 1, 4, 4),)
        dynamic = ({0: torch.export.Dim("batch", min=1)},)
        torch.export.save(
            torch.export.export(models.independent(), example, dynamic_shapes=dynamic), folder / "model.pt2"
        )
    with serving(*(word.replace("@", str(folder)) for word in words)) as (_, url):
        seen = asked(url, folder / "audit", model="toy", batch=3)
    assert np.allclose(seen, linear_model(TASK, truth, distance=models.FAR)(BUNDLE.inputs), rtol=0, atol=1e-6)


def test_the_table_comes_as_json_on_the_port_that_was_asked_for(folder):
    """--format json is one line with all that an endpoint needs; the version follows from the weights."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with program("serve", folder, "--port", port, "--format", "json") as process:
        fields = json.loads(process.stdout.readline())
        assert fields["url"] == f"http://127.0.0.1:{port}"
        described = ask_json(fields["url"], "GET", f"/v2/models/{fields['model']}/versions/{fields['version']}")
        assert described[0] == 200
        assert ask_json(fields["url"], "POST", "/v2/models/toy/infer", {"inputs": []})[0] == 400
        assert process.stderr.readline().startswith("# for an endpoint file")


@pytest.mark.soak
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_on_a_signal_with_requests_under_way(folder, how):
    """Exit code 0 and one line, whatever clients do meanwhile."""
    body = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1024, 1, 4, 4], "data": [0.5] * 16384}]}
    content = json.dumps(body).encode()
    head = f"POST /v2/models/toy/infer HTTP/1.1\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    with serving(folder) as (process, url):
        port = int(url.rsplit(":", 1)[1])
        with ExitStack() as clients:
            for _ in range(4):
                client = clients.enter_context(socket.create_connection(("127.0.0.1", port)))
                client.sendall(head + content)
            code, out, err = ended(process, how)
    assert (code, out) == (0, "")
    assert err.splitlines()[-1].startswith("ended after ")
    assert "Traceback" not in err


@pytest.mark.soak
def test_it_ends_with_its_standard_input_where_it_should(folder):
    """--end-with-stdin: whoever started it ends it by going away."""
    with serving(folder, "--end-with-stdin") as (process, url):
        assert ask_json(url, "GET", "/v2/health/live")[0] == 200
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0
    assert err.splitlines()[-1] == "ended after 1 requests"


def test_without_torch_it_says_what_is_missing(tmp_path):
    """An auditor's machine: one line that names the extra, exit code 2."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from metav_audit.cli import main; main(['serve', '.'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "metav-audit[train]" in done.stderr


WRONG = [
    (["@/none"], 2, "is no model: give a project's folder"),
    (["@/none.toml"], 2, "cannot read the project file"),
    (["@/none.pt2", "--bundle", "@/bundle"], 2, "there is no such file"),
    (["tests.serving.models:target"], 2, "name --bundle or --project, one of them"),
    (["tests.serving.models:target", "--bundle", "@/bundle", "--project", "@"], 2, "one of them"),
    (["tests.serving.models:target", "--bundle", "@/none"], 2, "there is no bundle"),
    (["tests.serving.models:nothing", "--bundle", "@/bundle"], 2, "cannot import target model"),
    (["tests.serving.models:failing", "--bundle", "@/bundle"], 2, "no such weights"),
    (["@", "--weights", "@/w.safetensors"], 2, "leave --project, --weights and --outputs out"),
    (["@", "--bundle", "@/other"], 2, "are of different tasks"),
    (["@", "--host", "192.0.2.1"], 2, "cannot listen on 192.0.2.1"),
    (["@", "--port", "99999"], 2, "--port"),
]


@pytest.mark.parametrize(("words", "code", "said"), WRONG, ids=[case[2][:30] for case in WRONG])
def test_whatever_is_wrong_is_one_line_and_its_exit_code(folder, capsys, words, code, said):
    """Nothing on stdout, one line on stderr, 2 or 4."""
    make_bundle(queries=2).save(folder / "other")
    with pytest.raises(SystemExit) as end:
        main(["serve", *(word.replace("@", str(folder)) for word in words)])
    shown = capsys.readouterr()
    assert (end.value.code, shown.out, shown.err.count("\n")) == (code, "", 1), shown.err
    assert said in shown.err
