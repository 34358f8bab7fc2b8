"""A replay's statement: whoever ran the owner's training program again says, signed, what it gave.

The statement's subject is the bundle whose target was replayed. The owner can make one, and so can anyone to whom the
project was shown.
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
from metav_audit.evidence.envelope import Statement
from metav_audit.evidence.examine import Findings, examine
from metav_audit.evidence.keys import SigningKey
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
