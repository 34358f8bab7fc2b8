"""Evidence that stands by itself: commitment, signature, time stamp, seal, and offline verification.

No network, no torch, no trust in whoever wrote it.
"""

from __future__ import annotations

from metav_audit.evidence.archive import pack_folder, unpacked
from metav_audit.evidence.attestation import (
    Attestation,
    check_free,
    load_attestation,
    save_attestation,
)
from metav_audit.evidence.commitment import (
    Registration,
    RegistrationStatus,
    check_commitment,
    make_commitment,
    preregistered,
    registration,
    registration_of,
)
from metav_audit.evidence.custody import Sealer, custody_of, seal_folder
from metav_audit.evidence.examine import Finding, Findings
from metav_audit.evidence.keys import SigningKey, VerifyingKey, make_key, read_key, read_signer
from metav_audit.evidence.reports import Rebuild
from metav_audit.evidence.seal import SEAL, Sealed, check_seal, make_seal, sha256_of
from metav_audit.evidence.sums import SUMS, check_sums, write_sums
from metav_audit.evidence.timestamp import (
    Post,
    Stamped,
    Stamper,
    TimeStamp,
    check_time_stamp,
    fetch_time_stamp,
    read_certificates,
)
from metav_audit.evidence.verify import Expected, Step, verify_folder

__all__ = [
    "SEAL",
    "SUMS",
    "Attestation",
    "Expected",
    "Finding",
    "Findings",
    "Post",
    "Rebuild",
    "Registration",
    "RegistrationStatus",
    "Sealed",
    "Sealer",
    "SigningKey",
    "Stamped",
    "Stamper",
    "Step",
    "TimeStamp",
    "VerifyingKey",
    "check_commitment",
    "check_free",
    "check_seal",
    "check_sums",
    "check_time_stamp",
    "custody_of",
    "fetch_time_stamp",
    "load_attestation",
    "make_commitment",
    "make_key",
    "make_seal",
    "pack_folder",
    "preregistered",
    "read_certificates",
    "read_key",
    "read_signer",
    "registration",
    "registration_of",
    "save_attestation",
    "seal_folder",
    "sha256_of",
    "unpacked",
    "verify_folder",
    "write_sums",
]
