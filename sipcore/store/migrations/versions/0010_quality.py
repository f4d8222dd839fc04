"""How the audio of each leg was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("legs", sa.Column("quality", sa.JSON))


def downgrade() -> None:
    """Take this revision back."""
    op.drop_column("legs", "quality")
