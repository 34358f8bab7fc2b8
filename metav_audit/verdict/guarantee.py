"""What a bundle's promise of few false matches rests on."""

from __future__ import annotations

from metav_audit.bundle import FingerprintBundle

ZOO = "holds for suspects like the zoo's"
EXACT = "exact for any suspect"

_PROVEN = {
    "reproduced": "replayed by the owner: with the target's own seed the training program gave the target again",
    "nearly reproduced": (
        "replayed by the owner: with the target's own seed the training program gave a model far nearer to the target "
        "than any sibling is to another"
    ),
}
_CLAIMED = (
    "the training program is claimed, and the target is no stranger among its reruns; data that the owner did not "
    "declare, and a choice among several runs, would not show"
)
_UNSTATED = "whether it was tuned from an older model is not stated"


def guarantee_of(bundle: FingerprintBundle) -> str:
    """Name the guarantee in one sentence's words, and what is proven of it."""
    if bundle.verifier.siblings is None:
        return ZOO
    training = bundle.provenance.get("training")
    told = training if isinstance(training, dict) else {}
    ancestor = told.get("ancestor")
    lineage = "trained from random weights" if ancestor == "none" else f"tuned from the weights {str(ancestor)[:64]}"
    return f"{EXACT}; {_PROVEN.get(str(told.get('status')), _CLAIMED)}; {lineage if ancestor else _UNSTATED}"
