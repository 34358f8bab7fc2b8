"""The history's first tables."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MOMENT = sa.Float(53)


def upgrade() -> None:
    """Make the tables, and the one row that writers take turns by."""
    gate = op.create_table(
        "gate",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
    )
    op.create_table(
        "targets",
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
        sa.UniqueConstraint("endpoint", "bundle", name="one_target"),
    )
    op.create_table(
        "audits",
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
        sa.UniqueConstraint("target", "number", name="one_audit_a_slot"),
    )
    op.create_index("audits_by_status", "audits", ["status"])
    op.create_table(
        "ledger",
        sa.Column("audit", sa.Integer, sa.ForeignKey("audits.id"), primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("scope", sa.String(400), primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
    )
    op.create_index("ledger_by_scope", "ledger", ["month", "scope"])
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("uid", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("target", sa.Integer, sa.ForeignKey("targets.id")),
        sa.Column("audit", sa.Integer, sa.ForeignKey("audits.id")),
        sa.Column("before", sa.Integer),
        sa.Column("words", sa.Text, nullable=False),
    )
    op.create_index("events_by_target", "events", ["target"])
    op.create_index("events_by_audit", "events", ["audit"])
    op.create_table(
        "messages",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("uid", sa.String(64), nullable=False, unique=True),
        sa.Column("channel", sa.String(100), nullable=False),
        sa.Column("made", MOMENT, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("delivered", MOMENT),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "outbox",
        sa.Column("event", sa.Integer, sa.ForeignKey("events.id"), primary_key=True),
        sa.Column("channel", sa.String(100), primary_key=True),
        sa.Column("message", sa.Integer, sa.ForeignKey("messages.id")),
    )
    op.create_index("outbox_by_channel", "outbox", ["channel", "message"])
    op.bulk_insert(gate, [{"id": 1, "turn": 0, "name": secrets.token_hex(16)}])
