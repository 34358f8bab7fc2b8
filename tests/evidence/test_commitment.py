"""Commitments: what they fix, what is refused, and what alone makes a result pre-registered."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import metav_audit
from metav_audit.bundle import ErrorRates, FingerprintBundle
from metav_audit.errors import BundleError, ConfigurationError, EvidenceError
from metav_audit.evidence import (
    Attestation,
    AttestedStatus,
    check_commitment,
    load_attestation,
    make_commitment,
    preregistered,
    registration_of,
    save_attestation,
    source,
)
from metav_audit.evidence import commitment as module
from metav_audit.evidence.envelope import canonical, pae
from metav_audit.evidence.source import source_sha256
from metav_audit.verdict import Rules
from tests.authority import openssl
from tests.builders import make_bundle
from tests.evidence.conftest import signing_key

CLAIMED = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
EARLIER = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def stamped(bundle, key, authority):
    return make_commitment(bundle, key, claimed_at=CLAIMED, stamper=authority.stamp)


@pytest.fixture(scope="module")
def signed(bundle, key):
    return make_commitment(bundle, key, claimed_at=CLAIMED)


def carrying(bundle, commitment):
    return dataclasses.replace(bundle, commitment=commitment.to_bytes())


def altered(commitment, change):
    """A commitment whose payload was changed after it was signed."""
    fields = json.loads(commitment.envelope.payload)
    change(fields)
    return dataclasses.replace(commitment, envelope=dataclasses.replace(commitment.envelope, payload=canonical(fields)))


def failed(findings):
    return [finding.name for finding in findings.findings if not finding.passed]


def test_a_commitment_holds_offline(bundle, key, authority, stamped, tmp_path):
    """Written, read and checked: signature, statement and time stamp hold; the signer and the time are known."""
    save_attestation(stamped, tmp_path / "commitment.json")
    read = load_attestation(tmp_path / "commitment.json")
    assert read == stamped
    assert read.sha256 == hashlib.sha256((tmp_path / "commitment.json").read_bytes()).hexdigest()
    findings = check_commitment(read, bundle, signer=key.public.key_id, roots=authority.roots)
    assert [finding.name for finding in findings.findings] == ["signature", "statement", "time stamp"]
    assert findings.passed, findings.problem
    assert (findings.key_id, findings.claimed_at) == (key.public.key_id, CLAIMED)
    assert findings.stamped.at.utcoffset() == timedelta(0)
    assert abs(findings.stamped.at - datetime.now(UTC)) < timedelta(days=1)


def test_everything_that_decides_a_verdict_is_stated(bundle, signed):
    """The bundle's hash is the subject; queries, verifier, rates, calibration, seed, rules and source stand there."""
    statement = json.loads(signed.envelope.payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "toy", "digest": {"sha256": bundle.sha256}}]
    stated = statement["predicate"]["bundle"]
    assert stated["inputs"]["sha256"] == hashlib.sha256(bundle.inputs.astype("<f4").tobytes()).hexdigest()
    assert stated["verifier"]["tensors"].keys() == bundle.verifier.tensors.keys()
    assert stated["rates"] == {"false_match": 0.05, "false_no_match": 0.05}
    assert len(stated["calibration"]["models"]) == len(bundle.calibration.models)
    assert stated["provenance"] == bundle.provenance
    assert statement["predicate"]["rules"]["minimum_share_answered"] == 0.5
    assert statement["predicate"]["code"] == {
        "metav_audit": metav_audit.__version__,
        "source_sha256": source_sha256(),
    }


def test_the_source_s_hash_is_what_a_shell_computes():
    """The command of the documentation gives the same hash."""
    words = "find metav_audit -name '*.py' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    where = Path(metav_audit.__file__).parents[1]
    done = subprocess.run(["sh", "-c", words], cwd=where, check=True, capture_output=True, text=True)
    assert done.stdout.split()[0] == source_sha256()


def changes(bundle):
    louder = {name: tensor * np.float32(2) for name, tensor in bundle.verifier.tensors.items()}
    cards = (dataclasses.replace(bundle.calibration.models[0], performance=0.8), *bundle.calibration.models[1:])
    return {
        "inputs": bundle.inputs[::-1].copy(),
        "verifier": dataclasses.replace(bundle.verifier, tensors=louder),
        "rates": ErrorRates(0.06, 0.05),
        "calibration": dataclasses.replace(bundle.calibration, models=cards),
        "provenance": {**bundle.provenance, "seed": 99},
    }


@pytest.mark.parametrize("part", ["inputs", "verifier", "rates", "calibration", "provenance"])
def test_a_commitment_to_another_bundle_is_refused(bundle, stamped, part):
    """Whatever is changed after the commitment makes another bundle of it."""
    other = dataclasses.replace(bundle, **{part: changes(bundle)[part]})
    findings = check_commitment(stamped, other)
    assert failed(findings) == ["statement"]
    assert other.sha256 in findings.problem
    assert registration_of(carrying(other, stamped), LATER).status is AttestedStatus.INVALID


def test_other_rules_of_the_program_are_refused(bundle, stamped, monkeypatch):
    """A threshold that the bundle leaves to the program is committed to, too."""
    monkeypatch.setattr(module, "RULES", Rules(minimum_share_answered=0.1))
    findings = check_commitment(stamped, bundle)
    assert failed(findings) == ["statement"]
    assert "minimum_share_answered is 0.5, recomputed it is 0.1" in findings.problem


def test_another_source_is_named(bundle, stamped, monkeypatch):
    """A later version may check; that it is another one is said wherever the result is."""
    monkeypatch.setattr(source, "source_sha256", lambda: "f" * 64)
    assert check_commitment(stamped, bundle).passed
    told = registration_of(carrying(bundle, stamped), LATER)
    assert told.status is AttestedStatus.CLAIMED
    assert told.sentence.startswith("Claims to be pre-registered")
    assert "f" * 64 in told.sentence


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["predicate"]["bundle"]["rates"].update(false_match=0.5),
        lambda fields: fields["predicate"].update(claimed_at="2000-01-01T00:00:00+00:00"),
        lambda fields: fields["subject"][0]["digest"].update(sha256="0" * 64),
    ],
)
def test_an_altered_statement_is_refused(bundle, stamped, change):
    """Neither signature nor time stamp holds; what follows from it is not looked at."""
    findings = check_commitment(altered(stamped, change), bundle)
    assert failed(findings) == ["signature", "statement", "time stamp"]
    assert (findings.key_id, findings.stamped, findings.claimed_at) == (None, None, None)


def test_a_statement_signed_again_is_refused(bundle, key, stamped):
    """With another key it holds in itself, but not for who expects the first; and the old stamp is not its own."""
    forged = dataclasses.replace(make_commitment(bundle, signing_key(2), claimed_at=CLAIMED))
    assert check_commitment(forged, bundle).passed
    assert failed(check_commitment(forged, bundle, signer=key.public.key_id)) == ["signature", "statement"]
    borrowed = dataclasses.replace(forged, time_stamp=stamped.time_stamp)
    assert failed(check_commitment(borrowed, bundle)) == ["time stamp"]
    told = registration_of(carrying(bundle, forged), LATER, signer=key.public.key_id)
    assert told.status is AttestedStatus.INVALID
    assert key.public.key_id in told.sentence


def test_another_public_key_beside_it_is_refused(bundle, stamped):
    """The public key in the file must be the one that the envelope names, and that signed."""
    other = dataclasses.replace(stamped, public_key=signing_key(2).public.pem)
    assert "signature" in failed(check_commitment(other, bundle))
    renamed = dataclasses.replace(stamped, envelope=dataclasses.replace(stamped.envelope, key_id="0" * 64))
    assert "signature" in failed(check_commitment(renamed, bundle))


def test_the_stamp_covers_the_statement_and_not_the_signature_alone(stamped, authority, tmp_path):
    """OpenSSL verifies the stored answer over the envelope's canonical JSON, and the signature over its encoding."""
    (tmp_path / "answer").write_bytes(stamped.time_stamp.response)
    envelope = json.loads(stamped.to_bytes())["envelope"]
    (tmp_path / "envelope").write_text(json.dumps(envelope, sort_keys=True, separators=(",", ":")))
    words = ("ts", "-verify", "-in", "answer", "-data", "envelope", "-CAfile", authority.root)
    assert b"Verification: OK" in openssl(*words, cwd=tmp_path)
    (tmp_path / "signed").write_bytes(pae(stamped.envelope.payload_type, stamped.envelope.payload))
    (tmp_path / "signature").write_bytes(stamped.envelope.signature)
    (tmp_path / "key").write_text(stamped.public_key)
    words = ("-pubin", "-inkey", "key", "-rawin", "-in", "signed", "-sigfile", "signature")
    assert b"Verified Successfully" in openssl("pkeyutl", "-verify", *words, cwd=tmp_path)


def test_pre_registered_is_what_a_stamp_shows_alone(bundle, key, authority, stamped):
    """Stamped before the first query; the sentence names key, authority and times."""
    told = registration_of(carrying(bundle, stamped), LATER, roots=authority.roots)
    assert told.status is AttestedStatus.PRE_REGISTERED
    assert (told.key_id, told.authority) == (key.public.key_id, "CN=Time,O=Test")
    at = datetime.fromisoformat(told.at)
    assert at == check_commitment(stamped, bundle).stamped.at
    for part in ("Pre-registered", key.public.key_id, "2100-01-01", f"{at:%Y-%m-%d %H:%M:%S} UTC"):
        assert part in told.sentence
    assert "for the reader to compare" not in told.sentence


def test_an_authority_that_nobody_vouched_for_is_named_as_such(bundle, stamped):
    """Roots that came along with the stamp may be anyone's: the sentence gives their hash to compare."""
    told = registration_of(carrying(bundle, stamped), LATER)
    assert told.status is AttestedStatus.CLAIMED
    assert told.sentence.startswith("Claims to be pre-registered")
    assert "is for the reader to compare" in told.sentence


def test_a_stamp_after_the_first_query_is_late(bundle, stamped):
    """Late is not pre-registered, at the very second neither; nor where the accuracy leaves it open."""
    told = registration_of(carrying(bundle, stamped), EARLIER)
    assert (told.status, told.at is None) == (AttestedStatus.LATE, False)
    assert "not time-stamped before" in told.sentence
    findings = check_commitment(stamped, bundle)
    at = findings.stamped.at
    assert not preregistered(findings, at)[0]
    assert preregistered(findings, at + timedelta(seconds=1))[0]
    rough = dataclasses.replace(findings.stamped, accuracy=timedelta(seconds=2))
    assert not preregistered(dataclasses.replace(findings, stamped=rough), at + timedelta(seconds=1))[0]


def test_a_bare_signature_is_never_pre_registered(bundle, signed):
    """However early the time that it claims: that is the signer's word."""
    told = registration_of(carrying(bundle, signed), LATER)
    assert (told.status, told.at, told.authority) == (AttestedStatus.SIGNED, None, None)
    assert "2026-03-04 09:30:00 UTC, is the signer's word only" in told.sentence
    assert "re-registered" not in told.sentence


def test_a_signer_who_states_a_later_time_is_late(bundle, signed):
    """Who says themselves that they committed after the first query has not committed before it."""
    told = registration_of(carrying(bundle, signed), EARLIER)
    assert told.status is AttestedStatus.LATE
    assert "states 2026-03-04 09:30:00 UTC" in told.sentence


def test_whatever_the_reader_names_must_be_there(bundle, signed, authority, key):
    """An owner's key without a commitment, an authority's root without a stamp: neither holds."""
    missing = registration_of(bundle, LATER, signer=key.public.key_id)
    assert (missing.holds, "there is none" in missing.sentence) == (False, True)
    bare = registration_of(carrying(bundle, signed), LATER, roots=authority.roots)
    assert (bare.holds, "carries no time stamp" in bare.sentence) == (False, True)


def test_no_commitment_and_a_damaged_one_are_told_apart(bundle):
    """None is no fault; one that cannot be read is."""
    assert registration_of(bundle, LATER).status is AttestedStatus.NONE
    told = registration_of(dataclasses.replace(bundle, commitment=b"{"), LATER)
    assert told.status is AttestedStatus.INVALID
    assert "does not hold: the attestation is damaged" in told.sentence


def test_a_bundle_on_disk_carries_its_commitment(bundle, stamped, tmp_path):
    """It has no part in the bundle's hash, and comes along when the bundle is saved elsewhere."""
    bundle.save(tmp_path / "owner")
    save_attestation(stamped, tmp_path / "owner" / "commitment.json")
    loaded = FingerprintBundle.load(tmp_path / "owner")
    assert loaded.sha256 == bundle.sha256
    loaded.save(tmp_path / "auditor")
    assert registration_of(FingerprintBundle.load(tmp_path / "auditor"), LATER).status is AttestedStatus.CLAIMED
    assert (tmp_path / "auditor" / "commitment.json").read_bytes() == stamped.to_bytes()


def test_an_oversized_commitment_is_refused(bundle, tmp_path, monkeypatch):
    """A bundle's folder from outside cannot fill the memory."""
    bundle.save(tmp_path / "b")
    monkeypatch.setattr("metav_audit.bundle.folder.MAX_COMMITMENT_BYTES", 100)
    (tmp_path / "b" / "commitment.json").write_bytes(b" " * 101)
    with pytest.raises(BundleError, match="larger than 100 bytes"):
        FingerprintBundle.load(tmp_path / "b")


def test_an_attestation_is_never_overwritten(signed, tmp_path):
    """The older one is worth more."""
    save_attestation(signed, tmp_path / "commitment.json")
    with pytest.raises(ConfigurationError, match="never overwritten"):
        save_attestation(signed, tmp_path / "commitment.json")


def drop(*path):
    def change(fields):
        *way, last = path
        for name in way:
            fields = fields[name]
        del fields[last]

    return change


@pytest.mark.parametrize(
    "change",
    [
        drop("format"),
        drop("envelope"),
        drop("envelope", "payload"),
        drop("envelope", "signatures", 0),
        drop("public_key"),
        drop("time_stamp", "nonce"),
        lambda fields: fields.update(schema_version=2),
        lambda fields: fields.update(surprise=1),
        lambda fields: fields.update(public_key=3),
        lambda fields: fields.update(time_stamp=[]),
        lambda fields: fields["envelope"].update(payload="!"),
        lambda fields: fields["envelope"].update(payloadType=None),
        lambda fields: fields["envelope"]["signatures"].append(fields["envelope"]["signatures"][0]),
        lambda fields: fields["time_stamp"].update(nonce=12),
        lambda fields: fields["time_stamp"].update(nonce="-1"),
        lambda fields: fields["time_stamp"].update(nonce="9" * 5000),
        lambda fields: fields["time_stamp"].update(certificates=None),
    ],
)
def test_a_file_that_lacks_or_misstates_a_part_is_refused(stamped, change):
    """Each in one line, as EvidenceError."""
    fields = json.loads(stamped.to_bytes())
    change(fields)
    with pytest.raises(EvidenceError, match="damaged, or none of ours") as caught:
        Attestation.from_bytes(json.dumps(fields).encode())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"NaN", b"\xff", b"[" * 100_000])
def test_a_file_of_another_kind_is_refused(content, tmp_path):
    """Not JSON, or JSON of something else; a missing file, too."""
    with pytest.raises(EvidenceError):
        Attestation.from_bytes(content)
    with pytest.raises(EvidenceError, match="cannot read"):
        load_attestation(tmp_path / "none.json")


@pytest.mark.parametrize("certificates", ["", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "\ud800"])
def test_damaged_certificates_are_a_finding(bundle, stamped, certificates):
    """A time stamp that cannot be checked does not hold."""
    stamp = dataclasses.replace(stamped.time_stamp, certificates=certificates)
    assert failed(check_commitment(dataclasses.replace(stamped, time_stamp=stamp), bundle)) == ["time stamp"]


def test_a_bundle_that_cannot_be_stated_is_refused(key):
    """A number that not every reader reads exactly is no evidence."""
    bundle = make_bundle()
    bundle = dataclasses.replace(bundle, provenance={**bundle.provenance, "seed": 2**60})
    with pytest.raises(EvidenceError, match="write large numbers as texts"):
        make_commitment(bundle, key, claimed_at=CLAIMED)
