"""Write an owner's folder and make its suspects: python -m tests.bench.foreign TASK FOLDER [--number N]."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.bench.foreign.suspects import make_suspects
from tests.bench.foreign.tasks import DATA, TASKS, write_task

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("task", choices=TASKS)
parser.add_argument("folder", type=Path)
parser.add_argument("--number", type=int, default=0)
parser.add_argument("--no-training", action="store_true", help="leave the section [training] out")
parser.add_argument("--data-dir", type=Path, default=DATA)
told = parser.parse_args()
try:
    project = write_task(told.task, told.number, told.folder, data=told.data_dir, training=not told.no_training)
except FileNotFoundError as error:
    parser.error(str(error))
made = make_suspects(project)
print(f"{len(made)} suspects, {sum(each.derived for each in made)} of them derived")
