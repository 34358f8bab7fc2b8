"""A verdict as an in-toto test result, which policy engines read: https://in-toto.io/attestation/test-result/v0.1.

Two tests stand for an audit. ``comparable``: the endpoint answered enough for a verdict, and the positive control of
the run, where it had one, matched. ``not-derived``: the answers are those of a model independent of the protected one.
Of an audit that decides nothing the second was never made, so it is in no list.
"""

from __future__ import annotations

from typing import Any

from metav_audit.bundle import FingerprintBundle
from metav_audit.evidence.custody import Custody
from metav_audit.evidence.envelope import canonical, sign_payload, write_statement
from metav_audit.evidence.keys import SigningKey
from metav_audit.evidence.weighing import custody_of
from metav_audit.verdict import BUNDLE, TRANSCRIPT, AuditFolder, Verdict, VerdictOutcome

PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
MANIFEST = f"{BUNDLE}/manifest.json"
COMPARABLE, NOT_DERIVED = "comparable", "not-derived"


def write_verdict_statement(folder: AuditFolder, key: SigningKey | None = None) -> bytes:
    """Write what an audit found as an in-toto test result; the same evidence and key give the same bytes.

    Its subjects are the transcript and the bundle's manifest, by the SHA-256 of their files. The verdict is decided
    anew from them.

    Args:
        folder: one audit's folder.
        key: who signs it, as a DSSE envelope; a plain statement, which is nobody's word, if None.

    Raises:
        ConfigurationError: the folder holds no whole audit.
        BundleError, TranscriptError, AnswerError, EvidenceError: the evidence is damaged, or its parts contradict each
            other.
    """
    decision = folder.decided()
    custody = custody_of(folder, decision.bundle, decision.transcript)
    files = {file.name: file.sha256 for file in custody.files}
    subjects = {name: files[name] for name in (TRANSCRIPT, MANIFEST)}
    predicate = {
        **_result(decision.verdict, custody),
        "configuration": _configuration(decision.bundle, decision.verdict, files[MANIFEST]),
    }
    statement = write_statement(subjects.items(), PREDICATE_TYPE, predicate)
    return (statement if key is None else canonical(sign_payload(statement, key).to_json())) + b"\n"


def _result(verdict: Verdict, custody: Custody) -> dict[str, Any]:
    """Return the result and which tests passed, warned and failed."""
    stands = custody.control is None or custody.control.passed
    if not stands or verdict.outcome is VerdictOutcome.INCONCLUSIVE:
        return _lists("WARNED", warned=[COMPARABLE])
    if verdict.outcome is VerdictOutcome.MATCH:
        return _lists("FAILED", passed=[COMPARABLE], failed=[NOT_DERIVED])
    return _lists("PASSED", passed=[COMPARABLE, NOT_DERIVED])


def _lists(
    result: str, passed: list[str] | None = None, warned: list[str] | None = None, failed: list[str] | None = None
) -> dict[str, Any]:
    return {"result": result, "passedTests": passed or [], "warnedTests": warned or [], "failedTests": failed or []}


def _configuration(bundle: FingerprintBundle, verdict: Verdict, manifest_sha256: str) -> list[dict[str, Any]]:
    """Return what the test was made with: the bundle, and whom it asked."""
    asked_with = {
        "name": bundle.name,
        "digest": {"sha256": manifest_sha256},
        "annotations": {"bundle_sha256": bundle.sha256},
    }
    return [asked_with, {"name": verdict.endpoint, "uri": verdict.url}]
