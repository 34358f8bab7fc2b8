"""Three suspects that the zoo does not know, each behind an HTTP server in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch

from metav_audit.demo.digits import ARCHITECTURE
from metav_audit.files import write_atomically
from metav_audit.processes import running
from metav_audit.progress import Progress, silent
from metav_audit.verdict import VerdictOutcome
from metav_audit.zoo.build import address_of, context_address, load_model, make_models
from metav_audit.zoo.plan import TARGET, Plan, Split
from metav_audit.zoo.project import Workshop
from metav_audit.zoo.store import Store, state_of

_SEED = 0x5EED


@dataclass(frozen=True, slots=True)
class Suspect:
    """One suspect of the demo.

    Attributes:
        name: its name, and that of its audit's folder.
        plan: how it is made; its seeds are no seeds of the zoo.
        adapter: the protocol it is asked through.
        options: the adapter's options, but for the URL.
        path: the URL's path.
        truth: the outcome that would be right.
    """

    name: str
    plan: Plan
    adapter: str
    options: dict[str, Any]
    path: str
    truth: VerdictOutcome


def _plan(name: str, recipe: str, architecture: str, data: str, settings: dict[str, float]) -> Plan:
    return Plan(f"suspect-{name}", Split.TEST, recipe, architecture, data, _SEED, settings)


SUSPECTS = (
    Suspect(
        "finetuned",
        _plan("finetuned", "fine-tune-all", TARGET, "heldout", {"epochs": 12, "rate": 1e-3, "share": 0.8}),
        "open-inference-v2",
        {"model": "digits", "batch": 8},
        "",
        VerdictOutcome.MATCH,
    ),
    Suspect(
        "distilled",
        _plan(
            "distilled",
            "distill",
            "mlp-wide",
            "heldout",
            {"epochs": 50, "rate": 5e-3, "share": 0.9, "temperature": 3.0},
        ),
        "tensorflow-serving-v1",
        {"model": "digits", "batch": 4},
        "",
        VerdictOutcome.MATCH,
    ),
    Suspect(
        "independent",
        _plan("independent", "train", TARGET, "train", {"epochs": 30, "rate": 5e-3, "share": 1.0}),
        "json-template",
        {
            "scores": "percent",
            "encoding": "png_base64",
            "body": {"image": "{{input}}"},
            "answer": "top",
            "score_key": "percent",
        },
        "/classify",
        VerdictOutcome.NO_MATCH,
    ),
)


def train_suspects(workshop: Workshop, folder: Path, progress: Progress = silent) -> None:
    """Train the suspects that are missing and write their weights into ``folder``."""
    make_models(workshop, [suspect.plan for suspect in SUSPECTS], jobs=None, progress=progress)
    for suspect in SUSPECTS:
        model = load_model(workshop, suspect.plan)
        write_atomically(weights_path(folder, suspect), safetensors.torch.save(state_of(model)))


def weights_path(folder: Path, suspect: Suspect) -> Path:
    """Return where a suspect's weights lie."""
    return folder / f"{suspect.name}.safetensors"


def performance_of(workshop: Workshop, suspect: Suspect) -> float:
    """Return a suspect's balanced accuracy on the validation data."""
    address = address_of(suspect.plan, context_address(workshop))
    return Store(workshop.project.store_place).performance(address) or 0.0


@contextmanager
def serving(workshop: Workshop, folder: Path, ports: Sequence[int]) -> Iterator[list[int]]:
    """Serve every suspect, each in its own process, on the given ports (0: any free one); yield the ports.

    Raises:
        RemoteError: a server does not start.
    """
    with ExitStack() as stack:
        yield [_start(stack, workshop, folder, suspect, port) for suspect, port in zip(SUSPECTS, ports, strict=True)]


def _start(stack: ExitStack, workshop: Workshop, folder: Path, suspect: Suspect, port: int) -> int:
    architecture = ARCHITECTURE if suspect.plan.architecture == TARGET else suspect.plan.architecture
    options = {
        "--project": workshop.project.path,
        "--architecture": architecture,
        "--weights": weights_path(folder, suspect).resolve(),
        "--port": port,
    }
    words = [word for pair in options.items() for word in pair]
    what = f"the server of {suspect.name} on port {port or 'any'}"
    return int(stack.enter_context(running("metav_audit.demo.server", words, what)))
