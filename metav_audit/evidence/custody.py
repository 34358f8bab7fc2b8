"""Who vouches for an audit's folder, and since when: the commitment before it, the seal behind it, the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from metav_audit.verdict import ControlRecord


class AttestedStatus(StrEnum):
    """What a commitment or a seal is worth for one audit."""

    PRE_REGISTERED = "pre-registered"
    """A commitment, signed, and time-stamped before the first query, by an authority whose root the reader gave."""
    CLAIMED = "claims to be pre-registered"
    """The same, by an authority whose root came along with the stamp: anyone can be one."""
    SIGNED = "signed"
    """A commitment, signed without a time stamp: when, the signer alone says."""
    LATE = "late"
    """A commitment, time-stamped, but not before the first query; or its signer says so themselves."""
    SEALED = "sealed"
    """A seal, signed, with or without a time stamp."""
    REBUILT = "rebuilt"
    """A statement, signed, that the bundle was made again and came out the same."""
    REPLAYED = "replayed"
    """A statement, signed, that the training program gave the target again."""
    SUPPLIED = "supplied"
    """A statement, signed, that blind controls are independent."""
    NONE = "none"
    INVALID = "invalid"
    """There is one, or there should be, and it does not hold."""


@dataclass(frozen=True, slots=True)
class Attested:
    """What a signed and time-stamped statement is worth.

    Attributes:
        status: in a word.
        sentence: the same in words.
        at: the time stamp's time, ISO 8601, UTC; None without one that holds.
        key_id: of the key that signed; None where no signature holds.
        authority: the time-stamp authority's name; None without a time stamp that holds.
    """

    status: AttestedStatus
    sentence: str
    at: str | None = None
    key_id: str | None = None
    authority: str | None = None

    @property
    def holds(self) -> bool:
        """Whether it is what it claims to be; one that is not there claims nothing."""
        return self.status not in (AttestedStatus.INVALID, AttestedStatus.LATE)


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """One file of the evidence.

    Attributes:
        name: its path in the audit's folder, with slashes.
        size: in bytes.
        sha256: in hexadecimal.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Custody:
    """The chain of custody of one audit.

    Attributes:
        commitment: to the bundle, before the first query.
        rebuild: whether somebody made the bundle again from its project.
        replay: whether somebody ran the training program again; None where the bundle has no siblings.
        supplier: whether somebody signs for the blind controls; None where there are none.
        seal: of the transcript, the bundle and the verdict, at the end.
        operator: who asked, on whose behalf and by what authority, in the operator's own words.
        clock: how far the answering server's clock and the auditor's lay apart, in words.
        bodies: requests and responses whose bytes are kept.
        files: the evidence's files, in the order in which they are read.
        control: the run's positive control; None if it had none, or this is its own folder.
    """

    commitment: Attested
    rebuild: Attested
    replay: Attested | None
    supplier: Attested | None
    seal: Attested
    operator: Mapping[str, str]
    clock: str
    bodies: int
    files: tuple[EvidenceFile, ...]
    control: ControlRecord | None
