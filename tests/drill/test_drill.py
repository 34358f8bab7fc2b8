"""The drill on the toy project: each kind of rigged bundle made for real, and what exposes it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metav_audit.cli import main
from metav_audit.drill.play import Drill, expose, lucky_seeds, play, prepare_drill
from metav_audit.drill.rigging import invent_calibration, leave_out, make_constant, retouch_calibration
from metav_audit.drill.rounds import Check, Kind, Row, passed
from metav_audit.drill.stage import is_match, matches_of, open_stage, transcript_of
from metav_audit.fingerprint.fit import fit_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.rebuild import differences
from metav_audit.task import features
from metav_audit.verdict import Asked, conclude

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def bundle(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "toy.bundle"
    return fit_bundle(Making.of(toy.workshop, toy.zoo, "metav"), path)[0]


@pytest.fixture(scope="module")
def stage(toy, bundle):
    return open_stage(toy.workshop, toy.zoo, bundle)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("drill")


@pytest.fixture(scope="module")
def drill(toy, bundle, work):
    return prepare_drill(toy.workshop.project, bundle, rounds=1, seeds=2, work=work, jobs=1)


def test_one_round_of_each_kind(drill):
    """Every rigged bundle is exposed, by the checks that can see its kind, and the honest one by none of them.

    The toy's fits are so short that a match may hang on its seed; what other seeds say is left aside here.
    """
    found = {one.kind: one for one in play(drill, 1) if one.kind is not Kind.LUCKY}
    exposed = {kind: set(one.exposed_by) for kind, one in found.items()}
    assert exposed[Kind.HONEST] <= {Check.FRESH_SEEDS}
    assert {Check.SANITY, Check.REBUILD} <= exposed[Kind.CONSTANT]
    assert {Check.COMMITMENT, Check.REBUILD} <= exposed[Kind.TUNED]
    assert {Check.MODELS, Check.REBUILD} <= exposed[Kind.INVENTED]
    assert {Check.COMMITMENT, Check.REBUILD} <= exposed[Kind.TWICE]
    assert Check.REBUILD in exposed[Kind.RIVAL] & exposed[Kind.TRANSFERABLE] & exposed[Kind.INVENTED]
    assert not any(Check.COMMITMENT in exposed[kind] for kind in (Kind.RIVAL, Kind.CONSTANT, Kind.TRANSFERABLE))


def test_the_transcript_holds_the_model_s_own_answers(stage, bundle):
    """What the drill decides on is what an API with full answers would have shown."""
    suspect = stage.derived[0]
    transcript = transcript_of(bundle, suspect.model)
    shown = features(Asked.of(bundle, transcript).answers, bundle.task.output, transcript.endpoint.scores)
    assert shown.mask.all()
    assert is_match(conclude(bundle, transcript)) is matches_of(bundle, [suspect])[0]


def test_a_constant_verifier_accuses_everyone(stage):
    """Its score is 1 for whoever is asked, and its own calibration's independents alone get less."""
    rigged = make_constant(stage)
    assert all(matches_of(rigged, stage.independents))
    assert rigged.verifier.scores(stage.bundle.calibration.features, np.ones(1, bool)).min() == 1


def test_a_made_up_calibration_accuses_honest_models(stage, bundle):
    """Most independents match by it, and the calibration alone differs from the honest bundle's."""
    rigged = invent_calibration(stage.bundle, 1)
    assert sum(matches_of(rigged, stage.independents)) > sum(matches_of(bundle, stage.independents))
    assert {each.split(":")[0] for each in differences(bundle, rigged)} <= {"calibration.answers", "weight"}


TUNED_PARTS = {"rates", "calibration.answers", "calibration.models", "natural.models", "weight"}


@pytest.mark.parametrize("tune", [leave_out, retouch_calibration])
def test_tuning_after_the_fact_makes_a_match_of_whom_it_likes(stage, tune):
    """Whatever the suspect's score, the tuned bundle accuses it; inputs and verifier stay the honest ones."""
    for suspect in stage.roots:
        rigged = tune(stage, suspect)
        assert matches_of(rigged, [suspect]) == [True]
        assert {each.split(":")[0] for each in differences(stage.bundle, rigged)} <= TUNED_PARTS


def lucky(stage, suspect, others):
    """A drill in which seed 99 alone accuses the suspect."""
    tried = {99: retouch_calibration(stage, suspect), **dict.fromkeys(range(others), stage.bundle)}
    return Drill(stage, stage.bundle, tried, (stage.bundle,) * 3, {}, ())


def test_a_lucky_seed_is_told_from_a_false_match_of_the_method(stage, bundle):
    """A suspect that one seed of many accuses is found; one that most accuse is not called luck."""
    innocent = next(player for player in stage.roots if not matches_of(bundle, [player])[0])
    assert (99, innocent) in lucky_seeds(lucky(stage, innocent, others=4), 100)
    assert (99, innocent) not in lucky_seeds(lucky(stage, innocent, others=1), 100)


def test_a_lucky_seed_is_exposed_by_fresh_ones(stage, bundle):
    """Its hash holds when rebuilt; the match is gone with other seeds."""
    innocent = next(player for player in stage.roots if not matches_of(bundle, [player])[0])
    drill = lucky(stage, innocent, others=4)
    one = expose(drill, Kind.LUCKY, 0, drill.tried[99], innocent)
    assert one.accuses
    assert {Check.FRESH_SEEDS, Check.COMMITMENT} <= set(one.exposed_by)
    assert Check.REBUILD not in one.exposed_by


def test_the_command_prints_a_table_and_fits_nothing_again(toy, bundle, drill, work, tmp_path, capsys):
    """A line a kind in 80 columns, and what stands in the work folder is used again."""
    del drill
    bundle.save(tmp_path / "toy.bundle")
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*")}
    words = ["drill", tmp_path / "toy.bundle", "--project", toy.workshop.project.path, "--work", work, "--jobs", 1]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in [*words, "--rounds", 1, "--seeds", 2]])
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines, shown.err
    honest = int(lines[-1].split()[-7])
    assert lines[-1].startswith(Kind.HONEST)
    assert (end.value.code or 0) == (4 if honest else 0)
    assert [line[:22].strip() for line in lines] == ["bundle", *(kind.value for kind in Kind)]
    assert max(map(len, lines)) <= 80
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*")} == before


def test_every_round_as_json(toy, bundle, drill, work, tmp_path, capsys):
    """--format json has the table's rows, and each round with its suspect and what exposed it."""
    del drill
    bundle.save(tmp_path / "toy.bundle")
    words = ["drill", tmp_path / "toy.bundle", "--project", toy.workshop.project.path, "--work", work, "--jobs", 1]
    with pytest.raises(SystemExit):
        main([str(word) for word in [*words, "--rounds", 1, "--seeds", 2, "--format", "json"]])
    shown = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in shown["rows"]] == list(Kind)
    tuned = next(one for one in shown["rounds"] if one["kind"] == Kind.TUNED)
    assert tuned["accuses"] is True
    assert "rebuild" in tuned["exposed_by"]


def test_a_drill_passes_if_all_are_exposed_and_no_honest_one():
    """One rigged bundle unexposed fails it, one honest bundle exposed as well."""
    none = dict.fromkeys(Check, 0)
    good = [Row(Kind.LUCKY, 2, 2, 2, none), Row(Kind.HONEST, 2, 2, 0, none)]
    assert passed(good)
    assert not passed([Row(Kind.LUCKY, 2, 2, 1, none), good[1]])
    assert not passed([good[0], Row(Kind.HONEST, 2, 2, 1, none)])
