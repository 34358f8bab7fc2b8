"""How requests travel: own authorities, client certificates, HTTP/2, compression; over real TLS on the loopback."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from metav_audit.audit import Grant, load_endpoints
from metav_audit.cli import main
from metav_audit.errors import ConfigurationError, SecretError
from tests.audit.helpers import records
from tests.builders import linear_model, make_bundle, make_task, with_natural
from tests.certificates import Authority
from tests.servers import ModelServer, Reply, always

TASK = make_task()
BUNDLE, TARGET = make_bundle(queries=6, task=TASK), linear_model(TASK, 0)
SECRET = "correct horse battery staple"
VERSIONS = {"1.3": ssl.TLSVersion.TLSv1_3, "1.2": ssl.TLSVersion.TLSv1_2}


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """An authority with a server and clients, and a foreign one with a client."""
    folder = tmp_path_factory.mktemp("pki")
    ours, foreign = Authority.make(folder / "ours"), Authority.make(folder / "foreign", "foreign authority")
    for name, days in (("server", 30), ("client", 30), ("expired", -2)):
        ours.issue(name, days)
    ours.issue("locked", password=SECRET.encode(), key_name="locked.key")
    foreign.issue("client")
    return ours, foreign


def context(pki, version="1.3", *, asks=True, server="server"):
    ours, _ = pki
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = tls.maximum_version = VERSIONS[version]
    tls.load_cert_chain(ours.folder / f"{server}.pem")
    if asks:
        tls.load_verify_locations(ours.ca)
        tls.verify_mode = ssl.CERT_REQUIRED
    return tls


@pytest.fixture
def audit(tmp_path, capfd):
    """Audit one Open Inference endpoint by the command line; return exit code and stderr."""
    BUNDLE.save(tmp_path / "bundle")

    def call(url, *options, **fields):
        table = {"adapter": "open-inference-v2", "url": url, "model": "m", **{k: str(v) for k, v in fields.items()}}
        lines = [f"{name} = {value if value == 'true' else json.dumps(value)}" for name, value in table.items()]
        text = "\n".join(["[endpoints.a]", *lines, "limits = { attempts = 2, total_s = 20, concurrency = 1 }"])
        (tmp_path / "endpoints.toml").write_text(text)
        words = ["audit", str(tmp_path / "bundle"), str(tmp_path / "endpoints.toml"), "-o", str(tmp_path / "out")]
        with pytest.raises(SystemExit) as ended:
            main([*words, *options])
        return ended.value.code, capfd.readouterr().err

    return call


@pytest.mark.parametrize("version", VERSIONS)
def test_who_asks_is_shown_by_certificate(audit, pki, version):
    """With an own authority, certificate and key in one file; the target matches."""
    ours, _ = pki
    with ModelServer(TARGET, tls=context(pki, version)) as server:
        code, err = audit(server.url, ca=ours.ca, cert=ours.folder / "client.pem")
    assert code == 1, err


def test_a_key_may_be_encrypted(audit, pki, monkeypatch, tmp_path):
    """Its password is a variable that is granted; neither it nor any path stands in what the audit leaves."""
    ours, _ = pki
    monkeypatch.setenv("KEY_PASSWORD", SECRET)
    files = {"ca": ours.ca, "cert": ours.folder / "locked.pem", "key": ours.folder / "locked.key"}
    with ModelServer(TARGET, tls=context(pki)) as server:
        assert audit(server.url, **files, key_password="${KEY_PASSWORD}")[0] == 2
        code, err = audit(server.url, "--secret", "KEY_PASSWORD", **files, key_password="${KEY_PASSWORD}")
    assert code == 1, err
    written = "".join(each.read_text(errors="replace") for each in (tmp_path / "out").rglob("*.json*"))
    assert SECRET not in written
    assert str(ours.folder) not in written
    assert records(tmp_path / "out" / "a")[0]["endpoint"]["options"]["way"]["cert"] == "locked.pem"


def files_of(pki, which):
    ours, foreign = pki
    return {} if which == "missing" else {"cert": {"foreign": foreign}.get(which, ours).folder / f"{WHICH[which]}.pem"}


WHICH = {"expired": "expired", "foreign": "client"}
WORDS = {
    "missing": ("it asks for a client certificate, which the endpoint file does not name", "name cert and key"),
    "expired": ("it refuses the client certificate", "its time was over on"),
    "foreign": ("client certificate", "foreign/client.pem"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("which", WORDS)
def test_a_client_certificate_that_is_wrong_is_said(audit, pki, tmp_path, which, version):
    """Missing, expired, of another authority: one request, its words, exit code 4."""
    with ModelServer(TARGET, tls=context(pki, version)) as server:
        code, err = audit(server.url, ca=pki[0].ca, **files_of(pki, which))
    assert code == 4
    assert all(words in err for words in WORDS[which]), err
    assert [record["kind"] for record in records(tmp_path / "out" / "a")].count("sent") == 1


@contextmanager
def slammed(tls):
    """A server that shakes hands, and then breaks the connection in such a way that its alert may be lost."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with connection:
                try:
                    tls.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize("which", WORDS)
def test_a_lost_alert_says_the_same(audit, pki, which):
    """Under TLS 1.3 the refusal comes after the handshake, and the reset may overtake it."""
    with slammed(context(pki)) as url:
        code, err = audit(url, ca=pki[0].ca, **files_of(pki, which))
    assert code == 4
    assert all(words in err for words in WORDS[which]), err


def test_a_server_that_asks_and_takes_none_is_asked(audit, pki):
    """A certificate that a server would like but does not need is no condition."""
    tls = context(pki)
    tls.verify_mode = ssl.CERT_OPTIONAL
    with ModelServer(TARGET, tls=tls) as server:
        assert audit(server.url, ca=pki[0].ca)[0] == 1


@pytest.mark.parametrize(
    ("server", "ca", "words"),
    [
        ("server", None, ("its TLS certificate is not trusted", "name the authority's certificate in ca")),
        ("server", "foreign", ("its TLS certificate is not trusted",)),
        ("expired", "ours", ("its TLS certificate is not trusted (certificate has expired)",)),
    ],
)
def test_a_server_s_certificate_that_is_not_trusted_is_said(audit, pki, server, ca, words):
    """Whose authority is unknown, or whose time is over."""
    fields = {} if ca is None else {"ca": {"ours": pki[0], "foreign": pki[1]}[ca].ca}
    with ModelServer(TARGET, tls=context(pki, asks=False, server=server)) as running:
        code, err = audit(running.url, **fields)
    assert code == 4
    assert all(each in err for each in words), err


def test_a_renewed_certificate_goes_on_where_the_old_one_stopped(audit, pki, tmp_path):
    """Another file is no other endpoint, and the folder verifies."""
    ours, _ = pki
    refuses = [True]

    def play(number, seen):
        return Reply(401) if refuses[0] and number > 5 else None

    with ModelServer(TARGET, tls=context(pki), fault=play) as server:
        assert audit(server.url, ca=ours.ca, cert=ours.folder / "client.pem")[0] == 4
        refuses.clear()
        refuses.append(False)
        code, err = audit(server.url, ca=ours.ca, cert=ours.folder / "server.pem")
    assert code == 1, err
    kinds = [record["kind"] for record in records(tmp_path / "out" / "a")]
    assert "resumed" in kinds
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(tmp_path / "out" / "a")])
    assert ended.value.code in (0, 6)


def test_files_that_cannot_be_used_are_said_before_anything_is_sent(audit, pki, tmp_path):
    """Missing, no certificate, another's key, an encrypted key without its password; no folder is begun."""
    ours, foreign = pki
    (tmp_path / "text.pem").write_text("no certificate")
    locked = {"cert": ours.folder / "locked.pem", "key": ours.folder / "locked.key"}
    for fields, words in (
        ({"ca": tmp_path / "none.pem"}, "ca: cannot read root certificates"),
        ({"ca": tmp_path / "text.pem"}, "ca: cannot read root certificates"),
        ({"cert": tmp_path / "none.pem"}, "cert: there is no file"),
        ({"cert": tmp_path / "text.pem"}, "cannot read a certificate"),
        ({"cert": ours.folder / "client.pem", "key": foreign.folder / "client.pem"}, "do not belong together"),
        (locked, "is encrypted: give key_password"),
        ({"key": ours.folder / "client.pem"}, "name cert, too"),
        ({**locked, "key_password": "literal"}, "key_password"),
    ):
        with ModelServer(TARGET, tls=context(pki)) as server:
            code, err = audit(server.url, **fields)
            assert server.log == []
        assert (code, words in err) == (2, True), err
        assert not (tmp_path / "out" / "a" / "transcript.jsonl").exists()
    for fields in ({"cert": "x"}, {"ca": "x"}, {"http2": "true"}):
        code, err = audit("http://127.0.0.1:1", **fields)
        assert (code, "it is for https://" in err) == (2, True), err


def test_a_wrong_password_is_said(audit, pki, monkeypatch):
    """Without its value."""
    monkeypatch.setenv("KEY_PASSWORD", "some other password")
    files = {"cert": pki[0].folder / "locked.pem", "key": pki[0].folder / "locked.key"}
    with ModelServer(TARGET, tls=context(pki)) as server:
        options = ["--secret", "KEY_PASSWORD"]
        code, err = audit(server.url, *options, ca=pki[0].ca, **files, key_password="${KEY_PASSWORD}")
    assert (code, "the variable of key_password does not open it" in err) == (2, True), err
    assert "some other password" not in err


def test_files_stand_beside_the_endpoint_file(tmp_path):
    """Whatever the working directory; a third party's file may name none."""
    path = tmp_path / "e.toml"
    path.write_text(
        '[endpoints.a]\nadapter = "open-inference-v2"\nurl = "https://h"\nmodel = "m"\ncert = "client.pem"\n'
        'key_password = "${PASSWORD}"\n'
    )
    (loaded,) = load_endpoints(path, TASK, Grant(frozenset({"PASSWORD"})))
    assert loaded.way.cert == str(tmp_path / "client.pem")
    with pytest.raises(SecretError, match="PASSWORD"):
        load_endpoints(path, TASK)
    with pytest.raises(ConfigurationError, match="third party's file may not"):
        load_endpoints(path, TASK, Grant(frozenset({"PASSWORD@h"})).for_strangers())


def test_bodies_go_out_compressed_where_the_endpoint_says_so(audit, tmp_path):
    """Every request; what the journal keeps is what the adapter wrote, and verifies."""

    def play(number, seen):
        assert seen.headers["content-encoding"] == "gzip"
        (tensor,) = json.loads(gzip.decompress(seen.body))["inputs"]
        scores = TARGET(np.array(tensor["data"]).reshape(tensor["shape"]))
        output = {"name": "p", "shape": list(scores.shape), "datatype": "FP64", "data": scores.tolist()}
        return Reply(200, json.dumps({"outputs": [output]}).encode())

    with ModelServer(None, fault=play) as server:
        assert audit(server.url, compress="gzip")[0] == 1
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(tmp_path / "out" / "a")])
    assert ended.value.code in (0, 6)
    with ModelServer(None, fault=always(500)) as server:
        code, err = audit(server.url, compress="brotli")
    assert (code, "compress" in err) == (2, True)


def test_a_probe_shows_its_certificate_too(pki, tmp_path, capsys):
    """And writes it into the endpoint file, with which an audit then runs."""
    ours, _ = pki
    with_natural(make_bundle(task=TASK, spread=0.2), mixed=True).save(tmp_path / "natural")
    files = ["--ca", str(ours.ca), "--cert", str(ours.folder / "client.pem")]
    with ModelServer(TARGET, tls=context(pki), fault=lambda number, seen: None if seen.body else Reply(404)) as server:
        words = ["probe", f"{server.url}/v2/models/m", "-b", str(tmp_path / "natural"), "-o", str(tmp_path / "e.toml")]
        for options, code in (([], 4), (files, None)):
            with pytest.raises(SystemExit) as ended:
                main([*words, *options])
            assert ended.value.code == code, capsys.readouterr().err
    (loaded,) = load_endpoints(tmp_path / "e.toml", TASK)
    assert (loaded.way.ca, loaded.way.cert) == (str(ours.ca), str(ours.folder / "client.pem"))


def test_http2_is_spoken_where_it_is_offered(audit, pki):
    """And HTTP/1.1 where it is not."""
    pytest.importorskip("h2")
    from tests.http2 import Http2Server

    tls = context(pki, asks=False)
    with ModelServer(TARGET, tls=tls) as server:
        assert audit(server.url, ca=pki[0].ca, http2="true")[0] == 1
    with Http2Server(TARGET, context(pki, asks=False)) as server:
        code, err = audit(server.url, "--new-run", ca=pki[0].ca, http2="true")
    assert code == 1, err
    assert len(server.log) > 6
    assert not {"connection", "keep-alive", "transfer-encoding"} & {
        name for seen in server.log for name in seen.headers
    }


def test_http2_without_its_package_names_the_extra(audit, monkeypatch):
    """Before anything is sent."""
    monkeypatch.setattr("metav_audit.audit.endpoint.way.find_spec", lambda name: None)
    code, err = audit("https://127.0.0.1:1", http2="true")
    assert (code, "pip install 'metav-audit[http2]'" in err) == (2, True)
