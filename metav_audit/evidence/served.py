"""Whether what a plan of served answers says stands in the sealed log that it names, and since when that was there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from metav_audit.bundle import CHANGED, ServedPlan
from metav_audit.errors import EvidenceError
from metav_audit.evidence.request_log import KNOWN_SINCE, dated_sentence, earliest_seal, since_words
from metav_audit.transcript.log import AskedLog, Logged, SealedLog, find_accounts


def check_served(plan: ServedPlan, *, signer: str | None = None, roots: str | None = None) -> str:
    """Hold the queries of a plan against the log that it names, and say since when that was there.

    Args:
        plan: with what it tells of the log.
        signer: the key id that is expected; whoever signed if None.
        roots: the time-stamp authority's root certificates, PEM; those in the seals if None.

    Raises:
        EvidenceError: a query is no row of the log, a seal does not hold, or the signer that is expected signed none.
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
    if signer is not None and seal is None:
        raise EvidenceError(f"no seal of the request log covers these answers: the key {signer} signed nothing of it")
    return f"{len(rows)} answers are rows of the log {asked.head}, {since_words(seal)}"


def served_sentence(plan: ServedPlan, operator: Mapping[str, str]) -> str:
    """Say how old the log's seal is beside the suspect, as the auditor dates it.

    Args:
        plan: with what it tells of the log.
        operator: the auditor's words; ``suspect_known_since`` is the suspect's first known day.
    """
    return dated_sentence(AskedLog.from_json(plan.log), operator.get(KNOWN_SINCE))


def check_drawn(plan: ServedPlan, log: SealedLog) -> str:
    """Hold a plan's prompts against the whole log: they have to be the first that the draw gives of each account.

    An owner who has asked the suspect in secret would leave out what speaks for it. Rows of another version of the
    model are left out by everybody; how many more, the plan says, and why only the model itself shows.

    Args:
        plan: with what it tells of the log.
        log: as its owner shows it, with the head that the plan names.

    Raises:
        EvidenceError: a prompt is not the draw's, or more were left out than the plan counts.
        ConfigurationError, DataError: an account that it names is none of the log's, or sent too little.
    """
    asked = AskedLog.from_json(plan.log)
    groups = {one.name: one.members for one in asked.accounts if one.members != (one.name,)}
    drawn = {account.name: account.rows for account in find_accounts(log, asked.draw, groups)}
    missed, counts = 0, Counter(query.account for query in plan.queries)
    for number, account in enumerate(asked.accounts):
        rows = drawn.get(account.name, ())
        turns = {(logged.day, logged.place): turn for turn, logged in enumerate(rows)}
        mine = [turns.get((row.day, row.place)) for row in asked.rows if row.account == number]
        if None in mine or mine != sorted(mine, key=lambda turn: turn or 0):
            raise EvidenceError(f"the prompts of the account {account.name!r} are not those that the draw gives")
        if not mine:
            continue
        # An account may end before it has as many prompts as others: then all of it was looked at.
        end = len(rows) if counts[account.name] < max(counts.values()) else 1 + (mine[-1] or 0)
        usable = [turn for turn in range(end) if _version(rows[turn]) == plan.model]
        missed += len(set(usable) - set(mine))
    told = sum(count for why, count in plan.left_out.items() if why != CHANGED)
    if missed > told:
        raise EvidenceError(f"{missed} rows that the draw gives were left out, and the plan counts {told}")
    return f"the prompts are the first that the draw gives; {missed} rows between them were left out, as the plan says"


def _version(logged: Logged) -> str | None:
    return None if logged.row.how is None else logged.row.how.model
