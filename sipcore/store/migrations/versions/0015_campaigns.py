"""Campaigns and do-not-call lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_WAITS_UNCLAIMED = sa.text("next_at IS NOT NULL AND claimed_by IS NULL")
_CLAIMED = sa.text("claimed_by IS NOT NULL")
_RUNNING = sa.text("state = 'running'")


def upgrade() -> None:
    """Bring the schema to this revision."""
    _create_campaigns()
    _create_numbers()
    op.create_table(
        "campaign_refusals",
        sa.Column("campaign_id", sa.String(32), nullable=False),
        sa.Column("position", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("text", sa.String(80), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "position", name=op.f("pk_campaign_refusals")),
        _of_campaign("campaign_refusals"),
    )
    op.create_table(
        "do_not_call",
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("number", sa.String(16), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "number", name=op.f("pk_do_not_call")),
    )


def _of_campaign(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_campaign_id")
    return sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=name, ondelete="CASCADE")


def _create_campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("dial2", sa.String, nullable=False),
        sa.Column("set_cid", sa.String),
        sa.Column("ring_seconds", sa.SmallInteger, nullable=False),
        sa.Column("hours", sa.JSON),
        sa.Column("concurrency", sa.Integer, nullable=False),
        sa.Column("calls_per_second", sa.Float, nullable=False),
        sa.Column("retries", sa.JSON, nullable=False),
        sa.Column("max_attempts", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("numbers", sa.Integer, nullable=False),
        sa.Column("refused", sa.Integer, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("paced_until", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    op.create_index(op.f("ix_campaigns_organisation_created_at_id"), "campaigns", ["organisation", "created_at", "id"])
    op.create_index("ix_campaigns_running", "campaigns", ["id"], sqlite_where=_RUNNING, postgresql_where=_RUNNING)
    op.create_table(
        "campaign_counts",
        sa.Column("campaign_id", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "state", name=op.f("pk_campaign_counts")),
        _of_campaign("campaign_counts"),
    )


def _create_numbers() -> None:
    op.create_table(
        "campaign_numbers",
        sa.Column("campaign_id", sa.String(32), nullable=False),
        sa.Column("position", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("number", sa.String(33), nullable=False),
        sa.Column("reference", sa.String(128)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.Column("attempts", sa.SmallInteger, nullable=False),
        sa.Column("claimed_by", sa.String(32)),
        sa.Column("reason", sa.String),
        sa.PrimaryKeyConstraint("campaign_id", "position", name=op.f("pk_campaign_numbers")),
        _of_campaign("campaign_numbers"),
    )
    op.create_index(
        op.f("ix_campaign_numbers_campaign_id_number"), "campaign_numbers", ["campaign_id", "number"], unique=True
    )
    op.create_index(
        op.f("ix_campaign_numbers_campaign_id_state_position"), "campaign_numbers", ["campaign_id", "state", "position"]
    )
    op.create_index(
        "ix_campaign_numbers_due",
        "campaign_numbers",
        ["campaign_id", "next_at", "position"],
        sqlite_where=_WAITS_UNCLAIMED,
        postgresql_where=_WAITS_UNCLAIMED,
    )
    op.create_index(
        "ix_campaign_numbers_claimed",
        "campaign_numbers",
        ["claimed_by", "campaign_id"],
        sqlite_where=_CLAIMED,
        postgresql_where=_CLAIMED,
    )


def downgrade() -> None:
    """Take this revision back."""
    for table in ("do_not_call", "campaign_refusals", "campaign_numbers", "campaign_counts", "campaigns"):
        op.drop_table(table)
