"""Calls of a batch, calls that come in, several legs of a party, and who answered them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("calls", sa.Column("batch_id", sa.String(32)))
    op.add_column("calls", sa.Column("direction", sa.String(8), nullable=False, server_default="outbound"))
    op.add_column("legs", sa.Column("party", sa.String(8), nullable=False, server_default="dial1"))
    op.add_column("legs", sa.Column("answered_by", sa.String(8)))
    op.execute("UPDATE legs SET party = 'dial2' WHERE position = 2")
    op.create_index(
        "ix_calls_batch_id",
        "calls",
        ["organisation", "batch_id", "accepted_at", "id"],
        sqlite_where=sa.text("batch_id IS NOT NULL"),
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )


def downgrade() -> None:
    """Take this revision back."""
    op.drop_index("ix_calls_batch_id", "calls")
    op.drop_column("legs", "answered_by")
    op.drop_column("legs", "party")
    op.drop_column("calls", "direction")
    op.drop_column("calls", "batch_id")
