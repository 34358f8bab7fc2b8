"""The history's tables, as the newest migration leaves them; moments are seconds since 1970, money is in millionths."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
MOMENT = sa.Float(53)

GATE = sa.Table(
    "gate",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("turn", sa.BigInteger, nullable=False),
    sa.Column("name", sa.String(32), nullable=False),
)
"""One row; whoever writes takes it first, so that writers come one after the other on every database.

``name`` was drawn by chance when the tables were made: no other history has it.
"""

TARGETS = sa.Table(
    "targets",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("endpoint", sa.String(100), nullable=False),
    sa.Column("bundle", sa.String(100), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("host", sa.String(300), nullable=False),
    sa.Column("slot", MOMENT, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("outcome", sa.String(20)),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("lost", sa.Boolean, nullable=False),
    sa.Column("unsteady", sa.Integer, nullable=False),
    sa.Column("reference", sa.Integer),
    sa.Column("fleet", sa.String(100), nullable=False, server_default=""),
    sa.Column("watched", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.UniqueConstraint("fleet", "endpoint", "bundle", name="one_target"),
)
"""An endpoint and the bundle that it is asked: when it is due, and what is known of it so far."""

AUDITS = sa.Table(
    "audits",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("target", sa.Integer, sa.ForeignKey("targets.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("token", sa.String(40)),
    sa.Column("until", MOMENT, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("granted", sa.Integer, nullable=False),
    sa.Column("price", sa.BigInteger, nullable=False),
    sa.Column("claimed", MOMENT, nullable=False),
    sa.Column("ended", MOMENT),
    sa.Column("folder", sa.String(300), nullable=False),
    sa.Column("evidence", sa.String(12), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("bundle_sha256", sa.String(64), nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("outcome", sa.String(20)),
    sa.Column("score", MOMENT),
    sa.Column("score_noise", MOMENT),
    sa.Column("p_value", MOMENT),
    sa.Column("p_value_derived", MOMENT),
    sa.Column("p_value_siblings", MOMENT),
    sa.Column("log10_lr", MOMENT),
    sa.Column("queries", sa.Integer),
    sa.Column("answered", sa.Integer),
    sa.Column("requests", sa.Integer),
    sa.Column("latency", MOMENT),
    sa.Column("view", sa.Text),
    sa.Column("sighting", sa.Text),
    sa.Column("answers", sa.LargeBinary),
    sa.Column("why", sa.Text),
    sa.UniqueConstraint("target", "number", name="one_audit_a_slot"),
    sa.Index("audits_by_status", "status"),
)
"""Every audit, from before its first request on; it is open, done, failed, or given up."""

LEDGER = sa.Table(
    "ledger",
    METADATA,
    sa.Column("audit", sa.Integer, sa.ForeignKey("audits.id"), primary_key=True),
    sa.Column("month", sa.String(7), primary_key=True),
    sa.Column("scope", sa.String(400), primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.BigInteger, nullable=False),
    sa.Index("ledger_by_scope", "month", "scope"),
)
"""What an audit may send in a month while it is open, and what it sent when it is closed, for each budget it is in."""

EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("uid", sa.String(64), nullable=False, unique=True),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.Column("at", MOMENT, nullable=False),
    sa.Column("target", sa.Integer, sa.ForeignKey("targets.id")),
    sa.Column("audit", sa.Integer, sa.ForeignKey("audits.id")),
    sa.Column("before", sa.Integer),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("fleet", sa.String(100), nullable=False, server_default=""),
    sa.Index("events_by_target", "target"),
    sa.Index("events_by_audit", "audit"),
)
"""What happened; ``before`` is the audit that a change is told from."""

MESSAGES = sa.Table(
    "messages",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("uid", sa.String(64), nullable=False, unique=True),
    sa.Column("channel", sa.String(100), nullable=False),
    sa.Column("made", MOMENT, nullable=False),
    sa.Column("until", MOMENT, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("delivered", MOMENT),
    sa.Column("error", sa.Text),
    sa.Column("fleet", sa.String(100), nullable=False, server_default=""),
)
"""Events told together; it is sent again, the same, until it was taken."""

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("event", sa.Integer, sa.ForeignKey("events.id"), primary_key=True),
    sa.Column("channel", sa.String(100), primary_key=True),
    sa.Column("message", sa.Integer, sa.ForeignKey("messages.id")),
    sa.Index("outbox_by_channel", "channel", "message"),
)
"""Which event is to be told on which channel, and in which message it was put."""
