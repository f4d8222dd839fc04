"""What is written: each function does its work for a whole group of writes, in a transaction that is already open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

import sqlalchemy as sa

from sipcore.domain import public_events
from sipcore.domain.batch_record import BatchRecord
from sipcore.domain.record import CallRecord, LegRecord
from sipcore.domain.recording import Recording
from sipcore.domain.waiting_queue import AgentMemory
from sipcore.store import attempts, campaign_dialling, ladders, outbox, schedule_dialling
from sipcore.store.schema import batches, calls, legs, queue_agents, recordings
from sipcore.store.upsert import overwriting

CALL_FIELDS = tuple(
    field.name for field in fields(CallRecord) if field.name not in {"legs", "recording_state", "attempt", "ladder"}
)
"""Fields of a record that are columns of `calls`, by the same names."""
LEG_FIELDS = tuple(field.name for field in fields(LegRecord))
"""Fields of a leg that are columns of `legs`, by the same names."""

Row = dict[str, Any]


class _PlainInsert:
    """An INSERT that is compiled once, for rows that have a value for every column.

    A record's first write stands between the request and the first INVITE: what SQLAlchemy does anew for each execution
    (the cache key, the context, the processors) takes as long there as the database.

    Args:
        table: the rows' table.
        names: of its columns, in the order of the values.
        dialect: which SQL the database speaks.
    """

    def __init__(self, table: sa.Table, names: Sequence[str], dialect: sa.Dialect) -> None:
        self._sql = str(sa.insert(table).compile(dialect=dialect, column_keys=names))
        self._as_in_table = itemgetter(*(names.index(column.name) for column in table.columns))
        processors = (column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns)
        self._processed = [(place, process) for place, process in enumerate(processors) if process is not None]

    def run(self, connection: outbox.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert rows.

        Raises:
            sqlalchemy.exc.StatementError: a value is not fit for its column.
        """
        try:
            values = [self._in_driver_terms(row) for row in rows]
        except ValueError as error:
            raise sa.exc.StatementError(str(error), self._sql, None, error) from error
        if values:
            connection.exec_driver_sql(self._sql, values)

    def _in_driver_terms(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(self._as_in_table(row))
        for place, process in self._processed:
            # Most columns of a first row are NULL, which no processor changes.
            if values[place] is not None:
                values[place] = process(values[place])
        return tuple(values)


_CALL_VALUES = attrgetter(*CALL_FIELDS)
_LEG_VALUES = attrgetter(*LEG_FIELDS)
_OF_THE_CALL = ("call_id", "position", "organisation", "accepted_at", "outcome")
"""Columns of `legs` beside a leg's own."""


@lru_cache(maxsize=4)
def _insert_calls(dialect: sa.Dialect) -> _PlainInsert:
    return _PlainInsert(calls, CALL_FIELDS, dialect)


@lru_cache(maxsize=4)
def _insert_legs_into(dialect: sa.Dialect) -> _PlainInsert:
    return _PlainInsert(legs, (*_OF_THE_CALL, *LEG_FIELDS), dialect)


_OVERWRITE_CALLS = overwriting(calls)
_OVERWRITE_AGENTS = overwriting(queue_agents)
_OVERWRITE_RECORDINGS = overwriting(recordings)
_NAME_RECORDING = (
    sa.update(calls)
    .where(calls.c.id == sa.bindparam("of_call"), calls.c.recording_id.is_(None))
    .values(recording_id=sa.bindparam("recording"))
)
_DELETE_RECORDING = (
    sa.update(recordings).where(recordings.c.id == sa.bindparam("recording")).values(deleted_at=sa.bindparam("at"))
)
_OVERWRITE_BATCHES = overwriting(batches)
_ENDED_AMONG = sa.select(calls.c.id).where(
    calls.c.id.in_(sa.bindparam("ids", expanding=True)), calls.c.ended_at.is_not(None)
)
_DELETE_LEGS = sa.delete(legs).where(legs.c.call_id == sa.bindparam("of_call"))


def accept_clicks(connection: outbox.Connection, records: Sequence[CallRecord]) -> None:
    """Insert calls that are no attempts, their legs, and that they were accepted."""
    _insert_calls(connection.dialect).run(connection, map(_CALL_VALUES, records))
    _insert_legs(connection, records)
    outbox.put(connection, map(public_events.accepted, records))


def accept(connection: sa.Connection, records: Sequence[CallRecord]) -> None:
    """Insert calls and their legs, the attempts that they are, and that they were accepted."""
    accept_clicks(connection, records)
    attempts.begin(connection, records)
    schedule_dialling.begin(connection, records)
    campaign_dialling.begin(connection, records)


def complete(connection: sa.Connection, records: Sequence[CallRecord]) -> None:
    """Insert calls and their legs, over those that are there, and that they ended unless that was known."""
    known = _ended_among(connection, [record.id for record in records])
    ended = [(record, record.ended_at) for record in records if record.ended_at and record.id not in known]
    outbox.put(connection, (public_events.ended(record, when) for record, when in ended))
    connection.execute(_OVERWRITE_CALLS[connection.dialect.name], _call_rows(records))
    connection.execute(_DELETE_LEGS, [{"of_call": record.id} for record in records])
    _insert_legs(connection, records)
    # Behind the rows: these wait for the transaction of a first row that nobody knows the end of, and only then is the
    # attempt there that was begun with it.
    settle_attempts(connection, [record for record in records if record.attempt is not None])
    ladders.put(connection, records)


def settle_attempts(connection: sa.Connection, records: Sequence[CallRecord]) -> None:
    """Settle the attempts that complete calls were, with what follows from that."""
    settled = attempts.settle(connection, records)
    schedule_dialling.follow(connection, settled)
    campaign_dialling.follow(connection, settled)


def _ended_among(connection: sa.Connection, ids: list[str]) -> set[str]:
    return set(connection.execute(_ENDED_AMONG, {"ids": ids}).scalars())


def add_recordings(connection: sa.Connection, added: Sequence[Recording]) -> None:
    """Insert recordings, over those that are there, and let the calls that end without knowing of them know."""
    rows = [asdict(recording) for recording in added]
    connection.execute(_OVERWRITE_RECORDINGS[connection.dialect.name], rows)
    connection.execute(_NAME_RECORDING, [{"recording": row["id"], "of_call": row["call_id"]} for row in rows])


def delete_recordings(connection: sa.Connection, deleted: Sequence[tuple[str, datetime]]) -> None:
    """Note of recordings when their audio was deleted."""
    rows = [{"recording": recording_id, "at": at} for recording_id, at in deleted]
    connection.execute(_DELETE_RECORDING, rows)


def keep_agents(connection: sa.Connection, memories: Sequence[Sequence[AgentMemory]]) -> None:
    """Insert agents of queues, over those that are there; of one that comes twice the last counts."""
    last = {(row.organisation, row.queue, row.agent): row for group in memories for row in group}
    connection.execute(_OVERWRITE_AGENTS[connection.dialect.name], [asdict(row) for row in last.values()])


def keep_batches(connection: sa.Connection, records: Sequence[BatchRecord]) -> None:
    """Insert batches, over those that are there."""
    connection.execute(_OVERWRITE_BATCHES[connection.dialect.name], [asdict(record) for record in records])


def nothing(connection: sa.Connection, arguments: Sequence[None]) -> None:
    """Write nothing: it is enough that the writer has a connection that works."""


def _insert_legs(connection: outbox.Connection, records: Sequence[CallRecord]) -> None:
    _insert_legs_into(connection.dialect).run(
        connection,
        (
            (record.id, position, record.organisation, record.accepted_at, record.disposition, *_LEG_VALUES(leg))
            for record in records
            for position, leg in enumerate(record.legs, start=1)
        ),
    )


def _call_rows(records: Sequence[CallRecord]) -> list[Row]:
    return [dict(zip(CALL_FIELDS, _CALL_VALUES(record), strict=True)) for record in records]
