"""The site's pages from the history: the fleet, each endpoint over time, the bundles and their limits."""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import ConfigurationError
from metav_audit.files import write_atomically
from metav_audit.watch.budgets import MILLIONTHS, Spent
from metav_audit.watch.events import Event
from metav_audit.watch.fleet import Budget
from metav_audit.watch.history import AuditRow, Standing, Untaken, discoveries
from metav_audit.watch.page.timeline import Span, strip, timeline
from metav_audit.watch.retention import packed_name

_RECENT_S = 30 * 86400.0
_NEWS = 40
_WORDS = {"match": "match", "no_match": "no match", "inconclusive": "inconclusive", "failed": "failed",
          "dropped": "interrupted", "lost": "lost", "new": "not audited yet", "failing": "cannot be asked",
          "glanced": "nothing moved"}  # fmt: skip
_TONES = {"match": "bad", "lost": "bad", "inconclusive": "odd", "failed": "odd", "dropped": "odd", "no_match": "good",
          "new": "odd", "failing": "odd", "glanced": "good"}  # fmt: skip
_GRAVITY = ("match", "lost", "failing", "failed", "inconclusive", "dropped", "new", "no_match")
STYLE = "style.css"
_MADE_BY = b'<meta name="generator" content="metav-audit page">'

Link = Callable[[AuditRow], str | None]
"""Gives where an audit's report or archive can be opened from an endpoint's page; None where it is kept no more."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages are made of.

    Attributes:
        title: of the site.
        now: when it is made, in seconds since 1970.
        targets: how each endpoint stands.
        events: all that happened, the oldest first.
        bundles: by their names in the fleet file; those that can be read.
        outdated: why a bundle should be made anew, by its name.
        spent: of this month's budgets.
        budgets: by scope.
        untaken: messages that nobody has taken yet.
    """

    title: str
    now: float
    targets: Sequence[Standing]
    events: Sequence[Event]
    bundles: Mapping[str, FingerprintBundle]
    outdated: Mapping[str, str]
    spent: Sequence[Spent]
    budgets: Mapping[str, Budget]
    untaken: Sequence[Untaken] = ()


def write_site(site: Site, out: Path, link: Link) -> list[Path]:
    """Write the pages into a folder, and remove those of endpoints that are no more; return what was written.

    Raises:
        ConfigurationError: the folder cannot be written, or holds something else.
    """
    if out.exists() and not _may_be_written(out):
        raise ConfigurationError(f"{out} holds something else than a page of ours: choose another folder")
    written = []
    for name, render in pages(site, link):
        path, content = out / name, render()
        written.append(path)
        if not path.exists() or path.read_bytes() != content:
            write_atomically(path, content)
    for path in (out / "endpoints").glob("*.html"):
        if path not in written:
            path.unlink()
    return written


def _may_be_written(out: Path) -> bool:
    """Say whether a folder is empty, or holds a page that this program wrote."""
    if not out.is_dir():
        return False
    front = out / "index.html"
    return not any(out.iterdir()) or (front.is_file() and _MADE_BY in front.read_bytes()[:4096])


def pages(site: Site, link: Link) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the name of every file of the site, with what makes it."""
    environment = _environment()
    by_target: dict[tuple[str | None, str | None], list[Event]] = {}
    for event in site.events:
        by_target.setdefault((event.endpoint, event.bundle), []).append(event)

    def render(template: str, values: Mapping[str, object], root: str = "") -> bytes:
        made = environment.get_template(f"{template}.html.jinja")
        return made.render(site=site, root=root, page=template, **values).encode()

    def endpoint(target: Standing) -> bytes:
        told = by_target.get((target.endpoint, target.bundle), [])
        return render("endpoint", _endpoint(target, told, link), "../")

    yield STYLE, lambda: _read(STYLE).encode()
    yield "index.html", lambda: render("fleet", _fleet(site))
    yield "bundles.html", lambda: render("bundles", _bundles(site))
    for target in site.targets:
        yield f"endpoints/{file_name(target)}", partial(endpoint, target)


def file_name(target: Standing) -> str:
    """Return the name of an endpoint's page; where names have what joins them, its number keeps pages apart.

    >>> rest = ("", 0.0, 0, None, False)
    >>> file_name(Standing(7, "a", "b", *rest)), file_name(Standing(7, "a--b", "c", *rest))
    ('a--b.html', 'a--b--c--7.html')
    """
    joined = f"{target.endpoint}--{target.bundle}"
    clear = "--" not in target.endpoint and not target.endpoint.endswith("-")
    clear = clear and "--" not in target.bundle and not target.bundle.startswith("-")
    return f"{joined}.html" if clear else f"{joined}--{target.id}.html"


def links_into(evidence: Path, pages_folder: Path, archive: str | None) -> Link:
    """Return links from the endpoints' pages to reports and archives on this machine; none to archives elsewhere."""

    def link(audit: AuditRow) -> str | None:
        report = evidence / audit.folder / "report.html"
        place = report if audit.evidence == "folder" else evidence / packed_name(audit.folder)
        if audit.evidence in ("going", "thinned") or (archive is not None and audit.evidence == "packed"):
            return None
        return os.path.relpath(place, pages_folder) if place.exists() else None

    return link


def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["moment"] = moment
    environment.filters["day"] = lambda at: moment(at)[:10]
    environment.filters["words"] = _WORDS.__getitem__
    environment.filters["tone"] = _TONES.__getitem__
    environment.filters["money"] = lambda millionths: f"{millionths / MILLIONTHS:g}"
    environment.filters["file_name"] = file_name
    return environment


def moment(at: float) -> str:
    """Write a moment, UTC.

    >>> moment(0.0)
    '1970-01-01 00:00'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _fleet(site: Site) -> dict[str, object]:
    recent = {(event.endpoint, event.bundle) for event in site.events
              if event.kind == "change" and site.now - event.at <= _RECENT_S}  # fmt: skip
    watched = [target for target in site.targets if target.watched]
    adjusted = discoveries(watched)
    span = Span.of([audit.ended or audit.claimed for target in watched for audit in target.audits])
    rows = [
        {"target": target, "state": target.state, "q": adjusted.get(target.id),
         "changed": (target.endpoint, target.bundle) in recent, "strip": strip(target.audits, span)}
        for target in watched
    ]  # fmt: skip
    rows.sort(key=lambda row: (_GRAVITY.index(str(row["state"])), not row["changed"]))
    odd = [row for row in rows if row["state"] != "no_match" or row["changed"]]
    counts = {name: sum(row["state"] == name for row in rows) for name in _GRAVITY}
    return {
        "odd": odd,
        "gone": [target for target in site.targets if not target.watched],
        "tested": len(adjusted),
        "pages": {(target.endpoint, target.bundle): file_name(target) for target in site.targets},
        "calm": [row for row in rows if row not in odd],
        "counts": counts,
        "changed": len(recent),
        "news": list(reversed(site.events))[:_NEWS],
        "older": max(0, len(site.events) - _NEWS),
        "span": span,
        "limits": list(_limits(site)),
    }


def _limits(site: Site) -> Iterator[dict[str, object]]:
    for spent in site.spent:
        budget = site.budgets[spent.scope]
        if budget.requests is not None or budget.cost is not None:
            yield {"spent": spent, "budget": budget, "share": spent.share_of(budget)}


def _endpoint(target: Standing, events: Sequence[Event], link: Link) -> dict[str, object]:
    by_audit: dict[int | None, list[Event]] = {}
    for event in events:
        by_audit.setdefault(event.audit, []).append(event)
    changes = sum(event.kind == "change" for event in events)
    label = (
        f"Scores of {len(target.audits)} audits from {moment(target.audits[0].claimed)[:10]} to "
        f"{moment(target.audits[-1].claimed)[:10]}, {changes} changes; the table below has every number"
        if target.audits
        else "No audit yet"
    )
    return {
        "target": target,
        "state": target.state,
        "events": list(reversed(events)),
        "told": by_audit,
        "named": {*by_audit, *(event.before for event in events)},
        "rows": [(audit, link(audit)) for audit in reversed(target.audits)],
        "line": timeline(target.audits, events, label),
    }


def _bundles(site: Site) -> dict[str, object]:
    rows = []
    for name, bundle in sorted(site.bundles.items()):
        cards = bundle.calibration.models
        independents = len({card.lineage for card in cards if not card.derived})
        rows.append(
            {"name": name, "bundle": bundle, "independents": independents,
             "derived": len({card.lineage for card in cards if card.derived}), "finest": 1 / (independents + 1),
             "siblings": bundle.verifier.siblings,
             "endpoints": sum(target.bundle == name for target in site.targets)}
        )  # fmt: skip
    return {"rows": rows}


def _read(name: str) -> str:
    return importlib.resources.files("metav_audit.watch.page").joinpath(name).read_text(encoding="utf-8")
