"""What outlives the program of queues' agents: pauses, turns, and last calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "queue_agents",
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("queue", sa.String, nullable=False),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True)),
        sa.Column("offered_at", sa.DateTime(timezone=True)),
        sa.Column("idle_since", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("organisation", "queue", "agent", name=op.f("pk_queue_agents")),
    )


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("queue_agents")
