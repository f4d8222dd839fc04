"""Tables of the call detail records, of recordings, batches and the queues' agents, the same on SQLite and PostgreSQL.

Columns are named as the fields that they hold, of `sipcore.domain.record`, `.recording`, `.batch_record` and
`.waiting_queue`. A change here needs a migration (`sipcore/store/migrations/versions`); a test fails when the two
differ.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from sipcore.domain.causes import Disposition
from sipcore.domain.quality import LegQuality, StreamQuality


class UtcTime(sa.TypeDecorator[datetime]):
    """A moment, exact to the microsecond, aware and in UTC on the Python side.

    PostgreSQL keeps it as `timestamp with time zone`. SQLite has no type for time and keeps the text
    `YYYY-MM-DD HH:MM:SS.ffffff`, always in UTC and of one width, so that it sorts as the moments do.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Bring a moment to UTC.

        Raises:
            ValueError: the moment is naive.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Make what the engine gives aware: SQLite's text carries no zone, PostgreSQL's session may have another."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class QualityColumn(sa.TypeDecorator[LegQuality]):
    """A `LegQuality` as a JSON object with its fields, so that a report can be made of them in SQL."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: LegQuality | None, dialect: sa.Dialect) -> dict[str, Any] | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Make an object of it."""
        return None if value is None else asdict(value)

    def process_result_value(self, value: dict[str, Any] | None, dialect: sa.Dialect) -> LegQuality | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Make it of an object."""
        if value is None:
            return None
        streams = {name: StreamQuality(**value[name]) for name in ("received", "sent")}
        return LegQuality(**value | streams)


def _disposition() -> sa.Enum:
    """The word itself in a VARCHAR: a PostgreSQL enum type would make each new word a schema change."""
    return sa.Enum(
        Disposition,
        native_enum=False,
        create_constraint=False,
        length=16,
        values_callable=lambda words: [word.value for word in words],
    )


metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("organisation", sa.String, nullable=False),
    sa.Column("user", sa.String, nullable=False),
    sa.Column("dial1", sa.String, nullable=False),
    sa.Column("dial2", sa.String, nullable=False),
    sa.Column("set_cid", sa.String),
    sa.Column("accepted_at", UtcTime, nullable=False),
    sa.Column("joined_at", UtcTime),
    sa.Column("ended_at", UtcTime),
    sa.Column("disposition", _disposition()),
    sa.Column("ended_by", sa.String(16)),
    sa.Column("recording_id", sa.String),
    sa.Column("batch_id", sa.String(32)),
    sa.Column("direction", sa.String(8), nullable=False, server_default="outbound"),
    sa.Column("node", sa.String(32)),
    sa.Column("reference", sa.String(128)),
    # Each goes on with the order of pages: one is read from the end of an index, however many records there are. The
    # disposition behind that spares those who look for a rare one of a number a look at all its calls.
    sa.Index(None, "organisation", "accepted_at", "id"),
    sa.Index("ix_calls_dial1", "organisation", "dial1", "accepted_at", "id", "disposition"),
    sa.Index("ix_calls_dial2", "organisation", "dial2", "accepted_at", "id", "disposition"),
)
"""One row per accepted call: a `CallRecord` without its legs."""

sa.Index(
    "ix_calls_batch_id",
    calls.c.organisation,
    calls.c.batch_id,
    calls.c.accepted_at,
    calls.c.id,
    sqlite_where=calls.c.batch_id.is_not(None),
    postgresql_where=calls.c.batch_id.is_not(None),
)

sa.Index(
    "ix_calls_reference",
    calls.c.organisation,
    calls.c.reference,
    calls.c.accepted_at,
    calls.c.id,
    sqlite_where=calls.c.reference.is_not(None),
    postgresql_where=calls.c.reference.is_not(None),
)

sa.Index(
    "ix_calls_disposition",
    calls.c.organisation,
    calls.c.disposition,
    calls.c.accepted_at,
    calls.c.id,
    sqlite_where=calls.c.disposition.is_not(None),
    postgresql_where=calls.c.disposition.is_not(None),
)

sa.Index(
    "ix_calls_unfinished",
    calls.c.accepted_at,
    sqlite_where=calls.c.ended_at.is_(None),
    postgresql_where=calls.c.ended_at.is_(None),
)

legs = sa.Table(
    "legs",
    metadata,
    sa.Column("call_id", sa.ForeignKey(calls.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("uid", sa.String, nullable=False),
    sa.Column("number", sa.String, nullable=False),
    sa.Column("disposition", _disposition()),
    sa.Column("sip_code", sa.SmallInteger),
    sa.Column("cause", sa.SmallInteger),
    sa.Column("ended_by", sa.String(16)),
    sa.Column("placed_at", UtcTime),
    sa.Column("ringing_at", UtcTime),
    sa.Column("answered_at", UtcTime),
    sa.Column("ended_at", UtcTime),
    sa.Column("party", sa.String(8), nullable=False, server_default="dial1"),
    sa.Column("answered_by", sa.String(8)),
    sa.Column("quality", QualityColumn),
    sa.Column("extension", sa.String),
    # Of its call, repeated for the indexes on numbers and extensions; the outcome is its disposition, NULL in rows of
    # programs before revision 0016, too.
    sa.Column("organisation", sa.String, nullable=False),
    sa.Column("accepted_at", UtcTime, nullable=False),
    sa.Column("outcome", _disposition()),
    # Not unique: the Call-ID of a leg that a far end opens is that far end's choice.
    sa.Index(None, "uid"),
    sa.Index("ix_legs_number", "organisation", "number", "accepted_at", "call_id", "outcome"),
)
"""One row per leg: a `LegRecord`, its call, its place in the call (1 for leg 1), and of its call what finds it."""

sa.Index(
    "ix_legs_extension",
    legs.c.organisation,
    legs.c.extension,
    legs.c.accepted_at,
    legs.c.call_id,
    legs.c.outcome,
    sqlite_where=legs.c.extension.is_not(None),
    postgresql_where=legs.c.extension.is_not(None),
)

recordings = sa.Table(
    "recordings",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("call_id", sa.String(32), nullable=False),
    sa.Column("organisation", sa.String, nullable=False),
    sa.Column("owner", sa.String),
    sa.Column("format", sa.String(8), nullable=False),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("octets", sa.BigInteger, nullable=False),
    sa.Column("flaw", sa.String(16)),
    sa.Column("deleted_at", UtcTime),
)
"""One row per recording that is or was ready: a `Recording`."""

sa.Index(
    "ix_recordings_kept",
    recordings.c.organisation,
    recordings.c.started_at,
    sqlite_where=recordings.c.deleted_at.is_(None),
    postgresql_where=recordings.c.deleted_at.is_(None),
)

queue_agents = sa.Table(
    "queue_agents",
    metadata,
    sa.Column("organisation", sa.String, primary_key=True),
    sa.Column("queue", sa.String, primary_key=True),
    sa.Column("agent", sa.String, primary_key=True),
    sa.Column("paused_at", UtcTime),
    sa.Column("offered_at", UtcTime),
    sa.Column("idle_since", UtcTime),
)
"""One row per agent of a queue: an `AgentMemory`."""

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("organisation", sa.String, nullable=False, index=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("scopes", sa.String(64), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("revoked_at", UtcTime),
    sa.Index(None, "digest", unique=True),
)
"""One row per `IssuedKey`; scopes are separated by spaces."""

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("organisation", sa.String, nullable=False),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Index(None, "organisation", "id"),
)
"""One row per event that organisations are told of: a `StoredEvent`."""

webhook_cursors = sa.Table(
    "webhook_cursors",
    metadata,
    sa.Column("organisation", sa.String, primary_key=True),
    sa.Column("webhook", sa.String, primary_key=True),
    sa.Column("event_id", sa.BigInteger, nullable=False),
)
"""One row per webhook: the last event that needs no delivery any more."""

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("organisation", sa.String, nullable=False),
    sa.Column("user", sa.String, nullable=False),
    sa.Column("numbers", sa.JSON, nullable=False),
    sa.Column("dial2", sa.String, nullable=False),
    sa.Column("set_cid", sa.String),
    sa.Column("accepted_at", UtcTime, nullable=False),
    sa.Column("cancelled_by", sa.String(16)),
    sa.Column("ended_at", UtcTime),
    sa.Column("node", sa.String(32)),
    sa.Index(None, "organisation", "accepted_at", "id"),
)
"""One row per request for many numbers: a `BatchRecord`, its numbers as an array."""

sa.Index(
    "ix_batches_unfinished",
    batches.c.accepted_at,
    sqlite_where=batches.c.ended_at.is_(None),
    postgresql_where=batches.c.ended_at.is_(None),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("source", sa.String(8), nullable=False),
    sa.Column("source_id", sa.String(48), nullable=False),
    sa.Column("number", sa.SmallInteger, nullable=False),
    sa.Column("organisation", sa.String, nullable=False),
    sa.Column("node", sa.String(32), nullable=False),
    sa.Column("begun_at", UtcTime, nullable=False),
    sa.Column("settled_at", UtcTime),
    sa.Column("outcome", _disposition()),
    # What keeps a number from being dialled twice as the same attempt.
    sa.Index(None, "source", "source_id", "number", unique=True),
)
"""One row per attempt: an `Attempt`, under the id of its call's record, and what it came to."""

sa.Index(
    "ix_attempts_unsettled",
    attempts.c.node,
    sqlite_where=attempts.c.settled_at.is_(None),
    postgresql_where=attempts.c.settled_at.is_(None),
)

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("host", sa.String, nullable=False),
    sa.Column("started_at", UtcTime, nullable=False),
)
"""One row per node on PostgreSQL that runs, or that died and is not settled yet."""

schedules = sa.Table(
    "schedules",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("organisation", sa.String, nullable=False),
    sa.Column("user", sa.String, nullable=False),
    sa.Column("accepted_at", UtcTime, nullable=False),
    sa.Column("dial2", sa.String, nullable=False),
    sa.Column("set_cid", sa.String),
    sa.Column("ring_seconds", sa.SmallInteger, nullable=False),
    sa.Column("date", UtcTime, nullable=False),
    sa.Column("retries", sa.SmallInteger, nullable=False),
    sa.Column("retry_seconds", sa.Integer, nullable=False),
    sa.Column("begun_at", UtcTime),
    sa.Column("cancelled_by", sa.String(16)),
    sa.Column("ended_at", UtcTime),
    sa.Index(None, "organisation", "accepted_at", "id"),
)
"""One row per future call: a `Schedule` without its numbers."""

schedule_numbers = sa.Table(
    "schedule_numbers",
    metadata,
    sa.Column("id", sa.String(48), primary_key=True),
    sa.Column("schedule_id", sa.ForeignKey(schedules.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("position", sa.SmallInteger, nullable=False),
    sa.Column("organisation", sa.String, nullable=False),
    sa.Column("number", sa.String, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("due_at", UtcTime),
    sa.Column("attempts", sa.SmallInteger, nullable=False),
    sa.Column("claimed_by", sa.String(32)),
    sa.Column("reason", sa.String),
    sa.Index(None, "schedule_id", "position"),
)
"""One row per number of a future call. While it waits it has a time when it is due, and then perhaps the node that has
claimed it to dial it now."""

_WAITS_UNCLAIMED = schedule_numbers.c.due_at.is_not(None) & schedule_numbers.c.claimed_by.is_(None)
sa.Index(
    "ix_schedule_numbers_due",
    schedule_numbers.c.due_at,
    schedule_numbers.c.id,
    sqlite_where=_WAITS_UNCLAIMED,
    postgresql_where=_WAITS_UNCLAIMED,
)

sa.Index(
    "ix_schedule_numbers_claimed",
    schedule_numbers.c.claimed_by,
    sqlite_where=schedule_numbers.c.claimed_by.is_not(None),
    postgresql_where=schedule_numbers.c.claimed_by.is_not(None),
)

schedule_watch = sa.Table(
    "schedule_watch",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("looked_at", UtcTime, nullable=False),
)
"""One row: when any node last looked for what is due."""
idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("organisation", sa.String, primary_key=True),
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("id", sa.String(32), nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("node", sa.String(32), nullable=False),
    sa.Column("begun_at", UtcTime, nullable=False),
    sa.Column("status", sa.SmallInteger),
    sa.Column("headers", sa.JSON),
    sa.Column("body", sa.Text),
    sa.Index(None, "begun_at"),
)
"""One row per keyed request: a `KeyClaim`, which node began it, and its first answer once there is one."""

ladders = sa.Table(
    "ladders",
    metadata,
    sa.Column("call_id", sa.ForeignKey(calls.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("organisation", sa.String, nullable=False),
    sa.Column("ended_at", UtcTime, nullable=False),
    sa.Column("legs", sa.JSON, nullable=False),
    sa.Index(None, "ended_at"),
)
"""One row per call whose ladder is kept: its `LegLadder`s as `[[uid, [[at, sent, method, code, cseq], ...]], ...]`."""

schema_compatibility = sa.Table("schema_compatibility", metadata, sa.Column("since", sa.String, nullable=False))
"""One row: the oldest revision of the schema whose programs can work with it as it is now."""
