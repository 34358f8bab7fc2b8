"""Is it still exactly ours? Changes by strangers' code, found by few queries, and honest sessions that are accused.

python -m tests.bench.foreign.integrity digits-1 fashion-1 lesions-0 --root .bench/foreign --data-dir ../shared/data

A deployment's sessions are served in full precision, in half, by ONNX Runtime, in batches of other sizes; each draws
one. Changed copies come from torch's own pruning, ONNX Runtime's int8 and a training loop that is not ours.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from metav_audit.bundle.integrity import IntegrityPlan, Session
from metav_audit.fingerprint.integrity import plan_integrity
from metav_audit.task import Answer, ImageDomain, ScoreKind
from metav_audit.verdict.integrity import IntegrityOutcome, judge_session
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.project import load_project, open_workshop
from tests.bench.foreign import learners
from tests.bench.foreign.figures import ROOT
from tests.bench.foreign.learners import Array, Habits, Network, Predict
from tests.bench.foreign.suspects import Bench
from tests.bench.foreign.tasks import DATA, write_task

ENROLLED, HONEST, COPIES = 20, 1000, 40


def onnx(bench: Bench) -> Predict:
    """The target as ONNX Runtime runs it, in full precision."""
    content = io.BytesIO()
    with learners.quietly():
        torch.onnx.export(
            bench.target.eval(), (torch.zeros(2, *bench.spec.domain.shape),), content, dynamo=False,
            input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
        )  # fmt: skip
    return learners.Exported(content.getvalue(), classes=True)


@torch.no_grad()
def half(bench: Bench) -> Predict:
    """The target with weights and activations rounded to half precision where the processor can."""
    model = learners._copied(bench.target)
    for parameter in model.parameters():
        parameter.copy_(parameter.half().float())
    return Network(model, classes=True)


def in_batches(predict: Predict, size: int) -> Predict:
    """Answer so many at once."""
    return lambda inputs: np.concatenate([predict(each) for each in np.array_split(inputs, -(-len(inputs) // size))])


def through_jpeg(predict: Predict, quality: int = 90) -> Predict:
    """Answer pictures as they come out of a JPEG."""

    def answer(inputs: Array) -> Array:
        back = []
        for picture in np.rint(inputs * 255).astype(np.uint8):
            buffer = io.BytesIO()
            shown = picture.transpose(1, 2, 0)
            Image.fromarray(shown.squeeze(2) if shown.shape[2] == 1 else shown).save(buffer, "JPEG", quality=quality)
            read = np.asarray(Image.open(buffer), np.float32) / 255
            back.append(read[None] if read.ndim == 2 else read.transpose(2, 0, 1))
        return predict(np.stack(back).astype(np.float32))

    return answer


def servings(bench: Bench) -> dict[str, Predict]:
    """The same model as a host may serve it from one session to the next."""
    full = Network(bench.target.eval(), classes=True)
    return {
        "one by one": in_batches(full, 1), "in batches of 8": in_batches(full, 8), "half precision": half(bench),
        "ONNX Runtime": onnx(bench),
    }  # fmt: skip


def changes(bench: Bench) -> dict[str, Callable[[int], Predict]]:
    """Changed copies, by a seed."""
    data, spec, target = bench.mine, bench.spec, bench.target

    def some(seed: int, count: int) -> LabelledData:
        return data.take(np.random.default_rng(seed).permutation(len(data))[:count])

    def flipped(seed: int) -> LabelledData:
        chance, labels = np.random.default_rng(seed), data.labels.copy()
        places = chance.permutation(len(labels))[: max(1, len(labels) // 100)]
        labels[places] = (labels[places] + 1) % spec.output.size
        return LabelledData(data.inputs, labels)

    def tuned(held: LabelledData, habits: Habits) -> Predict:
        return learners.tuned(spec, target, held, habits)

    def pruned(seed: int) -> Predict:
        from torch.nn.utils import prune

        model = learners._copied(target)
        weights = [(layer, "weight") for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        share = np.random.default_rng(seed).uniform(0.045, 0.055)
        prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=float(share))
        return Network(model, classes=True)

    return {
        "one step of fine-tuning": lambda seed: tuned(some(seed, 32), Habits(1, 1e-3, 32)),
        "int8 (ONNX Runtime)": lambda _: learners.exported(spec, target),
        "1 % of labels flipped, then tuned": lambda seed: tuned(flipped(seed), Habits(1, 5e-4, 32)),
        "5 % of weights pruned": pruned,
        "swapped for a sibling": lambda seed: bench.as_suspect(bench.program(600_000 + seed, bench.owners)),
    }


def session(plan: IntegrityPlan, predict: Predict, number: int, *, label: bool) -> Session:
    """What a deployment answers once."""
    shares = predict(plan.inputs)
    rows = [tuple(map(float, each)) for each in shares]
    if label:
        rows = [tuple(1.0 if at == int(np.argmax(each)) else None for at in range(len(each))) for each in rows]
    kind = ScoreKind.LABEL if label else ScoreKind.PROBABILITY
    return Session("2026-01-01T00:00:00Z", "bench", "http://bench", kind, tuple(map(Answer, rows)), f"{number:064x}")


def rows_of(bench: Bench, bare: IntegrityPlan, *, label: bool, jpeg: bool) -> Iterator[str]:
    """Yield a row of honest sessions, then one a change."""
    way = through_jpeg if jpeg else (lambda predict: predict)
    served = {name: session(bare, way(predict), 0, label=label) for name, predict in servings(bench).items()}
    chance, known = np.random.default_rng(bench.number), list(served.values())

    def drawn(number: int) -> Session:
        return replace(known[chance.integers(len(known))], transcript_sha256=f"{number:064x}")

    view = f"{'label' if label else 'scores'}{', JPEG' if jpeg else ''}"
    told: Counter[IntegrityOutcome] = Counter()
    plan = bare
    for number in range(HONEST):
        if number % 50 == 0:  # Another enrolment every fifty sessions: what it happened to see is chance, too.
            plan = bare.with_sessions([drawn(1 + at) for at in range(ENROLLED)])
        told[judge_session(plan, drawn(10_000)).outcome] += 1
    yield f"{bench.task:<10}{view:<14}{'honest sessions':<36}{_counts(told)}"
    plan = bare.with_sessions([drawn(1 + at) for at in range(ENROLLED)])
    for name, change in changes(bench).items():
        seeds = range(1 if name.startswith("int8") else COPIES)
        found = Counter(
            judge_session(plan, session(bare, way(change(seed)), 20_000, label=label)).outcome for seed in seeds
        )
        yield f"{bench.task:<10}{view:<14}{name:<36}{_counts(found)}"


def _counts(told: Counter[IntegrityOutcome]) -> str:
    return f"{told[IntegrityOutcome.CHANGED]:>9}{told[IntegrityOutcome.UNCHANGED]:>11}{told.total():>7}"


def main() -> None:
    """Print what is found of each change, and how many honest sessions are accused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    told = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'task':<10}{'shown':<14}{'':<36}{'changed':>9}{'unchanged':>11}{'of':>7}")
    for name in told.targets:
        task, _, number = name.rpartition("-")
        path = write_task(task, int(number), told.root, data=told.data_dir, preset="quick")
        bench = Bench(path)
        plan = plan_integrity(open_workshop(load_project(path)), told.queries, bench.number)
        for label, jpeg in ((True, False), (False, False), (True, True)):
            if not jpeg or isinstance(bench.spec.domain, ImageDomain):
                torch.manual_seed(bench.number)
                print("\n".join(rows_of(bench, plan, label=label, jpeg=jpeg)), flush=True)


if __name__ == "__main__":
    main()
