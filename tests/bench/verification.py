"""How long ``metav-audit verify`` takes for an audit of 1,000 queries: ``make bench-verify``.

A model on the loopback is audited by the command line, and its folder is verified, each time by a program of its own.
The meta-verifier has the form and the size that ``fit`` makes; its weights are random projections, since no zoo is
trained for it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from metav_audit.bundle import FingerprintBundle, MetaVerifier
from metav_audit.task import ScoreKind
from metav_audit.task.outputs import clipped_log_probabilities
from metav_audit.verdict import scores_in_full
from tests.builders import linear_model, make_bundle, make_task
from tests.servers import ModelServer

TASK = make_task(classes=10, side=8)
LINEAGES, HIDDEN = 40, 128


def bundle_of(queries: int) -> FingerprintBundle:
    """A bundle of so many queries, with 40 calibration models a side."""
    small = make_bundle(queries=1, task=TASK, lineages=LINEAGES)
    rng = np.random.default_rng(0)
    inputs = TASK.domain.sample(queries, rng)
    models = [linear_model(TASK, 1000 + seed, distance=0.05) for seed in range(LINEAGES)]
    models += [linear_model(TASK, 2000 + seed, distance=0.2) for seed in range(LINEAGES)]
    reference, *answers = (
        clipped_log_probabilities(model(inputs), ScoreKind.PROBABILITY).astype(np.float32)
        for model in (linear_model(TASK, 0), *models)
    )
    half = rng.normal(size=(HIDDEN // 2, reference.size)).astype(np.float32) / np.float32(reference.size**0.5)
    tensors = {
        "reference": reference,
        "scale": np.ones_like(reference),
        "hidden.weight": np.concatenate([half, -half]),
        "hidden.bias": np.zeros(HIDDEN, np.float32),
        "output.weight": np.full((1, HIDDEN), -8.0 / HIDDEN, np.float32),
        "output.bias": np.full(1, 4.0, np.float32),
    }
    verifier = MetaVerifier(small.verifier.kind, tensors)
    calibration = replace(small.calibration, features=np.stack(answers))
    weight = scores_in_full(verifier, calibration).fit_weight()
    return replace(small, inputs=inputs, reference=reference, verifier=verifier, calibration=calibration, weight=weight)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1000, help="queries of the fingerprint")
    parser.add_argument("--repeats", type=int, default=5, help="verifications")
    options = parser.parse_args()
    program = shutil.which("metav-audit", path=str(Path(sys.executable).parent)) or "metav-audit"
    with tempfile.TemporaryDirectory() as name, ModelServer(linear_model(TASK, 5000, distance=0.03)) as server:
        folder = Path(name)
        bundle_of(options.queries).save(folder / "bundle")
        fields = f'adapter = "open-inference-v2"\nurl = "{server.url}"\nmodel = "m"\nbatch = 8\n'
        (folder / "endpoints.toml").write_text(f"[endpoints.suspect]\n{fields}")
        asked = [program, "audit", str(folder / "bundle"), str(folder / "endpoints.toml"), "-o", str(folder / "out")]
        print(subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip().replace(name, "FOLDER"))
        for _ in range(options.repeats):
            begun, before = time.perf_counter(), os.times()
            verified = subprocess.run(
                [program, "verify", str(folder / "out" / "suspect")], capture_output=True, text=True, check=False
            )
            took, after = time.perf_counter() - begun, os.times()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            print(f"verify: exit code {verified.returncode}, {took:.2f} s, {spent:.2f} s of them on a processor")


if __name__ == "__main__":
    main()
