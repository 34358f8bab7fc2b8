"""A real time-stamp authority on the loopback: certificates and answers come from the ``openssl`` program."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from metav_audit.evidence import TimeStamp, fetch_time_stamp, read_certificates

# Without "certs": with it OpenSSL writes an unsorted set, which the client rejects.
CONFIGURATION = """
[ca_extensions]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[time_stamping]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[two_uses]
basicConstraints = critical, CA:false
extendedKeyUsage = critical, timeStamping, codeSigning
[no_use]
basicConstraints = critical, CA:false
[ts]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
clock_precision_digits = 3
ess_cert_id_alg = sha256
ACCURACY
[req]
distinguished_name = name
[name]
[ca]
default_ca = own
[own]
database = index.txt
serial = certificates
new_certs_dir = .
default_md = sha256
unique_subject = no
policy = policy
[policy]
organizationName = supplied
commonName = supplied
"""
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "openssl.cnf")
TOKEN_INFO = "1.2.840.113549.1.9.16.1.4"


def openssl(*words: object, cwd: Path) -> bytes:
    done = subprocess.run(["openssl", *map(str, words)], cwd=cwd, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Authority:
    """An authority with a root and a time-stamping certificate of its own; as a context manager it listens at ``url``.

    ``change`` may alter an answer before it is sent; ``status`` is sent with it.
    """

    def __init__(self, folder: Path, name: str = "Time", accuracy: str = "") -> None:
        folder.mkdir()
        self.folder, self.name, self.status = folder, name, 200
        self.change: Callable[[bytes], bytes] = lambda answer: answer
        self.queries = 0
        line = f"accuracy = {accuracy}" if accuracy else ""
        (folder / "openssl.cnf").write_text(CONFIGURATION.replace("ACCURACY", line))
        (folder / "index.txt").touch()
        (folder / "certificates").write_text("01\n")
        (folder / "serial").write_text("01\n")
        root = ("-subj", f"/O=Test/CN={name} Root", "-keyout", "root.key", "-out", "root.csr")
        openssl("req", *CURVE, *root, cwd=folder)
        self._sign("root.csr", "root.pem", 2000, 2060, "ca_extensions", "-selfsign")
        openssl("req", *CURVE, "-subj", f"/O=Test/CN={name}", "-keyout", "tsa.key", "-out", "tsa.csr", cwd=folder)
        self.certify()

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"

    @property
    def roots(self) -> str:
        return read_certificates(self.root)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/tsa"

    def certify(self, start: int = 2020, end: int = 2060, use: str = "time_stamping") -> None:
        """Give the authority another certificate, valid from one year to another."""
        self._sign("tsa.csr", "tsa.pem", start, end, use, "-cert", "root.pem")

    def _sign(self, request: str, certificate: str, start: int, end: int, use: str, *by: str) -> None:
        dates = ("-startdate", f"{start}0101000000Z", "-enddate", f"{end}0101000000Z", "-extensions", use)
        signing = ("-batch", "-notext", "-config", "openssl.cnf", "-keyfile", "root.key", *by)
        openssl("ca", *signing, *dates, "-in", request, "-out", certificate, cwd=self.folder)

    def answer(self, query: bytes) -> bytes:
        """Let OpenSSL answer a query."""
        self.queries += 1
        (self.folder / "query").write_bytes(query)
        signing = ("-config", "openssl.cnf", "-section", "ts", "-signer", "tsa.pem", "-inkey", "tsa.key")
        openssl("ts", "-reply", *signing, "-queryfile", "query", "-out", "answer", cwd=self.folder)
        return self.change((self.folder / "answer").read_bytes())

    def post(self, url: str, query: bytes) -> bytes:
        """Answer without a network."""
        return self.answer(query)

    def stamp(self, content: bytes) -> TimeStamp:
        return fetch_time_stamp(content, "", self.roots, self.post)

    def sign_again(self, answer: bytes, change: Callable[[bytes], bytes] = lambda info: info) -> bytes:
        """Change what an answer states, and sign it with the certificate that the authority has now."""
        (self.folder / "answer").write_bytes(answer)
        openssl("ts", "-reply", "-in", "answer", "-token_out", "-out", "token", cwd=self.folder)
        reading = ("-verify", "-noverify", "-inform", "DER", "-in", "token")
        openssl("cms", *reading, "-out", "info", cwd=self.folder)
        (self.folder / "info").write_bytes(change((self.folder / "info").read_bytes()))
        signing = ("-sign", "-binary", "-nodetach", "-econtent_type", TOKEN_INFO, "-in", "info", "-md", "sha256")
        by = ("-signer", "tsa.pem", "-inkey", "tsa.key", "-outform", "DER", "-out", "token")
        openssl("cms", *signing, *by, cwd=self.folder)
        granted = b"\x30\x03\x02\x01\x00" + (self.folder / "token").read_bytes()
        return b"\x30\x82" + len(granted).to_bytes(2, "big") + granted

    def __enter__(self) -> Authority:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(authority: Authority) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            answer = authority.answer(query) if self.headers["Content-Type"] == "application/timestamp-query" else b""
            self.send_response(authority.status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay quiet."""

    return Handler
