"""The HTTP server under the protocol: bounds, errors as JSON, connections that stay, and an end that cuts nothing."""

from __future__ import annotations

import http.client
import json
import socket
import threading

import pytest

from metav_audit.adapter import Response
from metav_audit.errors import ConfigurationError
from metav_audit.serving import server as module
from metav_audit.serving.server import Gate, RefusedError, Server, json_response
from tests.serving.helpers import ask, served


def echo(request):
    """Say what was asked; fail where told to."""
    if request.url == "/refused":
        raise RefusedError(418, "no coffee", {"X-Pot": "tea"})
    if request.url == "/broken":
        raise ZeroDivisionError("by\nzero")
    return json_response({"method": request.method, "url": request.url, "size": len(request.content)})


@pytest.fixture(scope="module")
def url():
    with served(echo) as running:
        yield running.url


def raw(url, sent):
    """Send bytes; return all that comes back until the server hangs up."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_request_reaches_the_service_and_the_connection_stays(url):
    """Two requests over one connection, the second with a body."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", "/a?b")
    assert json.loads(connection.getresponse().read()) == {"method": "GET", "url": "/a?b", "size": 0}
    sock = connection.sock
    connection.request("POST", "/c", b"123")
    assert json.loads(connection.getresponse().read())["size"] == 3
    assert connection.sock is sock
    connection.close()


def test_a_refusal_is_json_with_its_headers(url):
    """Status, reason and headers are the service's own."""
    status, headers, body = ask(url, "GET", "/refused")
    assert (status, headers["x-pot"], json.loads(body)) == (418, "tea", {"error": "no coffee"})


def test_a_service_that_fails_is_500_in_one_line_and_goes_on(url):
    """The kind of error and its first line, no traceback; the next request is answered."""
    assert [ask(url, "GET", "/broken")[0], ask(url, "GET", "/")[0]] == [500, 200]
    assert json.loads(ask(url, "GET", "/broken")[2]) == {"error": "ZeroDivisionError: by"}


def test_head_has_no_body(url):
    """HEAD is answered like GET, without the content."""
    status, headers, body = ask(url, "HEAD", "/")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST / HTTP/1.1\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", 415),
        (b"BREW / HTTP/1.1\r\n\r\n", 501),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % each for each in range(200)) + b"\r\n", 431),
    ],
)
def test_what_is_no_proper_request_is_refused_and_hung_up_on(url, sent, status):
    """The reason comes as JSON, and what follows on that connection is not read as another request."""
    answered = raw(url, sent + b"GET /next HTTP/1.1\r\n\r\n" if status == 411 else sent)
    head, _, body = answered.partition(b"\r\n\r\n")
    assert b" %d " % status in head.splitlines()[0]
    assert list(json.loads(body)) == ["error"]


def test_a_body_that_is_too_large_is_refused_before_it_is_kept(url, monkeypatch):
    """413 arrives even at a client that sends everything before it reads."""
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 1000)
    status, headers, body = ask(url, "POST", "/", b"x" * 5_000_000)
    assert (status, headers["connection"]) == (413, "close")
    assert "5000000 bytes, 1000 at most" in json.loads(body)["error"]


def test_a_port_in_use_is_told(url):
    """A second server at the same address is a ConfigurationError."""
    port = int(url.rsplit(":", 1)[1])
    with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1, port {port}: Address already in use"):
        Server("127.0.0.1", port, echo)


def test_an_address_of_the_new_kind_is_written_in_brackets():
    """IPv6 loopback: the URL is one."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        server = Server("::1", 0, echo)
    except ConfigurationError:
        pytest.skip("this machine has no IPv6 loopback")
    assert server.url == f"http://[::1]:{server.server_address[1]}"
    server.server_close()


def test_a_request_under_way_is_answered_at_the_end_and_no_new_one():
    """The server waits for it; a request on a connection that stayed open gets 503."""
    entered, go_on = threading.Event(), threading.Event()

    def slow(request):
        if request.url == "/slow":
            entered.set()
            assert go_on.wait(20)
        return Response(200, {}, b"whole")

    answers = []
    with served(slow) as running:
        host, port = running.url.removeprefix("http://").rsplit(":", 1)
        idle = http.client.HTTPConnection(host, int(port), timeout=20)
        idle.request("GET", "/")
        idle.getresponse().read()
        asking = threading.Thread(target=lambda: answers.append(ask(running.url, "GET", "/slow")))
        asking.start()
        assert entered.wait(20)
        closing = threading.Thread(target=running.gate.close, args=(20,))
        closing.start()
        while running.gate.enter():  # Until it is closed.
            running.gate.leave()
        idle.request("GET", "/")
        assert idle.getresponse().status == 503
        idle.close()
        go_on.set()
        asking.join()
        closing.join()
    assert [(status, body) for status, _, body in answers] == [(200, b"whole")]


def test_a_gate_does_not_wait_for_ever():
    """A request that never ends holds the end up no longer than said."""
    gate = Gate()
    assert gate.enter()
    gate.close(0.01)
    assert not gate.enter()
