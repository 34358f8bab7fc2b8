"""From a trained zoo to a bundle, and from bundles to tables."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version

import numpy as np
import pytest

from metav_audit.bundle import MANIFEST, ErrorRates, FingerprintBundle, OwnerMark, check_target_bits, nonce_of
from metav_audit.errors import ConfigurationError, DataError
from metav_audit.evaluation import run as evaluate
from metav_audit.evaluation.curves import FORMS, write_curves
from metav_audit.evaluation.figures import (
    COLUMNS,
    error_rows,
    spelling_rows,
    stratum_of,
    stratum_rows,
    target_rows,
    weight_rows,
)
from metav_audit.evaluation.run import evaluate_project, score_test_split
from metav_audit.evaluation.tables import as_markdown, as_text
from metav_audit.fingerprint.fit import choose_starts, fit_bundle, make_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.methods.registry import METHODS, default_method
from metav_audit.statistics import WeightTable, clopper_pearson, pav_plot, robustness_plot, roc_auc, tippett_plot
from metav_audit.task import OutputKind
from metav_audit.verdict import VerdictOutcome, calibration_scores
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.plan import Split
from metav_audit.zoo.project import Project, load_project, open_workshop
from metav_audit.zoo.surrogates import SurrogateZoo


def changed(workshop, old, new):
    """The same workshop with another line in its project file."""
    project = workshop.project
    assert old in project.text
    return dataclasses.replace(workshop, project=Project(project.path, project.text.replace(old, new)))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bundle(toy, method):
    """Fitting twice gives the same hash."""
    assert (
        make_bundle(Making.of(toy.workshop, toy.zoo, method)).sha256
        == make_bundle(Making.of(toy.workshop, toy.zoo, method)).sha256
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_bundle_holds_what_an_audit_needs(toy, method):
    """Valid inputs, the target's answers, calibration models of held-out lineages, rates and provenance."""
    bundle = make_bundle(Making.of(toy.workshop, toy.zoo, method))
    surrogates = [one for one in toy.zoo.surrogates if one.plan.split is Split.CALIBRATION]
    assert bundle.inputs.shape == (6, 1, 4, 4)
    assert np.array_equal(bundle.task.domain.project(bundle.inputs), bundle.inputs)
    assert {card.lineage for card in bundle.calibration.models} == {one.plan.lineage for one in surrogates}
    assert bundle.calibration.features.shape == (len(surrogates), 6, 3)
    assert (bundle.rates.false_match, bundle.method) == (0.2, method)
    assert bundle.provenance["target_sha256"] == toy.workshop.target.sha256
    assert bundle.provenance["zoo_sha256"] == toy.zoo.sha256


def test_the_target_itself_scores_high(toy):
    """On the target's own answers, the verifier of a toy bundle is sure."""
    bundle = make_bundle(Making.of(toy.workshop, toy.zoo))
    own = bundle.reference[None]
    assert bundle.verifier.scores(own, np.ones(own.shape, bool))[0] > 0.5


def test_a_standing_bundle_is_used_again(toy, tmp_path):
    """The second fit of the same project fits nothing and touches nothing."""
    path = tmp_path / "b"
    first, fitted = fit_bundle(Making.of(toy.workshop, toy.zoo), path)
    stood = (path / MANIFEST).stat().st_mtime_ns
    again, fitted_again = fit_bundle(Making.of(toy.workshop, toy.zoo), path)
    assert (fitted, fitted_again) == (True, False)
    assert again.sha256 == first.sha256
    assert (path / MANIFEST).stat().st_mtime_ns == stood


CHANGES = [
    ("seed = 7", "seed = 8"),
    ("queries = 6", "queries = 5"),
    ("steps = 40", "steps = 41"),
    ("false_match = 0.2", "false_match = 0.3"),
    ('name = "toy"', 'name = "boy"'),
]


@pytest.mark.soak
@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_a_changed_project_is_fitted_again(toy, tmp_path, old, new):
    """Another seed, size, length, rate or name takes the standing bundle's place."""
    first, _ = fit_bundle(Making.of(toy.workshop, toy.zoo, "committee"), tmp_path / "b")
    second, fitted = fit_bundle(Making.of(changed(toy.workshop, old, new), toy.zoo, "committee"), tmp_path / "b")
    assert fitted
    assert second.sha256 != first.sha256
    assert FingerprintBundle.load(tmp_path / "b").sha256 == second.sha256


def marked(workshop, identity=None, nonce=None):
    """The same workshop with what --identity and --nonce say."""
    return dataclasses.replace(workshop, project=dataclasses.replace(workshop.project, identity=identity, nonce=nonce))


def test_a_targeted_bundle_spells_the_bits_of_its_manifest(toy):
    """The project's identity and the seed's nonce stand in the manifest, and the verifier's bits follow from them."""
    bundle = make_bundle(Making.of(toy.workshop, toy.zoo, "fitprint"))
    assert check_target_bits(bundle) == OwnerMark("Toy & Sons Ltd", nonce_of(7))
    assert bundle.verifier.tensors["splits"].shape == (6, 2, 3)
    own = bundle.reference[None]
    assert bundle.verifier.scores(own, np.ones(own.shape, bool))[0] > 0.5


def test_what_the_command_line_says_takes_the_file_s_place(toy):
    """--identity and --nonce decide the bits, and text from a keyboard is normalised."""
    bundle = make_bundle(Making.of(marked(toy.workshop, "Cafe\u0301", "ab" * 32), toy.zoo, "fitprint"))
    assert check_target_bits(bundle) == OwnerMark("Caf\u00e9", "ab" * 32)


def test_the_mark_decides_a_targeted_bundle_and_no_other(toy):
    """Another identity, nonce or number of bits is another fitprint making, and the same metav making."""
    other = changed(toy.workshop, "bits = 2", "bits = 1")
    variants = [toy.workshop, marked(toy.workshop, "Rival"), marked(toy.workshop, None, "0" * 64), other]
    assert len({Making.of(one, toy.zoo, "fitprint", seed=7).address for one in variants}) == 4
    assert len({Making.of(one, toy.zoo, "metav", seed=7).address for one in variants}) == 1


def test_more_bits_than_a_query_can_spell_are_cut(toy):
    """Three classes spell two bits a query, whatever the project asks for."""
    bundle = make_bundle(Making.of(changed(toy.workshop, "bits = 2", "bits = 9"), toy.zoo, "fitprint"))
    assert bundle.verifier.tensors["bits"].shape == (6, 2)


def test_a_targeted_fingerprint_needs_an_identity(toy):
    """Without one the message says where to give it."""
    nobody = changed(toy.workshop, 'identity = "Toy & Sons Ltd"', "")
    with pytest.raises(ConfigurationError, match="give --identity TEXT, or set identity"):
        make_bundle(Making.of(nobody, toy.zoo, "fitprint"))


def test_another_method_is_fitted_again(toy, tmp_path):
    """A bundle of another method does not stand in."""
    fit_bundle(Making.of(toy.workshop, toy.zoo), tmp_path / "b")
    assert fit_bundle(Making.of(toy.workshop, toy.zoo, "ipguard"), tmp_path / "b")[1]


def test_a_damaged_bundle_is_fitted_again(toy, tmp_path):
    """A bundle that cannot be loaded is replaced by a whole one."""
    fit_bundle(Making.of(toy.workshop, toy.zoo), tmp_path / "b")
    (tmp_path / "b" / MANIFEST).write_text("torn")
    assert fit_bundle(Making.of(toy.workshop, toy.zoo), tmp_path / "b")[1]
    FingerprintBundle.load(tmp_path / "b")


def test_an_unknown_method_is_refused(toy, tmp_path):
    """The message lists the methods there are."""
    with pytest.raises(ConfigurationError, match="use one of metav, ipguard"):
        fit_bundle(Making.of(toy.workshop, toy.zoo, "magic"), tmp_path / "b")


@pytest.mark.parametrize("split", [Split.FIT, Split.CALIBRATION])
@pytest.mark.parametrize("derived", [True, False])
def test_a_zoo_without_a_side_is_refused(toy, split, derived):
    """A split that lacks derived or independent models is told by name."""
    kept = [one for one in toy.zoo.surrogates if (one.plan.split, one.plan.derived) != (split, derived)]
    lacking = SurrogateZoo(tuple(kept), toy.zoo.target_sha256, 0)
    with pytest.raises(DataError, match=f"no useful {'derived' if derived else 'independent'} model in its {split}"):
        make_bundle(Making.of(toy.workshop, lacking))


def test_starts_come_from_the_validation_data_and_noise_fills_up(toy):
    """Each start is a validation input as long as there are any, valid and distinct."""
    validation = {each.tobytes() for each in toy.workshop.data.validation.inputs}
    starts = choose_starts(toy.workshop, 0, 100)
    inside = [each.tobytes() in validation for each in starts]
    assert inside == [True] * 90 + [False] * 10
    assert len({each.tobytes() for each in starts}) == 100


@pytest.fixture(scope="module")
def results(toy):
    """Every method on the toy project's test split."""
    return evaluate_project(toy.workshop.project, METHODS, jobs=1)


def test_scores_separate_a_toy_zoo_better_than_chance(toy, results):
    """On models of lineages that neither fit nor calibration saw, MetaV's AUC is well above a half."""
    metav = results[0]
    used = {one.plan.lineage for one in toy.zoo.surrogates if one.plan.split is not Split.TEST}
    assert metav.method == "metav"
    assert not {card.lineage for card in metav.models} & used
    assert roc_auc(metav.side(derived=True), metav.side(derived=False)) > 0.65


def test_evaluating_again_uses_the_same_bundles(toy, results):
    """Bundles beside the project are used again and give the same scores."""
    path = toy.workshop.project.folder / "bundles" / "metav.bundle"
    stood = (path / MANIFEST).stat().st_mtime_ns
    (again,) = evaluate_project(toy.workshop.project, ["metav"], jobs=1)
    assert np.array_equal(again.scores, results[0].scores)
    assert (path / MANIFEST).stat().st_mtime_ns == stood
    bundle = FingerprintBundle.load(path)
    assert np.array_equal(score_test_split(toy.workshop, toy.zoo, bundle).scores, again.scores)


def test_the_table_has_a_row_a_target_the_mean_and_its_interval(results):
    """Each method: its targets, then their mean, then the half-width of the interval."""
    pair = results[:2]
    other = [dataclasses.replace(one, project="other", scores=one.scores**2) for one in pair]
    rows = target_rows([*pair, *other])
    assert [(row.label, row.method) for row in rows[:4]] == [
        ("toy 7", "metav"), ("toy 7", "ipguard"), ("other", "metav"), ("other", "ipguard"),
    ]  # fmt: skip
    assert [row.label for row in rows[4:]] == ["mean", "± 95 %"] * 2
    assert all(list(row.figures) == list(COLUMNS) for row in rows)
    assert rows[4].figures["AUC"] == pytest.approx((rows[0].figures["AUC"] + rows[2].figures["AUC"]) / 2)
    assert rows[4].derived == rows[0].derived + rows[2].derived


def test_bit_errors_are_those_of_the_targeted_method_alone(results):
    """A row a target and the mean: what each side spells wrong, on average and next to the other side."""
    spelled = next(one for one in results if one.method == "fitprint")
    rows = spelling_rows([*results, dataclasses.replace(spelled, project="other", scores=spelled.scores / 2)])
    assert [(row.label, row.method) for row in rows[:3]] == [
        ("toy 7", "fitprint"), ("other", "fitprint"), ("mean", "fitprint"),
    ]  # fmt: skip
    derived, independent = spelled.side(derived=True), spelled.side(derived=False)
    assert list(rows[0].figures.values()) == pytest.approx(
        [1 - derived.mean(), 1 - derived.min(), 1 - independent.mean(), 1 - independent.max()]
    )
    assert rows[2].figures["BER +"] == pytest.approx(1 - 0.75 * derived.mean())
    assert spelling_rows([one for one in results if one.method != "fitprint"]) == []


def test_one_target_has_a_mean_and_no_interval(results):
    """With a single target no interval is claimed."""
    assert [row.label for row in target_rows(results[:1])] == ["toy 7", "mean"]


def test_strata_cover_every_test_model_once(results):
    """Derived strata sum to the derived models, independent ones to the independents."""
    rows = stratum_rows(results[:1])
    derived = [row for row in rows if row.label.startswith("derived: ")]
    independent = [row for row in rows if row.label.startswith("ind.: ")]
    assert len(rows) == len(derived) + len(independent)
    assert sum(row.derived for row in derived) == len(results[0].side(derived=True))
    assert sum(row.independent for row in independent) == len(results[0].side(derived=False))
    assert all(0 <= row.figures[name] <= 1 for row in rows for name in ("AUC", "wrong"))


def test_figures_by_hand(results):
    """Shares of verdicts and strata follow from scores and outcomes."""
    cards = results[0].models
    picked = [next(card for card in cards if card.derived is side) for side in (True, True, False, False)]
    outcomes = (VerdictOutcome.MATCH, VerdictOutcome.INCONCLUSIVE, VerdictOutcome.MATCH, VerdictOutcome.NO_MATCH)
    weight = WeightTable((-1.0, 1.0), (-1.0, 1.0), -1.5, 1.5)
    scores = np.array([0.9, 0.4, 0.6, 0.1])
    one = evaluate.TestScores("t", "metav", tuple(picked), scores, outcomes, weight, ErrorRates(0.1, 0.2))
    figures = target_rows([one])[0].figures
    ratios = weight_rows([one])[0].figures
    odd = 1.5**-1  # the score 0.4 has the odds 2/3, and the table takes the log-odds for log10 LR
    assert [ratios[name] for name in ("low", "high", "from", "to")] == [-1.5, 1.5, -1.0, 1.0]
    assert [ratios[name] for name in ("LR<1", "LR>1")] == [0.5, 0.5]
    assert figures["Cllr"] == pytest.approx(np.log2([1.1, 1 + 10 ** -np.log(odd), 1 + 10 ** -np.log(odd), 1.1]).mean())
    assert [figures[name] for name in ("TPR", "FPR", "TNR", "FNR")] == [0.5, 0.5, 0.5, 0.0]
    assert figures["AUC"] == 0.75
    assert [row.figures["wrong"] for row in stratum_rows([one])] == [0.0, 0.5]


def test_errors_are_counted_by_lineage_and_stratum(results):
    """A lineage counts once, wrong if any of its models is; each row has the promised rate and its interval."""
    cards = [next(card for card in results[0].models if not card.derived)] * 3
    cards = [dataclasses.replace(card, lineage=name) for card, name in zip(cards, "aab", strict=True)]
    derived = dataclasses.replace(next(card for card in results[0].models if card.derived), lineage="a")
    outcomes = (VerdictOutcome.NO_MATCH, VerdictOutcome.MATCH, VerdictOutcome.INCONCLUSIVE, VerdictOutcome.MATCH)
    one = dataclasses.replace(
        results[0],
        models=(*cards, derived),
        scores=np.full(4, 0.5),
        outcomes=outcomes,
        rates=ErrorRates(false_match=0.1, false_no_match=0.2),
    )
    rows = error_rows([one])
    found = {row.label: (row.wrong, row.lineages, row.figures["stated"]) for row in rows}
    strata = [stratum_of(derived), stratum_of(cards[0])]
    assert found == {
        "derived: all": (0, 1, 0.2), strata[0]: (0, 1, 0.2), "ind.: all": (1, 2, 0.1), strata[1]: (1, 2, 0.1),
    }  # fmt: skip
    assert (rows[-1].figures["low"], rows[-1].figures["high"]) == clopper_pearson(1, 2)
    # Another target's lineages of the same names are others.
    assert [row.lineages for row in error_rows([one, one])] == [2, 2, 4, 4]


def test_every_table_fits_a_terminal(results):
    """Five targets' tables have at most 80 columns, and each line is aligned to its header."""
    many = [dataclasses.replace(one, project=f"digits {seed}") for seed in range(10, 15) for one in results]
    for rows in (target_rows(many), weight_rows(many), stratum_rows(many), error_rows(many)):
        lines = as_text(rows).splitlines()
        assert max(map(len, lines)) <= 80
        assert lines[0].index("method") == lines[1].index("metav")


@pytest.mark.soak
def test_figures_are_written_for_each_target_and_method(results, tmp_path):
    """Three plots, SVG and PNG, under names without blanks, of what is shown in full alone; nothing else."""
    labels = dataclasses.replace(results[0], condition=evaluate.Condition("label"))
    paths = write_curves([*results, labels], tmp_path / "figures")
    plots = ("tippett", "pav", "robustness")
    names = [f"toy-7-{method}-{name}.{form}" for method in METHODS for name in plots for form in FORMS]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(names)
    assert paths[0].read_bytes() == tippett_plot(*results[0].log10_lrs(), "svg")
    assert paths[3].read_bytes() == pav_plot(*results[0].log10_lrs(), "png")
    sides = (results[0].side(derived=True), results[0].side(derived=False))
    assert paths[4].read_bytes() == robustness_plot(*sides, "svg")


@pytest.mark.parametrize("method", METHODS)
def test_the_bundle_s_table_is_the_one_that_an_auditor_fits(toy, method):
    """lir's table lies within a hundredth of our own, and test models' LRs never leave its bounds."""
    bundle = make_bundle(Making.of(toy.workshop, toy.zoo, method))
    assert bundle.weight.difference(calibration_scores(bundle).fit_weight()) < 0.01
    one = score_test_split(toy.workshop, toy.zoo, bundle)
    assert all(((bundle.weight.low <= side) & (side <= bundle.weight.high)).all() for side in one.log10_lrs())
    assert bundle.provenance["versions"]["lir"] == version("lir")


def test_a_table_that_an_auditor_would_refuse_is_not_written(toy, monkeypatch):
    """Where lir and metav-audit differ, the fit stops and says what to do."""
    shifted = WeightTable((0.0,), (0.3,), -0.5, 0.5)
    monkeypatch.setattr("metav_audit.fingerprint.weight.tabulate", lambda *_: shifted)
    with pytest.raises(DataError, match=r"lir .* and of metav-audit differ by .*: install the version of lir"):
        make_bundle(Making.of(toy.workshop, toy.zoo))


def test_the_table_is_markdown(results):
    """Every line has as many cells and the same width; what is not a number is empty."""
    lines = as_markdown(target_rows(results)).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert {line.count(" | ") for line in lines} == {len(COLUMNS) + 2}
    assert "nan" not in "".join(lines)


def test_a_zoo_without_test_models_is_refused(tmp_path):
    """A preset without a test split says which preset has one."""
    from tests.toy import install_presets, write_toy

    install_presets()
    project = load_project(write_toy(tmp_path, preset='"mini"'))
    with pytest.raises(DataError, match='fewer than 5 useful test models of a side: set preset = "standard"'):
        evaluate_project(project, ["metav"], jobs=1)


def test_models_that_no_one_would_deploy_are_left_out(tmp_path, monkeypatch):
    """Below the share of the target's performance a surrogate is trained, counted and left out."""
    from metav_audit.zoo import build
    from tests.toy import install_presets, write_toy

    install_presets()
    monkeypatch.setattr(build, "USEFUL_SHARE", 2.0)
    project = load_project(write_toy(tmp_path, preset='"mini"'))
    zoo = build_zoo(project, jobs=1)
    assert (zoo.surrogates, zoo.left_out) == ((), 9)
    with pytest.raises(DataError, match="no useful"):
        make_bundle(Making.of(open_workshop(project), zoo))


def test_a_bundle_is_checked_against_models_whose_origin_is_known():
    """The toy bundle knows its own target, and its calibration by leave-one-out; an inverted verifier does not."""
    from metav_audit.fingerprint.fit import check_itself
    from metav_audit.verdict import VerdictOutcome
    from tests.builders import make_bundle

    check = check_itself(make_bundle())
    assert check.target.outcome is VerdictOutcome.MATCH
    assert check.matched > 0.8
    assert check.cleared > 0.8


@pytest.mark.soak
@pytest.mark.parametrize(("preset", "scarce"), [("tiny", False), ("mini", True)])
def test_a_zoo_of_few_independent_lineages_is_scarce(tmp_path, preset, scarce):
    """Of four lineages can be learned, of two not; then the committee's learned verifiers have no vote."""
    from tests.toy import install_presets, write_toy

    install_presets()
    project = load_project(write_toy(tmp_path, preset=f'"{preset}"', steps="5"))
    bundle = make_bundle(Making.of(open_workshop(project), build_zoo(project, jobs=1), "committee"))
    names = ("distance", "coarse", "local", "joint", "labels")
    weights = {name: bundle.verifier.tensors[f"line.{name}"] for name in names}
    assert {name for name, line in weights.items() if line[2] == 0} == ({"local", "joint"} if scarce else set())
    assert default_method(OutputKind.REGRESSION, scarce=scarce) == ("committee" if scarce else "metav")
