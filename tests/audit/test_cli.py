from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from metav_audit.bundle import FingerprintBundle
from metav_audit.cli import main
from metav_audit.verdict import Verdict
from tests.audit.helpers import needed
from tests.builders import NONCE, linear_model, make_bundle, make_task
from tests.servers import ModelServer, Reply, always, free_port

TASK = make_task()
BUNDLE = make_bundle(queries=8, task=TASK)
TARGET = linear_model(TASK, 0)
FAR = linear_model(TASK, 9, distance=3.0)


def table(name, url, **more):
    fields = {"adapter": "open-inference-v2", "url": url, "model": "m", **more}
    return f"[endpoints.{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())


@pytest.fixture
def run(tmp_path, capsys):
    """Run ``metav-audit audit`` on the text of an endpoint file; return exit code, stdout and stderr."""
    BUNDLE.save(tmp_path / "bundle")

    def call(text, *options, out="out"):
        (tmp_path / "endpoints.toml").write_text(text)
        arguments = [str(tmp_path / "bundle"), str(tmp_path / "endpoints.toml"), "-o", str(tmp_path / out), *options]
        with pytest.raises(SystemExit) as exit_:
            main(["audit", *arguments])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return exit_.value.code or 0, shown.out, shown.err

    return call


def test_a_match_exits_with_1_and_leaves_a_folder_that_stands_alone(run, tmp_path):
    """Bundle, transcript, verdict and reports stand in the endpoint's folder; one line goes to stdout."""
    with ModelServer(TARGET) as server:
        code, out, err = run(table("a", server.url))
    assert code == 1
    assert out.startswith("a: match (score ")
    assert len(out.splitlines()) == 1
    assert err == ""
    folder = tmp_path / "out" / "a"
    present = {path.name for path in folder.iterdir()}
    assert {"bundle", "transcript.jsonl", "verdict.json", "report.csv", "report.pdf", "report.json"} <= present
    assert Verdict.from_json(json.loads((folder / "verdict.json").read_text())).queries == 8


def test_running_again_asks_nothing_and_says_so(run):
    """The second run gives the same line without a request."""
    with ModelServer(TARGET) as server:
        first = run(table("a", server.url))
        asked = len(server.log)
        code, out, err = run(table("a", server.url))
    assert len(server.log) == asked == needed(8)
    assert (code, out) == first[:2]
    assert err == "a: finished earlier, nothing was asked again\n"


def test_json_is_one_object_a_line(run):
    """--format json prints one verdict a line."""
    with ModelServer(TARGET) as server:
        _, out, _ = run(table("a", server.url) + table("b", server.url, model="n"), "--format", "json")
    verdicts = [json.loads(line) for line in out.splitlines()]
    assert [verdict["endpoint"] for verdict in verdicts] == ["a", "b"]
    assert verdicts[0]["outcome"] == "match"


def test_where_some_failed_and_none_matches_the_code_says_so(run):
    """5, whatever the others gave; one endpoint alone that cannot be asked is 4."""
    with ModelServer(FAR) as server, ModelServer(TARGET, fault=always(401)) as closed:
        assert run(table("closed", closed.url) + table("a", server.url))[0] == 5
        assert run(table("closed", closed.url), out="alone")[0] == 4


def test_every_endpoint_has_a_line_in_json(run):
    """One that failed, too: with the same run, the time, its error, and no outcome."""
    with ModelServer(FAR) as server, ModelServer(TARGET, fault=always(401)) as closed:
        _, out, err = run(table("closed", closed.url) + table("a", server.url), "--format", "json")
    failed, judged = (json.loads(line) for line in out.splitlines())
    assert (failed["endpoint"], failed["outcome"], judged["outcome"]) == ("closed", None, "no_match")
    assert failed["error"] == err.strip().removeprefix("metav-audit: ")
    assert judged["error"] is None
    assert failed["run"] == judged["run"]
    assert failed["time"] <= judged["time"]


def test_one_endpoint_s_failure_does_not_stop_the_others(run):
    """A match is told whatever else failed; the failing endpoint is one line on stderr."""
    with ModelServer(TARGET) as server, ModelServer(TARGET, fault=always(401)) as closed:
        code, out, err = run(table("closed", closed.url) + table("a", server.url))
    assert code == 1
    assert out.startswith("a: match")
    assert len(err.splitlines()) == 1
    assert "endpoint closed" in err


def test_too_few_answers_are_inconclusive(run, monkeypatch):
    """With most queries refused the audit ends in 3 and says how much stays unanswered."""
    monkeypatch.setattr("metav_audit.audit.journal.chance.token_hex", lambda _: NONCE)
    answered = set()

    def refuse_all_but_two(number, seen):
        if len(answered) < 2:
            answered.add(seen.body)
        return None if seen.body in answered else Reply(422)

    with ModelServer(TARGET, fault=refuse_all_but_two) as server:
        code, out, err = run(table("a", server.url) + "limits = {concurrency = 1}\n")
    assert code == 3
    assert "inconclusive" in out
    assert "of 24 inputs stay unanswered\n" in err


def uniform(inputs):
    return np.full((len(inputs), 4), 0.25)


BAD_ANSWERS = {
    "html": (ModelServer, {"fault": always(200, b"<html></html>")}, "HTML"),
    "nothing": (ModelServer, {"fault": always(200, b"")}, "empty body"),
    "nan": (ModelServer, {"model": lambda x: uniform(x) * np.nan}, "NaN"),
    "inf": (ModelServer, {"model": lambda x: uniform(x) * np.inf}, "infinite"),
    "classes": (ModelServer, {"model": lambda x: uniform(x)[:, :3]}, "3 scores, the task has 4"),
    "logits": (ModelServer, {"model": lambda x: uniform(x) * 40 - 3}, "scores = probability"),
    "401": (ModelServer, {"fault": always(401)}, "credentials"),
    "404": (ModelServer, {"fault": always(404)}, "check url and model"),
    "redirect": (ModelServer, {"fault": always(301)}, "redirect"),
    "crash": (ModelServer, {"fault": always(500, b"Internal Server Error")}, "HTTP 500"),
    "big": (ModelServer, {"fault": always(200, b"[" * 2_000_000)}, "max_response_bytes"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_a_bad_answer_is_one_line_and_4(run, case):
    """Whatever an endpoint answers wrongly costs one request, one line and exit code 4."""
    kind, options, said = BAD_ANSWERS[case]
    with kind(**{"model": TARGET, **options}) as server:
        code, out, err = run(table("a", server.url))
    assert (code, out, len(err.splitlines()), len(server.log)) == (4, "", 1, 1)
    assert said in err
    assert err.startswith("metav-audit: endpoint a: ")


def test_a_dead_address_is_one_line_and_4(run):
    """Nothing listens: bounded attempts, one line."""
    code, _, err = run(table("a", f"http://127.0.0.1:{free_port()}") + "limits = {attempts = 2}\n")
    assert code == 4
    assert len(err.splitlines()) == 1
    assert "no connection" in err
    assert "check that the URL is right" in err


BAD_FILES = {
    "adapter": ({"adapter": "telepathy"}, "", "is not installed"),
    "secret": ({}, '[endpoints.a.headers]\nAuthorization = "Bearer hunter2"\n', "looks like a credential"),
    "unset": ({}, '[endpoints.a.headers]\nAuthorization = "Bearer ${NO_SUCH_VARIABLE}"\n', "NO_SUCH_VARIABLE"),
    "budget": ({}, "limits = {requests = 23}\n", "does not cover the 24"),
    "toml": ({}, "= nonsense", "not TOML"),
    "unknown": ({"surprise": 1}, "", "surprise"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_configuration_is_one_line_and_2_before_anything_is_sent(run, tmp_path, case):
    """A mistake in the second endpoint stops the first one too, before its first request."""
    fields, more, said = BAD_FILES[case]
    with ModelServer(TARGET) as server:
        code, out, err = run(table("first", server.url) + table("a", server.url, **fields) + more)
    assert (code, out, len(err.splitlines()), server.log) == (2, "", 1, [])
    assert said in err
    assert "hunter2" not in err


def test_an_unwritable_folder_is_one_line_and_2(run, tmp_path):
    """A folder below a regular file cannot be made; nothing is sent."""
    (tmp_path / "file").write_text("")
    with ModelServer(TARGET) as server:
        code, _, err = run(table("a", server.url), out="file/out")
    assert (code, len(err.splitlines()), server.log) == (2, 1, [])


def test_another_bundle_in_the_same_folder_is_refused_and_the_old_one_stays(run, tmp_path):
    """The folder's own bundle is not overwritten by a refused run."""
    with ModelServer(TARGET) as server:
        run(table("a", server.url))
        before = (tmp_path / "out" / "a" / "bundle" / "manifest.json").read_bytes()
        make_bundle(seed=5, queries=8, task=TASK).save(tmp_path / "bundle")
        code, _, err = run(table("a", server.url))
    assert code == 2
    assert "another bundle" in err
    assert (tmp_path / "out" / "a" / "bundle" / "manifest.json").read_bytes() == before
    assert len(server.log) == needed(8)


def damage(path, how):
    manifest = path / "manifest.json"
    if how == "truncated":
        tensors = path / "tensors.safetensors"
        tensors.write_bytes(tensors.read_bytes()[:100])
    elif how == "altered":
        manifest.write_text(manifest.read_text().replace('"toy"', '"boy"'))
    elif how == "newer":
        manifest.write_text(manifest.read_text().replace('"schema_version": 3', '"schema_version": 9'))
    elif how == "inflated":
        bundle = FingerprintBundle.load(path)
        weight = dataclasses.replace(bundle.weight, high=6.0)
        dataclasses.replace(bundle, weight=weight).save(path)
    else:
        manifest.unlink()


@pytest.mark.parametrize("how", ["truncated", "altered", "newer", "inflated", "missing"])
def test_a_damaged_bundle_is_one_line_and_4(run, tmp_path, how):
    """A truncated, altered, newer or missing bundle, or one with inflated ratios, is refused before it is sent."""
    damage(tmp_path / "bundle", how)
    with ModelServer(TARGET) as server:
        code, _, err = run(table("a", server.url))
    assert (code, len(err.splitlines()), server.log) == (4, 1, [])


def test_a_bundle_that_is_not_there_is_named_and_2(run, tmp_path, capsys):
    """As the first, and behind --beside; no request is sent."""
    with ModelServer(TARGET) as server:
        (tmp_path / "endpoints.toml").write_text(table("a", server.url))
        for named in (["nothere.bundle"], [str(tmp_path / "bundle"), "--beside", "nothere.bundle"]):
            with pytest.raises(SystemExit) as ended:
                main(["audit", named[0], str(tmp_path / "endpoints.toml"), *named[1:], "-o", str(tmp_path / "out")])
            assert ended.value.code == 2
            assert "there is no bundle nothere.bundle" in capsys.readouterr().err
    assert server.log == []


def test_help_fits_80_columns_and_loads_no_client(capsys):
    """Help is quick and narrow."""
    for arguments in (["audit", "--help"], ["adapters", "--help"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    program = (
        "import sys, metav_audit.cli.audit, metav_audit.cli.adapters\n"
        "print('httpx' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_installed_adapters_are_listed(capsys):
    """Text and JSON name every adapter with its options and what they mean."""
    with pytest.raises(SystemExit):
        main(["adapters"])
    text = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["adapters", "--format", "json"])
    listed = json.loads(capsys.readouterr().out)
    assert {"json-template", "open-inference-v2", "tensorflow-serving-v1"} <= {each["name"] for each in listed}
    for each in listed:
        assert each["name"] in text
        assert each["problem"] is None
        assert all(option["description"] for option in each["options"])
        assert {"url", "scores", "batch"} <= {option["name"] for option in each["options"]}
