"""Several owners' bundles, the same endpoint: what they share is asked once, and each verdict stands on its own."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from metav_audit import audit_and_report
from metav_audit.audit import shared_inputs
from metav_audit.audit.shared import Given
from metav_audit.casework import audit_bundles
from metav_audit.cli import main
from metav_audit.errors import ConfigurationError
from metav_audit.evidence import pack_folder, write_sums
from metav_audit.report.summary import read_entries, write_summary
from metav_audit.transcript import Shared
from metav_audit.verdict import Asked, AuditFolder, VerdictOutcome
from metav_audit.verify import Expected, Status, verify_audit
from tests.audit.helpers import endpoint
from tests.audit.test_cli import table
from tests.builders import linear_model, make_bundle, make_task, with_natural
from tests.evidence.test_independent import decide_again, script
from tests.folders import rechain
from tests.servers import ModelServer, always

TASK = make_task()
MINE, YOURS = (with_natural(make_bundle(seed, 8, TASK, spread=0.5), spread=0.5) for seed in (0, 1))
OWNERS = {"mine": MINE, "yours": YOURS}
TARGET = linear_model(TASK, 0)
STEP = "answers taken over stand in the other audit"


def named(server, name="suspect", **more):
    return dataclasses.replace(endpoint(server.url, TASK, **more), name=name)


def asked(log, inputs):
    """How often each input came, by the requests' own bytes."""
    seen = [np.float32(json.loads(each.body)["inputs"][0]["data"]).tobytes() for each in log]
    return [seen.count(each.tobytes()) for each in inputs]


def code(*arguments):
    """The command's exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two bundles, one endpoint; the folder, what became of it, and how many requests came."""
    out = tmp_path_factory.mktemp("owners")
    with ModelServer(TARGET) as server:
        case = audit_bundles(OWNERS, [named(server)], out)
        return out, case, server.log


def shared_of(folder):
    return [each for each in folder.records().each if isinstance(each, Shared)]


def failing(folder, *beside):
    found = verify_audit(folder, Expected(beside=beside))
    return {step.name: step.status for step in found.steps if not step.passed}


def test_what_two_bundles_share_is_asked_once(run):
    """Every natural input of the second stands in the first's transcript; only repetitions are asked again."""
    _, case, log = run
    first, second = (result.folder.transcript() for result in case.results)
    assert shared_inputs(YOURS, [MINE]) == len(YOURS.natural.inputs)
    taken = [each.query for each in second.exchanges if each.source is not None]
    assert len(taken) >= len(YOURS.natural.inputs)
    assert len(log) == first.requests + second.requests
    assert first.requests == len(first.exchanges)
    assert second.requests == len(second.exchanges) - len(taken)
    repeated = [Asked.of(each.folder.bundle(), each.folder.transcript()).schedule for each in case.results]
    again = [sum(len(each.places[8 + at]) - 1 for each in repeated) for at in range(16)]
    assert asked(log, YOURS.natural.inputs) == [1 + more for more in again]


def test_each_verdict_is_that_of_an_audit_alone(run, tmp_path):
    """The same figures, whoever else asked."""
    _, case, _ = run
    for result, (name, bundle) in zip(case.results, OWNERS.items(), strict=True):
        with ModelServer(TARGET) as server:
            (alone,) = audit_and_report(bundle, [named(server)], tmp_path / name).results
        for figure in ("outcome", "score", "p_value", "p_value_derived", "log10_lr", "view", "answered"):
            assert getattr(result.verdict, figure) == getattr(alone.verdict, figure), figure
    assert "answers taken over from the audit with bundle" in case.results[1].verdict.natural


def test_both_verify_with_each_other_beside_and_by_the_independent_script(run):
    """No step fails, and the script reads the record."""
    _, case, _ = run
    for result in case.results:
        assert failing(result.folder) == {}
        assert script.check(result.folder.path)


def test_alone_what_was_taken_over_is_not_checked_until_the_other_is_named(run, tmp_path):
    """A folder that lies elsewhere says which audit it lacks; named, its folder is compared."""
    _, case, _ = run
    first, second = (result.folder for result in case.results)
    moved = AuditFolder(shutil.copytree(second.path, tmp_path / "moved"))
    assert failing(moved) == {STEP: Status.NOT_CHECKED}
    assert failing(moved, first) == {}
    assert code("verify", str(moved.path), "--beside", str(first.path)) == 6


def test_beside_says_what_is_missing_or_another_audit(run, tmp_path, capsys):
    """A folder that is not there is a usage error; the audit itself is not the one that answers came from."""
    moved = shutil.copytree(run[1].results[1].folder.path, tmp_path / "moved")
    assert code("verify", str(moved), "--beside", str(tmp_path / "nope")) == 2
    assert "nope: no such folder or archive" in capsys.readouterr().err
    nonce = run[1].results[1].folder.transcript().nonce
    assert code("verify", str(moved), "--beside", str(moved)) == 3
    assert re.search(
        f"what is named there is another: the audit with bundle [0-9a-f]*, nonce {nonce}", capsys.readouterr().out
    )


@pytest.mark.parametrize("neighbour", ["zip", "folder"])
def test_an_archive_finds_the_other_audit_beside_it(neighbour, run, tmp_path):
    """Packed or as a folder; a file that is no archive is passed over."""
    first, second = (result.folder for result in run[1].results)
    pack_folder(second.path, tmp_path / "second.zip")
    (tmp_path / "a.zip").write_bytes(b"no archive")
    assert code("verify", str(tmp_path / "second.zip")) == 3
    if neighbour == "zip":
        pack_folder(first.path, tmp_path / "first.zip")
    else:
        shutil.copytree(first.path, tmp_path / "first")
    assert code("verify", str(tmp_path / "second.zip")) == 6


def test_answers_of_another_day_are_asked_for_again(run):
    """Who knows which model answers by now."""
    first, second = (result.folder for result in run[1].results)
    given, transcript = Given.read([first], second.transcript().endpoint), second.transcript()
    schedule = Asked.of(YOURS, transcript).schedule
    places = range(len(schedule.numbers))
    assert list(given.records(YOURS, schedule, places, transcript.started))
    assert not list(given.records(YOURS, schedule, places, "2126-01-01T00:00:00Z"))


def forged(second, tmp_path, change):
    """A copy of the second folder beside the first, with its shared record changed, chained and decided anew."""
    folder = AuditFolder(tmp_path / second.name)
    shutil.copytree(second.path.parent, tmp_path, dirs_exist_ok=True)
    place = next(at for at, each in enumerate(second.records().each) if isinstance(each, Shared))
    rechain(folder / "transcript.jsonl", lambda records: change(records[place]))
    decide_again(folder.path, YOURS)
    write_sums(folder)
    return folder


def other_answer(record):
    record["answers"][0] = [0.97, 0.01, 0.01, 0.01]


def other_place(record):
    record["source"]["queries"][0] = (record["source"]["queries"][0] + 1) % 20


@pytest.mark.parametrize(
    "change",
    [
        other_answer,
        other_place,
        lambda record: record["source"].update(record=record["source"]["record"] + 1),
        lambda record: record["source"].update(sha256="0" * 64),
        lambda record: record["source"].update(bundle_sha256="0" * 64),
        lambda record: record["source"].update(at=record["at"]),
    ],
    ids=["answer", "place", "line", "hash", "bundle", "time"],
)
def test_a_forged_shared_answer_fails(run, tmp_path, change):
    """However consistently the folder was made again, the other audit's transcript says otherwise."""
    second = run[1].results[1].folder
    assert failing(forged(second, tmp_path, change)).get(STEP) is Status.FAILED


def test_a_repetition_is_never_taken_over(run, tmp_path):
    """It vouches for the time in which the second bundle's queries were asked: verify and the script refuse it."""
    second = run[1].results[1].folder
    transcript = second.transcript()
    folder = AuditFolder(shutil.copytree(second.path, tmp_path / "x"))

    def take_over(records):
        last = next(each for each in records[::-1] if each["kind"] == "sent")
        answer = next(each for each in records if each["kind"] == "received" and each["request"] == last["request"])
        records.remove(last), records.remove(answer)
        taken = next(each for each in records if each["kind"] == "shared")
        source = {**taken["source"], "queries": taken["source"]["queries"][:1]}
        taken = {**taken, "at": last["at"], "queries": last["queries"], "answers": answer["answers"]}
        records.insert(-1, {**taken, "source": source})

    rechain(folder / "transcript.jsonl", take_over)
    assert len(transcript.exchanges) - 1 in folder.records().each[-2].queries
    assert failing(folder)["asked in the order of the nonce"] is Status.FAILED
    records = [json.loads(line) for line in (folder / "transcript.jsonl").read_text().splitlines()]
    tensors = script.tensors_of((folder / "bundle" / "tensors.safetensors").read_bytes())
    with pytest.raises(script.WrongError, match="the answer to a repetition was taken over"):
        script.replies_of(records, tensors, {})


def test_other_tasks_and_one_bundle_twice_are_refused_before_anything_is_sent(tmp_path):
    """One message, and no request."""
    other = make_bundle(task=make_task(classes=5))
    with ModelServer(TARGET) as server:
        for bundles, words in (
            (
                {"mine": MINE, "other": other},
                r"mine and other are of different tasks \(their output\): nothing was sent",
            ),
            ({"a": MINE, "b": MINE}, "a and b are the same bundle"),
            ({"a": MINE, "b c": YOURS}, "names an audit's folder: rename it"),
        ):
            with pytest.raises(ConfigurationError, match=words):
                audit_bundles(bundles, [named(server)], tmp_path / "out")
        assert server.log == []
    assert not (tmp_path / "out").exists()


@pytest.mark.soak
def test_the_summary_ranks_bundles_by_endpoint_and_corrects_for_all(tmp_path):
    """Two endpoints with two bundles are four audits; written again from the folders it is the same."""
    with ModelServer(TARGET) as near, ModelServer(linear_model(TASK, 9, distance=3.0)) as far:
        case = audit_bundles(OWNERS, [named(far, "far"), named(near, "near")], tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.glob("summary.*")}
    frame = pd.read_csv(tmp_path / "summary.csv")
    assert frame["endpoint"].tolist() == ["near", "near", "far", "far"]
    assert set(frame["bundle"]) == set(OWNERS)
    match = next(each for each in case.results if each.verdict.outcome is VerdictOutcome.MATCH)
    assert frame["p_value_corrected"][0] == pytest.approx(4 * match.verdict.p_value_match)
    assert "2 endpoints with 2 bundles audited" in first["summary.html"].decode()
    write_summary(read_entries(tmp_path), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("summary.*")} == first


@pytest.mark.soak
def test_run_again_it_asks_nothing_and_leaves_the_same(run):
    """The server is gone; what stands there is read."""
    out, case, _ = run
    sums = [(result.folder / "SHA256SUMS").read_bytes() for result in case.results]
    again = audit_bundles(OWNERS, [result.endpoint for result in case.results[:1]], out)
    assert [result.verdict for result in again.results] == [result.verdict for result in case.results]
    assert [(result.folder / "SHA256SUMS").read_bytes() for result in again.results] == sums


@pytest.mark.soak
def test_where_the_first_audit_fails_the_second_asks_all_itself(tmp_path):
    """Nothing is taken over from an audit that was not finished."""
    with ModelServer(TARGET, fault=always(401)) as server:
        (first, _) = audit_bundles(OWNERS, [named(server)], tmp_path).results
    assert first.error is not None
    with ModelServer(TARGET) as server:
        (second,) = audit_and_report(YOURS, [named(server)], tmp_path / "alone").results
    assert not shared_of(second.folder)


@pytest.mark.soak
def test_batches_share_too(tmp_path):
    """A batch of the first may hold its own queries beside what both ask: the places say which answer is which."""
    with ModelServer(TARGET) as server:
        suspects = [named(server, batch=5, limits={"requests": 200, "concurrency": 3})]
        case = audit_bundles(OWNERS, suspects, tmp_path)
    second = case.results[1].folder
    assert sum(len(each.queries) for each in shared_of(second)) >= len(YOURS.natural.inputs)
    assert failing(second) == {}


@pytest.mark.soak
def test_early_stopping_takes_over_look_by_look(tmp_path):
    """What lies behind the last look taken is neither asked nor taken over."""
    owners = {
        name: with_natural(make_bundle(seed, 24, TASK, spread=0.5), spread=0.5) for seed, name in enumerate(OWNERS)
    }
    with ModelServer(TARGET) as server:
        case = audit_bundles(owners, [named(server)], tmp_path, stop_early=True)
    first, second = case.results
    assert first.verdict.looks.early
    assert second.verdict.looks.early
    assert [failing(result.folder) for result in case.results] == [{}, {}]
    exchanges = second.folder.transcript().exchanges
    taken = {each.query for each in exchanges if each.source is not None}
    schedule = Asked.of(second.folder.bundle(), second.folder.transcript()).schedule
    assert taken
    assert max(taken) < schedule.ends[second.verdict.looks.taken - 1]


@pytest.fixture
def files(tmp_path):
    for name, bundle in OWNERS.items():
        bundle.save(tmp_path / f"{name}.bundle")
    return tmp_path


def test_the_command_counts_tells_ranks_and_exits_like_a_fleet(files, capsys):
    """A dry run says what is answered before; the run prints a line an audit, and who comes first."""
    with ModelServer(TARGET) as server:
        (files / "endpoints.toml").write_text(table("suspect", server.url))
        command = ["audit", str(files / "mine.bundle"), str(files / "endpoints.toml"), "-o", str(files / "out"),
                   "--beside", str(files / "yours.bundle")]  # fmt: skip
        assert code(*command, "--dry-run") == 0
        assert "16 of them answered for a bundle before" in capsys.readouterr().out
        assert server.log == []
        assert code(*command, "--control", "suspect") == 2
        assert server.log == []
        capsys.readouterr()
        assert code(*command) == 1
    told = capsys.readouterr()
    assert [line.split(":")[0] for line in told.out.splitlines() if "@" in line] == ["suspect@mine", "suspect@yours"]
    assert "suspect: first of 2 bundles comes" in told.err
    assert "corrected for 2 audits (Holm)" in told.err
    assert (files / "out" / "suspect@yours" / "report.pdf").exists()
