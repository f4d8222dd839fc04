"""What is written after a look at what is there: what a dead run left unfinished, recordings of calls, and batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import sqlalchemy as sa

from sipcore.domain.batch_record import BatchRecord
from sipcore.domain.public_events import PublicEvent, batch_events, recording_ready
from sipcore.domain.record import interrupted
from sipcore.domain.recording import Recording
from sipcore.store import campaign_dialling, operations, outbox, schedule_dialling
from sipcore.store.campaign_schema import campaign_numbers
from sipcore.store.notices import BATCHES_CANCELLED, notify
from sipcore.store.queries import (
    one_batch,
    one_record,
    to_batches,
    to_records,
    unfinished_batches,
    unfinished_records,
)
from sipcore.store.schema import batches, calls, recordings, schedule_numbers

_BY_REQUEST = "request"


def settle(
    connection: sa.Connection, now: datetime, gone: Callable[[sa.ColumnElement[str]], sa.ColumnElement[bool]]
) -> int:
    """Complete what is unfinished of nodes that are gone, and tell that it ended; return how many calls.

    Args:
        connection: with a transaction.
        now: when that is.
        gone: tells, of a column with ids of nodes, which rows are of those nodes.
    """
    left = to_records(connection.execute(unfinished_records(gone(calls.c.node))))
    if left:
        ended = [interrupted(record, now, "restart") for record in left]
        operations.complete(connection, ended)
        operations.settle_attempts(connection, ended)
    schedule_dialling.release_all(connection, gone(schedule_numbers.c.claimed_by))
    campaign_dialling.release_all(connection, gone(campaign_numbers.c.claimed_by))
    running = to_batches(connection.execute(unfinished_batches(gone(batches.c.node))))
    if running:
        over = [replace(batch, cancelled_by=batch.cancelled_by or "restart", ended_at=now) for batch in running]
        keep_batches(connection, over)
    return len(left)


def keep_batches(connection: sa.Connection, records: Sequence[BatchRecord]) -> None:
    """Insert batches, over those that are there, and tell what is new about them.

    One that was cancelled by request through another node stays so, though the node that dials it may not know yet.
    """
    known: dict[str, BatchRecord] = {}
    told: list[PublicEvent] = []
    for record in records:
        # Locked: another node may be cancelling it.
        stored = to_batches(connection.execute(one_batch(record.organisation, record.id).with_for_update()))
        before = known.get(record.id, stored[0] if stored else None)
        now = record
        if record.cancelled_by is None and before is not None and before.cancelled_by == _BY_REQUEST:
            now = replace(record, cancelled_by=_BY_REQUEST)
        told += batch_events(before, now)
        known[record.id] = now
    operations.keep_batches(connection, [*known.values()])
    outbox.put(connection, told)


def cancel_batches(connection: sa.Connection, cancelled: Sequence[tuple[str, str]]) -> None:
    """Note that batches (organisation, id) are cancelled by request, and wake the nodes that dial them.

    Those that have ended, or are cancelled already, stay as they are.
    """
    columns = batches.c
    for organisation, batch_id in cancelled:
        mine = columns.id == batch_id, columns.organisation == organisation
        running = columns.ended_at.is_(None), columns.cancelled_by.is_(None)
        if connection.execute(sa.update(batches).where(*mine, *running).values(cancelled_by=_BY_REQUEST)).rowcount:
            notify(connection, BATCHES_CANCELLED)


def add_recordings(connection: sa.Connection, added: Sequence[Recording]) -> None:
    """Insert recordings, over those that are there, and tell of those that are new."""
    ids = [recording.id for recording in added]
    known = set(connection.execute(sa.select(recordings.c.id).where(recordings.c.id.in_(ids))).scalars())
    operations.add_recordings(connection, added)
    now = datetime.now(UTC)
    for recording in added:
        if recording.id not in known:
            of_call = to_records(connection.execute(one_record(recording.organisation, recording.call_id)))
            outbox.put(connection, (recording_ready(record, recording, now) for record in of_call))
