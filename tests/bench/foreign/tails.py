"""What siblings that share all but the tail of the target's run can tell: who is found, and what is accused.

python -m tests.bench.foreign.tails fashion-1 lesions-0 --left 6 --left 3 --left 1 --queries 64 --preset quick

The target's own run is trained up to where so many epochs are left; what it was by then, with the optimiser's and the
schedule's state, is the checkpoint that all siblings go on from, each in an order of its
own: the one in which a whole run with its seed would have seen the data in these epochs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tomlkit
import torch
from torch import nn

from metav_audit.errors import DataError
from metav_audit.evaluation.conditions import VIEWS, Condition
from metav_audit.evaluation.run import keep_bundle
from metav_audit.files import write_atomically
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.data import LabelledData
from metav_audit.zoo.project import load_project, open_workshop
from tests.bench.foreign import programs
from tests.bench.foreign.figures import ROOT, power, validity
from tests.bench.foreign.measure import measure, pairs
from tests.bench.foreign.suspects import make_suspects
from tests.bench.foreign.tasks import DATA, read_part, write_task

OWNERS: Mapping[str, tuple[Callable[[], nn.Module], programs.Recipe]] = {
    "digits": (programs.digits_network, programs.Recipe(30, 4e-3, 48)),
    "fashion": (programs.fashion_network, programs.Recipe(12, 3e-3, 64)),
    "lesions": (programs.lesions_network, programs.Recipe(12, 3e-3, 64)),
    "adult": (programs.adult_network, programs.Recipe(15, 3e-3, 64)),
}


class Run(NamedTuple):
    """A training on its way: what tests.bench.foreign.programs does, epoch by epoch."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    chance: torch.Generator

    @classmethod
    def begun(cls, task: str, seed: int) -> Run:
        """Begin from random weights."""
        build, recipe = OWNERS[task]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = build()
        optimizer = torch.optim.Adam(model.parameters(), lr=recipe.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs)
        return cls(model, optimizer, schedule, torch.Generator().manual_seed(seed))

    def go_on(self, task: str, data: LabelledData, epochs: int) -> nn.Module:
        """Train for some epochs more."""
        inputs, labels = torch.from_numpy(data.inputs), torch.from_numpy(data.labels)
        self.model.train()
        for _ in range(epochs):
            for index in torch.split(torch.randperm(len(inputs), generator=self.chance), OWNERS[task][1].batch):
                self.optimizer.zero_grad()
                nn.functional.cross_entropy(self.model(inputs[index]), labels[index]).backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
            self.schedule.step()
        return self.model.eval()

    @property
    def parts(self) -> Mapping[str, Any]:
        """What has a state that a checkpoint keeps."""
        return {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}


def _tail(task: str, seed: int, data: LabelledData, checkpoint: Path) -> nn.Module:
    told, run = torch.load(checkpoint, weights_only=True), Run.begun(task, seed)
    for name, part in run.parts.items():
        part.load_state_dict(told[name])
    # The orders of the epochs that are shared are drawn and dropped, so that the target's own seed gives the target.
    for _ in range(OWNERS[task][1].epochs - told["left"]):
        torch.randperm(len(data), generator=run.chance)
    return run.go_on(task, data, told["left"])


def digits(seed: int, data: LabelledData, checkpoint: Path) -> nn.Module:
    """Go on with digits."""
    return _tail("digits", seed, data, checkpoint)


def fashion(seed: int, data: LabelledData, checkpoint: Path) -> nn.Module:
    """Go on with garments."""
    return _tail("fashion", seed, data, checkpoint)


def lesions(seed: int, data: LabelledData, checkpoint: Path) -> nn.Module:
    """Go on with lesions."""
    return _tail("lesions", seed, data, checkpoint)


def adult(seed: int, data: LabelledData, checkpoint: Path) -> nn.Module:
    """Go on with incomes."""
    return _tail("adult", seed, data, checkpoint)


def write_tail(project: Path, task: str, number: int, left: int) -> Path:
    """Write a checkpoint and a project that goes on from it into a folder of their own; return the project.

    What else the project needs lies in the folder that ``write_task`` wrote, and the zoo is shared.
    """
    folder = project.parent.with_name(f"{project.parent.name}-tail-{left}")
    folder.mkdir(exist_ok=True)
    data, run = read_part(project, task, "train"), Run.begun(task, number)
    run.go_on(task, data, OWNERS[task][1].epochs - left)
    states = {name: part.state_dict() for name, part in run.parts.items()}
    torch.save({**states, "left": left}, folder / "checkpoint.pt")
    told = tomlkit.parse(project.read_text()).unwrap()
    told["data"] = {part: str(project.parent.resolve() / file) for part, file in told["data"].items()}
    told["target"]["weights"] = str(project.parent.resolve() / told["target"]["weights"])
    told["training"] = {"program": f"tests.bench.foreign.tails:{task}", "seed": number, "checkpoint": "checkpoint.pt"}
    write_atomically(folder / "project.toml", tomlkit.dumps(told).encode())
    store = folder / "zoo"
    if not store.exists():
        store.symlink_to(project.parent.resolve() / "zoo", target_is_directory=True)
    return folder / "project.toml"


def main() -> None:
    """Print power and validity for each target and number of epochs left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", help=f"TASK-NUMBER, of the tasks {', '.join(OWNERS)}")
    parser.add_argument("--left", action="append", required=True, type=int)
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--jobs", type=int)
    told = parser.parse_args()
    torch.set_num_threads(1)
    for name in told.targets:
        task, _, number = name.rpartition("-")
        path = write_task(task, int(number), told.root, data=told.data_dir, preset=told.preset)
        suspects = make_suspects(path)
        for left in told.left:
            project = load_project(write_tail(path, task, int(number), left))
            zoo, workshop = build_zoo(project, jobs=told.jobs), open_workshop(project)
            conditions = [Condition(view, told.queries) for view in ("full", "label")]
            print(f"\n{name}, {left} of {OWNERS[task][1].epochs} epochs rerun")
            try:
                bundle = keep_bundle(workshop, zoo, "siblings", conditions[0])
            except DataError as error:
                print(f"refused: {error}")
                continue
            print("\n".join(power(measure(name, workshop, zoo, suspects, ["siblings"], conditions))))
            print(f"the target run again: {bundle.provenance['training']['status']}")
            print("\n".join(validity(pairs(name, bundle, suspects, VIEWS["label"]))))


if __name__ == "__main__":
    main()
