"""Whose requests of the owner's API a suspect's answers point to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metav_audit.bundle import FingerprintBundle, MetaVerifier
from metav_audit.task import Features
from metav_audit.transcript.log import AskedLog


@dataclass(frozen=True, slots=True)
class AccountFinding:
    """What a suspect's answers to one account's inputs say.

    Attributes:
        name: the account's, or the name of a group of accounts.
        requests: how many it sent.
        queries: how many of its inputs were asked.
        answered: how many of these were answered.
        nearness: by how many standard deviations of target and siblings the suspect is nearer to the target than to the
            usual one of them; two times as many where labels and scores are both shown.
        p_value: of "independent of the target", by this account's inputs, corrected for there being several accounts:
            the share of models, the target counted among them, that some account's inputs show as near.
    """

    name: str
    requests: int
    queries: int
    answered: int
    nearness: float
    p_value: float


def find_in_accounts(
    bundle: FingerprintBundle, verifier: MetaVerifier, shown: Features
) -> tuple[AccountFinding, ...] | None:
    """Return a finding an account, in the bundle's order; None where its queries are no account's.

    Args:
        bundle: whose provenance names the accounts.
        verifier: the bundle's, for suspects that are seen so.
        shown: the suspect's answers.

    Raises:
        EvidenceError: what the bundle tells of its log is damaged.
    """
    found = verifier.by_account(shown.values[None], shown.mask[None])
    if found is None:
        return None
    owners, told = verifier.tensors["accounts"], AskedLog.from_json(bundle.provenance.get("log", {}))
    return tuple(
        AccountFinding(
            account.name,
            account.requests,
            int((owners == number).sum()),
            int(shown.answered[owners == number].sum()),
            nearness,
            p_value,
        )
        for number, (account, nearness, p_value) in enumerate(
            zip(told.accounts, *(np.asarray(each)[0].tolist() for each in found), strict=True)
        )
    )
