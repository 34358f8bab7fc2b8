"""What happened: the events that follow from an audit and from what was known of the endpoint before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from metav_audit.verdict import VerdictOutcome
from metav_audit.watch.compare import compare
from metav_audit.watch.sighting import Sighting

_UNSTEADY = 2
"""Audits in a row that met more than one model: the first may have met the moment of a swap, which the next tells."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of an endpoint.

    Attributes:
        outcome: its last verdict that was none of "inconclusive"; None before the first.
        failures: audits in a row that could not be made.
        lost: whether it was told that the endpoint is lost.
        unsteady: audits in a row that met more than one model.
        reference: the audit that others are compared with: the first, or the first after a change; None before it.
    """

    outcome: str | None = None
    failures: int = 0
    lost: bool = False
    unsteady: int = 0
    reference: int | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is to be told.

    Attributes:
        kind: match, change, lost, recovered, budget or outdated.
        words: what happened, in a sentence.
        before: the audit that a change is told from.
    """

    kind: str
    words: str
    before: int | None = None


def after_failure(memory: Memory, error: str, lost_after: int) -> tuple[Memory, list[Draft]]:
    """Take an audit that could not be made; an endpoint is lost once, after so many in a row."""
    failures = memory.failures + 1
    told = failures >= lost_after and not memory.lost
    words = f"{failures} audits in a row could not be made; the last: {error}" if failures > 1 else error
    return replace(memory, failures=failures, lost=memory.lost or told), [Draft("lost", words)] if told else []


def after_audit(memory: Memory, audit: int, seen: Sighting, reference: Sighting | None) -> tuple[Memory, list[Draft]]:
    """Take an audit that was made.

    1. An endpoint that was lost has recovered.
    2. A swap is told by the first audit that one model answered, and that audit is the reference from then on.
    3. Several audits in a row that more than one model answered are a change, too, and their end is another.
    4. A match is told when it begins.

    Args:
        memory: what was known before.
        audit: the audit's number in the history.
        seen: what it showed.
        reference: what ``memory.reference`` showed; None without one, or where its answers are kept no more.
    """
    drafts = [Draft("recovered", "it can be asked again")] if memory.lost else []
    known = replace(memory, failures=0, lost=False)
    known, change = _change(known, audit, seen, reference)
    drafts += change
    if seen.outcome is VerdictOutcome.MATCH and known.outcome != VerdictOutcome.MATCH.value:
        drafts.append(Draft("match", f"the endpoint matches the target ({_numbers(seen)})"))
    if seen.outcome is not VerdictOutcome.INCONCLUSIVE:
        known = replace(known, outcome=seen.outcome.value)
    return known, drafts


def _change(memory: Memory, audit: int, seen: Sighting, reference: Sighting | None) -> tuple[Memory, list[Draft]]:
    if not seen.steady:
        unsteady = memory.unsteady + 1
        words = f"{unsteady} audits in a row were answered by more than one model"
        told = [Draft("change", words, memory.reference)] if unsteady == _UNSTEADY else []
        return replace(memory, unsteady=unsteady), told
    if not seen.answered:
        return memory, []
    settled = replace(memory, unsteady=0)
    if reference is None:
        return replace(settled, reference=audit), []
    signs = list(_signs(memory, reference, seen))
    if signs:
        return replace(settled, reference=audit), [Draft("change", "; ".join(signs), memory.reference)]
    # Another bundle asks other inputs: from here on its own answers are what is compared.
    renewed = reference.bundle_sha256 != seen.bundle_sha256
    return (replace(settled, reference=audit) if renewed else settled), []


def _signs(memory: Memory, reference: Sighting, seen: Sighting) -> Iterator[str]:
    yield from compare(reference, seen).signs
    if memory.unsteady >= _UNSTEADY:
        yield "one model answers again"


def _numbers(seen: Sighting) -> str:
    told = [f"score {seen.score:.4f}"] if seen.score is not None else []
    given = [each for each in (seen.p_value, seen.p_value_siblings) if each is not None]
    return ", ".join([*told, *([f"p = {max(given):.4f}"] if given else [])])
