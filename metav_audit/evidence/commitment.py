"""The commitment: a bundle fixed by its hashes, signed and time-stamped before the first query is sent.

It rules out that thresholds, queries or calibration were chosen after the suspect's answers were seen. The statement's
subject is the bundle's hash, which covers all of it; its parts stand there as well, by hash, and by value where they
are small, so that a reader sees what was fixed without the bundle. Further subjects are the target's own files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metav_audit.bundle import FingerprintBundle, NaturalInputs
from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.evidence.attestation import Attestation, attest
from metav_audit.evidence.compare import first_difference
from metav_audit.evidence.custody import Attested, AttestedStatus
from metav_audit.evidence.envelope import COMMITS, OF_TARGET, Statement
from metav_audit.evidence.examine import Findings, describe_stamp, examine
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.register import Place, Register, check_register
from metav_audit.evidence.source import program
from metav_audit.evidence.timestamp import Stamper
from metav_audit.verdict import RULES, states_ancestor

PREDICATE_TYPE = COMMITS


def make_commitment(
    bundle: FingerprintBundle,
    key: SigningKey,
    *,
    claimed_at: datetime,
    stamper: Stamper | None = None,
    register: Register | None = None,
) -> Attestation:
    """Commit to a bundle, to this program's rules and to its source.

    Args:
        bundle: what is committed to.
        key: who commits.
        claimed_at: the time that goes into the statement, aware; it is the signer's word.
        stamper: fetches a time stamp, ``fetch_time_stamp`` with all but the content given; None for none.
        register: the key's, from which the commitment gets its number, and into which it is entered; None for none.

    Raises:
        ConfigurationError: the bundle has siblings and does not state what the target was tuned from.
        EvidenceError: the bundle holds numbers that cannot be stated, or the authority's answer is refused.
        RemoteError: the authority could not be asked.
    """
    if bundle.verifier.siblings is not None and not states_ancestor(bundle):
        raise ConfigurationError(
            "the bundle does not state what the target was tuned from, as evidence has to: set ancestor below "
            '[training] to "none" or to the file of the weights, and fit again'
        )
    claimed = claimed_at.astimezone(UTC).isoformat()
    predicate = {
        "claimed_at": claimed,
        "bundle": _facts(bundle),
        "rules": RULES.stated(bundle.task.output),
        "code": program(),
        **({} if register is None else {"register": asdict(register.place)}),
    }
    statement = Statement(bundle.name, bundle.sha256, PREDICATE_TYPE, predicate, _of_target(bundle))
    made = attest(statement, key, stamper)
    if register is not None:
        register.enter(made.envelope_sha256, bundle.sha256, claimed)
    return made


def check_commitments(commitments: Sequence[Attestation], key_id: str) -> str:
    """Hold a key's commitments against each other; see ``check_register``.

    Args:
        commitments: all that somebody has, that of the audit among them.
        key_id: of the key whose they should be.

    Raises:
        EvidenceError: one is another key's or does not hold, or one of them is missing or bears another's number.
    """
    places = []
    for each in commitments:
        findings = examine(each, PREDICATE_TYPE, lambda _: "", signer=key_id)
        if findings.statement is None or not findings.passed:
            raise EvidenceError(f"the commitment {each.envelope_sha256} does not hold: {findings.problem}")
        places.append((Place.stated(findings.statement.predicate), each.envelope_sha256))
    return check_register(places)


def check_commitment(
    commitment: Attestation, bundle: FingerprintBundle, *, signer: str | None = None, roots: str | None = None
) -> Findings:
    """Check a commitment offline: its signature, that it is to this bundle and these rules, its time stamp.

    Args:
        commitment: as ``load_attestation`` read it.
        bundle: what it should be to.
        signer: the key id that is expected, see ``read_signer``; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the commitment if None.
    """
    return examine(commitment, PREDICATE_TYPE, partial(_compare, bundle), signer=signer, roots=roots)


def preregistered(findings: Findings, first_query: datetime) -> tuple[bool, str]:
    """Say whether a commitment that holds was made before the first query, and a sentence on it.

    Only a time stamp that precedes the first query, its own accuracy included, makes a result pre-registered; the time
    that a signer states for themselves never does.

    Args:
        findings: what ``check_commitment`` found; they passed.
        first_query: when the first query left, aware.
    """
    stamped, began = findings.stamped, f"{first_query.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if stamped is None:
        claimed = f"{findings.claimed_at:%Y-%m-%d %H:%M:%S} UTC" if findings.claimed_at else "none"
        if findings.claimed_at is not None and findings.claimed_at > first_query:
            return False, (
                f"The bundle's commitment was not made before the first query ({began}, by the auditor's clock): its "
                f"signer, the key {findings.key_id}, states {claimed}."
            )
        return False, (
            f"The bundle's commitment is signed by the key {findings.key_id}, but not time-stamped: the time in it, "
            f"{claimed}, is the signer's word only, and does not show that it was made before the first query."
        )
    seen = describe_stamp(stamped)
    if stamped.latest < first_query:
        return True, (
            f"{'Pre-registered' if stamped.trusted else 'Claims to be pre-registered'}: the commitment to the bundle, "
            f"signed by the key {findings.key_id}, was time-stamped before the first query ({began}, by the auditor's "
            f"clock): {seen}."
        )
    return False, (
        f"The bundle's commitment was not time-stamped before the first query ({began}, by the auditor's clock): "
        f"{seen}."
    )


def registration_of(
    bundle: FingerprintBundle, first_query: datetime, *, signer: str | None = None, roots: str | None = None
) -> Attested:
    """Say whether a bundle was committed to before the first query, from the commitment that it carries.

    Args:
        bundle: as loaded, with its commitment.
        first_query: when the first query left, aware.
        signer: the key id that is expected, which must have committed then; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM, which must have stamped it then; those in it if None.
    """
    if bundle.commitment is None:
        return _none(signer)
    try:
        findings = check_commitment(Attestation.from_bytes(bundle.commitment), bundle, signer=signer, roots=roots)
    except EvidenceError as error:
        return _invalid(str(error))
    unstamped = "it carries no time stamp, and the reader gave an authority's root"
    problem = findings.problem or (unstamped if roots is not None and findings.stamped is None else None)
    if problem is not None:
        return _invalid(problem)
    before, sentence = preregistered(findings, first_query)
    assert findings.statement is not None
    sentence += _numbered(findings.statement) + _other_program(findings.statement)
    stamped = findings.stamped
    if stamped is None:
        late = findings.claimed_at is not None and findings.claimed_at > first_query
        return Attested(AttestedStatus.LATE if late else AttestedStatus.SIGNED, sentence, None, findings.key_id)
    in_time = AttestedStatus.PRE_REGISTERED if stamped.trusted else AttestedStatus.CLAIMED
    status = in_time if before else AttestedStatus.LATE
    return Attested(status, sentence, stamped.at.isoformat(), findings.key_id, stamped.authority)


def _numbered(statement: Statement) -> str:
    place = Place.stated(statement.predicate)
    told = "it is not numbered: how many others its signer made, nothing shows" if place is None else str(place)
    return f" Of the signer's commitments, {told}."


def _none(signer: str | None) -> Attested:
    if signer is not None:
        return _invalid(f"there is none, and the key {signer} was to have committed")
    sentence = "The bundle carries no commitment: nothing shows that it was fixed before the first query."
    return Attested(AttestedStatus.NONE, sentence)


def _invalid(problem: str) -> Attested:
    return Attested(AttestedStatus.INVALID, f"The bundle's commitment does not hold: {problem.rstrip('.')}.")


def _compare(bundle: FingerprintBundle, statement: Statement) -> str:
    if statement.sha256 != bundle.sha256:
        raise EvidenceError(f"it commits to the bundle {statement.sha256}, this one is {bundle.sha256}")
    stated = {name: statement.predicate.get(name) for name in ("bundle", "rules")}
    here = json.loads(json.dumps({"bundle": _facts(bundle), "rules": RULES.stated(bundle.task.output)}))
    Place.stated(statement.predicate)
    stated["subjects"], here["subjects"] = dict(statement.further), _of_target(bundle)
    difference = first_difference(stated, here)
    if difference:
        raise EvidenceError(f"what it commits to is not what is here: {difference}.{_other_program(statement)}")
    return f"it commits to this bundle, {bundle.sha256}, and to this program's rules.{_other_program(statement)}"


def _other_program(statement: Statement) -> str:
    """Return a further sentence where the commitment is to another program than this one."""
    stated, here = statement.predicate.get("code"), program()
    if stated == here:
        return ""
    return (
        f" It names the program {json.dumps(stated)[:200]}, this one is {json.dumps(here)}: that the verdict is the "
        "committed one is certain only if that program gives it, too."
    )


def _facts(bundle: FingerprintBundle) -> dict[str, Any]:
    """State all that decides a verdict and comes from the bundle."""
    return {
        "sha256": bundle.sha256,
        "method": bundle.method,
        "task": bundle.task.to_json(),
        "inputs": _array(bundle.inputs),
        "reference": _array(bundle.reference),
        **({} if bundle.ancestor is None else {"ancestor": _array(bundle.ancestor)}),
        "verifier": {
            "kind": bundle.verifier.kind.value,
            "tensors": {name: _array(tensor) for name, tensor in sorted(bundle.verifier.tensors.items())},
        },
        "rates": asdict(bundle.rates),
        "calibration": {
            "answers": _array(bundle.calibration.features),
            "models": [card.to_json() for card in bundle.calibration.models],
        },
        "weight": asdict(bundle.weight),
        "provenance": dict(bundle.provenance),
        **({} if bundle.natural is None else {"natural": _natural(bundle.natural)}),
    }


def _of_target(bundle: FingerprintBundle) -> dict[str, str]:
    """Name by hash what the bundle says of the target's own files and of a signed manifest of them."""
    told = bundle.provenance
    file, manifest, subject = OF_TARGET
    files = {f"{file}{name}": sha256 for name, sha256 in told.get("target_files", {}).items()}
    signed = told.get("model_signing")
    if signed is not None:
        files[f"{manifest}{signed['manifest']}"] = signed["sha256"]
        files |= {f"{subject}{name}": sha256 for name, sha256 in signed["subjects"].items()}
    return files


def _natural(natural: NaturalInputs) -> dict[str, Any]:
    return {**natural.stated(), "tensors": {name: _array(each) for name, each in sorted(natural.tensors().items())}}


def _array(array: NDArray[Any]) -> dict[str, Any]:
    """State an array: its shape, and the SHA-256 of its float32 values, little-endian, row by row."""
    content = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return {"shape": list(array.shape), "sha256": hashlib.sha256(content).hexdigest()}
