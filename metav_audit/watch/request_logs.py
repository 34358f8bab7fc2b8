"""Sealed request logs that are watched: the newest bundle that was made of one, and whether the log has left it behind.

A machine that watches cannot fit: it has no torch, and not the target. So it asks what the newest bundle says, and says
when that should be made anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from metav_audit.bundle import MANIFEST, FingerprintBundle
from metav_audit.errors import BundleError, ConfigurationError, EvidenceError
from metav_audit.evidence import open_checked
from metav_audit.transcript.log import ENOUGH, AskedLog, Day, SealedLog, count_requests
from metav_audit.watch.fleet import Fleet
from metav_audit.watch.hours import span_words
from metav_audit.watch.watches import LogTable

MOST_BUNDLES = 100
"""Bundles that one folder may hold: each is read in every run."""

_NAMED = 5
"""Accounts that are named in one sentence."""


@dataclass(frozen=True, slots=True)
class Lag:
    """Why a bundle should be made anew from its log.

    Attributes:
        kind: "days" or "accounts".
        words: the reason, in a sentence.
    """

    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class WatchedLog:
    """A log and the bundle that is asked.

    Attributes:
        table: of the fleet file.
        log: as opened.
        bundle: the newest of the log.
        asked: what it tells of the log.
    """

    table: LogTable
    log: SealedLog
    bundle: FingerprintBundle
    asked: AskedLog

    def lags(self) -> Iterator[Lag]:
        """Yield why the bundle should be made anew; reads every row of the log.

        1. The log has an audit's whole interval of days that the bundle does not know.
        2. An account is among those with the most requests, and enough of them, and the bundle does not ask its own.

        Raises:
            EvidenceError: the log cannot be read.
        """
        # 1.
        last, known = _last(self.log.days), _last(self._known)
        if (last - known).days * 86400 >= self.table.every:
            yield Lag(
                "days",
                f"the log goes on to {last}, its newest bundle knows it to {known}, and is asked every "
                f"{span_words(self.table.every)}: {self._again}",
            )
        # 2.
        missing = self._unasked(count_requests(self.log))
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            named = ", ".join(f"{name!r}"[:60] for name in missing[:_NAMED])
            yield Lag(
                "accounts",
                f"among the {self.table.accounts} accounts with the most requests are {named}{more}, and the newest "
                f"bundle asks none of theirs: {self._again}",
            )

    @property
    def _known(self) -> Sequence[Day]:
        """The log's days that the bundle was made of."""
        heads = [day.sha256 for day in self.log.days]
        return self.log.days[: heads.index(self.asked.head) + 1]

    def _unasked(self, sent: Counter[str]) -> list[str]:
        asked = {str(member) for account in self.asked.accounts for member in account.members}
        most = sorted(sent, key=lambda account: (-sent[account], account))[: self.table.accounts]
        return [account for account in most if sent[account] >= ENOUGH and account not in asked]

    @property
    def _again(self) -> str:
        return f"'metav-audit fit --log' makes another, into {self.table.bundles}"


def open_watched(fleet: Fleet, table: LogTable) -> WatchedLog:
    """Open a log and the newest bundle of it: that which knows most days, of several the one whose name comes last.

    Raises:
        BundleError: the log cannot be read, or the folder holds no bundle that was made of it.
    """
    folder, path = fleet.place(table.bundles), fleet.place(table.log)
    try:
        log = open_checked(path)
    except (ConfigurationError, EvidenceError) as error:
        raise BundleError(str(error)) from error
    found, problem = [], ""
    for place in _bundles_in(folder):
        try:
            bundle, asked = _read(place)
        except (BundleError, EvidenceError) as error:
            problem = f"; {place.name}: {error}"
            continue
        made_of = [at for at, day in enumerate(log.days) if asked is not None and day.sha256 == asked.head]
        if asked is not None and made_of:
            found.append((made_of[0], place.name, bundle, asked))
    if not found:
        raise BundleError(
            f"{folder} holds no bundle that was made of the log {path}: 'metav-audit fit --log' makes one{problem}"
        )
    _, _, bundle, known = max(found, key=lambda each: each[:2])
    return WatchedLog(table, log, bundle, known)


def _read(place: Path) -> tuple[FingerprintBundle, AskedLog | None]:
    """Read a bundle, and what it tells of its log; None where it is of none."""
    bundle = FingerprintBundle.load(place)
    if "log" not in bundle.provenance:
        return bundle, None
    asked = AskedLog.from_json(bundle.provenance["log"])
    asked.check_chain()
    return bundle, asked


def left_behind(logs: Mapping[str, WatchedLog]) -> dict[str, str]:
    """Say why bundles should be made anew from their logs, by the logs' names; see ``WatchedLog.lags``."""
    told = {name: "; ".join(lag.words for lag in log.lags()) for name, log in logs.items()}
    return {name: words for name, words in told.items() if words}


def _bundles_in(folder: Path) -> list[Path]:
    try:
        found = sorted(place for place in folder.iterdir() if (place / MANIFEST).is_file())
    except OSError as error:
        raise BundleError(f"cannot read the bundles' folder {folder}: {error.strerror}") from error
    if len(found) > MOST_BUNDLES:
        raise BundleError(f"{folder} holds {len(found)} bundles, more than {MOST_BUNDLES}: take the old ones away")
    return found


def _last(days: Sequence[Day]) -> date:
    return max(date.fromisoformat(day.day) for day in days)
