"""Who vouches for an audit's folder, and whether it is whom the reader knows."""

from __future__ import annotations

from dataclasses import dataclass

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import EvidenceError
from metav_audit.evidence import (
    Attestation,
    Attested,
    AttestedStatus,
    Custody,
    check_asked,
    check_commitments,
    closing_of,
    custody_of,
)
from metav_audit.transcript import Records, Transcript
from metav_audit.verdict import AuditFolder
from metav_audit.verify.checklist import Found, NothingThereError


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reader knows from elsewhere, and so need not take from the folder; whatever is named must be there.

    Attributes:
        owner: the key id that should have committed to the bundle; whoever did, or nobody, if None.
        auditor: the key id that should have sealed the audit; whoever did, or nobody, if None.
        roots: root certificates of time-stamp authorities, PEM; those in the files if None.
        commitments: the other commitments of the owner's key that the reader has; see ``check_commitments``.
        beside: folders of other audits from which this one took answers over; those beside it are found by themselves.
    """

    owner: str | None = None
    auditor: str | None = None
    roots: str | None = None
    commitments: tuple[Attestation, ...] = ()
    beside: tuple[AuditFolder, ...] = ()


NOTHING = Expected()


def chain_of_custody(folder: AuditFolder, bundle: FingerprintBundle, records: Records, _: bool) -> Found:
    """Tell who asked, and what vouches for it by the files' own word."""
    custody = custody_of(folder, bundle, records.transcript, records=records.each)
    told = ", ".join(f"{name}: {words}" for name, words in custody.operator.items()) or "no operator is named"
    return custody, f"{told}; {custody.clock}"


def weigh(folder: AuditFolder, bundle: FingerprintBundle, records: Records, expected: Expected) -> Custody:
    """Weigh what vouches for a folder by what the reader knows."""
    return custody_of(
        folder,
        bundle,
        records.transcript,
        records=records.each,
        owner=expected.owner,
        auditor=expected.auditor,
        roots=expected.roots,
    )


def attested(attested: Attested | None) -> Found:
    """Pass what holds; nothing is compared where nobody signed."""
    if attested is None:
        raise NothingThereError("there is nothing of its kind")
    if attested.status is AttestedStatus.NONE:
        raise NothingThereError(attested.sentence)
    if not attested.holds:
        raise EvidenceError(attested.sentence)
    return True, attested.sentence


def closing(folder: AuditFolder, transcript: Transcript, expected: Expected) -> Found:
    """Hold the list of all files against what was signed."""
    return attested(closing_of(folder, transcript, expected.auditor))


def numbered(bundle: FingerprintBundle, weighed: Custody, expected: Expected) -> Found:
    """Look for a commitment of the owner's key that is left out."""
    if bundle.commitment is None or weighed.commitment.key_id is None:
        raise EvidenceError("the bundle carries no commitment that holds, beside which others could be put")
    own = Attestation.from_bytes(bundle.commitment)
    return True, check_commitments((own, *expected.commitments), weighed.commitment.key_id)


def asked(bundle: FingerprintBundle, expected: Expected) -> Found:
    """Hold the queries against the sealed request log that they come from."""
    return True, check_asked(bundle, roots=expected.roots)


def authenticity(expected: Expected, weighed: Custody | None, signed: bool | None) -> tuple[bool, str]:
    """Say whether whom the reader names signs all of it, and who else vouches for what."""
    if expected == NOTHING:
        return False, (
            "NOT AUTHENTICATED: it may be anyone's. Name whom you know from elsewhere: --auditor KEY (who sealed it), "
            "--owner KEY (who committed to the bundle), --tsa-cert PEM (the time-stamp authority's root)"
        )
    if expected.auditor is None:
        return (
            False,
            "NOT AUTHENTICATED: whoever made it may have made up the answers. Name who sealed it: --auditor KEY",
        )
    if weighed is None or not signed:
        return False, f"NOT AUTHENTICATED: the key {expected.auditor} does not sign all of it"
    owner = weighed.commitment.key_id
    told = "the bundle carries no commitment" if owner is None else f"committed to by a key that was not named, {owner}"
    if expected.owner is not None:
        told = f"the bundle committed to by the owner's key {expected.owner}"
    stamps = "by the authority that was named" if expected.roots else "by an authority that was not named, if at all"
    return True, f"AUTHENTICATED: sealed by the auditor's key {expected.auditor}; {told}; time-stamped {stamps}"
