"""What an endpoint file may take of this machine: what the command names, and nothing else."""

from __future__ import annotations

import json

import pytest

from metav_audit.audit import Grant, load_endpoints
from metav_audit.cli import main
from metav_audit.config import PASSPHRASE
from metav_audit.errors import ConfigurationError, SecretError
from tests.audit.test_cli import BUNDLE, TARGET, TASK, table
from tests.servers import ModelServer

VALUE = "correct-horse-battery-staple"
SIGNED = 'signing = {kind = "aws-sigv4", service = "sagemaker", region = "eu-central-1"}\n'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run ``metav-audit audit`` on an endpoint file, with every variable set that a file may be after."""
    BUNDLE.save(tmp_path / "bundle")
    for name in ("VICTIM", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", PASSPHRASE):
        monkeypatch.setenv(name, VALUE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def call(text, *options):
        (tmp_path / "endpoints.toml").write_text(text)
        with pytest.raises(SystemExit) as end:
            main(["audit", "bundle", "endpoints.toml", *map(str, options)])
        shown = capsys.readouterr()
        assert VALUE not in shown.out + shown.err
        return end.value.code or 0, shown.out, shown.err

    return call


def with_header(url, variable="VICTIM"):
    return table("a", url) + f'headers = {{X-Api-Key = "${{{variable}}}"}}\n'


def controls(tmp_path, text):
    (tmp_path / "controls.toml").write_text(text)
    return "--blind-controls", tmp_path / "controls.toml"


def test_no_variable_leaves_that_was_not_named(run):
    """Nothing is sent; the message names the variable, where it would go, and what to say."""
    with ModelServer(TARGET) as server:
        code, _, err = run(with_header(server.url))
        assert (code, server.log) == (2, [])
        code, _, signed = run(table("a", server.url) + SIGNED)
        assert (code, server.log) == (2, [])
    host = server.url.removeprefix("http://")
    assert f"would send the environment variable VICTIM to {host}" in err
    assert f"--secret VICTIM@{host}" in err
    assert "AWS_ACCESS_KEY_ID" in signed


@pytest.mark.parametrize("bound", ["VICTIM", "VICTIM@{host}", "VICTIM@127.0.0.1"])
def test_a_named_variable_is_sent(run, bound):
    """To any host of the file, or to the one named."""
    with ModelServer(TARGET) as server:
        code, _, _ = run(with_header(server.url), "--secret", bound.format(host=server.url.removeprefix("http://")))
    assert code == 1
    assert {seen.headers["x-api-key"] for seen in server.log} == {VALUE}


def test_a_variable_bound_to_one_host_does_not_go_to_another(run):
    """A second endpoint of the file does not get it, and stops the run before anything is sent."""
    with ModelServer(TARGET) as ours, ModelServer(TARGET) as theirs:
        text = with_header(ours.url) + with_header(theirs.url).replace("endpoints.a", "endpoints.b")
        code, _, _ = run(text, "--secret", f"VICTIM@{ours.url.removeprefix('http://')}")
    assert (code, ours.log, theirs.log) == (2, [], [])


def test_a_schedule_names_variables_by_the_option_s_own(run, monkeypatch):
    """METAV_AUDIT_AUDIT_SECRET, with blanks between names."""
    monkeypatch.setenv("METAV_AUDIT_AUDIT_SECRET", "OTHER VICTIM")
    with ModelServer(TARGET) as server:
        assert run(with_header(server.url))[0] == 1


def test_the_key_s_passphrase_is_never_sent(run):
    """Whatever is named."""
    with ModelServer(TARGET) as server:
        code, _, err = run(with_header(server.url, PASSPHRASE), "--secret", PASSPHRASE)
    assert (code, server.log) == (2, [])
    assert "never sent" in err


def test_a_third_party_s_controls_take_no_variable_but_one_bound_to_their_host(run, tmp_path):
    """What was named for the suspect stays with the suspect."""
    with ModelServer(TARGET) as server, ModelServer(TARGET) as theirs:
        given = controls(tmp_path, with_header(theirs.url))
        code, _, err = run(with_header(server.url), "--secret", "VICTIM", *given)
        assert (code, theirs.log) == (2, [])
        assert "VICTIM" in err
        bound = f"VICTIM@{theirs.url.removeprefix('http://')}"
        assert run(with_header(server.url), "--secret", "VICTIM", "--secret", bound, "--dry-run", *given)[0] == 0


FUNCTION = '[endpoints.f]\nadapter = "python-callable"\nurl = "python:their_module:predict"\n'


def test_a_file_runs_no_python_unless_that_is_allowed(run, tmp_path):
    """The module is not even imported; a third party's file may not at all."""
    ran = tmp_path / "ran"
    text = f"open({str(ran)!r}, 'w').close()\nfrom tests.audit.test_cli import TARGET as predict\n"
    (tmp_path / "their_module.py").write_text(text)
    code, _, err = run(FUNCTION)
    assert code == 2
    assert "--allow-python" in err
    with ModelServer(TARGET) as server:
        assert run(table("a", server.url), "--allow-python", *controls(tmp_path, FUNCTION))[0] == 2
    assert not ran.exists()
    assert run(FUNCTION, "--allow-python")[0] == 1
    assert ran.exists()


def test_a_dry_run_says_which_variable_goes_where(run):
    """In text and in JSON."""
    text = with_header("https://api.example.com:8443/v1") + table("b", "http://127.0.0.1:9")
    _, out, _ = run(text, "--secret", "VICTIM", "--dry-run")
    assert ["VICTIM would go to api.example.com:8443" in line for line in out.splitlines()] == [True, False]
    _, out, _ = run(text, "--secret", "VICTIM", "--dry-run", "--format", "json")
    sent = [json.loads(line)["variables"] for line in out.splitlines()]
    assert sent == [{"VICTIM": "api.example.com:8443"}, {}]


def test_from_python_a_file_takes_nothing_by_default(tmp_path):
    """``load_endpoints`` follows the same rule."""
    (tmp_path / "endpoints.toml").write_text(with_header("http://host"))
    with pytest.raises(SecretError, match="VICTIM to host"):
        load_endpoints(tmp_path / "endpoints.toml", TASK)
    assert load_endpoints(tmp_path / "endpoints.toml", TASK, Grant(frozenset({"VICTIM"})))
    (tmp_path / "endpoints.toml").write_text(FUNCTION)
    with pytest.raises(ConfigurationError, match="would run Python"):
        load_endpoints(tmp_path / "endpoints.toml", TASK)
