"""What is said where something is wrong: what it was, and what to do; over real servers and the command line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from metav_audit.cli import COMMANDS, main
from metav_audit.verdict import AuditFolder
from tests.audit.test_cli import BUNDLE, TARGET, table
from tests.servers import ModelServer, Reply, always


@pytest.fixture
def audit(tmp_path, capfd, monkeypatch):
    """Audit endpoints by the command line, from a folder with a bundle; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    BUNDLE.save(tmp_path / "bundle")

    def call(text, *words):
        (tmp_path / "endpoints.toml").write_text(text)
        with pytest.raises(SystemExit) as ended:
            main(["audit", *(words or ("bundle", "endpoints.toml", "-o", "out"))])
        shown = capfd.readouterr()
        return ended.value.code, shown.out, shown.err

    return call


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "shown"),
    [("https://new.example/v2", "'https://new.example/v2'"), ("/moved", "127.0.0.1"), (None, "it names no address")],
)
def test_a_redirect_names_where_it_leads(audit, status, location, shown):
    """It is not followed, and what to do about it is said."""
    reply = Reply(status, b"", {} if location is None else {"Location": location})
    with ModelServer(TARGET, fault=lambda number, seen: reply) as server:
        code, _, err = audit(table("a", server.url))
        assert len(server.log) == 1
    assert code == 4
    assert shown in err
    assert "redirects are not followed" in err
    assert "in url" in err


def test_a_proxy_that_wants_a_password_is_said(audit, monkeypatch):
    """It is asked once, and the endpoint's own credentials are not blamed."""
    with ModelServer(TARGET, fault=always(407)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        code, _, err = audit(table("a", "http://service.test"))
        assert len(proxy.log) == 1
    assert code == 4
    assert "the environment's proxy wants a user and a password" in err
    assert "HTTPS_PROXY" in err
    assert "Authorization" not in err


def connect_proxy():
    """A proxy that refuses every tunnel for want of a password."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    return listener


def test_a_tunnel_that_is_refused_is_said(audit, monkeypatch):
    """By the proxy's answer to CONNECT, which is asked once."""
    listener = connect_proxy()
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
    code, _, err = audit(table("a", "https://service.test"))
    listener.close()
    assert code == 4
    assert "proxy refuses the connection (HTTP 407)" in err
    assert "wants a user and a password" in err


@pytest.mark.parametrize(("attempts", "said"), [(1, "asked once:"), (3, "asked 3 times:")])
def test_how_often_a_request_was_tried_is_said(audit, attempts, said):
    """What happened, and not what the limits would have allowed."""
    with ModelServer(TARGET, fault=always(503)) as server:
        code, _, err = audit(table("a", server.url) + f"limits = {{ attempts = {attempts}, wall_s = 600 }}\n")
    assert code == 4
    assert said in err


def test_a_failed_first_run_refuses_no_mended_file(audit, tmp_path):
    """Where nothing was answered another address or option begins anew, and its budget with it."""
    with ModelServer(TARGET, fault=always(404)) as wrong, ModelServer(TARGET) as right:
        assert audit(table("a", wrong.url))[0] == 4
        code, _, err = audit(table("a", right.url))
    assert (code, err) == (1, "")
    assert AuditFolder(tmp_path / "out" / "a").transcript().endpoint.url == right.url


def test_a_run_with_answers_is_no_other_endpoint_s(audit):
    """What was heard stays what it was said of."""
    with ModelServer(TARGET) as server, ModelServer(TARGET) as other:
        assert audit(table("a", server.url))[0] == 1
        code, _, err = audit(table("a", other.url))
        assert other.log == []
    assert code == 2
    assert "belongs to another endpoint" in err


def test_what_stands_in_another_s_place_is_guessed(audit, tmp_path):
    """Swapped arguments, a folder for the file, an audit for its bundle: exit code 2 and what was meant."""
    text = table("a", "http://127.0.0.1:1")
    code, out, err = audit(text, "endpoints.toml", "bundle")
    assert (code, out) == (2, "")
    assert "endpoints.toml is an endpoint file, no bundle: name the bundle first" in err
    code, _, err = audit(text, "bundle", "bundle")
    assert code == 2
    assert "bundle is a bundle, no endpoint file" in err
    with ModelServer(TARGET) as server:
        audit(table("a", server.url))
    code, _, err = audit(text, "out/a", "endpoints.toml")
    assert code == 2
    assert "out/a is an audit's folder, no bundle: its bundle is out/a/bundle" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_each_option_s_variable(capsys, command):
    """As it is spelled, so that a schedule can set it."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = "".join(capsys.readouterr().out.split())
    for option in out.split("[envvar:")[1:]:
        assert option.startswith(f"METAV_AUDIT_{command.upper()}")
    if command == "audit":
        assert "[envvar:METAV_AUDIT_AUDIT_NEW_RUN" in out
        assert out.count("[envvar:") == 13


def test_a_home_that_cannot_be_written_is_no_news(tmp_path):
    """The reports are drawn all the same, and matplotlib says nothing of its caches."""
    BUNDLE.save(tmp_path / "bundle")
    kept = {name: value for name, value in os.environ.items() if name not in ("MPLCONFIGDIR", "XDG_CONFIG_HOME")}
    with ModelServer(TARGET) as server:
        (tmp_path / "endpoints.toml").write_text(table("a", server.url))
        done = subprocess.run(
            [sys.executable, "-m", "metav_audit", "audit", "bundle", "endpoints.toml", "-o", "out"],
            cwd=tmp_path,
            env={**kept, "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/none"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")
    assert (tmp_path / "out" / "a" / "report.pdf").exists()
