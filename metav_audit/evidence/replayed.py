"""A replay's statement: whoever ran the owner's training program again says, signed, what it gave.

The statement's subject is the bundle whose target was replayed. The owner can make one, and so can anyone to whom the
project was shown. It stands in the bundle's folder, ``replay.json``, and an audit takes it along.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from metav_audit.bundle import FingerprintBundle
from metav_audit.errors import EvidenceError
from metav_audit.evidence.attestation import Attestation, attest
from metav_audit.evidence.compare import first_difference
from metav_audit.evidence.custody import Attested, AttestedStatus
from metav_audit.evidence.envelope import Statement
from metav_audit.evidence.examine import Findings, examine
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.rebuilt import carried
from metav_audit.evidence.timestamp import Stamper

PREDICATE_TYPE = "urn:metav-audit:replay:v1"


def make_replay_statement(
    bundle: FingerprintBundle,
    found: Mapping[str, Any],
    program: Mapping[str, Any],
    key: SigningKey,
    *,
    claimed_at: datetime,
    stamper: Stamper | None = None,
) -> Attestation:
    """State what a replay of a bundle's target gave.

    Args:
        bundle: whose target was replayed.
        found: what the replay found, in JSON types.
        program: the program and what it is made of, in JSON types.
        key: who states it.
        claimed_at: the time that goes into the statement, aware; it is the signer's word.
        stamper: fetches a time stamp; None for none.

    Raises:
        EvidenceError: the authority's answer is refused.
        RemoteError: the authority could not be asked.
    """
    claimed = claimed_at.astimezone(UTC).isoformat()
    target = bundle.provenance.get("target_sha256")
    predicate = {"claimed_at": claimed, "target_sha256": target, "replay": dict(found), "program": dict(program)}
    return attest(Statement("bundle", bundle.sha256, PREDICATE_TYPE, predicate), key, stamper)


def check_replay_statement(
    statement: Attestation, bundle: FingerprintBundle, *, signer: str | None = None, roots: str | None = None
) -> Findings:
    """Check a replay's statement offline: its signature, that it is of this bundle's target and program, its stamp.

    Args:
        statement: as ``load_attestation`` read it.
        bundle: whose target it should speak of.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the statement if None.
    """
    return examine(statement, PREDICATE_TYPE, partial(_compare, bundle), signer=signer, roots=roots)


def replay_of(bundle: FingerprintBundle, owner: str | None, roots: str | None = None) -> Attested | None:
    """Say whether somebody ran a bundle's training program again, from the statement that it carries.

    Args:
        bundle: as loaded, with its statement.
        owner: the key id that committed to it, whose word on this is no other party's; None where nobody did.
        roots: time-stamp authorities' root certificates, PEM; those in the statement if None.

    Returns:
        None where the bundle has no siblings, and so nothing to run again.
    """
    if bundle.replay is None:
        return None if bundle.verifier.siblings is None else Attested(AttestedStatus.NONE, _NOBODY)
    try:
        findings = check_replay_statement(Attestation.from_bytes(bundle.replay), bundle, roots=roots)
        stated = {} if findings.statement is None else findings.statement.predicate
        return carried(AttestedStatus.REPLAYED, _told(stated), findings, owner)
    except EvidenceError as error:
        return Attested(
            AttestedStatus.INVALID, f"The siblings may be no true reruns, and nothing rests on them: {error}."
        )


_NOBODY = "Nobody has signed that they ran the training program with the target's own seed and got the target."
_GAVE = {
    "reproduced": "gave the target again",
    "nearly reproduced": (
        "gave not quite the target, but a model much closer to it than two siblings are to each other"
    ),
}


def _told(stated: Mapping[str, Any]) -> str:
    """Say what the program gave, run with the target's own seed.

    Raises:
        EvidenceError: something else than the target.
    """
    found = stated.get("replay")
    status = found.get("status") if isinstance(found, dict) else None
    if stated and status not in _GAVE:
        raise EvidenceError(f"run with the target's own seed the training program did not give it: {str(status)[:40]}")
    return f"Run again with the target's own seed, the training program {_GAVE.get(str(status), '')}"


def _compare(bundle: FingerprintBundle, statement: Statement) -> str:
    stated = statement.predicate
    if statement.sha256 != bundle.sha256 or stated.get("target_sha256") != bundle.provenance.get("target_sha256"):
        raise EvidenceError(f"it speaks of the bundle {statement.sha256}, this one is {bundle.sha256}")
    named = json.loads(json.dumps(bundle.provenance.get("training") or {}))
    program = stated.get("program")
    if not isinstance(program, dict):
        raise EvidenceError("it names no training program")
    difference = first_difference(program, {name: named.get(name) for name in program})
    if difference:
        raise EvidenceError(f"the program that was replayed is not the one that the bundle names: {difference}")
    found = stated.get("replay")
    status = found.get("status") if isinstance(found, dict) else None
    return f"the target of this bundle was replayed: {status}"
