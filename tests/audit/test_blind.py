"""``metav-audit audit --controls``: controls over HTTP or from a file, and the folder that remembers them."""

from __future__ import annotations

import json
from contextlib import ExitStack

import numpy as np
import pytest

from metav_audit.cli import main
from metav_audit.verdict import load_controls
from metav_audit.verify import verify_folder
from tests.audit.test_cli import BUNDLE, TARGET, TASK, table
from tests.builders import linear_model
from tests.servers import ModelServer, always

INDEPENDENTS = [linear_model(TASK, 5000 + seed, distance=3.0) for seed in range(20)]


def probabilities(models):
    return np.stack([model(BUNDLE.inputs) for model in models])


def json_file(path, controls=INDEPENDENTS, **changes):
    rows = {f"c{number}": each.tolist() for number, each in enumerate(probabilities(controls))}
    path.write_text(json.dumps({"scores": "probability", "models": rows, **changes}))
    return path


@pytest.fixture
def run(tmp_path, capsys):
    """Audit the target as suspect "a" with a file of controls; return exit code, stdout and stderr."""
    BUNDLE.save(tmp_path / "bundle")

    def call(controls, *options, flag="--controls", out="out"):
        places = [str(tmp_path / name) for name in ("bundle", "endpoints.toml")]
        words = ["audit", *places, "-o", str(tmp_path / out), flag, str(controls), *options]
        with ModelServer(TARGET) as server:
            (tmp_path / "endpoints.toml").write_text(table("a", server.url))
            with pytest.raises(SystemExit) as end:
                main(words)
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return end.value.code or 0, shown.out, shown.err

    return call


def failed(folder):
    return [step.name for step in verify_folder(folder) if not step.passed]


def test_twenty_controls_over_http(run, tmp_path):
    """They are asked like any suspect, in folders of their own, and the suspect's folder carries their answers."""
    with ExitStack() as stack:
        urls = [stack.enter_context(ModelServer(model)).url for model in INDEPENDENTS]
        (tmp_path / "controls.toml").write_text("".join(table(f"c{at}", url) for at, url in enumerate(urls)))
        code, out, err = run(tmp_path / "controls.toml", "--parallel", "8", flag="--blind-controls")
    assert (code, out.split()[:2]) == (1, ["a:", "match"])
    assert "20 blind controls answered" in err
    folder = tmp_path / "out" / "a"
    heads = {model.name: model.source_sha256 for model in load_controls(folder / "blind-controls.json").models}
    own = json.loads((tmp_path / "out" / "blind-controls" / "c3" / "verdict.json").read_text())
    assert own["outcome"] == "no_match"
    assert heads["c3"] == own["transcript_sha256"]
    assert failed(folder) == []
    report = json.loads((folder / "report.json").read_text())
    assert report["verdict"]["controls"]["interval"] == pytest.approx([0, 0.1684], abs=1e-4)


def test_a_control_that_does_not_answer_is_missing(run, tmp_path):
    """It is named on stderr; with fewer than twenty left there is no verdict."""
    with ModelServer(TARGET, fault=always(401)) as closed, ModelServer(INDEPENDENTS[0]) as open_:
        (tmp_path / "controls.toml").write_text(table("gone", closed.url) + table("c0", open_.url))
        code, out, err = run(tmp_path / "controls.toml")
    assert (code, out.split()[:2]) == (3, ["a:", "inconclusive"])
    assert "blind control gone: " in err
    assert "1 blind controls answered" in err


def test_answers_from_files(run, tmp_path):
    """A .json and a .npz file of the same answers give the same verdict."""
    code, out, _ = run(json_file(tmp_path / "answers.json"))
    assert (code, out.split()[:2]) == (1, ["a:", "match"])
    np.savez(tmp_path / "answers.npz", probability=probabilities(INDEPENDENTS))
    assert run(tmp_path / "answers.npz", out="again")[0] == 1
    names = [model.name for model in load_controls(tmp_path / "again" / "a" / "blind-controls.json").models]
    assert names == [f"control {number}" for number in range(20)]


def test_controls_that_contradict_the_promise_are_exposed_by_verify(run, tmp_path):
    """Where the third party's independents match, the audit is inconclusive and verify fails that very step."""
    derived = [linear_model(TASK, 7000 + seed, distance=0.05) for seed in range(20)]
    code, out, _ = run(json_file(tmp_path / "answers.json", derived))
    assert (code, out.split()[:2]) == (3, ["a:", "inconclusive"])
    folder = tmp_path / "out" / "a"
    assert failed(folder) == ["blind controls bear the promise out"]
    (folder / "blind-controls.json").unlink()
    assert {"verdict.json says the same", "report.json says the same"} <= set(failed(folder))


def test_a_dry_run_counts_the_controls_too(run, tmp_path):
    """Each control is one line more, and nothing is sent."""
    (tmp_path / "controls.toml").write_text(table("c0", "http://127.0.0.1:1") + table("c1", "http://127.0.0.1:1"))
    code, out, _ = run(tmp_path / "controls.toml", "--dry-run")
    assert (code, [line.split(":")[0] for line in out.splitlines()]) == (0, ["a", "c0", "c1"])


def archive(path, **arrays):
    np.savez(path, **arrays)
    return path


BAD_FILES = {
    "missing": (lambda folder: folder / "none.json", "cannot read the blind controls"),
    "suffix": (lambda folder: folder / "answers.csv", "come as .toml, .json or .npz"),
    "no json": (lambda folder: folder.joinpath("a.json").write_text("{") and folder / "a.json", "no such answers"),
    "list": (lambda folder: folder.joinpath("a.json").write_text("[1]") and folder / "a.json", "no such answers"),
    "kind": (lambda folder: json_file(folder / "a.json", scores="odds"), "'odds' is not a valid ScoreKind"),
    "none": (lambda folder: json_file(folder / "a.json", models={}), "between 1 and"),
    "short": (lambda folder: json_file(folder / "a.json", models={"c": [[1, 0, 0, 0]]}), "has 1 answers"),
    "labels": (lambda folder: json_file(folder / "a.json", models={"c": [[1, 0]] * 8}), "2 scores, the task has 4"),
    "no zip": (lambda folder: folder.joinpath("a.npz").write_bytes(b"PK") and folder / "a.npz", "no such answers"),
    "two kinds": (lambda folder: archive(folder / "a.npz", logit=[1], percent=[1]), "one array named"),
    "shape": (lambda folder: archive(folder / "a.npz", logit=np.zeros((2, 3))), "has shape (2, 3)"),
    "names": (
        lambda folder: archive(folder / "a.npz", probability=probabilities(INDEPENDENTS[:2]), names=["a", "a"]),
        "two controls have the same name",
    ),
    "pickle": (
        lambda folder: archive(folder / "a.npz", logit=np.array([{}], dtype=object)),
        "Object arrays cannot be loaded",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_one_clear_line(run, tmp_path, case):
    """Whatever is wrong with the controls is found before a suspect is asked."""
    make, message = BAD_FILES[case]
    code, out, err = run(make(tmp_path))
    assert (code in (2, 4), out, err.count("\n")) == (True, "", 1)
    assert message in err
