"""The target's own files by hash, and the manifest of OpenSSF model signing that stands beside them."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metav_audit.errors import ConfigurationError, DataError, EvidenceError
from metav_audit.evidence.commitment import check_commitment, make_commitment
from metav_audit.evidence.envelope import Statement
from metav_audit.zoo.project import load_project
from metav_audit.zoo.target_files import PREDICATE_TYPE, files_of_target
from tests.builders import make_bundle
from tests.evidence.conftest import signing_key
from tests.toy import write_toy


def sign(path: Path, resources: dict[str, str], **changes) -> Path:
    """Write a manifest as ``model_signing sign`` does; its signature is nobody's."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": "ab" * 32}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256"},
            "resources": [
                {"algorithm": "sha256", "digest": digest, "name": name} for name, digest in resources.items()
            ],
        },
    }
    payload = base64.b64encode(json.dumps({**statement, **changes}).encode()).decode()
    path.write_text(json.dumps({"dsseEnvelope": {"payload": payload, "payloadType": "application/vnd.in-toto+json"}}))
    return path


def own_hash(folder: Path) -> str:
    """Of the toy's weights."""
    return hashlib.sha256((folder / "target.safetensors").read_bytes()).hexdigest()


def test_a_targets_files_stand_by_name_and_hash(tmp_path):
    """Functions have none, and of a folder those that decide the model are named."""
    project = load_project(write_toy(tmp_path))
    assert files_of_target(project) == {"target_files": {"target.safetensors": own_hash(tmp_path)}}
    alone = load_project(write_toy(tmp_path / "alone", weights=""))
    assert files_of_target(alone) == {}
    place = load_project(write_toy(tmp_path / "place", model='"vit"', weights=""))
    (tmp_path / "place/vit").mkdir()
    for name in ("config.json", "model.safetensors", "notes.txt"):
        (tmp_path / "place/vit" / name).write_text(name)
    assert list(files_of_target(place)["target_files"]) == ["vit/config.json", "vit/model.safetensors"]
    (tmp_path / "target.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="cannot read the target's file"):
        files_of_target(project)


@pytest.mark.parametrize(("manifest", "name"), [("model.sig", "target.safetensors"), ("target.safetensors.sig", ".")])
def test_a_manifest_beside_the_file_is_held_against_it(manifest, name, tmp_path):
    """Of the folder, or of the file alone."""
    project = load_project(write_toy(tmp_path))
    path = sign(tmp_path / manifest, {name: own_hash(tmp_path), "other.txt": "cd" * 32})
    assert files_of_target(project)["model_signing"] == {
        "manifest": manifest,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "subjects": {"model": "ab" * 32},
    }


@pytest.mark.parametrize(
    ("resources", "changes", "message"),
    [
        ({"target.safetensors": "cd" * 32}, {}, r"another content of target.safetensors than is there"),
        ({"other.txt": "cd" * 32}, {}, "says nothing of target.safetensors"),
        ({"target.safetensors": "CD" * 32}, {}, "a digest is no SHA-256"),
        ({}, {"predicateType": "https://example.org/other"}, "its statement is of type 'https://example.org/other'"),
        ({}, {"predicate": []}, "no model-signing manifest"),
        ({}, {"subject": [{"name": "model"}]}, "no model-signing manifest"),
    ],
)
def test_a_manifest_of_something_else_is_refused(resources, changes, message, tmp_path):
    """With what to do."""
    project = load_project(write_toy(tmp_path))
    sign(tmp_path / "model.sig", resources, **changes)
    with pytest.raises(DataError, match=message):
        files_of_target(project)


@settings(max_examples=50)
@given(
    content=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.text(max_size=9),
        lambda each: st.dictionaries(st.sampled_from(["dsseEnvelope", "payload", "x"]), each),
        max_leaves=5,
    ).map(lambda each: json.dumps(each).encode())
)
def test_no_bytes_break_the_reading_of_a_manifest(content, tmp_path_factory):
    """They are refused in words."""
    folder = tmp_path_factory.mktemp("signed")
    (folder / "project.toml").write_text(
        'name = "x"\n[task]\nlabels = ["a", "b"]\ninput = { kind = "image", channels = 1, height = 4, width = 4 }\n'
        '[target]\nmodel = "t.onnx"\n[data]\ntrain = "t"\nheldout = "h"\n'
    )
    (folder / "t.onnx").write_bytes(b"")
    (folder / "model.sig").write_bytes(content)
    with pytest.raises(DataError, match="no model-signing manifest"):
        files_of_target(load_project(folder))


SIGNED = {
    "target_files": {"b.onnx": "cd" * 32, "a.onnx": "ef" * 32},
    "model_signing": {"manifest": "model.sig", "sha256": "12" * 32, "subjects": {"model": "ab" * 32}},
}


def test_a_commitments_subjects_are_the_bundle_and_then_the_targets_files():
    """The bundle first, as whoever checks it independently reads it."""
    from dataclasses import replace

    bundle = make_bundle()
    bundle = replace(bundle, provenance={**bundle.provenance, **SIGNED})
    key = signing_key(7)
    made = make_commitment(bundle, key, claimed_at=datetime(2026, 1, 1, tzinfo=UTC))
    subjects = json.loads(made.envelope.payload)["subject"]
    assert subjects[0] == {"name": bundle.name, "digest": {"sha256": bundle.sha256}}
    assert {each["name"]: each["digest"]["sha256"] for each in subjects[1:]} == {
        "model-signing manifest: model.sig": "12" * 32,
        "model-signing subject: model": "ab" * 32,
        "target: a.onnx": "ef" * 32,
        "target: b.onnx": "cd" * 32,
    }
    assert check_commitment(made, bundle).passed


def test_a_commitment_that_names_other_files_does_not_hold():
    """Whoever signs it must say what the bundle says."""
    from metav_audit.evidence.attestation import attest

    bundle, key = make_bundle(), signing_key(7)
    made = make_commitment(bundle, key, claimed_at=datetime(2026, 1, 1, tzinfo=UTC))
    told = Statement.from_bytes(made.envelope.payload)
    forged = Statement(told.subject, told.sha256, told.predicate_type, told.predicate, {"target: x.onnx": "cd" * 32})
    findings = check_commitment(attest(forged, key, None), bundle)
    assert not findings.passed
    assert "subjects" in findings.problem
    with pytest.raises(EvidenceError, match="might be read in two ways"):
        Statement.from_bytes(told.to_bytes().replace(b'"subject":[', b'"subject":[ '))
