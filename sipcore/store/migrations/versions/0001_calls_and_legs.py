"""Calls and their legs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "calls",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("dial1", sa.String, nullable=False),
        sa.Column("dial2", sa.String, nullable=False),
        sa.Column("set_cid", sa.String),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("disposition", sa.String(16)),
        sa.Column("ended_by", sa.String(16)),
        sa.Column("recording_id", sa.String),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
    )
    op.create_index(op.f("ix_calls_organisation_accepted_at_id"), "calls", ["organisation", "accepted_at", "id"])
    op.create_index(
        op.f("ix_calls_organisation_dial1_accepted_at_id"), "calls", ["organisation", "dial1", "accepted_at", "id"]
    )
    op.create_index(
        op.f("ix_calls_organisation_dial2_accepted_at_id"), "calls", ["organisation", "dial2", "accepted_at", "id"]
    )
    op.create_index(
        "ix_calls_unfinished",
        "calls",
        ["accepted_at"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "legs",
        sa.Column("call_id", sa.String(32), nullable=False),
        sa.Column("position", sa.SmallInteger, nullable=False),
        sa.Column("uid", sa.String, nullable=False),
        sa.Column("number", sa.String, nullable=False),
        sa.Column("disposition", sa.String(16)),
        sa.Column("sip_code", sa.SmallInteger),
        sa.Column("cause", sa.SmallInteger),
        sa.Column("ended_by", sa.String(16)),
        sa.Column("placed_at", sa.DateTime(timezone=True)),
        sa.Column("ringing_at", sa.DateTime(timezone=True)),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "position", name=op.f("pk_legs")),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_legs_call_id"), ondelete="CASCADE"),
    )
    op.create_index(op.f("ix_legs_uid"), "legs", ["uid"])
    op.create_index(
        op.f("ix_legs_organisation_number_accepted_at_call_id"),
        "legs",
        ["organisation", "number", "accepted_at", "call_id"],
    )


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("legs")
    op.drop_table("calls")
