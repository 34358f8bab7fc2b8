"""Three APIs that no adapter knows are set up by ``probe`` alone, and audited by the file that it wrote."""

from __future__ import annotations

import tomllib

import pytest

from metav_audit.audit import Endpoint, Grant, load_endpoints
from metav_audit.audit.folder import audit_into_folder
from metav_audit.audit.probe.run import Plan
from metav_audit.audit.probe.run import probe as run_probe
from metav_audit.cli import main
from metav_audit.verdict import VerdictOutcome
from tests.asked import odd
from tests.asked.world import build_world, probabilities
from tests.builders import linear_model, make_bundle, make_task, with_natural
from tests.once import once_a_run
from tests.servers import ModelServer

TASK = make_task(classes=6, channels=3)
BUNDLE = with_natural(make_bundle(queries=32, task=TASK, spread=0.2, lineages=60), mixed=True)
MODELS = {True: linear_model(TASK, 7, distance=0.05), False: linear_model(TASK, 9, distance=0.2)}
NAMES = ("kitty", "doggo", "birb", "snek", "fisk", "ant")
WITH_KEY = ("--header", "X-API-Key: ${ODD_KEY}", "--secret", "ODD_KEY")
MATCH, NO_MATCH = 1, 0


def apis(model, labels):
    """Each odd API over a model, with its path and the words that it needs on the command line."""
    return {
        "percents": (odd.percents(model, NAMES), "/v3/recognise", WITH_KEY),
        "integers": (odd.integers(model), "/score", ()),
        "jobs": (odd.jobs(model, labels), "/queue", ()),
    }


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line in this process; return exit code, stdout and stderr."""
    monkeypatch.setenv("ODD_KEY", odd.KEY)

    def call(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return end.value.code or 0, shown.out, shown.err

    return call


def probe(run, bundle, api, model, folder, then):
    """Probe an API, and do something with the file that was written while it is there; nothing shows the key."""
    fault, path, words = apis(model, bundle.task.output.labels)[api]
    bundle.save(folder / "bundle")
    written = folder / "endpoint.toml"
    with ModelServer(model, fault=fault) as server:
        probed = run("probe", server.url + path, "--bundle", folder / "bundle", "-o", written, *words)
        sent = len(server.log)
        assert probed[0] == 0, probed
        done = then(written, words[2:])
    print(api, sent, probed[1], done)
    assert sent <= 12
    assert "natural inputs answered" in probed[1]
    assert odd.KEY not in "".join([written.read_text(), *map(str, probed), str(done)])
    return done


@pytest.mark.parametrize("derived", [True, False])
def test_an_odd_api_is_set_up_by_probe_alone(run, tmp_path, derived):
    """Within twelve requests, and the audit by its file finds a copy a match and an independent model none."""

    def audit(written, words):
        (suspect,) = load_endpoints(written, TASK, Grant(frozenset({"ODD_KEY"})))
        return audit_into_folder(BUNDLE, suspect, tmp_path / "audit").outcome

    outcome = probe(run, BUNDLE, "percents", MODELS[derived], tmp_path, audit)
    assert outcome is (VerdictOutcome.MATCH if derived else VerdictOutcome.NO_MATCH)


@pytest.mark.soak
@pytest.mark.parametrize("derived", [True, False])
@pytest.mark.parametrize("api", ["percents", "integers", "jobs"])
def test_an_odd_api_over_a_real_network_is_set_up_by_probe_alone(run, tmp_path, pictures, api, derived):
    """Coloured digits, a zoo and models that the bundle does not know: the right verdict, and no edit by hand."""

    def audit(written, words):
        return run("audit", tmp_path / "bundle", written, "-o", tmp_path / "audits", *words)

    model = probabilities(pictures.typical(derived=derived))
    code, *told = probe(run, pictures.bundle, api, model, tmp_path, audit)
    assert code == (MATCH if derived else NO_MATCH), told


RANGES = {
    "0..255": (lambda numbers: numbers / 255, {"scale": 255.0, "whole": True}),
    "-1..1": (lambda numbers: (numbers + 1) / 2, {"scale": 2.0, "offset": -1.0}),
    "0..1": (lambda numbers: numbers, {}),
    "blue first": (lambda numbers: numbers[:, ::-1], {"colours": "bgr"}),
}


@pytest.mark.soak
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("numbers", RANGES)
def test_a_range_that_nobody_names_leads_to_no_wrong_verdict(tmp_path, pictures, numbers, last):
    """An API that takes any numbers: right labels and scores tell the range, or the file says that it is in doubt."""
    bundle, (undo, wanted) = pictures.bundle, RANGES[numbers]
    for derived in (True, False):
        model = probabilities(pictures.typical(derived=derived))
        with ModelServer(model, fault=odd.arrays(model, bundle.task.output.labels, undo, last=last)) as server:
            found = run_probe(Plan(bundle, f"{server.url}/x"))
            range_ = {name: found.fields[name] for name in ("scale", "offset", "whole") if name in found.fields}
            told = range_ == {name: each for name, each in wanted.items() if name != "colours"}
            assert found.fields.get("layout", "chw") == ("hwc" if last else "chw")
            suspect = Endpoint.open("suspect", found.fields, bundle.task)
            outcome = audit_into_folder(bundle, suspect, tmp_path / str(derived)).outcome
        print(numbers, last, derived, range_, found.accuracy, outcome)
        right = VerdictOutcome.MATCH if derived else VerdictOutcome.NO_MATCH
        assert outcome in (right, VerdictOutcome.INCONCLUSIVE)
        assert told or found.doubts


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The task of coloured digits, with its bundle."""
    with once_a_run(tmp_path_factory, "pictures") as folder:
        return build_world("pictures", folder)


def test_a_job_is_polled_as_the_probe_found_out(run, tmp_path):
    """Where the ticket lies, which address is polled and what says that it is done stand in the file."""
    model = MODELS[True]
    BUNDLE.save(tmp_path / "bundle")
    with ModelServer(model, fault=odd.jobs(model, TASK.output.labels)) as server:
        code, out, _ = run("probe", f"{server.url}/queue", "-b", tmp_path / "bundle", "-o", tmp_path / "jobs.toml")
        assert (code, len(server.log)) == (0, 12), out
        found = tomllib.loads((tmp_path / "jobs.toml").read_text())["endpoints"]["suspect"]
    assert found["poll"]["ticket"] == "job.id"
    assert found["poll"]["url"] == f"{server.url}/queue/{{{{ticket}}}}"
    assert (found["poll"]["done"], found["poll"]["equals"]) == ("job.state", "finished")
    assert (found["answer"], found["label_key"], found["score_key"]) == ("output", "names", "confidences")
