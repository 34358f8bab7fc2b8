"""The transcript: every query of an audit, answered or not, bound to the bundle's hash."""

from __future__ import annotations

from metav_audit.transcript.bodies import BODIES, BodyReader, BodyWriter, Place
from metav_audit.transcript.campaign import Campaign
from metav_audit.transcript.endpoint import EndpointRecord
from metav_audit.transcript.lines import CHAIN_START, line_hashes, parse_record, read_records, record_line
from metav_audit.transcript.records import (
    OK,
    SCHEMA_VERSION,
    Finished,
    Header,
    Received,
    Record,
    Resumed,
    Sent,
    Unanswered,
)
from metav_audit.transcript.replay import Records, load_records, load_transcript, replay_file
from metav_audit.transcript.shared import Shared, Source
from metav_audit.transcript.transcript import Attempt, Exchange, Transcript

__all__ = [
    "BODIES",
    "CHAIN_START",
    "OK",
    "SCHEMA_VERSION",
    "Attempt",
    "BodyReader",
    "BodyWriter",
    "Campaign",
    "EndpointRecord",
    "Exchange",
    "Finished",
    "Header",
    "Place",
    "Received",
    "Record",
    "Records",
    "Resumed",
    "Sent",
    "Shared",
    "Source",
    "Transcript",
    "Unanswered",
    "line_hashes",
    "load_records",
    "load_transcript",
    "parse_record",
    "read_records",
    "record_line",
    "replay_file",
]
