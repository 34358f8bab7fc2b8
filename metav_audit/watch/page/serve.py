"""The page live: a small server on the loopback that makes each page anew from the history, and answers nobody else."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from metav_audit.errors import ConfigurationError, MetavAuditError
from metav_audit.files import read_regular
from metav_audit.watch.history import AuditRow
from metav_audit.watch.page.build import Site, pages
from metav_audit.watch.retention import packed_name

_HERE = ("127.0.0.1", "localhost")
_MAX_BYTES = 1 << 28
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".zip": "application/zip"}


def serve(site: Callable[[], Site], evidence: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until the program is interrupted.

    Args:
        site: gives what the pages are made of, as it is now.
        evidence: the folder of all evidence.
        port: on the loopback; 0 for any that is free.
        ready: told the address.

    Raises:
        ConfigurationError: the port cannot be had.
    """
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(site, evidence))
    except OSError as error:
        raise ConfigurationError(f"cannot serve on port {port}: {error.strerror}; choose another with --port") from None
    with server:
        ready(f"http://127.0.0.1:{server.server_address[1]}/")
        server.serve_forever()


def link_of(audit: AuditRow) -> str | None:
    """Return where the server gives an audit's report or archive."""
    return None if audit.evidence == "thinned" else f"/evidence/{audit.id}"


def _handler(site: Callable[[], Site], evidence: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers GET alone, for names of this machine alone: another site's page cannot ask it under its own name."""

        def do_GET(self) -> None:
            name = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
            if name not in _HERE:
                self.send_error(403, "this page is served to this machine alone")
                return
            try:
                found = _find(urlsplit(self.path).path.lstrip("/") or "index.html", site(), evidence)
            except MetavAuditError:
                self.send_error(503, "the history cannot be read")
                return
            if found is None:
                self.send_error(404)
                return
            ending, content = found
            self.send_response(200)
            self.send_header("Content-Type", _TYPES[ending])
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            """Stay quiet."""

    return Handler


def _find(name: str, site: Site, evidence: Path) -> tuple[str, bytes] | None:
    if name.startswith("evidence/"):
        return _evidence(name.removeprefix("evidence/"), site, evidence)
    render = dict(pages(site, link_of)).get(name)
    return None if render is None else (Path(name).suffix, render())


def _evidence(number: str, site: Site, evidence: Path) -> tuple[str, bytes] | None:
    """Read the report or the archive of an audit that the history names; no other file is ever read."""
    audits = (audit for target in site.targets for audit in target.audits)
    audit = next((each for each in audits if str(each.id) == number), None)
    if audit is None:
        return None
    loose = audit.evidence == "folder"
    path = evidence / audit.folder / "report.html" if loose else evidence / packed_name(audit.folder)
    try:
        return path.suffix, read_regular(path, _MAX_BYTES)
    except OSError:
        return None
