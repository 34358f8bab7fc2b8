"""Evidence that stands by itself: commitment, signature, time stamp, seal, and offline verification.

No network, no torch, no trust in whoever wrote it.
"""

from __future__ import annotations

from metav_audit.evidence.archive import first_lines, pack_folder, unpacked
from metav_audit.evidence.attestation import Attestation, check_free, load_attestation, save_attestation
from metav_audit.evidence.commitment import (
    check_commitment,
    check_commitments,
    make_commitment,
    preregistered,
    registration_of,
)
from metav_audit.evidence.compare import (
    NotComparedError,
    csv_difference,
    first_difference,
    html_agreement,
    json_difference,
)
from metav_audit.evidence.compare_pdf import pdf_agreement
from metav_audit.evidence.custody import Attested, AttestedStatus, Custody, EvidenceFile
from metav_audit.evidence.dither import check_dither, commit_dither, dither_attested
from metav_audit.evidence.examine import Finding, Findings
from metav_audit.evidence.keys import SigningKey, VerifyingKey, make_key, read_key, read_signer
from metav_audit.evidence.rebuilt import check_rebuild_statement, make_rebuild_statement, rebuild_of
from metav_audit.evidence.register import ENDING, opened_register
from metav_audit.evidence.replayed import check_replay_statement, make_replay_statement, replay_of
from metav_audit.evidence.request_log import (
    LogSeal,
    check_asked,
    check_log_seals,
    is_older,
    is_sealed,
    log_seals,
    log_sentence,
    open_checked,
    seal_head,
)
from metav_audit.evidence.seal import Sealed, check_seal, make_seal, sha256_of
from metav_audit.evidence.served import check_drawn, check_served, served_sentence
from metav_audit.evidence.sums import check_sums, write_sums
from metav_audit.evidence.supplier import check_supplier_statement, make_supplier_statement, supplied, supplier_of
from metav_audit.evidence.timestamp import (
    Post,
    Stamped,
    Stamper,
    TimeStamp,
    check_time_stamp,
    fetch_time_stamp,
    read_certificates,
)
from metav_audit.evidence.verdict_statement import write_verdict_statement
from metav_audit.evidence.weighing import Sealer, close_folder, closing_of, custody_of, seal_folder

__all__ = [
    "ENDING",
    "Attestation",
    "Attested",
    "AttestedStatus",
    "Custody",
    "EvidenceFile",
    "Finding",
    "Findings",
    "LogSeal",
    "NotComparedError",
    "Post",
    "Sealed",
    "Sealer",
    "SigningKey",
    "Stamped",
    "Stamper",
    "TimeStamp",
    "VerifyingKey",
    "check_asked",
    "check_commitment",
    "check_commitments",
    "check_dither",
    "check_drawn",
    "check_free",
    "check_log_seals",
    "check_rebuild_statement",
    "check_replay_statement",
    "check_seal",
    "check_served",
    "check_sums",
    "check_supplier_statement",
    "check_time_stamp",
    "close_folder",
    "closing_of",
    "commit_dither",
    "csv_difference",
    "custody_of",
    "dither_attested",
    "fetch_time_stamp",
    "first_difference",
    "first_lines",
    "html_agreement",
    "is_older",
    "is_sealed",
    "json_difference",
    "load_attestation",
    "log_seals",
    "log_sentence",
    "make_commitment",
    "make_key",
    "make_rebuild_statement",
    "make_replay_statement",
    "make_seal",
    "make_supplier_statement",
    "open_checked",
    "opened_register",
    "pack_folder",
    "pdf_agreement",
    "preregistered",
    "read_certificates",
    "read_key",
    "read_signer",
    "rebuild_of",
    "registration_of",
    "replay_of",
    "save_attestation",
    "seal_folder",
    "seal_head",
    "served_sentence",
    "sha256_of",
    "supplied",
    "supplier_of",
    "unpacked",
    "write_sums",
    "write_verdict_statement",
]
