"""Retention: evidence of every change and every match stays, the rest is packed, and thinned as it grows old."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from metav_audit.errors import ConfigurationError, MetavAuditError, RemoteError
from metav_audit.evidence import pack_folder
from metav_audit.watch.tables import AUDITS, EVENTS, TARGETS

if TYPE_CHECKING:
    from metav_audit.watch.database import History
    from metav_audit.watch.fleet import RetentionTable

_TELLING = ("match", "change", "lost", "recovered")
_GOING = "going"
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """An audit, as retention sees it.

    Attributes:
        id: its number in the history.
        target: its target's.
        ended: in seconds since 1970.
        folder: of its evidence, below the folder of all evidence.
        evidence: "folder", "packed", "going" while it is removed, or "thinned".
        precious: whether it is evidence of a match or a change, or what that is told from.
    """

    id: int
    target: int
    ended: float
    folder: str
    evidence: str
    precious: bool


def tidy(
    history: History,
    rules: RetentionTable,
    evidence: Path,
    archive: str | None,
    now: float,
    complain: Callable[[str], None],
) -> None:
    """Pack what is old enough, and remove what need not be kept; one audit's trouble is no other's.

    Whoever is killed in the midst of it is followed by the next run. What is not on this machine is left alone.

    Args:
        history: the database.
        rules: what is kept.
        evidence: the folder of all evidence.
        archive: where archives go, a folder or an fsspec address; beside the evidence if None.
        now: seconds since 1970.
        complain: told what could not be done.

    Raises:
        RemoteError: the database cannot be reached.
    """
    audits = _ended(history)
    gone = set(thinned(audits, rules, now))
    for audit in audits:
        try:
            if audit.evidence == _GOING or (audit.id in gone and _is_here(audit, evidence, archive)):
                _note(history, audit.id, _GOING)
                _remove(audit, evidence, archive)
                _note(history, audit.id, "thinned")
            elif _is_loose(audit, rules, now) and _pack(audit, evidence, archive):
                _note(history, audit.id, "packed")
        except (MetavAuditError, OSError) as error:
            complain(f"the evidence of audit {audit.id} stays as it is: {error}")


def thinned(audits: Iterable[Kept], rules: RetentionTable, now: float) -> Iterator[int]:
    """Yield the audits whose evidence need not be kept any more.

    Kept is what is precious, the newest of each endpoint, all up to an age, and of older ones one in so much time.
    """
    by_target: dict[int, list[Kept]] = {}
    for audit in audits:
        by_target.setdefault(audit.target, []).append(audit)
    for mine in by_target.values():
        newest = {each.id for each in sorted(mine, key=lambda each: each.ended)[-rules.newest :]}
        spans = set()
        for audit in sorted(mine, key=lambda each: each.ended):
            span = audit.ended // rules.then_every
            first = span not in spans
            spans.add(span)
            old = now - audit.ended > rules.all_for
            if old and not (first or audit.precious or audit.id in newest or audit.evidence == "thinned"):
                yield audit.id


def packed_name(folder: str) -> str:
    """Return the archive's name of an audit's folder.

    >>> packed_name("suspect/2026-03-01-digits-0001-0badcafe/suspect")
    'suspect/2026-03-01-digits-0001-0badcafe.zip'
    """
    return f"{folder.rpartition('/')[0]}.zip"


def archive_place(evidence: Path, archive: str | None, folder: str) -> str:
    """Return where an audit's archive lies or would lie: a path, or an fsspec address."""
    base = str(evidence) if archive is None else archive
    if archive is not None and "://" not in archive:
        base = str(evidence.parent / archive)
    return f"{base.rstrip('/')}/{packed_name(folder)}"


def _ended(history: History) -> list[Kept]:
    told = sa.select(EVENTS.c.audit).where(EVENTS.c.kind.in_(_TELLING), EVENTS.c.audit.is_not(None))
    before = sa.select(EVENTS.c.before).where(EVENTS.c.before.is_not(None))
    reference = sa.select(TARGETS.c.reference).where(TARGETS.c.reference.is_not(None))
    precious = sa.or_(
        AUDITS.c.outcome == "match", AUDITS.c.id.in_(told), AUDITS.c.id.in_(before), AUDITS.c.id.in_(reference)
    )
    columns = (AUDITS.c.id, AUDITS.c.target, AUDITS.c.ended, AUDITS.c.folder, AUDITS.c.evidence)
    query = sa.select(*columns, sa.case((precious, True), else_=False)).where(
        AUDITS.c.status != "open",
        AUDITS.c.target.in_(sa.select(TARGETS.c.id).where(TARGETS.c.fleet == history.fleet)),
    )
    with history.reading() as connection:
        rows = connection.execute(query.where(AUDITS.c.evidence != "thinned").order_by(AUDITS.c.id))
        return [Kept(*row[:5], bool(row[5])) for row in rows]


def _is_loose(audit: Kept, rules: RetentionTable, now: float) -> bool:
    return audit.evidence == "folder" and now - audit.ended >= rules.pack_after


def _note(history: History, audit: int, evidence: str) -> None:
    values = {"evidence": evidence} | ({"answers": None} if evidence == _GOING else {})
    with history.writing() as connection:
        connection.execute(AUDITS.update().where(AUDITS.c.id == audit).values(values))


def _pack(audit: Kept, evidence: Path, archive: str | None) -> bool:
    """Put an audit's folder into its archive, and remove it; False where it is not on this machine."""
    folder, local = evidence / audit.folder, evidence / packed_name(audit.folder)
    place = archive_place(evidence, archive, audit.folder)
    if folder.is_dir():
        pack_folder(folder, local)
        if place != str(local):
            _send(local, place)
            local.unlink()
    elif not _is_here(audit, evidence, archive):
        return False
    _drop(folder.parent)
    return True


def _drop(folder: Path) -> None:
    """Remove a folder; half of one is never taken for a whole one."""
    aside = folder.with_name(f".{folder.name}")
    if folder.is_dir():
        folder.rename(aside)
    if aside.is_dir():
        shutil.rmtree(aside)


def _is_here(audit: Kept, evidence: Path, archive: str | None) -> bool:
    """Say whether an audit's folder, or its archive, can be reached from here."""
    if (evidence / audit.folder).is_dir() or (evidence / packed_name(audit.folder)).exists():
        return True
    if archive is None:
        return False
    system, path = _fsspec().core.url_to_fs(archive_place(evidence, archive, audit.folder))
    return bool(system.exists(path))


def _send(local: Path, place: str) -> None:
    """Copy an archive to where archives go, and see that it is there."""
    with _fsspec().open(place, "wb") as target, closing(local.open("rb")) as source:
        shutil.copyfileobj(source, target, _COPY_BYTES)
    system, path = _fsspec().core.url_to_fs(place)
    if system.size(path) != local.stat().st_size:
        raise RemoteError(f"{place.rpartition('/')[2]} did not arrive whole: it is packed again in the next run")


def _remove(audit: Kept, evidence: Path, archive: str | None) -> None:
    place = archive_place(evidence, archive, audit.folder)
    _drop((evidence / audit.folder).parent)
    (evidence / packed_name(audit.folder)).unlink(missing_ok=True)
    if archive is not None:
        system, path = _fsspec().core.url_to_fs(place)
        if system.exists(path):
            system.rm(path)


def _fsspec() -> Any:
    try:
        import fsspec
    except ModuleNotFoundError:
        raise ConfigurationError("archives elsewhere need fsspec: pip install 'metav-audit[watch]'") from None
    return fsspec
