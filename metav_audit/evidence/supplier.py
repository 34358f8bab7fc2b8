"""A supplier's statement: whoever vouches that blind controls are independent signs the file that names them.

It stands beside that file, and an audit takes it along as ``blind-controls.signed.json``. Without it, that the controls
are independent is the word of whoever asked them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from metav_audit.errors import EvidenceError
from metav_audit.evidence.attestation import Attestation, attest, load_attestation
from metav_audit.evidence.custody import Attested, AttestedStatus
from metav_audit.evidence.envelope import Statement
from metav_audit.evidence.examine import Findings, examine
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.rebuilt import carried
from metav_audit.evidence.timestamp import Stamper
from metav_audit.files import read_regular
from metav_audit.verdict import SUPPLIER, AuditFolder, Controls

PREDICATE_TYPE = "urn:metav-audit:controls:v1"
MAX_STATEMENT_BYTES = 1 << 20


def make_supplier_statement(
    name: str,
    sha256: str,
    models: Sequence[str],
    key: SigningKey,
    *,
    claimed_at: datetime,
    stamper: Stamper | None = None,
) -> Attestation:
    """State that models are independent of those whose bundles they are asked by.

    Args:
        name: of the file that holds their endpoints or answers.
        sha256: of the file.
        models: their names.
        key: the supplier's.
        claimed_at: the time that goes into the statement, aware; it is the signer's word.
        stamper: fetches a time stamp; None for none.

    Raises:
        EvidenceError: the authority's answer is refused.
        RemoteError: the authority could not be asked.
    """
    predicate = {"claimed_at": claimed_at.astimezone(UTC).isoformat(), "models": list(models)}
    return attest(Statement(name, sha256, PREDICATE_TYPE, predicate), key, stamper)


def check_supplier_statement(
    statement: Attestation,
    names: Sequence[str],
    sources: Sequence[str],
    *,
    signer: str | None = None,
    roots: str | None = None,
) -> Findings:
    """Check a supplier's statement offline: its signature, that it names these models, their file, its stamp.

    Args:
        statement: as ``load_attestation`` read it.
        names: models that it should name.
        sources: the SHA-256 of files whose statement it should be.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the statement if None.
    """
    return examine(statement, PREDICATE_TYPE, partial(_compare, names, sources), signer=signer, roots=roots)


def supplied(path: Path, named: Callable[[], tuple[str, Sequence[str]]]) -> bytes | None:
    """Return what a supplier signed about a file of blind controls, if it stands at ``path`` and holds.

    Args:
        path: of the statement.
        named: gives the SHA-256 of the file that it should be about, and the names in it.

    Raises:
        EvidenceError: it does not hold.
    """
    if not path.exists():
        return None
    statement = load_attestation(path)
    sha256, names = named()
    problem = check_supplier_statement(statement, names, [sha256]).problem
    if problem is not None:
        file = path.name.removesuffix(".signed.json")
        raise EvidenceError(f"{path} does not hold: {problem}; ask the supplier to sign {file} again")
    return statement.to_bytes()


def supplier_of(folder: AuditFolder, owner: str | None, roots: str | None = None) -> Attested | None:
    """Say whether somebody signs for an audit's blind controls.

    Args:
        folder: the audit's.
        owner: the key id that committed to the bundle, whose word on this is no other party's; None where nobody did.
        roots: time-stamp authorities' root certificates, PEM; those in the statement if None.

    Returns:
        None where there are no blind controls, nor a statement.
    """
    controls = folder.controls()
    if not folder.has(SUPPLIER):
        return None if controls is None else Attested(AttestedStatus.NONE, _NOBODY)
    try:
        statement = Attestation.from_bytes(read_regular(folder / SUPPLIER, MAX_STATEMENT_BYTES))
        held = controls or Controls("", ())
        # What the auditor asked was asked at the endpoints of the file; the rest are the file's answers themselves.
        sources = {model.source_sha256 for model in held.models if not model.observed}
        names = [model.name for model in held.models]
        told = f"The {len(names)} blind controls are independent"
        return carried(
            AttestedStatus.SUPPLIED,
            told,
            check_supplier_statement(statement, names, sorted(sources), roots=roots),
            owner,
        )
    except OSError as error:
        return Attested(AttestedStatus.INVALID, f"What is signed for the blind controls cannot be read: {error}.")
    except EvidenceError as error:
        return Attested(AttestedStatus.INVALID, f"What is signed for the blind controls does not hold: {error}.")


_NOBODY = "Nobody signs for the blind controls: that they are independent is the word of whoever named them."


def _compare(names: Sequence[str], sources: Sequence[str], statement: Statement) -> str:
    stated = statement.predicate.get("models")
    if not isinstance(stated, list) or not names:
        raise EvidenceError("it names no models, or there are none here")
    strange = sorted(set(names) - {each for each in stated if isinstance(each, str)})
    if strange:
        raise EvidenceError(f"it does not name {strange[0][:80]}")
    other = [each for each in sources if each != statement.sha256]
    if other:
        raise EvidenceError(f"it is of the file {statement.sha256}, the answers are of another, {other[0][:64]}")
    return f"{len(names)} of the {len(stated)} models that it names are here"
