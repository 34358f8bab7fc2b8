"""Answers that were taken over from another audit, compared with that audit's own transcript where it is at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from metav_audit.bundle import FingerprintBundle, Schedule, asked_inputs
from metav_audit.errors import EvidenceError
from metav_audit.evidence import NotComparedError, first_lines
from metav_audit.files import strict_json
from metav_audit.task import Answer
from metav_audit.transcript import Header, Received, Records, Sent, Shared, line_hashes, parse_record, read_records
from metav_audit.verdict import TRANSCRIPT, AuditFolder, audits_in
from metav_audit.verify.checklist import Found, NothingThereError
from metav_audit.verify.exchange import bodies_intact, played_again

_MOST_HEADER = 1 << 20
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)


def taken_over(
    folder: AuditFolder, bundle: FingerprintBundle, records: Records, beside: Sequence[AuditFolder]
) -> Found:
    """Hold every answer that was taken over against the record that it names, and that against its raw response.

    Args:
        folder: the audit's.
        bundle: its own.
        records: its own.
        beside: folders of other audits; those in the folder that it lies in are found without.

    Raises:
        NothingThereError: everything was asked in this audit.
        NotComparedError: an audit that answers come from is not at hand, or its adapter is not installed.
        EvidenceError: an answer, its input, or the endpoint that gave it is another there.
        TranscriptError, BundleError: the other audit's folder is damaged.
    """
    shared = [each for each in records.each if isinstance(each, Shared)]
    if not shared:
        raise NothingThereError("everything was asked in this audit")
    schedule = Schedule.for_bundle(bundle, records.transcript.nonce, records.transcript.looks)
    own, others = asked_inputs(bundle), _at_hand(folder, beside)
    for nonce in dict.fromkeys(each.source.nonce for each in shared):
        mine = [each for each in shared if each.source.nonce == nonce]
        other = _Other.open(others.get(nonce), mine[0], beside)
        other.check_subject(bundle, records)
        for each in mine:
            inputs = [own[schedule.numbers[place]].tobytes() for place in each.queries]
            other.check(each, inputs)
    count = sum(len(each.queries) for each in shared)
    return True, f"{count} answers stand in the other audit's transcript, to the same inputs of the same endpoint"


def packed_beside(path: Path, folder: AuditFolder) -> list[Path]:
    """Return the audits beside an audit's archive or folder from which answers of it were taken over.

    Folders beside a folder are found without.

    Args:
        path: of the archive, or of the folder.
        folder: the audit's, unpacked.
    """
    wanted, place = set(), path.absolute().parent
    with suppress(*_UNREADABLE):
        wanted = {each.source.nonce for each in read_records(folder / TRANSCRIPT) if isinstance(each, Shared)}
    if not wanted:
        return []
    folders = [] if path.is_dir() else [each.path for each in audits_in(place) if _nonce(each) in wanted]
    lines = first_lines(place, TRANSCRIPT, _MOST_HEADER)
    return [*folders, *(each for each, line in lines if each != path.absolute() and _nonce_in(line) in wanted)]


def _nonce_in(line: bytes) -> str | None:
    with suppress(*_UNREADABLE):
        header = parse_record(strict_json(line))
        return header.nonce if isinstance(header, Header) else None
    return None


def _nonce(folder: AuditFolder) -> str | None:
    with suppress(*_UNREADABLE):
        header = next(read_records(folder / TRANSCRIPT), None)
        return header.nonce if isinstance(header, Header) else None
    return None


def _named(folder: AuditFolder) -> str:
    with suppress(*_UNREADABLE):
        header = next(read_records(folder / TRANSCRIPT), None)
        if isinstance(header, Header):
            return f"the audit with bundle {header.bundle_sha256}, nonce {header.nonce}"
    return f"{folder.name}, which is no audit"


def _at_hand(folder: AuditFolder, beside: Iterable[AuditFolder]) -> Mapping[str, AuditFolder]:
    """Return other audits' folders by their nonces."""
    found: dict[str, AuditFolder] = {}
    for each in (*beside, *audits_in(folder.path.absolute().parent)):
        nonce = _nonce(each)
        if nonce is not None:
            found.setdefault(nonce, each)
    return found


class _Other:
    """Another audit, from which answers were taken over."""

    def __init__(self, folder: AuditFolder, bundle: FingerprintBundle, records: Records) -> None:
        self._folder, self._bundle, self._records = folder, bundle, records
        self._hashes = list(line_hashes(records.each))
        self._asked = {each.request: each.queries for each in records.each if isinstance(each, Sent)}
        there = records.transcript
        self._schedule = Schedule.for_bundle(bundle, there.nonce, there.looks)
        self._inputs = asked_inputs(bundle)

    @classmethod
    def open(cls, folder: AuditFolder | None, shared: Shared, beside: Sequence[AuditFolder]) -> _Other:
        if folder is None:
            named = ", ".join(map(_named, beside))
            raise NotComparedError(
                f"answers were taken over from the audit with bundle {shared.source.bundle_sha256}, nonce "
                f"{shared.source.nonce}, which is not at hand: name its folder with --beside"
                + (f"; what is named there is another: {named}" if beside else "")
            )
        return cls(folder, folder.bundle(), folder.records())

    def check_subject(self, bundle: FingerprintBundle, records: Records) -> None:
        """See that it is an audit of the same task and endpoint, and that its answers follow from its responses."""
        there = self._records.transcript
        if self._bundle.task != bundle.task:
            raise EvidenceError(f"answers were taken over from {self._folder.name}, an audit of another task")
        if there.endpoint.lasting() != records.transcript.endpoint.lasting():
            raise EvidenceError(f"answers were taken over from {self._folder.name}, an audit of another endpoint")
        if there.bundle_sha256 != self._bundle.sha256:
            raise EvidenceError(f"the transcript of {self._folder.name} was recorded with another bundle")
        bodies_intact(self._folder, self._records)
        played_again(self._folder, self._bundle, self._records)

    def check(self, shared: Shared, inputs: Sequence[bytes]) -> None:
        """See that the record it names holds these answers, to these inputs."""
        source, line = shared.source, shared.source.record - 1
        where = f"record {source.record} of {self._folder.name}"
        if line >= len(self._hashes) or self._hashes[line] != source.sha256:
            raise EvidenceError(f"{where} is not the one that answers were taken over from: its hash is another")
        record = self._records.each[line]
        given = self._given(record) if isinstance(record, Received) else {}
        if not isinstance(record, Received) or (source.bundle_sha256, source.at) != (self._bundle.sha256, record.at):
            raise EvidenceError(f"{where} holds no answers of that bundle and time")
        for place, answer, key in zip(source.queries, shared.answers, inputs, strict=True):
            if given.get(place) != answer:
                raise EvidenceError(f"{where} does not hold the answer that was taken over from its place {place}")
            number = self._schedule.numbers[place]
            if place != self._schedule.places[number][0] or self._inputs[number].tobytes() != key:
                raise EvidenceError(f"place {place} of {self._folder.name} did not ask that input for the first time")

    def _given(self, record: Received) -> dict[int, Answer]:
        return dict(zip(self._asked[record.request], record.answers or (), strict=False))
