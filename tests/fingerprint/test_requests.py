"""fit --log: queries from what accounts sent, chosen by a rule that knows neither the target nor the owner's wishes."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from metav_audit.bundle import FingerprintBundle
from metav_audit.cli import main
from metav_audit.errors import ConfigurationError, DataError, EvidenceError
from metav_audit.evidence import check_asked
from metav_audit.fingerprint.fit import make_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.methods.features import features_of_all
from metav_audit.fingerprint.rebuild import requests_as
from metav_audit.fingerprint.requests import LEAST_QUERIES, Requests
from metav_audit.task import Features
from metav_audit.transcript.log import ENOUGH, accounts, find_accounts
from metav_audit.verdict import Rule, VerdictOutcome
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.project import load_project, open_workshop
from tests.builders import make_task
from tests.logs import DRAW, sealed_log
from tests.toy import TASK, TRAINING, install_presets, pictures, write_toy


@pytest.fixture(scope="module")
def desk(toy, tmp_path_factory):
    """The toy with nine siblings, and the log of three accounts, one of which sent little."""
    install_presets()
    folder = tmp_path_factory.mktemp("requests")
    written = load_project(write_toy(folder / "toy", TRAINING, queries="24"))
    project = dataclasses.replace(written, other_store=toy.workshop.project.store)
    workshop = open_workshop(project)
    sent = {name: pictures(seed, count)[0] for name, seed, count in (("a", 11, 150), ("b", 12, 120), ("c", 13, 30))}
    log = sealed_log(folder / "log", TASK, answers_of(workshop.target.network), sent)
    return folder, workshop, build_zoo(project, jobs=1), log, sent


def answers_of(network):
    return lambda inputs: np.exp(features_of_all([network], np.asarray(inputs, np.float32), TASK.output)[0])


@pytest.fixture(scope="module")
def made(desk):
    _, workshop, zoo, log, _ = desk
    making = Making.of(workshop, zoo, requests=Requests(log, DRAW, {"pair": ("b", "c")}, most=2))
    return making, make_bundle(making)


def test_the_queries_are_rows_of_the_log_account_by_account(made, desk):
    """Of each account and group that sent enough, as many; each proven to be in the log."""
    making, bundle = made
    *_, log, sent = desk
    assert (making.method.name, bundle.method, bundle.verifier.siblings) == ("accounts", "accounts", 9)
    told = bundle.provenance["log"]
    assert [(one["name"], one["requests"], one["inputs"]) for one in told["accounts"]] == [
        ("pair", 150, 150),
        ("a", 150, 150),
        ("b", 120, 120),
    ]
    assert bundle.verifier.tensors["accounts"].tolist() == [0] * 16 + [1] * 16 + [2] * 16
    known = {name: {each.tobytes() for each in inputs} for name, inputs in sent.items()}
    assert {each.tobytes() for each in bundle.inputs[16:32]} <= known["a"]
    assert {each.tobytes() for each in bundle.inputs[:16]} <= known["b"] | known["c"]
    assert log.head in check_asked(bundle)
    assert make_bundle(making).sha256 == bundle.sha256


def test_the_target_is_a_match_and_readers_calibrate(made):
    """Models that learnt from the accounts stand on the derived side, those that learnt from siblings on the other."""
    making, bundle = made
    readers = [card for card in bundle.calibration.models if card.recipe == "read the log"]
    assert {card.derived for card in readers} == {True, False}
    assert all(card.performance > 0.4 and card.data == "log" for card in readers)
    answers = features_of_all([making.workshop.target.network], bundle.inputs, bundle.task.output)
    rule = Rule.through(bundle)
    (target,) = rule.score_all(Features(answers, np.ones(answers.shape, bool)))
    assert target.p_value_siblings == 0.1
    assert rule.conclude(target).outcome is VerdictOutcome.MATCH


def test_the_draw_decides_which_inputs_are_looked_at(desk, monkeypatch):
    """Whoever draws, not the owner: another draw, other inputs; the same draw, the same, each once."""
    *_, log, _ = desk
    monkeypatch.setattr(accounts, "MOST_INPUTS", 40)
    one, again, other = (find_accounts(log, draw)[0] for draw in (DRAW, DRAW, "0e" * 32))
    assert one == again
    assert len({each.row.input for each in one.rows}) == 40 == len(one.rows)
    assert [each.name for each in find_accounts(log, DRAW, most=1)] == ["a"]
    assert 5 < len({each.row.input for each in one.rows} & {each.row.input for each in other.rows}) < 25


def test_what_cannot_be_asked_of_a_log_is_refused(desk):
    """Another task's, another model's, accounts that are not there or sent too little, another method's queries."""
    folder, workshop, zoo, log, sent = desk
    make = lambda log, **more: make_bundle(Making.of(workshop, zoo, requests=Requests(log, DRAW, **more)))  # noqa: E731
    with pytest.raises(ConfigurationError, match="which the log lacks"):
        make(log, groups={"x": ("nobody",)})
    with pytest.raises(ConfigurationError, match="has the name of an account"):
        make(log, groups={"a": ("b",)})
    with pytest.raises(ConfigurationError, match="makes its own queries"):
        Making.of(workshop, zoo, "committee", requests=Requests(log, DRAW))
    with pytest.raises(DataError, match=f"no account of the log sent {ENOUGH} requests"):
        make(sealed_log(folder / "few", TASK, answers_of(workshop.target.network), {"c": sent["c"]}))
    turned = lambda inputs: np.roll(answers_of(workshop.target.network)(inputs), 1, axis=1)  # noqa: E731
    with pytest.raises(DataError, match="another model was served"):
        make(sealed_log(folder / "other", TASK, turned, {"a": sent["a"]}))
    elsewhere = dataclasses.replace(log.format, task=make_task(classes=4, side=4))
    with pytest.raises(ConfigurationError, match="of another task"):
        make(dataclasses.replace(log, format=elsewhere))


def test_a_bundle_is_made_again_with_its_log(made, desk):
    """With draw, groups and number of accounts as it names them; without its log that is said."""
    making, bundle = made
    *_, log, _ = desk
    again = requests_as(log, bundle)
    assert (again.draw, dict(again.groups), again.most) == (DRAW, {"pair": ("b", "c")}, 2)
    assert dataclasses.replace(making, requests=again).address == making.address
    odd = dataclasses.replace(bundle, provenance={**bundle.provenance, "accounts": "all"})
    with pytest.raises(EvidenceError, match="no such number"):
        requests_as(log, odd)
    with pytest.raises(ConfigurationError, match="made again with --log"):
        requests_as(None, bundle)


def test_from_the_command_line(desk, capsys, monkeypatch):
    """fit --log tells whose inputs are looked at, log asked lists them; a bundle without a log has none to list."""
    folder, *_ = desk
    project = folder / "toy" / "project.toml"

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return end.value.code or 0, *capsys.readouterr()

    log, out = ("--log", folder / "log"), folder / "log.bundle"
    few = ("--group", "pair=b,c", "--accounts", 2)
    code, _, err = run("fit", project, "-o", out, *log, "--draw", DRAW, *few, "--jobs", 1)
    assert (code, "pair: 150 requests, 150 inputs looked at" in err) == (0, True)
    code, listed, _ = run("log", "asked", out)
    assert (code, len(listed.splitlines())) == (0, 1 + 3 * LEAST_QUERIES)
    assert listed.splitlines()[0] == "query,account,at,day,row,answer"
    for words, problem in (
        (("--draw", DRAW), "--draw, --group and --accounts are for --log"),
        ((*log, "--draw", "12"), "64 hexadecimal digits"),
        ((*log, "--group", "pair"), "--group is NAME=A,B"),
    ):
        code, _, err = run("fit", project, "-o", folder / "no.bundle", *words)
        assert (code, problem in err) == (2, True)
    falsified = shutil.copytree(folder / "log", folder / "falsified")
    rows = next((falsified / "days").iterdir())
    rows.write_text(rows.read_text().replace('"account":"a"', '"account":"z"', 1))
    code, _, err = run("fit", project, "-o", folder / "no.bundle", "--log", falsified, "--draw", DRAW)
    assert (code, "are not those that were sealed" in err) == (4, True)
    plain = dataclasses.replace(FingerprintBundle.load(out), provenance={})
    plain.save(folder / "plain.bundle")
    code, _, err = run("log", "asked", folder / "plain.bundle")
    assert (code, "asks nothing of a request log" in err) == (2, True)
