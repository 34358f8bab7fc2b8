"""``watch``, ``history``, ``compare`` and ``page`` from the command line, against real servers."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest

from metav_audit.cli import main
from metav_audit.verdict import AuditFolder
from metav_audit.verify import verify_folder
from tests.audit.helpers import needed
from tests.audit.test_cli import BUNDLE, FAR, TARGET, table
from tests.servers import ModelServer, Reply, always

FLEET = '[watches.ours]\nendpoints = "endpoints.toml"\nbundles = ["toy.bundle"]\nevery = "1d"\n'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command beside fleet, endpoints and bundle; return exit code, stdout's lines and stderr."""
    BUNDLE.save(tmp_path / "toy.bundle")
    (tmp_path / "fleet.toml").write_text(FLEET)
    monkeypatch.chdir(tmp_path)

    def call(command, *words):
        with pytest.raises(SystemExit) as end:
            main([command, *map(str, words)])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return end.value.code or 0, shown.out.splitlines(), shown.err

    return call


def later(path, days=1):
    """Let so many days pass: slots lie in the past."""
    with sqlite3.connect(path / "watch.sqlite3") as connection:
        connection.execute("UPDATE targets SET slot = slot - ?", (days * 86400,))
        connection.execute("UPDATE audits SET until = 0")
    connection.close()


def events(lines):
    return [(json.loads(line)["kind"], json.loads(line)["endpoint"]) for line in lines]


def test_a_swap_between_two_nights_is_told(run, tmp_path):
    """By an event, by the history, by a comparison, and by the exit code; the rest of the fleet is quiet."""
    with ModelServer(TARGET) as ours, ModelServer(FAR) as other:
        (tmp_path / "endpoints.toml").write_text(table("ours", ours.url) + table("other", other.url))
        assert (*run("watch", "fleet.toml")[:1], len(ours.log), len(other.log)) == (1, needed(8), needed(8))
        assert run("watch", "fleet.toml") == (0, [], "")
        later(tmp_path)
        other.model = TARGET
        code, lines, told = run("watch", "fleet.toml")
    assert (code, events(lines)) == (1, [("change", "other"), ("match", "other")])
    assert "ours (toy): match (8 of 8 queries answered" in told
    first, second = (json.loads(lines[0])[name] for name in ("before", "audit"))
    code, lines, _ = run("compare", first, second, "--fleet", "fleet.toml")
    assert (code, lines[:2]) == (1, ["changed", "verdict: no_match -> match"])
    code, lines, _ = run("history", "fleet.toml")
    assert [line.split(";")[1] for line in lines] == [" 2 audits, 1 change, 1 match", " 2 audits, 1 match"]
    _, lines, _ = run("history", "fleet.toml", "other", "--format", "json")
    assert [each["outcome"] for each in json.loads(lines[0])["audits"]] == ["no_match", "match"]


def test_every_audit_leaves_evidence_that_verifies(run, tmp_path):
    """Its folder is an audit's like any other, and two of them can be compared as they lie there."""
    with ModelServer(FAR) as server:
        (tmp_path / "endpoints.toml").write_text(table("a", server.url))
        run("watch", "fleet.toml")
        later(tmp_path)
        run("watch", "fleet.toml")
    folders = sorted(path.parent for path in tmp_path.glob("evidence/a/*/a/verdict.json"))
    assert len(folders) == 2
    assert all(step.passed for folder in folders for step in verify_folder(AuditFolder(folder)))
    code, lines, _ = run("compare", *folders)
    assert (code, lines[0]) == (0, "the same")
    assert lines[3].startswith("answers: 0 of 8 inputs are answered otherwise")


def test_an_endpoint_that_is_down_hides_no_match(run, tmp_path):
    """It is tried again; lost after two nights; and it has recovered."""
    with ModelServer(TARGET) as ours, ModelServer(FAR, fault=always(401)) as closed:
        (tmp_path / "endpoints.toml").write_text(table("closed", closed.url) + table("ours", ours.url))
        code, lines, told = run("watch", "fleet.toml")
        assert (code, events(lines)) == (1, [("match", "ours")])
        assert "closed (toy): endpoint closed: " in told
        kinds = []
        for _ in range(3):
            later(tmp_path)
            kinds += events(run("watch", "fleet.toml")[1])
        closed.fault = None
        later(tmp_path)
        kinds += events(run("watch", "fleet.toml")[1])
    assert kinds == [("lost", "closed"), ("recovered", "closed")]


def test_exit_codes_are_those_of_an_audit(run, tmp_path):
    """No match 0, an endpoint that is down 4, several of which one is 5; an alarm makes it 1."""
    with ModelServer(FAR) as one, ModelServer(FAR, fault=always(401)) as closed:
        (tmp_path / "endpoints.toml").write_text(table("closed", closed.url))
        assert run("watch", "fleet.toml")[0] == 4
        (tmp_path / "endpoints.toml").write_text(table("closed", closed.url) + table("one", one.url))
        later(tmp_path)
        assert run("watch", "fleet.toml")[0] == 5
        later(tmp_path)
        assert run("watch", "fleet.toml", "--alarm", "lost")[0] == 1


def test_what_is_not_granted_is_not_sent(run, tmp_path):
    """As with audit: a variable has to be named."""
    with ModelServer(FAR) as server:
        headers = 'headers = { Authorization = "Bearer ${METAV_TEST_TOKEN}" }\n'
        (tmp_path / "endpoints.toml").write_text(table("a", server.url) + headers)
        code, _, told = run("watch", "fleet.toml")
        assert (code, server.log) == (2, [])
    assert "say --secret METAV_TEST_TOKEN" in told
    assert not (tmp_path / "watch.sqlite3").exists()


def test_a_dry_run_says_what_a_month_costs(run, tmp_path):
    """With prices and budgets, whether these are enough; nothing is sent, and no history is made."""
    (tmp_path / "fleet.toml").write_text(FLEET + '[budgets.hosts."127.0.0.1:9"]\ncost = 1.0\n')
    text = table("a", "http://127.0.0.1:9").replace("model =", "limits = { price = 0.01 }\nmodel =")
    (tmp_path / "endpoints.toml").write_text(text)
    code, lines, _ = run("watch", "fleet.toml", "--dry-run")
    assert code == 0
    assert lines[0] == "a (toy): every 1d, due now; an audit sends 24 requests, 96 at most, cost 0.24"
    assert (
        "a month, host:127.0.0.1:9: 730 requests, 2922 at most, cost 7.305, 29.22 at most; budget cost 1: TOO SMALL"
        in lines
    )
    _, lines, _ = run("watch", "fleet.toml", "--dry-run", "--format", "json")
    assert [each["fits"] for each in json.loads(lines[0])["month"]] == [True, True, False]
    assert not (tmp_path / "watch.sqlite3").exists()


def test_a_hello_shows_that_messages_arrive_and_asks_nothing(run, tmp_path):
    """Who is told gets a message that nothing happened; where it is not taken the exit code says so."""
    with ModelServer(TARGET) as server, ModelServer(None, fault=always(200)) as hook:
        told = f'[notify.chat]\nkind = "webhook"\nurl = "{hook.url}"\nshape = "slack"\n'
        (tmp_path / "fleet.toml").write_text(FLEET + told)
        (tmp_path / "endpoints.toml").write_text(table("a", server.url))
        code, lines, _ = run("watch", "fleet.toml", "--hello")
        assert (code, lines) == (0, ["1 of 1 who are told took a message; nothing was asked"])
        assert "nothing happened: this is how fleet.toml" in json.loads(hook.log[0].body)["text"]
        hook.fault = always(404)
        code, lines, errors = run("watch", "fleet.toml", "--hello")
        assert (code, lines) == (4, ["0 of 1 who are told took a message; nothing was asked"])
        assert "notify.chat: the webhook at 127.0.0.1" in errors
        assert server.log == []
    assert not (tmp_path / "watch.sqlite3").exists()


def test_a_bundle_that_cannot_be_read_is_outdated_and_stops_no_other(run, tmp_path):
    """It is told once."""
    (tmp_path / "fleet.toml").write_text(FLEET.replace('"toy.bundle"', '"toy.bundle", "old.bundle"'))
    BUNDLE.save(tmp_path / "old.bundle")
    manifest = tmp_path / "old.bundle" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": ', '"schema_version": 9'))
    with ModelServer(FAR) as server:
        (tmp_path / "endpoints.toml").write_text(table("a", server.url))
        code, lines, _ = run("watch", "fleet.toml")
        assert (code, events(lines)) == (0, [("outdated", None)])
        assert run("watch", "fleet.toml")[1] == []


def test_a_watch_that_was_killed_goes_on_where_it_stopped(run, tmp_path):
    """kill -9 in the midst of an audit: the next run, when the lease is over, asks only what is open."""
    inputs = set()

    def remember(number, seen):
        inputs.add((number, seen.sha256))

    with ModelServer(FAR, delay_s=0.05, fault=remember) as server:
        (tmp_path / "endpoints.toml").write_text(table("a", server.url, limits={"concurrency": 1}).replace(": ", " = "))
        child = subprocess.Popen([sys.executable, "-m", "metav_audit", "watch", "fleet.toml"], cwd=tmp_path)
        while len(server.log) < 8:
            assert child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert run("watch", "fleet.toml") == (0, [], "")
        with sqlite3.connect(tmp_path / "watch.sqlite3") as connection:
            connection.execute("UPDATE audits SET until = 0")
        connection.close()
        code, _, told = run("watch", "fleet.toml")
    assert (code, "a (toy): no_match (8 of 8" in told) == (0, True)
    assert len(server.log) <= needed(8) + 1
    assert len(list(tmp_path.glob("evidence/a/*"))) == 1


def test_a_watch_that_is_interrupted_gives_its_audits_back(run, tmp_path):
    """The next run goes on at once, and asks again no more than was in flight."""
    with ModelServer(FAR, delay_s=0.5) as one, ModelServer(FAR, delay_s=0.5) as other:
        (tmp_path / "endpoints.toml").write_text(table("a", one.url) + table("b", other.url))
        child = subprocess.Popen(
            [sys.executable, "-m", "metav_audit", "watch", "fleet.toml"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        while len(one.log) < 3 or len(other.log) < 3:
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        told = child.communicate()[1]
        assert (child.returncode, told.strip()) == (
            130,
            "metav-audit: interrupted; run the same command again to go on",
        )
        one.delay_s = other.delay_s = 0.0
        code, _, told = run("watch", "fleet.toml")
    assert (code, told.count("no_match (8 of 8 queries answered")) == (0, 2)
    assert max(len(one.log), len(other.log)) <= needed(8) + 4
    assert len(list(tmp_path.glob("evidence/*/*"))) == 2


def test_history_and_page_need_a_history(run):
    """There is none before the first run."""
    for words in (("history", "fleet.toml"), ("page", "fleet.toml"), ("compare", "1", "2", "--fleet", "fleet.toml")):
        code, _, told = run(*words)
        assert (code, "'metav-audit watch fleet.toml' makes it" in told) == (2, True)


def test_the_page_leads_to_the_reports(run, tmp_path):
    """From every endpoint's page; and again, when they are packed, to the archives."""
    with ModelServer(TARGET) as server:
        (tmp_path / "endpoints.toml").write_text(table("a", server.url))
        run("watch", "fleet.toml")
        assert run("page", "fleet.toml")[1] == ["page/index.html"]
        (report,) = tmp_path.glob("evidence/a/*/a/report.html")
        text = (tmp_path / "page/endpoints/a--toy.html").read_text()
        assert f'href="../../{report.relative_to(tmp_path)}"' in text
        (tmp_path / "fleet.toml").write_text(FLEET + '[retention]\npack_after = "0s"\n')
        run("watch", "fleet.toml")
    (archive,) = tmp_path.glob("evidence/a/*.zip")
    assert not list(tmp_path.glob("evidence/a/*/"))
    run("page", "fleet.toml")
    assert f'href="../../{archive.relative_to(tmp_path)}"' in (tmp_path / "page/endpoints/a--toy.html").read_text()
    assert run("compare", archive, archive)[1][0] == "the same"
    code, _, told = run("page", "fleet.toml", "-o", "evidence")
    assert (code, "holds something else than a page" in told) == (2, True)


def test_the_page_is_served_live_to_this_machine_alone(run, tmp_path):
    """Under its own name; whoever asks by another is refused, and so is every file that no audit names."""
    with ModelServer(TARGET) as server:
        (tmp_path / "endpoints.toml").write_text(table("a", server.url))
        run("watch", "fleet.toml")
    words = [sys.executable, "-m", "metav_audit", "page", "fleet.toml", "--serve", "--port", "0"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as child:
        url = child.stdout.readline().strip()

        def get(path, **headers):
            try:
                with urllib.request.urlopen(urllib.request.Request(url + path, headers=headers)) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, ""

        assert "Watched endpoints" in get("")[1]
        assert 'href="/evidence/1"' in get("endpoints/a--toy.html")[1]
        assert "metav-audit" in get("evidence/1")[1]
        assert get("style.css")[0] == 200
        assert [get(path)[0] for path in ("evidence/2", "../fleet.toml", "evidence/..%2f..%2ffleet.toml")] == [404] * 3
        assert get("", Host="elsewhere.example")[0] == 403
        child.send_signal(signal.SIGINT)
    assert child.returncode == 130


def test_answers_that_are_noisy_are_no_change(run, tmp_path):
    """Five nights of noise that is drawn anew each time."""
    rng = np.random.default_rng(0)

    def noisy(inputs):
        shares = np.maximum(FAR(inputs) + 0.005 * rng.normal(size=(len(inputs), 4)), 0)
        return shares / shares.sum(axis=1, keepdims=True)

    with ModelServer(noisy) as server:
        (tmp_path / "endpoints.toml").write_text(table("a", server.url))
        told = []
        for _ in range(5):
            told += run("watch", "fleet.toml")[1]
            later(tmp_path)
    assert told == []


def test_a_server_that_renames_its_model_is_a_change(run, tmp_path):
    """Whatever it answers."""
    with ModelServer(FAR, headers={"x-model-version": "1"}) as server:
        (tmp_path / "endpoints.toml").write_text(table("a", server.url))
        run("watch", "fleet.toml")
        later(tmp_path)
        server.headers = {"x-model-version": "2"}
        _, lines, _ = run("watch", "fleet.toml")
    assert [json.loads(line)["words"] for line in lines] == ["x-model-version was 1, is 2"]


def test_a_webhook_hears_of_a_match_and_again_if_it_was_busy(run, tmp_path, monkeypatch):
    """Ten lines of configuration; the address is a variable that is granted."""
    text = FLEET + '[notify.chat]\nkind = "webhook"\nurl = "${METAV_TEST_HOOK}"\nshape = "slack"\n'
    (tmp_path / "fleet.toml").write_text(text)
    with (
        ModelServer(TARGET) as server,
        ModelServer(None, fault=lambda number, _: Reply((503, 200)[number > 0])) as chat,
    ):
        monkeypatch.setenv("METAV_TEST_HOOK", f"{chat.url}/services/hush")
        (tmp_path / "endpoints.toml").write_text(table("a", server.url))
        _, _, told = run("watch", "fleet.toml", "--secret", "METAV_TEST_HOOK")
        assert "answered with status 503; it is told again later" in told
        assert "hush" not in told
        with sqlite3.connect(tmp_path / "watch.sqlite3") as connection:
            connection.execute("UPDATE messages SET until = 0")
        connection.close()
        run("watch", "fleet.toml", "--secret", "METAV_TEST_HOOK")
        run("watch", "fleet.toml", "--secret", "METAV_TEST_HOOK")
    assert len(chat.log) == 2
    assert chat.log[0].headers["webhook-id"] == chat.log[1].headers["webhook-id"]
    assert json.loads(chat.log[1].body)["text"].startswith("match: a (toy): the endpoint matches the target")
