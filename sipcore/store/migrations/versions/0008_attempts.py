"""Attempts of what is dialled at its time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "attempts",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("source", sa.String(8), nullable=False),
        sa.Column("source_id", sa.String(48), nullable=False),
        sa.Column("number", sa.SmallInteger, nullable=False),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("node", sa.String(32), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("outcome", sa.String(16)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index(
        op.f("ix_attempts_source_source_id_number"), "attempts", ["source", "source_id", "number"], unique=True
    )
    op.create_index(
        "ix_attempts_unsettled",
        "attempts",
        ["node"],
        sqlite_where=sa.text("settled_at IS NULL"),
        postgresql_where=sa.text("settled_at IS NULL"),
    )


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("attempts")
