"""What several fingerprints ask an endpoint alike is asked once: the later audits take the answers over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from metav_audit.bundle import FingerprintBundle, Questions, Schedule, asked_inputs
from metav_audit.errors import ConfigurationError
from metav_audit.task import Answer, Inputs
from metav_audit.transcript import EndpointRecord, Finished, Header, Received, Sent, Shared, Source, line_hashes
from metav_audit.verdict import TRANSCRIPT, AuditFolder


@dataclass(frozen=True, slots=True)
class Among:
    """Among which audits of the same endpoints one is made, each with another bundle.

    Attributes:
        mark: what its folder's name has behind the endpoint's.
        before: the marks of the audits made before it, whose answers it may take over.

    >>> Among("@mine").folder(Path("audits"), "suspect").path.as_posix()
    'audits/suspect@mine'
    """

    mark: str = ""
    before: tuple[str, ...] = ()

    def folder(self, out: Path, endpoint: str) -> AuditFolder:
        """Return the folder of an endpoint's audit."""
        return AuditFolder(out / f"{endpoint}{self.mark}")

    def others(self, out: Path, endpoint: str) -> tuple[AuditFolder, ...]:
        """Return the folders of the endpoint's audits before it."""
        return tuple(AuditFolder(out / f"{endpoint}{mark}") for mark in self.before)


ALONE = Among()
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class _Given:
    answer: Answer
    source: Source


class Given:
    """Answers that an endpoint gave in other audits, by the inputs that were asked.

    Args:
        found: the answers to an input's first place, by the input's bytes.
    """

    def __init__(self, found: Mapping[bytes, _Given]) -> None:
        self._found = found

    @classmethod
    def read(cls, folders: Iterable[AuditFolder], endpoint: EndpointRecord) -> Self:
        """Read what stands in the folders of finished audits of an endpoint; the first to answer an input counts.

        Raises:
            TranscriptError, BundleError: a folder is damaged.
        """
        found: dict[bytes, _Given] = {}
        for folder in folders:
            if folder.has(TRANSCRIPT):
                for key, given in _given_in(folder, endpoint):
                    found.setdefault(key, given)
        return cls(found)

    def records(self, bundle: Questions, schedule: Schedule, places: Sequence[int], at: str) -> Iterator[Shared]:
        """Yield records that answer what they can of some places, one for each record that they come from."""
        if not self._found:  # As where passages are asked, which no two audits share.
            return
        inputs = asked_inputs(bundle)
        known = ((place, self._found.get(inputs[schedule.numbers[place]].tobytes())) for place in places)
        merged: dict[str, Shared] = {}
        for place, given in known:
            if given is None or not given.source.fresh(at) or not schedule.is_shareable(place):
                continue
            so_far = merged.get(given.source.sha256)
            if so_far is None:
                merged[given.source.sha256] = Shared(
                    at=at, queries=(place,), answers=(given.answer,), source=given.source
                )
                continue
            source = replace(so_far.source, queries=so_far.source.queries + given.source.queries)
            merged[given.source.sha256] = replace(
                so_far, queries=(*so_far.queries, place), answers=(*so_far.answers, given.answer), source=source
            )
        yield from merged.values()


NOTHING_GIVEN = Given({})


def check_beside(bundles: Mapping[str, FingerprintBundle]) -> None:
    """See that bundles can be asked beside each other, by the names that their audits' folders will bear.

    Raises:
        ConfigurationError: a name does not do, two bundles are the same, or their tasks differ.
    """
    first, task = next((name, each.task) for name, each in bundles.items())
    seen: dict[str, str] = {}
    for name, bundle in bundles.items():
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"the bundle's folder {name[:100]!r} names an audit's folder: rename it, with letters, digits, _ . -"
            )
        if bundle.task != task:
            parts = {"input": bundle.task.domain == task.domain, "output": bundle.task.output == task.output}
            other = " and ".join(part for part, same in parts.items() if not same)
            raise ConfigurationError(
                f"the bundles {first} and {name} are of different tasks (their {other}): nothing was sent; audit each "
                "in a run of its own"
            )
        if bundle.sha256 in seen:
            raise ConfigurationError(f"{seen[bundle.sha256]} and {name} are the same bundle: name it once")
        seen[bundle.sha256] = name


def shared_inputs(bundle: FingerprintBundle, before: Iterable[FingerprintBundle]) -> int:
    """Count the queries and natural inputs of a bundle that the bundles before it ask, too."""
    known = {each.tobytes() for other in before for each in _plain(other)}
    return sum(each.tobytes() in known for each in _plain(bundle))


def _plain(bundle: FingerprintBundle) -> Iterator[Inputs]:
    yield from bundle.inputs
    yield from () if bundle.natural is None else bundle.natural.inputs


def _given_in(folder: AuditFolder, endpoint: EndpointRecord) -> Iterator[tuple[bytes, _Given]]:
    records = folder.records().each
    header = records[0]
    assert isinstance(header, Header)
    if not isinstance(records[-1], Finished) or header.endpoint.lasting() != endpoint.lasting():
        return
    bundle, sent = folder.bundle(), {}
    schedule, inputs = Schedule.for_bundle(bundle, header.nonce, header.looks), asked_inputs(bundle)
    for line, (record, sha256) in enumerate(zip(records, line_hashes(records), strict=True), start=1):
        if isinstance(record, Sent):
            sent[record.request] = record.queries
        if not isinstance(record, Received) or record.answers is None:
            continue
        for place, answer in zip(sent[record.request], record.answers, strict=True):
            number = schedule.numbers[place]
            if schedule.places[number][0] == place:
                source = Source(header.bundle_sha256, header.nonce, line, sha256, record.at, (place,))
                yield inputs[number].tobytes(), _Given(answer, source)
