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

from metav_audit.evidence import Sealer, custody_of, make_commitment, seal_folder, verify_folder, write_sums
from metav_audit.files import write_atomically
from metav_audit.report import rebuild_reports, write_reports
from metav_audit.verdict import scores_in_full
from tests.builders import linear_model, make_bundle, make_targeted_bundle, make_task
from tests.evidence.conftest import signing_key
from tests.folders import make_folder, rechain

SCRIPT = Path(__file__).parents[2] / "docs" / "verify_independently.py"
NOW = datetime(2026, 3, 4, 10, 8, tzinfo=UTC)
TASK = make_task()
AGREED = 50


def load_script():
    specification = importlib.util.spec_from_file_location("verify_independently", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


script = load_script()


def test_the_script_imports_nothing_of_ours_and_is_short():
    """The standard library, numpy and cryptography alone; fewer than 190 lines of code."""
    imported = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported <= sys.stdlib_module_names | {"numpy", "cryptography"}
    code = [line for line in SCRIPT.read_text().splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(code) <= 190


def good(folder: Path, seed: int) -> Path:
    """An audit's whole folder, by seed with or without gaps, hidden classes, commitment and seal."""
    rng = random.Random(seed)
    bundle = make_bundle(seed=seed % 5, queries=8, task=TASK, spread=0.5)
    model = linear_model(TASK, seed, distance=rng.choice((0.03, 0.7)))
    if rng.random() < 0.3:
        exact = model
        model = lambda inputs: np.round(exact(inputs), 3)  # noqa: E731
    made = make_folder(
        folder, model, bundle, rng.sample(range(8), rng.choice((0, 0, 2, 5))), hidden=rng.choice((0, 0, 2))
    )
    if rng.random() < 0.5:
        commitment = make_commitment(bundle, signing_key(1), claimed_at=NOW)
        write_atomically(made / "bundle" / "commitment.json", commitment.to_bytes())
        digest = script.sha(commitment.to_bytes())
        rechain(made / "transcript.jsonl", lambda records: records[0].update(commitment_sha256=digest))
        decide_again(made, bundle)
    if rng.random() < 0.5:
        key = signing_key(2)
        rechain(made / "transcript.jsonl", lambda records: records[0]["operator"].update(key_id=key.public.key_id))
        decide_again(made, bundle)
        seal_folder(made, Sealer(key, None), NOW)
    write_reports(made, custody_of)
    write_sums(made)
    return made


def decide_again(folder, bundle):
    from metav_audit.audit.folder import record_verdict
    from metav_audit.bundle import FingerprintBundle
    from metav_audit.transcript import load_transcript

    record_verdict(FingerprintBundle.load(folder / "bundle"), load_transcript(folder / "transcript.jsonl"), folder)


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
        name = rng.choice(("outcome", "answered", "bundle_sha256", *(["score", "p_value"] if fields["score"] else [])))
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
    write_sums(folder)


def answers(records):
    return [record for record in records if record.get("answers") and record["request"] <= 8]


def agreed(folder):
    """Whether verify passes; the script has to say the same."""
    steps = verify_folder(folder, rebuild_reports)
    passed = all(step.passed for step in steps)
    try:
        said = script.check(folder)
    except Exception as error:
        said = error
    assert passed is isinstance(said, str), (said, [step for step in steps if not step.passed])
    return passed


@pytest.mark.parametrize("part", range(5))
def test_both_agree_on_good_and_bad_folders(tmp_path, part):
    """In five parts: 50 whole folders pass both, the same 50 spoiled fail both."""
    for seed in range(part * AGREED // 5, (part + 1) * AGREED // 5):
        folder = good(tmp_path / str(seed), seed)
        assert agreed(folder), seed
        bad = shutil.copytree(folder, tmp_path / f"{seed}-bad")
        spoil(bad, seed)
        assert not agreed(bad), seed


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
        write_reports(folder, custody_of)
        write_sums(folder)
        assert agreed(folder) is (one is bundle)
