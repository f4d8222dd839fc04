"""The client's own name for a call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("calls", sa.Column("reference", sa.String(128)))
    op.create_index(
        "ix_calls_reference",
        "calls",
        ["organisation", "reference", "accepted_at", "id"],
        sqlite_where=sa.text("reference IS NOT NULL"),
        postgresql_where=sa.text("reference IS NOT NULL"),
    )


def downgrade() -> None:
    """Take this revision back."""
    op.drop_index("ix_calls_reference", "calls")
    op.drop_column("calls", "reference")
