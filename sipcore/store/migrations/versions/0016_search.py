"""Records found by disposition, by extension, and by these or a number together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_REPLACED = (
    ("legs", "number", "call_id", "outcome"),
    ("calls", "dial1", "id", "disposition"),
    ("calls", "dial2", "id", "disposition"),
)
_NEW = (("legs", "extension", ["call_id", "outcome"]), ("calls", "disposition", ["id"]))


def upgrade() -> None:
    """Bring the schema to this revision. What a leg's extension was is not known of the calls before."""
    op.add_column("legs", sa.Column("extension", sa.String))
    op.add_column("legs", sa.Column("outcome", sa.String(16)))
    for table, column, call_id, outcome in _REPLACED:
        op.drop_index(op.f(f"ix_{table}_organisation_{column}_accepted_at_{call_id}"), table)
        op.create_index(f"ix_{table}_{column}", table, ["organisation", column, "accepted_at", call_id, outcome])
    for table, column, behind in _NEW:
        known = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_{table}_{column}",
            table,
            ["organisation", column, "accepted_at", *behind],
            sqlite_where=known,
            postgresql_where=known,
        )


def downgrade() -> None:
    """Take this revision back."""
    for table, column, _ in _NEW:
        op.drop_index(f"ix_{table}_{column}", table)
    for table, column, call_id, _ in _REPLACED:
        op.drop_index(f"ix_{table}_{column}", table)
        op.create_index(
            op.f(f"ix_{table}_organisation_{column}_accepted_at_{call_id}"),
            table,
            ["organisation", column, "accepted_at", call_id],
        )
    op.drop_column("legs", "outcome")
    op.drop_column("legs", "extension")
