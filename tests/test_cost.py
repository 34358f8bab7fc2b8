"""What a small file makes large: refused before it is."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest

from metav_audit.adapter import AnswerError
from metav_audit.audit.blind import read_answers
from metav_audit.bundle import Calibration, MetaVerifier, VerifierKind
from metav_audit.cli import main
from metav_audit.errors import BundleError, ConfigurationError, EvidenceError, TranscriptError
from metav_audit.evidence import unpacked
from metav_audit.task import ClassScores, GeneratedTensor, ImageDomain, TaskSpec
from metav_audit.transcript import BodyReader
from tests.builders import make_bundle

TINY = TaskSpec(ImageDomain(1, 1, 1), ClassScores(("a", "b")))


@pytest.fixture(scope="module")
def small():
    return make_bundle(task=TINY, queries=1, lineages=2)


def grown(bundle, kind, tensors, queries=1, models=4):
    """The bundle with so many queries and models, all alike, and another verifier."""

    def repeated(array, count):
        return np.repeat(array[:1], count, axis=0)

    features = np.repeat(np.repeat(bundle.calibration.features[:1, :1], models, axis=0), queries, axis=1)
    one, *others = bundle.calibration.models
    cards = tuple(replace(one, lineage=f"m{at}", derived=at % 2 == 0) for at in range(models))
    del others
    return replace(
        bundle,
        inputs=repeated(bundle.inputs, queries),
        reference=repeated(bundle.reference, queries),
        calibration=Calibration(features, cards),
        verifier=MetaVerifier(kind, {name: np.asarray(each, np.float32) for name, each in tensors.items()}),
    )


def zeros(*shape):
    return np.broadcast_to(np.float32(0), shape)


SWOLLEN = {
    "pairs of queries": (VerifierKind.CORRELATION, {"reference": zeros(9000, 2)}, 9000, 4),
    "hidden units": (VerifierKind.JOINT, {"hidden.weight": zeros(20_000, 2)}, 1, 9000),
    "committee": (VerifierKind.COMMITTEE, {"joint.hidden.weight": zeros(20_000, 2)}, 1, 9000),
    "bits": (VerifierKind.BITS, {"splits": zeros(1, 20_000, 2)}, 1, 9000),
    "references": (VerifierKind.SIBLINGS, {"models": zeros(2, 1, 2), "references": zeros(9000, 1, 2)}, 1, 4),
    "models": (VerifierKind.AGREEMENT, {"labels": zeros(1)}, 1, 30_000),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", SWOLLEN)
def test_a_bundle_that_scoring_would_swell_is_refused_unscored(small, kind, monkeypatch):
    """Each form's largest array follows from its shapes; nothing of it is made."""
    monkeypatch.setattr(MetaVerifier, "scores", lambda *_: pytest.fail("it was scored"))
    verifier, tensors, queries, models = SWOLLEN[kind]
    with pytest.raises(BundleError, match="fit a smaller bundle"):
        grown(small, verifier, tensors, queries, models)


def test_a_verifier_without_its_tensors_is_damaged(small):
    """The bound is no new way to fail."""
    with pytest.raises(BundleError, match="damaged"):
        grown(small, VerifierKind.JOINT, {})


@pytest.mark.timeout(60)
def test_an_archive_that_swells_is_refused_before_it_is_written(tmp_path):
    """A thousandfold, as zeros do; and the folder that it would fill stays empty."""
    packed = zipfile.ZipFile(tmp_path / "audit.zip", "w", zipfile.ZIP_DEFLATED)
    with packed as archive, archive.open("bodies.pack", "w") as file:
        for _ in range(100):
            file.write(bytes(1 << 20))
    with pytest.raises(EvidenceError, match="100-fold"), unpacked(tmp_path / "audit.zip"):
        pytest.fail("it was unpacked")


def test_bodies_that_swell_are_not_read_without_end(tmp_path, monkeypatch):
    """A small body that many records name costs its size each time: there is an end to that."""
    monkeypatch.setattr("metav_audit.transcript.bodies.FREE_BYTES", 3 << 20)
    content = zlib.compress(bytes(1 << 20))
    (tmp_path / "bodies.pack").write_bytes(content)
    with BodyReader(tmp_path / "bodies.pack") as bodies:
        for _ in range(3):
            assert len(bodies.read((0, len(content)))) == 1 << 20
        with pytest.raises(TranscriptError, match="100-fold"):
            bodies.read((0, len(content)))


def test_controls_that_swell_are_refused(tmp_path, small):
    """An .npz file whose arrays are larger than a file of controls may be."""
    content = io.BytesIO()
    np.savez_compressed(content, probability=np.zeros((1, 1, 2)))
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("more.npy", "w") as file:
        for _ in range(260):
            file.write(bytes(1 << 20))
    (tmp_path / "controls.npz").write_bytes(content.getvalue())
    with pytest.raises(ConfigurationError, match="more than"):
        read_answers(small, tmp_path / "controls.npz")


def test_a_picture_that_swells_is_an_answer_error(recwarn):
    """A PNG of a few bytes that says it is enormous."""
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    crc = zlib.crc32(header[12:]).to_bytes(4, "big")
    with pytest.raises(AnswerError, match="no PNG"):
        GeneratedTensor((1, 8, 8), 0.0, 1.0).from_picture(header + crc + b"\x00\x00\x00\x00IDAT" + bytes(4))
    assert not recwarn.list


def test_too_little_memory_is_an_error_line(monkeypatch, capsys, tmp_path):
    """And no traceback."""

    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr("metav_audit.verify.verify_audit", exhausted)
    with pytest.raises(SystemExit) as end:
        main(["verify", str(tmp_path)])
    assert end.value.code == 4
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "not enough memory" in shown.err
    assert json.dumps(shown.err).isascii()
