from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import subprocess
import threading
import tracemalloc
import zlib
from contextlib import contextmanager, suppress

import httpx
import pytest

from metav_audit.adapter import Request
from metav_audit.audit import Limits
from metav_audit.audit.wire.faults import FaultKind, TransportError
from metav_audit.audit.wire.transport import Transport
from metav_audit.errors import ConfigurationError
from tests.servers import ModelServer, Reply, always, free_port


def send(url, headers=None, seconds=30.0, origin="http://127.0.0.1", **limits):
    async def once():
        async with Transport(origin, Limits(**limits)) as transport:
            return await transport.send(Request(url, b"{}"), headers or {}, seconds)

    return asyncio.run(once())


def fault_of(url, **options):
    with pytest.raises(TransportError) as caught:
        send(url, **options)
    return caught.value.kind


def replying(reply):
    return ModelServer(None, fault=lambda number, seen: reply)


def test_headers_of_the_endpoint_win_whatever_their_case():
    """An endpoint's header replaces the request's own, and is not sent twice."""
    with ModelServer(None, fault=always(200, b"{}")) as server:
        response = send(server.url, {"content-TYPE": "application/x-thing"})
    assert response.content == b"{}"
    assert server.log[0].headers["content-type"] == "application/x-thing"


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
def test_packed_answers_are_unpacked(encoding, pack):
    """gzip and deflate are understood."""
    with replying(Reply(200, pack(b'{"a": 1}'), {"Content-Encoding": encoding})) as server:
        assert send(server.url).content == b'{"a": 1}'


def test_an_oversized_answer_is_stopped():
    """A body beyond the limit is not read to its end."""
    with replying(Reply(200, b"x" * 5000)) as server:
        assert fault_of(server.url, max_response_bytes=4096) is FaultKind.OVERSIZE


def test_a_body_of_exactly_the_limit_is_taken():
    """The limit itself is allowed."""
    with replying(Reply(200, b"x" * 4096)) as server:
        assert len(send(server.url, max_response_bytes=4096).content) == 4096


def test_a_gzip_bomb_is_stopped_before_it_swells():
    """100 MB packed into 100 kB are stopped at the limit, not unpacked first."""
    bomb = gzip.compress(b"\0" * 100_000_000, mtime=0)
    with replying(Reply(200, bomb, {"Content-Encoding": "gzip"})) as server:
        tracemalloc.start()
        try:
            assert fault_of(server.url) is FaultKind.OVERSIZE
            assert tracemalloc.get_traced_memory()[1] < 30_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("encoding", "body", "kind"),
    [
        ("br", b"x", FaultKind.MALFORMED),
        ("gzip", b"this is not gzip", FaultKind.MALFORMED),
        ("gzip", gzip.compress(b"x" * 999, mtime=0)[:-12], FaultKind.RESET),
    ],
)
def test_a_packing_that_is_unknown_or_damaged_is_a_fault(encoding, body, kind):
    """An answer that cannot be unpacked is no answer."""
    with replying(Reply(200, body, {"Content-Encoding": encoding})) as server:
        assert fault_of(server.url) is kind


def test_a_slow_drip_ends_at_the_deadline_of_one_request():
    """A server that drips bytes, each within the read timeout, is stopped by the total."""
    with replying(Reply(200, chunks=(b"x",) * 40, pause_s=0.05)) as server:
        assert fault_of(server.url, total_s=0.3, read_timeout_s=5) is FaultKind.TIMEOUT
        assert fault_of(server.url, seconds=0.3) is FaultKind.TIMEOUT


def test_silence_ends_at_the_read_timeout():
    """A server that says nothing is a timeout."""
    with ModelServer(None, fault=always(200), delay_s=1.0) as server:
        assert fault_of(server.url, read_timeout_s=0.1) is FaultKind.TIMEOUT


def test_a_dropped_connection_is_a_reset():
    """A connection closed without an answer is a reset."""
    with replying(Reply(drop=True)) as server:
        assert fault_of(server.url) is FaultKind.RESET


def test_an_address_where_nothing_listens_is_unreachable():
    """A refused connection is told apart from a reset."""
    assert fault_of(f"http://127.0.0.1:{free_port()}") is FaultKind.UNREACHABLE


def test_a_failed_tls_handshake_does_not_pass():
    """TLS that fails is no passing fault: asking again would fail again."""
    with ModelServer(None) as server:
        kind = fault_of(server.url.replace("http://", "https://"))
    assert kind is FaultKind.TLS
    assert not kind.passing


@contextmanager
def strict_tls(folder, *, after_handshake):
    """A TLS server that refuses whoever shows no certificate: in the handshake or, as TLS 1.3 has it, after it."""
    certificate, key = folder / "server.pem", folder / "server.key"
    words = f"req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2 -subj /CN=localhost"
    subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    if not after_handshake:
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    def refuse():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as encrypted:
                with suppress(OSError):
                    encrypted.do_handshake()
                # Closed with the request unread, the connection would be reset before the refusal is seen.
                encrypted.settimeout(5)
                with suppress(OSError):
                    while socket.socket.recv(encrypted, 4096):
                        pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        yield f"https://localhost:{listener.getsockname()[1]}", certificate
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)


@pytest.mark.parametrize("after_handshake", [False, True], ids=["in the handshake", "after it"])
def test_a_server_that_wants_a_client_certificate_is_a_tls_fault(tmp_path, monkeypatch, after_handshake):
    """Whenever it refuses, and whatever the library raises: a fault that does not pass."""
    with strict_tls(tmp_path, after_handshake=after_handshake) as (url, roots):
        monkeypatch.setenv("SSL_CERT_FILE", str(roots))
        with pytest.raises(TransportError) as caught:
            send(url, origin=url)
    assert caught.value.kind in (FaultKind.TLS, FaultKind.RESET)
    if after_handshake:
        assert "client certificate" in str(caught.value)


@pytest.mark.parametrize("error", [ssl.SSLError("x"), OSError(107, "x"), ConnectionAbortedError()], ids=repr)
def test_whatever_a_connection_raises_is_a_fault(error):
    """Errors of the socket that the library lets through are no crash."""
    inner = httpx.MockTransport(raising(error))

    async def once():
        async with Transport("https://a", Limits(), inner) as transport:
            await transport.send(Request("https://a", b"{}"), {}, 5)

    with pytest.raises(TransportError):
        asyncio.run(once())


def raising(error):
    def handle(request):
        raise error

    return handle


def test_a_redirect_comes_back_as_it_is():
    """Redirects are not followed."""
    with ModelServer(None, fault=always(302, headers={"Location": "/x"})) as server:
        assert send(server.url).status == 302
    assert len(server.log) == 1


def test_an_address_that_is_none_is_a_fault():
    """An address an adapter made up wrongly is a fault with a name, not a crash."""
    assert fault_of("http://host:notaport/") is FaultKind.MALFORMED


def test_the_environment_s_proxy_is_used_but_never_for_this_machine(monkeypatch):
    """A request to the outside goes through HTTP_PROXY, one to the loopback or a host in NO_PROXY does not."""
    with replying(Reply(200, b"through the proxy")) as proxy, replying(Reply(200, b"straight")) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        outside = "http://service.test"
        assert send(f"{outside}/v2", origin=outside).content == b"through the proxy"
        assert proxy.log[0].path == f"{outside}/v2"
        assert send(server.url, origin=server.url).content == b"straight"
        monkeypatch.setenv("no_proxy", "service.test")
        assert fault_of(f"{outside}/v2", origin=outside) is FaultKind.UNREACHABLE
        assert len(proxy.log) == 1


@pytest.mark.parametrize(
    "proxy", ["ftp://user:hunter22@proxy.test", "http://user:hunter22@proxy.test:port", "socks5://h"]
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(monkeypatch, proxy):
    """The message says which variables to mend, and repeats nothing of the proxy's address."""
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        Transport("https://service.test", Limits())
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(("behind", "passes"), [(b"", True), (bytes(512), True), (bytes(1 << 20), False)])
def test_bytes_behind_a_compressed_answer_are_bounded(behind, passes):
    """A few are padding; without end they would be kept in memory."""
    with replying(Reply(200, gzip.compress(b"{}") + behind, {"Content-Encoding": "gzip"})) as server:
        if passes:
            assert send(server.url).content == b"{}"
        else:
            assert fault_of(server.url) is FaultKind.MALFORMED
