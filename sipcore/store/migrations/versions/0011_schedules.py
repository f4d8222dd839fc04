"""Future calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_WAITS_UNCLAIMED = sa.text("due_at IS NOT NULL AND claimed_by IS NULL")
_CLAIMED = sa.text("claimed_by IS NOT NULL")


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dial2", sa.String, nullable=False),
        sa.Column("set_cid", sa.String),
        sa.Column("ring_seconds", sa.SmallInteger, nullable=False),
        sa.Column("date", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retries", sa.SmallInteger, nullable=False),
        sa.Column("retry_seconds", sa.Integer, nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True)),
        sa.Column("cancelled_by", sa.String(16)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
    )
    op.create_index(
        op.f("ix_schedules_organisation_accepted_at_id"), "schedules", ["organisation", "accepted_at", "id"]
    )
    op.create_table(
        "schedule_numbers",
        sa.Column("id", sa.String(48), nullable=False),
        sa.Column("schedule_id", sa.String(32), nullable=False),
        sa.Column("position", sa.SmallInteger, nullable=False),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("number", sa.String, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("attempts", sa.SmallInteger, nullable=False),
        sa.Column("claimed_by", sa.String(32)),
        sa.Column("reason", sa.String),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_numbers")),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedules.id"], name=op.f("fk_schedule_numbers_schedule_id"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("ix_schedule_numbers_schedule_id_position"), "schedule_numbers", ["schedule_id", "position"])
    op.create_index(
        "ix_schedule_numbers_due",
        "schedule_numbers",
        ["due_at", "id"],
        sqlite_where=_WAITS_UNCLAIMED,
        postgresql_where=_WAITS_UNCLAIMED,
    )
    op.create_index(
        "ix_schedule_numbers_claimed",
        "schedule_numbers",
        ["claimed_by"],
        sqlite_where=_CLAIMED,
        postgresql_where=_CLAIMED,
    )
    op.create_table(
        "schedule_watch",
        sa.Column("id", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_watch")),
    )


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("schedule_watch")
    op.drop_table("schedule_numbers")
    op.drop_table("schedules")
