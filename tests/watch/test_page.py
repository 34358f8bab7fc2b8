"""The page: small, whole, without a script or a request, and nothing that axe-core finds, in light and dark."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from metav_audit.watch.page.build import pages, write_site
from metav_audit.watch.retention import packed_name
from tests.watch.browsers import CHROMIUM, NO_BROWSER, WINDOWS, axe
from tests.watch.sites import link, make_site

SHOWN = ("index.html", "endpoints/vendor-000.classify--digits.html", "endpoints/vendor-007.classify--digits.html",
         "bundles.html")  # fmt: skip


@pytest.fixture(scope="module")
def site():
    return make_site()


@pytest.fixture(scope="module")
def folder(site, tmp_path_factory):
    """200 endpoints with 10,000 audits."""
    made = tmp_path_factory.mktemp("site") / "page"
    write_site(site, made, link)
    return made


def test_ten_thousand_audits_are_less_than_three_megabytes(folder):
    """All files together."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert len(sizes) == 203
    assert sum(sizes) < 3_000_000


class Links(HTMLParser):
    """Every address in a page, every id, and every element that may fetch or run something."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.tags = [], set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("href", "src"):
                self.links.append(value)
            if name == "id":
                assert value not in self.ids
                self.ids.add(value)


def test_every_link_leads_somewhere(folder):
    """Within a page, from page to page; evidence aside."""
    for path in folder.rglob("*.html"):
        found = Links(path.read_text())
        assert not found.tags & {"script", "img", "iframe", "form", "object"}
        for each in found.links:
            file, _, anchor = each.partition("#")
            assert "://" not in each
            if "evidence/" not in file:
                target = (path.parent / file).resolve() if file else path
                assert target.exists(), each
                assert not anchor or anchor in Links(target.read_text()).ids or "digits" in anchor or anchor == "main"


def test_a_stranger_s_words_are_no_markup(site):
    """Names and errors of endpoints are shown as they are."""
    evil = "<script>alert(1)</script>\"'"
    target = site.targets[0]
    audits = tuple(replace(audit, error=evil, outcome=None, status="failed") for audit in target.audits)
    events = [replace(event, words=evil) for event in site.events]
    bad = replace(site, title=evil, events=events, targets=[replace(target, url=evil, audits=audits)])
    for _, render in pages(bad, link):
        assert b"<script" not in render()


def test_the_same_history_gives_the_same_pages(site, folder):
    """What has not changed is not written again; pages of endpoints that are gone are removed."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.html")}
    (folder / "endpoints" / "gone--digits.html").write_text("")
    write_site(site, folder, link)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.html")} == before


def test_a_page_of_nothing_is_a_page(site, tmp_path):
    """Before the first audit."""
    empty = replace(site, targets=[replace(site.targets[0], audits=(), events={}, lost=False)], events=[], spent=[])
    write_site(empty, tmp_path / "page", link)
    text = (tmp_path / "page" / "index.html").read_text()
    assert "not audited yet" in text
    assert "Nothing yet." in text


@NO_BROWSER
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", WINDOWS)
def test_a_browser_shows_it_without_a_complaint(folder, scheme, window):
    """No console message, no request but for its files, nothing that axe-core finds, nothing wider than a phone."""
    from playwright.sync_api import sync_playwright

    width, height = WINDOWS[window]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        for name in SHOWN:
            page.goto((folder / name).as_uri())
            assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "flex"
            page.evaluate(axe())
            found = page.evaluate("axe.run(document, {preload: false})")
            assert [each["id"] for each in found["violations"]] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()
    assert said == []
    assert not [url for url in asked if not url.startswith(folder.as_uri())]


@NO_BROWSER
def test_a_keyboard_reaches_everything(folder):
    """First the way to the content, then every link and every region that scrolls, each with a mark that is seen."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto((folder / SHOWN[1]).as_uri())
        reached = []
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.textContent.trim().slice(0, 20)"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none"
        browser.close()
    assert reached[:3] == ["To the content", "Fleet", "Bundles"]
    assert re.match(r"audit \d+", next(each for each in reached if each.startswith("audit")))


def test_a_server_gives_pages_and_evidence_and_nothing_else(site, tmp_path):
    """To whoever asks for this machine by its name."""
    import threading
    import urllib.error
    import urllib.request
    from http.server import ThreadingHTTPServer

    from metav_audit.watch.page.serve import _handler

    row = site.targets[0].audits[0]
    archive = tmp_path / packed_name(row.folder)
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"PK")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(lambda: site, tmp_path))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def get(path, host="localhost"):
        request = urllib.request.Request(f"http://127.0.0.1:{server.server_address[1]}{path}", headers={"Host": host})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None, b""

    try:
        assert b"Watched endpoints" in get("/")[2]
        assert get("/style.css")[1] == "text/css; charset=utf-8"
        assert get(f"/evidence/{row.id}") == (200, "application/zip", b"PK")
        assert [get(path)[0] for path in (f"/evidence/{row.id + 1}", "/evidence/x", "/../x", "/x.html")] == [404] * 4
        assert get("/", "evil.example:80")[0] == 403
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
