"""The owner's request log: what accounts asked the owner's API and were served, sealed day by day.

Whoever extracts a model has to ask for it. The log's rows name what was asked, so that a suspect can be asked the same.
"""

from __future__ import annotations

from metav_audit.transcript.log.accounts import (
    ENOUGH,
    MOST_ACCOUNTS,
    Account,
    Groups,
    Logged,
    count_requests,
    find_accounts,
)
from metav_audit.transcript.log.asked import AskedAccount, AskedLog, AskedRow
from metav_audit.transcript.log.columns import Columns
from metav_audit.transcript.log.folder import BROKEN, SEALS, Day, SealedLog, open_log, read_row
from metav_audit.transcript.log.inputs import InputReader
from metav_audit.transcript.log.merkle import leaf_hash, proofs_of, root_by, root_of
from metav_audit.transcript.log.rows import Drawn, LogFormat, Row, RowReader, TextReader, inputs_of
from metav_audit.transcript.log.sealing import SEALED_BEFORE, Sealing, seal_log
from metav_audit.transcript.log.sources import Record, Source, find_sources

__all__ = [
    "BROKEN",
    "ENOUGH",
    "MOST_ACCOUNTS",
    "SEALED_BEFORE",
    "SEALS",
    "Account",
    "AskedAccount",
    "AskedLog",
    "AskedRow",
    "Columns",
    "Day",
    "Drawn",
    "Groups",
    "InputReader",
    "LogFormat",
    "Logged",
    "Record",
    "Row",
    "RowReader",
    "SealedLog",
    "Sealing",
    "Source",
    "TextReader",
    "count_requests",
    "find_accounts",
    "find_sources",
    "inputs_of",
    "leaf_hash",
    "open_log",
    "proofs_of",
    "read_row",
    "root_by",
    "root_of",
    "seal_log",
]
