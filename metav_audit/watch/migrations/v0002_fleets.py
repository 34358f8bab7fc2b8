"""Rows know their fleet; why a verdict is inconclusive, and which endpoints are watched no more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _fleet() -> sa.Column[str]:
    return sa.Column("fleet", sa.String(100), nullable=False, server_default="")


def upgrade() -> None:
    """Add the columns; a target's name is its fleet's from now on."""
    with op.batch_alter_table("targets") as targets:
        targets.add_column(_fleet())
        targets.add_column(sa.Column("watched", sa.Boolean, nullable=False, server_default=sa.true()))
        targets.drop_constraint("one_target", type_="unique")
        targets.create_unique_constraint("one_target", ["fleet", "endpoint", "bundle"])
    op.add_column("audits", sa.Column("why", sa.Text))
    op.add_column("events", _fleet())
    op.add_column("messages", _fleet())
