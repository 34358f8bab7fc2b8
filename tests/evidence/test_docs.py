"""The documentation's own commands, run as they stand."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from metav_audit.evidence import make_commitment, save_attestation

PAGE = Path(__file__).parents[2] / "docs" / "commitment.md"


def run(folder):
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    script = f"set -e -o pipefail\n{block}"
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


def test_anyone_checks_a_commitment_without_us(bundle, key, authority, tmp_path):
    """The page's commands, of Python's standard library and OpenSSL alone, verify a commitment."""
    commitment = make_commitment(bundle, key, claimed_at=datetime.now(UTC), stamper=authority.stamp)
    save_attestation(commitment, tmp_path / "commitment.json")
    (tmp_path / "root.pem").write_text(authority.roots)
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("Signature Verified Successfully", key.public.key_id, "Verification: OK", "Time stamp: "):
        assert part in done.stdout + done.stderr
    assert bundle.sha256 in (tmp_path / "statement.json").read_text()


def test_they_refuse_another_authority(bundle, key, authority, own_authority, tmp_path):
    """With the root of another authority they fail."""
    commitment = make_commitment(bundle, key, claimed_at=datetime.now(UTC), stamper=authority.stamp)
    save_attestation(commitment, tmp_path / "commitment.json")
    (tmp_path / "root.pem").write_text(own_authority.roots)
    assert run(tmp_path).returncode != 0
