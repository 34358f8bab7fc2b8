"""What a bundle's promise of few false matches rests on."""

from __future__ import annotations

from metav_audit.bundle import FingerprintBundle

ZOO = "holds for suspects like the zoo's"
EXACT = "exact for any suspect"

_PROVEN = {
    "reproduced": (
        "the owner checked that: run with the target's own seed, the training program gave the target again, which "
        "still leaves a target picked from several such runs"
    ),
    "nearly reproduced": (
        "the owner checked that: run with the target's own seed, the training program gave not quite the target, but a "
        "model much closer to it than any two siblings are to each other, which still leaves a target picked from "
        "several such runs"
    ),
}
_CLAIMED = (
    "that the training program made the target is claimed, the owner's word; a test did not tell the target from the "
    "program's reruns, and would miss undeclared data, or a target picked from several runs"
)
_IF = " that came to be without the target, if the siblings are true reruns of the target's training"
_TAIL = (
    "siblings share the target's run up to a checkpoint, so that it is told from what else might have come of that "
    "checkpoint"
)
_TUNED = "tuned from the weights {}"
_UNSTATED = "the owner does not state whether the target was tuned from an older model"


def states_ancestor(bundle: FingerprintBundle) -> bool:
    """Say whether the bundle states what the target was tuned from, or that it was tuned from nothing."""
    training = bundle.provenance.get("training")
    return isinstance(training, dict) and bool(training.get("ancestor"))


def guarantee_of(bundle: FingerprintBundle) -> str:
    """Name the guarantee in one sentence's words, and what is proven of it."""
    if bundle.verifier.siblings is None:
        named = bundle.provenance.get("ancestor")
        return ZOO if named is None else f"{ZOO}; the target was {_TUNED.format(str(named)[:64])}, says the owner"
    training = bundle.provenance.get("training")
    told = training if isinstance(training, dict) else {}
    ancestor = told.get("ancestor")
    how = "trained from random weights" if ancestor == "none" else _TUNED.format(str(ancestor)[:64])
    lineage = f"the target was {how}, says the owner"
    parts = [f"{EXACT}{_IF}", _PROVEN.get(str(told.get("status")), _CLAIMED), lineage if ancestor else _UNSTATED]
    return "; ".join([*parts, _TAIL] if told.get("checkpoint") else parts)
