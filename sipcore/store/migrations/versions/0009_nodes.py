"""Nodes, and whose each call and batch is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "nodes",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
    )
    op.add_column("calls", sa.Column("node", sa.String(32)))
    op.add_column("batches", sa.Column("node", sa.String(32)))


def downgrade() -> None:
    """Take this revision back."""
    op.drop_column("batches", "node")
    op.drop_column("calls", "node")
    op.drop_table("nodes")
