"""Of an audit by the owner's request log: what was repeated of whose requests, and the sentences on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from metav_audit.bundle import FingerprintBundle
from metav_audit.evidence import log_sentence
from metav_audit.report.model import Repeated, RequestLog
from metav_audit.report.text import shorten
from metav_audit.transcript.log import AskedLog
from metav_audit.verdict import AccountFinding, Verdict, VerdictOutcome

MAX_NAME = 80


def request_log_of(bundle: FingerprintBundle, operator: Mapping[str, str]) -> RequestLog | None:
    """Return what a bundle tells of the log that its queries are from; None where they are from none.

    Args:
        bundle: as loaded.
        operator: the auditor's words, the suspect's first known day among them.

    Raises:
        EvidenceError: what the bundle tells of its log is damaged.
    """
    sentence = log_sentence(bundle, operator)
    if sentence is None:
        return None
    asked = AskedLog.from_json(bundle.provenance["log"])
    rows = tuple(
        Repeated(number, row.account, row.at, each.day, each.place)
        for number, (each, row) in enumerate(zip(asked.rows, asked.read_rows(), strict=True))
    )
    return RequestLog(sentence, asked.head, rows)


def account_sentences(model: str, verdict: Verdict) -> Iterator[str]:
    """Say in plain words to which account the answers point, and how sure that is."""
    accounts = verdict.accounts
    if not accounts:
        return
    ranked = in_order(accounts)
    first, rate = ranked[0], verdict.false_match_rate
    named = [shorten(one.name, MAX_NAME) for one in ranked if one.p_value <= rate]
    looked_at = "the one account" if len(accounts) == 1 else f"{len(accounts)} accounts"
    if verdict.outcome is VerdictOutcome.MATCH and named:
        others = f"; so do those to the inputs of {', '.join(named[1:4])}" if named[1:] else ""
        yield (
            f"The answers to inputs that the account {named[0]} sent to the owner's API are those of a model that "
            f"learnt from what {model} answered to them{others}: p = {first.p_value:.3g}, with {looked_at} looked at."
        )
        yield (
            "A model that learnt from another account's requests answers alike where both accounts sent the same or "
            "much the same inputs: then the answers do not tell which of the two it was."
        )
    elif named:
        yield (
            f"Of {looked_at} of the owner's API, the answers come nearest with the inputs of {named[0]}: p = "
            f"{first.p_value:.3g}, all accounts considered. Alone that is no match, for the reasons on the first page."
        )
    else:
        yield (
            f"Of {looked_at} of the owner's API that sent most, the answers point to none; they come nearest with the "
            f"inputs of {shorten(first.name, MAX_NAME)}: p = {first.p_value:.3g}."
        )


def in_order(accounts: tuple[AccountFinding, ...]) -> list[AccountFinding]:
    """Return accounts by their p-values, the nearest first among equal ones."""
    return sorted(accounts, key=lambda one: (one.p_value, -one.nearness))
