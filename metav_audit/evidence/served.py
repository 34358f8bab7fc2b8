"""Whether what a plan of served answers says stands in the sealed log that it names, and since when that was there."""

from __future__ import annotations

from collections.abc import Mapping

from metav_audit.bundle import ServedPlan
from metav_audit.errors import EvidenceError
from metav_audit.evidence.request_log import KNOWN_SINCE, dated_sentence, earliest_seal, since_words
from metav_audit.transcript.log import AskedLog


def check_served(plan: ServedPlan, *, signer: str | None = None, roots: str | None = None) -> str:
    """Hold the queries of a plan against the log that it names, and say since when that was there.

    Args:
        plan: with what it tells of the log.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the seals if None.

    Raises:
        EvidenceError: a query is no row of the log, or a seal does not hold.
    """
    asked = AskedLog.from_json(plan.log)
    asked.check_chain()
    rows = asked.read_rows()
    if len(rows) != len(plan.queries):
        raise EvidenceError(f"the plan has {len(plan.queries)} queries, and names {len(rows)} rows of the log")
    for number, (row, told, query) in enumerate(zip(rows, asked.rows, plan.queries, strict=True)):
        names = [each.name for each in asked.accounts]
        account = names[told.account]
        stated = (account, query.at, query.prompt, query.answer, plan.model, query.sampler, query.temperature)
        how = row.how or (None, None, None)
        if stated != (query.account, row.at, row.input.decode(errors="replace"), row.answer, *how):
            raise EvidenceError(f"query {number} is not what its row of the log says")
    seal, problems = earliest_seal(asked, signer=signer, roots=roots)
    if problems:
        raise EvidenceError(f"a seal of the request log does not hold: {problems[0]}")
    return f"{len(rows)} answers are rows of the log {asked.head}, {since_words(seal)}"


def served_sentence(plan: ServedPlan, operator: Mapping[str, str]) -> str:
    """Say how old the log's seal is beside the suspect, as the auditor dates it.

    Args:
        plan: with what it tells of the log.
        operator: the auditor's words; ``suspect_known_since`` is the suspect's first known day.
    """
    return dated_sentence(AskedLog.from_json(plan.log), operator.get(KNOWN_SINCE))
