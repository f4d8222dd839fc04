"""The SIP ladders of calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "ladders",
        sa.Column("call_id", sa.String(32), nullable=False),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("legs", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_ladders_call_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_ladders")),
    )
    op.create_index(op.f("ix_ladders_ended_at"), "ladders", ["ended_at"])


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("ladders")
