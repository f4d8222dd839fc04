"""Events, and how far each webhook has been told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "events",
        # In SQLite an INTEGER primary key is the row's own number, and needs no index.
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False, nullable=False),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_organisation_id"), "events", ["organisation", "id"])
    op.create_table(
        "webhook_cursors",
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("webhook", sa.String, nullable=False),
        sa.Column("event_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "webhook", name=op.f("pk_webhook_cursors")),
    )


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("webhook_cursors")
    op.drop_table("events")
