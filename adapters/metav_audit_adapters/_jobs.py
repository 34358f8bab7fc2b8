"""Finding out how a submitted job is polled: where its ticket lies, at which address its result, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from metav_audit.adapter import Hints, Place, Request, Response, Wait, read_json
from metav_audit_adapters._described import polled_at

TICKET = "{{ticket}}"

Follow = Generator[Request | Wait, Response, Mapping[str, Any] | None]

_TICKETS = ("id", "ticket", "job", "task", "request", "prediction", "token", "key", "handle", "ref")
_ADDRESSES = ("url", "href", "location", "link", "poll", "self", "get", "result")
_STATES = ("state", "status", "phase", "stage", "done", "ready", "finished", "complete", "completed")
_UNDER_WAY = frozenset(
    ("accepted", "active", "created", "enqueued", "in_progress", "inprogress", "new", "not_ready", "open", "pending",
     "processing", "progress", "queued", "received", "running", "scheduled", "started", "starting", "submitted",
     "waiting", "working")
)  # fmt: skip
"""States of a job that has no result yet."""
_MOST_ADDRESSES = 6
_MOST_POLLS = 20
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


def is_under_way(body: Any) -> bool:
    """Say whether a response speaks of a job that is not done yet."""
    states = [value for path, value in _leaves(body) if _named(path, _STATES)]
    return any(
        state is False or (isinstance(state, str) and state.lower().replace("-", "_").replace(" ", "_") in _UNDER_WAY)
        for state in states
    )


def look_for_result(
    url: str, submitted: Response, hints: Hints, places: Callable[[Response, int], Iterator[Place]]
) -> Follow:
    """Poll what a response to a submission points at, and return the option ``poll`` that leads to an answer.

    Args:
        url: the address that took the job.
        submitted: what it answered.
        hints: what is known of the API.
        places: finds an answer in a response.
    """
    tried: set[str] = set()
    for ticket, value, template in _leads(url, read_json(submitted), hints):
        address = _joined(url, value if template == TICKET else template.replace(TICKET, quote(value, safe="")))
        if address in tried or len(tried) >= _MOST_ADDRESSES or urlsplit(address)[:2] != urlsplit(url)[:2]:
            continue
        tried.add(address)
        found = yield from _poll(address, submitted, places)
        if found is not None:
            return {"poll": {"ticket": ticket, "url": template, **found}}
    return None


def _joined(url: str, address: str) -> str:
    """Return an address as it reads on the page of another, empty where it is none."""
    try:
        return urljoin(url, address)
    except ValueError:
        return ""


def _poll(address: str, submitted: Response, places: Callable[[Response, int], Iterator[Place]]) -> Follow:
    """Poll one address until a response holds an answer that earlier ones did not; return how that is told."""
    before, waited, pause = submitted, 0.0, _FIRST_PAUSE_S
    for _ in range(_MOST_POLLS):
        yield Wait(pause)
        waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE_S)
        response = yield Request(address, b"", "GET", {})
        if not 200 <= response.status < 300:
            return None
        if any(True for _ in places(response, 1)):
            told = _told_by(read_json(response), read_json(before))
            if told is not None:
                return {**told, "every_s": round(min(waited, _LONGEST_PAUSE_S), 1), "at_most": 60}
        before = response
    return None


def _leads(url: str, body: Any, hints: Hints) -> Iterator[tuple[str, str, str]]:
    """Yield paths to what may be a ticket, its text, and the address to poll with it."""
    leaves = [(path, str(value)) for path, value in _leaves(body) if type(value) in (str, int) and value != ""]
    for path, value in sorted(leaves, key=lambda each: not _named(each[0], _ADDRESSES)):
        if value.startswith(("http://", "https://", "/")):
            yield path, value, TICKET
    described = [path for document in hints.documents.values() for path in polled_at(document)]
    for path, value in sorted(leaves, key=lambda each: not _named(each[0], _TICKETS)):
        if len(value) <= 200 and not _named(path, _STATES):
            yield from ((path, value, template) for template in _templates(url, described))


def _templates(url: str, described: list[str]) -> Iterator[str]:
    origin, path = urljoin(url, "/"), urlsplit(url).path.rstrip("/")
    above = path.rpartition("/")[0]
    yield from (f"{origin.rstrip('/')}{each.replace('{}', TICKET)}" for each in described)
    for base in (
        path,
        above,
        f"{above}/jobs",
        f"{above}/results",
        f"{above}/result",
        f"{above}/status",
        f"{path}/result",
    ):
        yield f"{origin.rstrip('/')}{base}/{TICKET}"


def _told_by(body: Any, before: Any) -> dict[str, Any] | None:
    """Return ``done`` and ``equals``: a state that was another, or else something that was not there at all."""
    earlier, now = dict(_leaves(before)), dict(_leaves(body))
    for path, value in now.items():
        if _named(path, _STATES) and type(value) in (str, bool, int) and earlier.get(path) != value:
            return {"done": path, "equals": value}
    new = [path for path, value in now.items() if value is not None and earlier.get(path) is None]
    return {"done": new[0]} if new else None


def _leaves(body: Any, path: str = "", depth: int = 4) -> Iterator[tuple[str, Any]]:
    """Yield what stands in the tables of a body, by dotted paths; a list is a leaf."""
    if isinstance(body, dict) and depth:
        for key, part in list(body.items())[:50]:
            if key and "." not in key:
                yield from _leaves(part, f"{path}.{key}" if path else key, depth - 1)
    elif path:
        yield path, body


def _named(path: str, words: tuple[str, ...]) -> bool:
    last = path.rpartition(".")[2].lower()
    return any(word in last for word in words)
