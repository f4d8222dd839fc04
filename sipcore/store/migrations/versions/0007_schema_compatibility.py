"""Which programs can work with the schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
compatible_since = revision


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table("schema_compatibility", sa.Column("since", sa.String, nullable=False))


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("schema_compatibility")
