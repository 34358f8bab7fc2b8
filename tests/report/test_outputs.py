"""A run for other programs: SARIF and JUnit by their schemas, metrics by Prometheus's own reader."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from metav_audit.errors import ConfigurationError, RemoteError
from metav_audit.report import Entry
from metav_audit.report.as_junit import render_junit
from metav_audit.report.as_prometheus import METRICS, OUTCOMES, render_prometheus
from metav_audit.report.as_sarif import RULES, render_sarif
from metav_audit.report.outputs import ENDINGS, check_outputs, write_output
from metav_audit.report.run import Run, Standing
from metav_audit.report.summary import read_entries
from metav_audit.verdict import AuditFolder, ControlRecord
from tests.builders import linear_model, make_bundle, make_siblings_bundle, make_task
from tests.folders import make_folder

SCHEMAS = Path(__file__).parents[1] / "schemas"
SARIF = jsonschema.Draft4Validator(
    json.loads((SCHEMAS / "sarif-schema-2.1.0.json").read_text()), format_checker=jsonschema.FormatChecker()
)
JUNIT = xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd"))
TASK, BUNDLE = make_task(), make_bundle()
NEAR, FAR, TARGET = linear_model(TASK, 5, distance=0.03), linear_model(TASK, 9, distance=3.0), linear_model(TASK, 0)
PASSED = ControlRecord(
    "own", passed=True, outcome="match", error=None, bundle_sha256="0" * 64, transcript_sha256="0" * 64
)
FAILED = ControlRecord(
    "own", passed=False, outcome="no_match", error=None, bundle_sha256="0" * 64, transcript_sha256="0" * 64
)
LINES = {"far": 3, "near": 9, "silent": 15, "own": 21, "gone": 27}


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """One endpoint of each kind, and the control, which matches."""
    root = tmp_path_factory.mktemp("fleet")
    for name, model, left in (("far", FAR, ()), ("near", NEAR, ()), ("silent", TARGET, range(5)), ("own", TARGET, ())):
        make_folder(root / name, model, bundle=BUNDLE, unanswered=left, endpoint={"name": name})
        if name != "own":
            (root / name / "positive-control.json").write_bytes(PASSED.to_bytes())
    error = RemoteError(f"endpoint gone: no connection\x1b[2J [free](https://example.org) {{0}}; see {root / 'gone'}")
    return (*read_entries(root), Entry.failed("gone", AuditFolder(root / "gone"), error))


@pytest.fixture
def make_run(entries):
    """Return a run of these endpoints, or of others."""

    def call(control=None, own=None, **more):
        fields = {
            "name": "2026-03-04T10-00-00.000000Z",
            "ended": datetime(2026, 3, 4, 10, 9, tzinfo=UTC),
            "exit_code": 1,
            "bundle": "toy",
            "bundle_sha256": BUNDLE.sha256,
            "source": "audit/end points.toml",
            "lines": LINES,
            "entries": entries if own is None else own,
            "control": control,
        }
        return Run(**{**fields, **more})

    return call


def sarif(run):
    log = json.loads(render_sarif(run))
    SARIF.validate(log)
    (only,) = log["runs"]
    return only


def junit(run):
    content = render_junit(run)
    JUNIT.validate(content.decode())
    suites = ElementTree.fromstring(content)
    return {case.get("name"): case for case in suites.iter("testcase")}, suites


def metrics(run):
    families = list(text_string_to_metric_families(render_prometheus(run).decode()))
    assert {family.type for family in families} == {"gauge"}
    return {
        (sample.name.removeprefix("metav_audit_"), *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def kinds(cases):
    return {name: [(child.tag, child.get("type")) for child in case] for name, case in cases.items()}


def test_sarif_has_a_result_for_whoever_must_be_looked_at(make_run):
    """A match is an error by the rule derived, what decides nothing a warning; no match is no result, but is listed."""
    run = sarif(make_run(PASSED))
    assert [(each["ruleId"], each["level"], each["properties"]["standing"]) for each in run["results"]] == [
        ("derived", "error", "match"),
        ("not-comparable", "warning", "inconclusive"),
        ("not-comparable", "warning", "failed"),
    ]
    listed = {"own": "control", "far": "no_match", "near": "match", "silent": "inconclusive", "gone": "failed"}
    assert run["properties"]["endpoints"] == listed
    assert run["invocations"] == [
        {"executionSuccessful": False, "exitCode": 1, "endTimeUtc": "2026-03-04T10:09:00.000000Z"}
    ]


def test_sarif_points_at_the_endpoint_s_table(make_run):
    """The endpoint file, relative as it was given, and the line; without a line, the file alone."""
    places = [each["locations"][0]["physicalLocation"] for each in sarif(make_run(lines={"near": 9}))["results"]]
    assert places[0] == {"artifactLocation": {"uri": "audit/end%20points.toml"}, "region": {"startLine": 9}}
    assert "region" not in places[1]
    absolute = sarif(make_run(source="/srv/endpoints.toml"))["results"][0]["locations"][0]["physicalLocation"]
    assert absolute["artifactLocation"]["uri"] == "file:///srv/endpoints.toml"


def test_sarif_names_three_rules_and_each_result_one_of_them(make_run):
    """derived, changed, not-comparable, by id and by index."""
    run = sarif(make_run())
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["derived", "changed", "not-comparable"] == list(RULES)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert rules[result["ruleIndex"]]["defaultConfiguration"]["level"] == result["level"]


def test_an_alert_is_the_same_one_at_the_next_run(make_run):
    """Its fingerprint follows from bundle and endpoint, not from run or line."""
    first, second = sarif(make_run()), sarif(make_run(name="another", lines={}))
    assert [each["partialFingerprints"] for each in first["results"]] == [
        each["partialFingerprints"] for each in second["results"]
    ]
    assert first["automationDetails"]["id"] == "metav-audit/toy/2026-03-04T10-00-00.000000Z"


def test_junit_fails_for_a_match_and_errs_where_nothing_was_compared(make_run):
    """No match and the control pass; nothing is skipped, which many services count as in order."""
    cases, suites = junit(make_run(PASSED))
    assert kinds(cases) == {
        "own": [("system-out", None)],
        "far": [("system-out", None)],
        "near": [("failure", "derived")],
        "silent": [("error", "not-comparable.inconclusive")],
        "gone": [("error", "not-comparable.failed")],
    }
    suite = suites.find("testsuite")
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["5", "1", "2", "0"]
    assert cases["near"].get("time") == "420.000"
    assert "Score 0.9" in cases["near"][0].get("message")
    assert "Why: only 1 of 6 queries were answered" in cases["silent"][0].text


def test_metrics_are_read_by_prometheus_s_own_reader(make_run):
    """One outcome is 1 for each suspect; the figures are the verdict's."""
    told = metrics(make_run(PASSED))
    bundle = ("bundle", "toy")
    for name, outcome in (("far", "no_match"), ("near", "match"), ("silent", "inconclusive"), ("gone", "failed")):
        ones = {key[3][1]: value for key, value in told.items() if key[:3] == ("outcome", bundle, ("endpoint", name))}
        assert ones == {**dict.fromkeys(["match", "no_match", "inconclusive", "failed", "void"], 0), outcome: 1}
    near = bundle, ("endpoint", "near")
    verdict = next(each.report.verdict for each in make_run().entries if each.name == "near")
    assert told["score", *near] == verdict.score
    assert told["log10_likelihood_ratio", *near] == verdict.log10_lr
    assert told["p_value", *near, ("hypothesis", "derived")] == verdict.p_value_derived
    assert told["requests", *near] == verdict.requests
    assert told["last_record_timestamp_seconds", *near] == datetime(2026, 3, 4, 10, 7, tzinfo=UTC).timestamp()
    assert told["run_timestamp_seconds", bundle] == datetime(2026, 3, 4, 10, 9, tzinfo=UTC).timestamp()
    assert told["run_exit_code", bundle] == 1
    assert {key[0] for key in told} == METRICS.keys()


def test_a_control_that_matches_raises_no_alarm(make_run):
    """It has no outcome among the metrics, whose readers wait for matches, and no result in SARIF."""
    told = metrics(make_run(PASSED))
    assert told["control_passed", ("bundle", "toy"), ("endpoint", "own")] == 1
    assert not [key for key in told if key[0] == "outcome" and ("endpoint", "own") in key]


def test_siblings_have_a_p_value_of_their_own(make_run, tmp_path):
    """Where the bundle has siblings."""
    make_folder(tmp_path / "near", TARGET, bundle=make_siblings_bundle(), endpoint={"name": "near"})
    told = metrics(make_run(own=tuple(read_entries(tmp_path))))
    assert told["p_value", ("bundle", "toy"), ("endpoint", "near"), ("hypothesis", "siblings")] == 1 / 40


def test_a_control_that_failed_takes_every_verdict_with_it(make_run):
    """In all three: no match, no pass, no figure; and each says that the control failed."""
    run = make_run(FAILED)
    results = sarif(run)["results"]
    assert [each["ruleId"] for each in results] == ["not-comparable"] * 5
    assert [each["properties"]["standing"] for each in results] == ["void"] * 4 + ["failed"]
    assert not any("score" in each["properties"] for each in results)
    assert all("no verdict of this run stands" in each["message"]["text"] for each in results[:4])
    cases, _ = junit(run)
    assert {kind for each in kinds(cases).values() for kind in each} == {
        ("error", "not-comparable.void"),
        ("error", "not-comparable.failed"),
    }
    told = metrics(run)
    assert told["control_passed", ("bundle", "toy"), ("endpoint", "own")] == 0
    assert not {"score", "p_value", "log10_likelihood_ratio"} & {key[0] for key in told}
    assert {key[3][1] for key, value in told.items() if key[0] == "outcome" and value} == {"void", "failed"}


def test_a_run_without_a_finding_is_whole(make_run, entries):
    """Of endpoints that do not match: no result, all passed."""
    run = make_run(PASSED, own=tuple(each for each in entries if each.name in ("own", "far")), exit_code=0)
    assert sarif(run)["results"] == []
    assert sarif(run)["invocations"][0]["executionSuccessful"] is True
    assert junit(run)[1].get("errors") == "0"


def test_what_a_stranger_wrote_is_shown_and_does_nothing(make_run):
    """Control characters are escapes in every format; where folders lie on this machine is in none of them."""
    run = make_run()
    for content in (render_sarif(run), render_junit(run), render_prometheus(run)):
        assert b"\x1b" not in content
        assert b"/fleet" not in content
    told = r"no connection\x1b[2J [free](https://example.org) {0}; see gone"
    assert told in junit(run)[0]["gone"][0].get("message")
    shown = sarif(run)["results"][-1]["message"]["text"]
    assert told.replace("](", "] (").replace("{0}", "{{0}}") in shown


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_labels_come_back_as_they_were(name):
    """Backslashes, quotes and line breaks are escaped."""
    run = Run("r", datetime(2026, 3, 4, tzinfo=UTC), 0, name, "0" * 64, "a.toml", {}, (), None)
    told = [key for key in metrics(run) if key[0] == "run_info"]
    assert dict(told[0][1:])["bundle"] == name


def test_the_same_run_gives_the_same_bytes(make_run):
    """Nothing in them follows from the moment of writing."""
    for render in (render_sarif, render_junit, render_prometheus):
        assert render(make_run()) == render(make_run())


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_ending_says_the_format(make_run, tmp_path, ending):
    """In either case; the file is whole, and stands alone in its folder."""
    for name in (f"a{ending}", f"B{ending.upper()}"):
        write_output(make_run(), tmp_path / "out" / name)
        start = (tmp_path / "out" / name).read_bytes()[:6]
        assert start == {"sarif": b'{\n "$s', "junit": b"<?xml ", "prometheus": b"# HELP"}[ENDINGS[ending]]
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_where_no_file_can_be_written_is_known_before(tmp_path):
    """An unknown ending, a folder's name, a path through a file; what is not there yet will be made."""
    (tmp_path / "file").write_text("")
    (tmp_path / "a.sarif").mkdir()
    check_outputs([tmp_path / "new" / "deep" / "a.prom"])
    assert not (tmp_path / "new").exists()
    with pytest.raises(ConfigurationError, match=r"let it end in \.sarif, \.sarif\.json, \.junit\.xml, \.xml, \.prom"):
        check_outputs([tmp_path / "a.json"])
    for path in (tmp_path / "a.sarif", tmp_path / "file" / "a.prom"):
        with pytest.raises(ConfigurationError, match="no file can be written at"):
            check_outputs([path])


def test_the_page_names_every_ending_metric_rule_and_standing():
    """docs/outputs.md."""
    page = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text()
    names = [*ENDINGS, *(f"metav_audit_{name}" for name in METRICS), *RULES, *OUTCOMES]
    assert not [name for name in names if f"`{name}`" not in page]


@pytest.mark.parametrize("standing", Standing)
def test_no_standing_looks_like_a_pass_but_those_that_are(standing):
    """No match, a match and a control that passed were compared; nothing else was."""
    assert standing.comparable is (standing in (Standing.MATCH, Standing.NO_MATCH, Standing.CONTROL))


def test_an_audit_that_was_cut_short_has_no_duration(make_run, entries):
    """And no end: neither JUnit nor the metrics invent one."""
    near = next(each for each in entries if each.name == "near")
    report = SimpleNamespace(
        **{name: getattr(near.report, name) for name in near.report.__slots__} | {"finished": None}
    )
    run = make_run(own=(Entry("near", "near", report, None),))
    assert junit(run)[0]["near"].get("time") == "0"
    assert not [key for key in metrics(run) if key[0] == "last_record_timestamp_seconds"]
