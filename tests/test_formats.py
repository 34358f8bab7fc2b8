"""Targets of other libraries: fit, and the audit of a copy and of an independent over HTTP, each kind end to end."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from metav_audit.cli import main
from metav_audit.zoo.formats.opaque import Opaque
from metav_audit.zoo.formats.reading import as_opaque
from metav_audit.zoo.project import load_project, open_target
from tests.tables import FILES, PROGRAMS, TABLE, rows, shares_of, write_table

SHOWN: dict[str, Callable[[np.ndarray], object]] = {
    "two": lambda shares: {"no": float(shares[0]), "yes": float(shares[1])},
    "one": lambda shares: float(shares[1]),
    "rounded": lambda shares: {"no": round(float(shares[0]), 2), "yes": round(float(shares[1]), 2)},
    "label": lambda shares: TABLE.output.labels[int(shares.argmax())],
}
"""What an API says of one row: both probabilities, that of the second class, or the label."""

ENDPOINT = """
[endpoints.{name}-{form}]
adapter = "json-template"
url = "{url}/{name}/{form}"
body = {{ rows = "{{{{inputs}}}}" }}
encoding = "rows"
answer = "said"
batch = 32
scores = "{scores}"
{more}
"""


def run(*words: object) -> int:
    """The command line's exit code."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return int(ended.value.code or 0)


@contextmanager
def serving(models: dict[str, Opaque]) -> Iterator[str]:
    """Serve models of the table's task, each in every form, below /NAME/FORM."""
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            _, name, form = self.path.split("/")
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with turn:
                shares = shares_of(models[name], TABLE.domain.encode(sent["rows"]))
            content = json.dumps({"said": [SHOWN[form](each) for each in shares]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def endpoints(url: str, forms: tuple[str, ...]) -> str:
    """An endpoint file that asks copy and rival in these forms."""
    told = {
        "two": ("probability", ""),
        "one": ("probability", 'positive = "yes"'),
        "label": ("label", ""),
    }
    return "".join(
        ENDPOINT.format(name=name, form=form, url=url, scores=scores, more=more)
        for name in ("copy", "rival")
        for form, (scores, more) in told.items()
        if form in forms
    )


@pytest.mark.soak
@pytest.mark.parametrize("kind", FILES)
def test_a_target_of_each_kind_goes_all_the_way(kind, tmp_path):
    """From its own file to verdicts over HTTP: its copy is a match, by one number as by two, and a rival is none."""
    project = write_table(tmp_path, kind)
    assert run("fit", project, "-o", tmp_path / "bundle", "--jobs", 1) == 0
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["method"] == "siblings"
    models = {
        "copy": open_target(load_project(project)).network,
        "rival": as_opaque(PROGRAMS["pickle"](5, rows(9, 160)), TABLE, "array", None),
    }
    forms = ("two", "one", "label")
    with serving(models) as url:
        (tmp_path / "endpoints.toml").write_text(endpoints(url, forms))
        assert run("audit", tmp_path / "bundle", tmp_path / "endpoints.toml", "-o", tmp_path / "audits") == 1
    told = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "audits").glob("*/verdict.json")}
    assert len(told) == 2 * len(forms)
    scores = [told[f"copy-{form}"]["score"] for form in forms if form != "label"]
    assert scores == pytest.approx([scores[0]] * len(scores), abs=1e-6)
    assert not [form for form in forms if form != "label" and told[f"copy-{form}"]["outcome"] != "match"]
    assert not [name for name, each in told.items() if name == "copy-label" and each["outcome"] == "no_match"]
    assert not [name for name, each in told.items() if name.startswith("rival") and each["outcome"] == "match"]


def test_a_method_that_needs_gradients_says_so_before_anything_is_trained(tmp_path, capsys):
    """With those that need none."""
    project = write_table(tmp_path, "sklearn")
    for method in ("metav", "committee", "ipguard"):
        assert run("fit", project, "--method", method) == 2
        assert f"the method {method} moves its queries along the target's gradients" in capsys.readouterr().err
    assert not (tmp_path / "zoo").exists()


def test_a_target_without_a_program_is_told_to_name_it(tmp_path, capsys):
    """Nothing else can make its siblings, nor rivals of its kind."""
    project = write_table(tmp_path, "sklearn")
    project.write_text(project.read_text().partition("[training]")[0] + '[zoo]\npreset = "small"\n')
    assert run("zoo", project) == 2
    assert 'program = "module:function", taking (seed, data)' in capsys.readouterr().err


def test_a_pickle_needs_trust_on_the_command_line_or_in_the_project(tmp_path, capsys):
    """Without either the command ends with what to write."""
    project = write_table(tmp_path, "pickle", trust=False)
    assert run("fit", project, "--method", "metav") == 2
    assert "give --trust" in capsys.readouterr().err
    assert run("fit", project, "--method", "metav", "--trust") == 2
    assert "gradients" in capsys.readouterr().err
