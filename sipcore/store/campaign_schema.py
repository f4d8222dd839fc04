"""Tables of campaigns, their numbers, and the do-not-call lists, beside those of `sipcore.store.schema`.

Columns are named as the fields that they hold, of `sipcore.domain.campaign`.
"""

from __future__ import annotations

import sqlalchemy as sa

from sipcore.store.schema import UtcTime, metadata

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("organisation", sa.String, nullable=False),
    sa.Column("user", sa.String, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("dial2", sa.String, nullable=False),
    sa.Column("set_cid", sa.String),
    sa.Column("ring_seconds", sa.SmallInteger, nullable=False),
    sa.Column("hours", sa.JSON(none_as_null=True)),
    sa.Column("concurrency", sa.Integer, nullable=False),
    sa.Column("calls_per_second", sa.Float, nullable=False),
    sa.Column("retries", sa.JSON, nullable=False),
    sa.Column("max_attempts", sa.SmallInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("numbers", sa.Integer, nullable=False),
    sa.Column("refused", sa.Integer, nullable=False),
    sa.Column("started_at", UtcTime),
    sa.Column("ended_at", UtcTime),
    # When the pace lets the next number be dialled, on whatever node.
    sa.Column("paced_until", UtcTime),
    sa.Index(None, "organisation", "created_at", "id"),
)
"""One row per campaign: a `Campaign`. `retries` has an array of retries and seconds for each outcome."""

_RUNNING = campaigns.c.state == sa.text("'running'")
sa.Index("ix_campaigns_running", campaigns.c.id, sqlite_where=_RUNNING, postgresql_where=_RUNNING)

campaign_counts = sa.Table(
    "campaign_counts",
    metadata,
    sa.Column("campaign_id", sa.ForeignKey(campaigns.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("state", sa.String(16), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
)
"""How many of a campaign's numbers stand how, kept with each change: a million are not counted in no time."""

campaign_numbers = sa.Table(
    "campaign_numbers",
    metadata,
    sa.Column("campaign_id", sa.ForeignKey(campaigns.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.String(33), nullable=False),
    sa.Column("reference", sa.String(128)),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("next_at", UtcTime),
    sa.Column("attempts", sa.SmallInteger, nullable=False),
    sa.Column("claimed_by", sa.String(32)),
    sa.Column("reason", sa.String),
    sa.Index(None, "campaign_id", "number", unique=True),
    sa.Index(None, "campaign_id", "state", "position"),
)
"""One row per number of a campaign. While it waits it has a time when it may be dialled, and then perhaps the node that
has claimed it to dial it now."""

WAITS_UNCLAIMED = campaign_numbers.c.next_at.is_not(None) & campaign_numbers.c.claimed_by.is_(None)
"""A number that any node may claim."""
sa.Index(
    "ix_campaign_numbers_due",
    campaign_numbers.c.campaign_id,
    campaign_numbers.c.next_at,
    campaign_numbers.c.position,
    sqlite_where=WAITS_UNCLAIMED,
    postgresql_where=WAITS_UNCLAIMED,
)

_CLAIMED = campaign_numbers.c.claimed_by.is_not(None)
sa.Index(
    "ix_campaign_numbers_claimed",
    campaign_numbers.c.claimed_by,
    campaign_numbers.c.campaign_id,
    sqlite_where=_CLAIMED,
    postgresql_where=_CLAIMED,
)

campaign_refusals = sa.Table(
    "campaign_refusals",
    metadata,
    sa.Column("campaign_id", sa.ForeignKey(campaigns.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("line", sa.Integer, nullable=False),
    sa.Column("text", sa.String(80), nullable=False),
    sa.Column("reason", sa.String, nullable=False),
)
"""One row per line of a campaign's lists that was refused: a `RefusedLine`, in their order."""

do_not_call = sa.Table(
    "do_not_call",
    metadata,
    sa.Column("organisation", sa.String, primary_key=True),
    sa.Column("number", sa.String(16), primary_key=True),
    sa.Column("added_at", UtcTime, nullable=False),
    sa.Column("added_by", sa.String, nullable=False),
)
"""One row per number that an organisation's campaigns never dial."""
