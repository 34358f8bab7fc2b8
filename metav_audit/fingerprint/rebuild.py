"""A bundle made again from its project, and compared with the one that is shown."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from metav_audit.bundle import FingerprintBundle, is_targeted, mark_of
from metav_audit.errors import ConfigurationError, EvidenceError
from metav_audit.fingerprint.fit import make_bundle
from metav_audit.fingerprint.making import Making
from metav_audit.fingerprint.requests import LIMIT, Requests
from metav_audit.progress import Progress
from metav_audit.transcript.log import MOST_ACCOUNTS, AskedLog, SealedLog
from metav_audit.zoo.build import build_zoo
from metav_audit.zoo.project import Project, open_workshop


def rebuild_bundle(
    project: Project,
    method: str,
    *,
    reuse: bool = False,
    seed: int | None = None,
    jobs: int | None = None,
    requests: Requests | None = None,
    progress: Callable[[str], Progress],
) -> FingerprintBundle:
    """Make a project's bundle again.

    Args:
        project: the owner's project.
        method: of the fit.
        reuse: take the models in the project's store as they are; otherwise all are trained anew, elsewhere.
        seed: of the optimisation; the project's if None.
        jobs: worker processes for the zoo; all cores by default.
        requests: the request log that its queries are from; see ``requests_as``.
        progress: given what is counted, returns a progress callback.

    Raises:
        ConfigurationError, DataError: the project, its model or its data do not fit.
    """
    if reuse:
        return _make(project, method, seed, jobs, requests, progress)
    with tempfile.TemporaryDirectory(prefix="metav-audit-zoo-") as place:
        return _make(replace(project, other_store=Path(place)), method, seed, jobs, requests, progress)


def _make(
    project: Project,
    method: str,
    seed: int | None,
    jobs: int | None,
    requests: Requests | None,
    progress: Callable[[str], Progress],
) -> FingerprintBundle:
    zoo = build_zoo(project, jobs=jobs, progress=progress("zoo: models trained"))
    making = Making.of(open_workshop(project), zoo, method, seed=seed, requests=requests)
    return make_bundle(making, progress("fingerprint: steps"))


def requests_as(log: SealedLog | None, shown: FingerprintBundle) -> Requests | None:
    """Return a log with the draw, the groups and the seals that a bundle names; None where its queries are from none.

    Raises:
        ConfigurationError: the bundle's queries are from a log, and none is given; or the other way round.
        EvidenceError: what the bundle tells of its log is damaged.
    """
    told = shown.provenance.get("log")
    if (told is None) != (log is None):
        raise ConfigurationError(
            "a bundle whose queries are from a request log is made again with --log, others without"
        )
    if log is None or told is None:
        return None
    asked = AskedLog.from_json(told)
    groups = {one.name: one.members for one in asked.accounts if one.members != (one.name,)}
    most = shown.provenance.get(LIMIT, MOST_ACCOUNTS)
    if type(most) is not int or not 0 < most < MOST_ACCOUNTS + 1:
        raise EvidenceError(f"the bundle says that it asks about {most!r:.40} accounts, which is no such number")
    return Requests(log, asked.draw, groups, [dict(seal) for seal in asked.seals], most)


def marked_as(project: Project, shown: FingerprintBundle) -> Project:
    """Return the project with the identity and the nonce of a targeted bundle, which the command line may have given.

    Raises:
        BundleError: the bundle is targeted and names none.
    """
    return replace(project, **asdict(mark_of(shown))) if is_targeted(shown) else project


def differences(shown: FingerprintBundle, rebuilt: FingerprintBundle) -> tuple[str, ...]:
    """Name the parts in which two bundles differ, a sentence each; none where their hashes are the same."""
    return () if shown.sha256 == rebuilt.sha256 else tuple(_differences(shown, rebuilt))


def _differences(shown: FingerprintBundle, rebuilt: FingerprintBundle) -> Iterator[str]:
    first, other = _parts(shown), _parts(rebuilt)
    for name in sorted(first.keys() | other.keys(), key=_rank):
        one, two = first.get(name), other.get(name)
        if one is None or two is None:
            yield f"{name}: it is in one of the two alone"
        elif isinstance(one, np.ndarray):
            if not np.array_equal(one, two):
                yield f"{name}: {_apart(one, two)}"
        elif one != two:
            yield f"{name}: the bundle says {_brief(one)}, made again it is {_brief(two)}"


def _parts(bundle: FingerprintBundle) -> dict[str, Any]:
    calibration = [card.to_json() for card in bundle.calibration.models]
    tensors = {f"verifier.{name}": tensor for name, tensor in bundle.verifier.tensors.items()}
    provenance = {f"provenance.{name}": value for name, value in bundle.provenance.items()}
    return {
        "name": bundle.name,
        "method": bundle.method,
        "task": bundle.task.to_json(),
        "inputs": bundle.inputs,
        "reference": bundle.reference,
        **({} if bundle.ancestor is None else {"ancestor": bundle.ancestor}),
        "verifier": bundle.verifier.kind.value,
        **tensors,
        "calibration.models": calibration,
        "calibration.answers": bundle.calibration.features,
        "weight": asdict(bundle.weight),
        "rates": asdict(bundle.rates),
        **({} if bundle.natural is None else {"natural": bundle.natural.stated(), **bundle.natural.tensors()}),
        **provenance,
    }


_ORDER = ("provenance.platform", "provenance.versions", "name", "method", "task", "provenance", "inputs", "reference",
          "ancestor",          "verifier", "calibration", "weight", "rates", "natural")  # fmt: skip
"""What explains the rest comes first: another platform or version gives other bits."""


def _rank(name: str) -> tuple[int, str]:
    found = name if name in _ORDER else name.split(".", maxsplit=1)[0]
    return _ORDER.index(found), name


def _apart(one: np.ndarray[Any, Any], two: np.ndarray[Any, Any]) -> str:
    if one.shape != two.shape:
        return f"of shape {one.shape}, made again of shape {two.shape}"
    return f"{(one != two).mean():.1%} of its numbers differ, by {np.abs(one - two).max():.3g} at most"


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        value = dict(value)
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
