"""``metav-audit audit --control``: an endpoint or a served model that must match, or the run counts for nothing."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest

from metav_audit.cli import main
from metav_audit.transcript import load_transcript
from metav_audit.verify import verify_folder
from tests.audit.helpers import needed
from tests.builders import linear_model, make_bundle
from tests.servers import ModelServer, always, free_port
from tests.serving.helpers import SOURCE
from tests.toy import TASK, write_toy

BUNDLE = make_bundle(queries=8, task=TASK)
TARGET, OTHER = linear_model(TASK, 0), linear_model(TASK, 5, distance=3.0)
MODELS = "tests.serving.models"


def table(name, url, **more):
    fields = {"adapter": "open-inference-v2", "url": url, "model": "m", **more}
    return f"[endpoints.{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run ``metav-audit audit`` on the text of an endpoint file; return exit code, stdout and stderr."""
    BUNDLE.save(tmp_path / "bundle")
    # What is served runs in a process of its own, which finds the tests' models by this.
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))

    def call(text, *options):
        (tmp_path / "endpoints.toml").write_text(text)
        arguments = [tmp_path / "bundle", tmp_path / "endpoints.toml", "-o", tmp_path / "out", *options]
        with pytest.raises(SystemExit) as exit_:
            main(["audit", *map(str, arguments)])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return exit_.value.code or 0, shown.out, shown.err

    return call


def trace(folder):
    return json.loads((folder / "positive-control.json").read_text())


@pytest.mark.parametrize(("suspect", "code", "outcome"), [(TARGET, 1, "match"), (OTHER, 0, "no_match")])
def test_a_control_that_matches_leaves_the_exit_code_to_the_suspects(run, tmp_path, suspect, code, outcome):
    """An endpoint by name: its line comes first and is marked; the suspect's folder says that the control passed."""
    with ModelServer(TARGET) as own, ModelServer(suspect) as other:
        text = table("suspect", other.url) + table("production", own.url)
        got, out, err = run(text, "--control", "production")
    first, second = out.splitlines()
    assert (got, err) == (code, "")
    assert first.startswith("production (control): match (score ")
    assert second.startswith(f"suspect: {outcome} (score ")
    assert second.endswith(f"-> {tmp_path / 'out' / 'suspect'}")
    verdict = json.loads((tmp_path / "out" / "production" / "verdict.json").read_text())
    assert trace(tmp_path / "out" / "suspect") == {
        "control": "production",
        "passed": True,
        "outcome": "match",
        "error": None,
        "bundle_sha256": verdict["bundle_sha256"],
        "transcript_sha256": verdict["transcript_sha256"],
    }
    assert not (tmp_path / "out" / "production" / "positive-control.json").exists()
    assert all(step.passed for step in verify_folder(tmp_path / "out" / "suspect"))


def test_a_control_that_does_not_match_makes_the_run_count_for_nothing(run, tmp_path):
    """Exit code 4 though the suspect matches; stderr, the suspect's line and its folder all say so."""
    with ModelServer(OTHER) as own, ModelServer(TARGET) as other:
        code, out, err = run(table("own", own.url) + table("suspect", other.url), "--control", "own")
    first, second = out.splitlines()
    assert code == 4
    assert first.startswith("own (control): no_match")
    assert second.startswith("suspect: match")
    assert second.endswith("; does not stand, the control failed")
    assert err.startswith("metav-audit: the positive control own came out as no_match, not as a match: the verdicts of")
    assert err.count("\n") == 1
    assert (trace(tmp_path / "out" / "suspect")["passed"], trace(tmp_path / "out" / "suspect")["outcome"]) == (
        False,
        "no_match",
    )


def test_a_control_that_cannot_be_asked_makes_the_run_count_for_nothing(run, tmp_path):
    """Its own error is told, and then what follows from it."""
    with ModelServer(TARGET, fault=always(401)) as own, ModelServer(OTHER) as other:
        code, out, err = run(table("suspect", other.url) + table("own", own.url), "--control", "own")
    assert code == 4
    assert out.startswith("suspect: no_match")
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [
        "endpoint own",
        "the positive control own could not be audited",
    ]
    assert "endpoint own" in trace(tmp_path / "out" / "suspect")["error"]


def test_a_suspect_that_cannot_be_asked_is_still_4(run):
    """A control that passes hides nobody's failure."""
    with ModelServer(TARGET) as own, ModelServer(TARGET, fault=always(401)) as other:
        code, _, err = run(table("own", own.url) + table("suspect", other.url), "--control", "own")
    assert (code, err.count("\n")) == (4, 1)


@pytest.mark.soak
def test_json_lines_say_who_is_the_control_and_whether_it_passed(run):
    """One object a line, the control's first; without a control the fields are there as well."""
    with ModelServer(TARGET) as own, ModelServer(OTHER) as other:
        text = table("suspect", other.url) + table("own", own.url)
        _, out, _ = run(text, "--control", "own", "--format", "json")
        _, without, _ = run(text, "--format", "json")
        _, dry, _ = run(text, "--control", "own", "--format", "json", "--dry-run")
    told = [json.loads(line) for line in out.splitlines()]
    assert [(each["endpoint"], each["control"], each["control_passed"]) for each in told] == [
        ("own", True, True),
        ("suspect", False, True),
    ]
    assert {(each["control"], each["control_passed"]) for each in map(json.loads, without.splitlines())} == {
        (False, None)
    }
    assert [(each["endpoint"], each["control"]) for each in map(json.loads, dry.splitlines())] == [
        ("own", True),
        ("suspect", False),
    ]


def test_a_model_is_served_for_the_run_and_gone_afterwards(run, tmp_path):
    """A project as the control: audited as "control" over HTTP, and nobody listens at its address when all is done."""
    write_toy(tmp_path / "owner", model=f'"{MODELS}:target"', weights="")
    with ModelServer(OTHER) as other:
        code, out, err = run(table("suspect", other.url), "--control", tmp_path / "owner")
    assert (code, err) == (0, "")
    assert out.startswith("control (control): match")
    transcript = load_transcript(tmp_path / "out" / "control" / "transcript.jsonl")
    assert transcript.requests == needed(8, 8)
    assert transcript.endpoint.options["model"] == "toy"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(transcript.endpoint.url).port))


@pytest.mark.soak
def test_a_model_that_is_not_the_bundle_s_fails_the_run(run):
    """An independent model in the control's place: exit code 4."""
    with ModelServer(TARGET) as other:
        code, out, err = run(table("suspect", other.url), "--control", f"{MODELS}:independent")
    assert code == 4
    assert out.startswith("control (control): no_match")
    assert "the positive control control came out as no_match" in err


@pytest.mark.soak
def test_running_again_asks_neither_control_nor_suspect(run, tmp_path):
    """The model is served at its earlier address, and its audit is found finished."""
    with ModelServer(OTHER) as other:
        first = run(table("suspect", other.url), "--control", f"{MODELS}:target")
        asked = len(other.log)
        again = run(table("suspect", other.url), "--control", f"{MODELS}:target")
        assert len(other.log) == asked
    assert again[:2] == first[:2]
    assert again[2].splitlines() == [
        f"{name}: finished earlier, nothing was asked again" for name in ("control", "suspect")
    ]


@pytest.mark.soak
def test_another_model_in_a_finished_control_s_place_is_refused(run):
    """The version in the address follows from the weights: old answers do not vouch for new ones."""
    with ModelServer(OTHER) as other:
        run(table("suspect", other.url), "--control", f"{MODELS}:target")
        code, _, err = run(table("suspect", other.url), "--control", f"{MODELS}:independent")
    assert (code, err.count("\n")) == (2, 1)
    assert "belongs to another endpoint or other options" in err


@pytest.mark.soak
def test_an_earlier_address_that_is_taken_is_told(run, tmp_path):
    """The message names the port and the way out; nothing is sent."""
    with ModelServer(OTHER) as other:
        run(table("suspect", other.url), "--control", f"{MODELS}:target")
        url = load_transcript(tmp_path / "out" / "control" / "transcript.jsonl").endpoint.url
        with ModelServer(OTHER, port=urlsplit(url).port) as squatter:
            code, _, err = run(table("suspect", other.url), "--control", f"{MODELS}:target")
        assert squatter.log == []
    assert (code, err.count("\n")) == (2, 1)
    assert "choose a new folder with -o" in err
    assert "Address already in use" in err


def test_a_dry_run_counts_the_control_and_sends_nothing(run, tmp_path):
    """A line for the served model, too; no folder is made."""
    with ModelServer(OTHER) as other:
        code, out, _ = run(table("suspect", other.url), "--control", f"{MODELS}:target", "--dry-run")
        assert other.log == []
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == ["control (control)", "suspect"]
    assert not (tmp_path / "out").exists()


@pytest.mark.soak
@pytest.mark.parametrize(
    ("control", "name", "said"),
    [
        ("no-such", "suspect", "neither an endpoint of the endpoint file (suspect) nor a model"),
        ("http://127.0.0.1:1", "suspect", "neither an endpoint"),
        (f"{MODELS}:target", "control", "has an endpoint named 'control'"),
        (f"{MODELS}:nothing", "suspect", "did not start: cannot import target model"),
        (str(SOURCE / "README.md"), "suspect", "README.md is no model"),
        (str(SOURCE / "docs"), "suspect", "cannot read the project file"),
    ],
)
def test_a_control_that_is_nothing_of_the_kind_is_one_line_and_2(run, control, name, said):
    """Whatever is wrong is told before anything is sent."""
    with ModelServer(OTHER) as other:
        code, out, err = run(table(name, other.url), "--control", control)
        assert other.log == []
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_a_control_alone_ends_with_0(run):
    """No suspect, and a control that passes: nothing is wrong."""
    with ModelServer(TARGET) as own:
        assert run(table("own", own.url), "--control", "own")[0] == 0


def test_a_dead_control_is_4(run):
    """Nothing listens there: bounded attempts, and the run does not stand."""
    limits = "limits = {attempts = 1}\n"
    with ModelServer(OTHER) as other:
        text = table("suspect", other.url) + table("own", f"http://127.0.0.1:{free_port()}") + limits
        code, _, err = run(text, "--control", "own")
    assert code == 4
    assert "could not be audited" in err
