"""docs/verify_independently.py, which knows nothing of metav_audit, agrees with verify on 100 folders, good and bad."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import json
import random
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from metav_audit.bundle import MetaVerifier, VerifierKind
from metav_audit.evidence import Sealer, close_folder, make_commitment, seal_folder, write_sums
from metav_audit.files import write_atomically
from metav_audit.report import write_reports
from metav_audit.verdict import AuditFolder, scores_in_full
from metav_audit.verify import verify_folder
from tests.builders import linear_model, make_bundle, make_siblings_bundle, make_targeted_bundle, make_task
from tests.evidence.conftest import signing_key
from tests.fingerprint.test_committee import random_committee
from tests.folders import make_folder, rechain
from tests.scale import at_scale

SCRIPT = Path(__file__).parents[2] / "docs" / "verify_independently.py"
BEFORE, NOW = (datetime(2026, 3, 4, hour, 8, tzinfo=UTC) for hour in (9, 10))
TASK = make_task()
AGREED = at_scale(5, 50)


def load_script():
    specification = importlib.util.spec_from_file_location("verify_independently", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


script = load_script()


def test_the_script_imports_nothing_of_ours_and_is_short():
    """The standard library, numpy and cryptography alone; no assertion, which -O takes away; under 700 lines."""
    imported = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported <= sys.stdlib_module_names | {"numpy", "cryptography"}
    code = [line for line in SCRIPT.read_text().splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(code) <= 700
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(SCRIPT.read_text())))


def good(folder: Path, seed: int) -> Path:
    """An audit's whole folder, by seed with or without gaps, hidden classes, commitment and seal."""
    rng = random.Random(seed)
    make = make_siblings_bundle if seed % 3 == 1 else make_bundle
    bundle = make(seed=seed % 5, queries=8, task=TASK, spread=0.5)
    model = linear_model(TASK, seed, distance=rng.choice((0.03, 0.7)))
    exact, quirk = model, rng.random()
    if quirk < 0.3:
        model = lambda inputs: np.round(exact(inputs), 3)  # noqa: E731
    elif quirk < 0.5:
        model = noisy(exact, seed)
    made = make_folder(
        folder, model, bundle, rng.sample(range(8), rng.choice((0, 0, 2, 5))), hidden=rng.choice((0, 0, 2))
    )
    if rng.random() < 0.5:
        commitment = make_commitment(bundle, signing_key(1), claimed_at=BEFORE)
        write_atomically(made / "bundle" / "commitment.json", commitment.to_bytes())
        digest = script.sha(commitment.to_bytes())
        rechain(made / "transcript.jsonl", lambda records: records[0].update(commitment_sha256=digest))
        decide_again(made, bundle)
    if rng.random() < 0.5:
        key = signing_key(2)
        rechain(made / "transcript.jsonl", lambda records: records[0]["operator"].update(key_id=key.public.key_id))
        decide_again(made, bundle)
        seal_folder(AuditFolder(made), Sealer(key, None), NOW)
        write_reports(made)
        write_sums(AuditFolder(made))
        close_folder(AuditFolder(made), key, NOW)
    write_reports(made)
    write_sums(AuditFolder(made))
    return made


def noisy(model, seed):
    """Answer each call with noise of its own, as shares of 1."""
    chance = np.random.default_rng(seed)

    def answer(inputs):
        shares = np.maximum(model(inputs) + 0.005 * chance.standard_normal((len(inputs), TASK.output.size)), 0)
        return shares / shares.sum(axis=1, keepdims=True)

    return answer


def decide_again(folder, bundle):
    audit = AuditFolder(folder)
    audit.record(audit.bundle(), audit.transcript())


def spoil(folder: Path, seed: int) -> None:
    """Alter one byte of the evidence, a figure of the verdict, or an answer; often with hashes and chain mended."""
    rng = random.Random(seed)
    kind = rng.choice(("byte", "figure", "answer", "drop", "seal"))
    if kind == "byte":
        path = rng.choice([path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"])
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= rng.randint(1, 255)
        path.write_bytes(content)
        return
    if kind == "figure":
        fields = json.loads((folder / "verdict.json").read_bytes())
        scored = ["score", "p_value", *(["p_value_siblings"] if fields["siblings"] else [])] if fields["score"] else []
        name = rng.choice(("outcome", "answered", "bundle_sha256", *scored))
        fields[name] = "match" if fields["outcome"] != "match" else "no_match" if name == "outcome" else 0.123
        (folder / "verdict.json").write_text(json.dumps(fields))
    elif kind == "answer":
        rechain(
            folder / "transcript.jsonl", lambda records: answers(records)[-1].update(answers=[[0.1, 0.2, 0.3, 0.4]])
        )
    elif kind == "drop":
        rechain(folder / "transcript.jsonl", lambda records: records.remove(answers(records)[0]))
    else:
        write_atomically(
            folder / "seal.json", make_commitment(make_bundle(), signing_key(3), claimed_at=NOW).to_bytes()
        )
    write_sums(AuditFolder(folder))


def answers(records):
    return [record for record in records if record.get("answers") and record["request"] <= 8]


def agreed(folder):
    """Whether verify passes; the script has to say the same."""
    steps = verify_folder(folder)
    passed = all(step.passed for step in steps)
    try:
        said = script.check(folder)
    except Exception as error:
        said = error
    assert passed is isinstance(said, str), (said, [step for step in steps if not step.passed])
    return passed


@pytest.mark.scaled
@pytest.mark.parametrize("part", range(5))
def test_both_agree_on_good_and_bad_folders(tmp_path, part):
    """In five parts: 50 whole folders pass both, the same 50 spoiled fail both."""
    for seed in range(part * AGREED // 5, (part + 1) * AGREED // 5):
        folder = good(tmp_path / str(seed), seed)
        assert agreed(folder), seed
        bad = shutil.copytree(folder, tmp_path / f"{seed}-bad")
        spoil(bad, seed)
        assert not agreed(bad), seed


@pytest.mark.soak
@pytest.mark.parametrize("hidden", [0, 2])
def test_both_agree_on_targeted_fingerprints(tmp_path, hidden):
    """The script derives the bits by itself and counts the same; with one bit turned both refuse."""
    bundle = make_targeted_bundle()
    tensors = {name: value.copy() for name, value in bundle.verifier.tensors.items()}
    tensors["bits"][3, 1] *= -1
    verifier = dataclasses.replace(bundle.verifier, tensors=tensors)
    weight = scores_in_full(verifier, bundle.calibration).fit_weight()
    turned = dataclasses.replace(bundle, verifier=verifier, weight=weight)
    for name, one in (("good", bundle), ("bad", turned)):
        folder = make_folder(tmp_path / name, linear_model(TASK, 4, distance=0.1), one, (2, 9), hidden=hidden)
        write_reports(folder)
        write_sums(AuditFolder(folder))
        assert agreed(folder) is (one is bundle)


def verifier_of(kind: VerifierKind, seed: int) -> MetaVerifier:
    """A meta-verifier of each kind for 5 queries and 4 classes, with random weights."""
    rng = np.random.default_rng(seed)
    reference = np.log(rng.dirichlet(np.ones(4), 5)).astype(np.float32)
    if kind is VerifierKind.COMMITTEE:
        return random_committee(5, 4, seed, labelled=bool(seed % 2))[3]
    tensors = {
        VerifierKind.AGREEMENT: {"labels": rng.integers(0, 4, 5)},
        VerifierKind.COMPOSITE: {
            "labels": rng.integers(0, 4, 5), "groups": [0, 0, 1, 1, 1], "thresholds": [0.5, 2 / 3],
        },
        VerifierKind.CORRELATION: {"reference": reference},
        VerifierKind.ACCOUNTS: {
            "models": np.log(rng.dirichlet(np.ones(4), (12, 5))),
            "references": np.log(rng.dirichlet(np.ones(4), (3, 5))),
            "least": [np.log(1e-4)],
            "accounts": [0, 0, 1, 1, 1],
        },
        VerifierKind.SIBLINGS: {
            "models": np.log(rng.dirichlet(np.ones(4), (12, 5))),
            "references": np.log(rng.dirichlet(np.ones(4), (3, 5))),
            "least": [np.log(1e-4)],
        },
        VerifierKind.LOCAL: {"weight": rng.normal(size=(5, 4)), "bias": rng.normal(size=5)},
        VerifierKind.BITS: {
            "bits": rng.choice([-1, 1], (5, 2)), "splits": rng.permuted([[[1, 1, -1, -1]] * 2] * 5, axis=2),
        },
        VerifierKind.JOINT: {
            "hidden.weight": rng.normal(size=(6, 20)), "hidden.bias": rng.normal(size=6),
            "output.weight": rng.normal(size=(1, 6)), "output.bias": rng.normal(size=1),
        },
    }[kind]  # fmt: skip
    if kind in (VerifierKind.LOCAL, VerifierKind.JOINT):
        tensors |= {"reference": reference, "scale": np.full((5, 4), 3.0)}
    return MetaVerifier(kind, {name: np.asarray(each, np.float32) for name, each in tensors.items()})


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", VerifierKind)
def test_the_script_scores_as_every_kind_of_meta_verifier_does(kind, seed):
    """In full, with classes hidden, rounded, and with queries unanswered, the two give the same score."""
    verifier, rng = verifier_of(kind, seed), np.random.default_rng(seed)
    values = np.log(np.maximum(np.round(rng.dirichlet(np.ones(4), (7, 5)), 2), 1e-6)).astype(np.float32)
    masks = [np.ones(values.shape, bool), rng.random(values.shape) < 0.6]
    masks.append(np.broadcast_to(rng.random((7, 5, 1)) < 0.7, values.shape))
    tensors = {f"verifier.{name}": each for name, each in verifier.tensors.items()}
    for mask in masks:
        shown = np.where(mask, values, 0)
        told = {"view": "all classes"}, {"kind": "classification"}
        theirs = script.score(kind.value, tensors, shown.astype(float), mask, *told)
        assert np.abs(verifier.scores(shown, mask) - theirs).max() < 1e-9


def test_both_agree_on_noisy_answers(tmp_path):
    """Noise is part of the view that both apply to the calibration: the same p-values, the same score."""
    bundle = make_bundle(seed=1, queries=8, task=TASK, spread=0.5)
    made = make_folder(tmp_path, noisy(linear_model(TASK, 3, distance=0.03), 5), bundle)
    write_reports(made)
    write_sums(AuditFolder(made))
    assert ", noise of 0.00" in json.loads((made / "verdict.json").read_bytes())["view"]
    assert agreed(made)
