"""One virtual environment a server, below ``.peers/``; it stands until its requirements change."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
SERVED = HERE / "served"
PEERS = HERE.parents[1] / ".peers"
NAMES = tuple(sorted(path.stem for path in (HERE / "requirements").glob("*.txt")))
_KEPT = ("PATH", "LANG", "TMPDIR", "JAVA_HOME")
"""What a server inherits of the environment: nothing that leads into the project's own packages."""


def make_environment(name: str) -> Path:
    """Return the folder of an environment, made first if it is missing, half made, or of other requirements."""
    requirements = HERE / "requirements" / f"{name}.txt"
    folder = PEERS / "environments" / name
    made_of = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()
    mark = folder / "made-of"
    if mark.exists() and mark.read_text() == made_of:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", folder])
    _run([folder / "bin" / "python", "-m", "pip", "install", "-q", "-r", requirements])
    # The mark is written last: an environment without it is made again.
    mark.write_text(made_of)
    return folder


def variables(environment: Path, home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of a server: its own programs first, a home of its own, and no word to anybody outside."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    quiet = {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true"}
    ours = {"PYTHONPATH": str(SERVED), "PYTHONUNBUFFERED": "1", "HOME": str(home), "OMP_NUM_THREADS": "1"}
    path = f"{environment / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return {**kept, **quiet, **ours, **(more or {}), "PATH": path}


def run_in(environment: Path, home: Path, *words: object, told: str | None = None) -> str:
    """Run a program of an environment to its end; return what it wrote to standard output."""
    return _run([environment / "bin" / str(words[0]), *words[1:]], env=variables(environment, home), told=told)


def _run(words: list[object], env: Mapping[str, str] | None = None, told: str | None = None) -> str:
    done = subprocess.run(
        list(map(str, words)), input=told, env=env, capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout
