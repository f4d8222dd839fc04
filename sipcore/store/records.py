"""Call detail records, batches, and what is kept of recordings and of queues' agents, in the database."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from sipcore.domain.batch_record import BatchPage, BatchRecord
from sipcore.domain.call_limits import CallLimits
from sipcore.domain.errors import ParameterError, StartUpError, StoreUnavailableError
from sipcore.domain.record import CallRecord, RecordFilter, RecordPage
from sipcore.domain.recording import Recording
from sipcore.domain.waiting_queue import AgentMemory
from sipcore.store import operations
from sipcore.store.api_keys import SqlKeyStore
from sipcore.store.campaigns import SqlCampaignStore
from sipcore.store.cursor import page_of, position_of
from sipcore.store.database import Database
from sipcore.store.events import SqlEventStore
from sipcore.store.failures import DATABASE_FAILURES, unavailable
from sipcore.store.idempotency import SqlIdempotencyStore
from sipcore.store.ladders import SqlLadderStore
from sipcore.store.nodes import SqlNodeStore
from sipcore.store.opening import open_database
from sipcore.store.queries import (
    cancelled_batches,
    every_agent,
    kept_recordings,
    last_dialler,
    newest_batches,
    newest_records,
    one_batch,
    one_record,
    one_recording,
    to_batches,
    to_memories,
    to_recordings,
    to_records,
)
from sipcore.store.schedules import SqlScheduleStore
from sipcore.store.settlement import add_recordings, cancel_batches, keep_batches
from sipcore.store.shared_limits import Limited, accept_within
from sipcore.store.writer import Writer

Record = TypeVar("Record", CallRecord, BatchRecord)

BUSY_TIMEOUT_SECONDS = 2.0
"""How long another program may hold the database locked, or PostgreSQL not answer, before a call is refused."""


class SqlRecordStore:
    """The record store. `open_store` makes one.

    Args:
        database: it holds the schema of this version.
        node: id of this node.

    Attributes:
        events: what organisations are told of; that a call was accepted, and that it ended, is stored with its record.
        ladders: the SIP messages of calls that are over; they are stored with the ends of records.
        nodes: who else uses the database.
        keys: Bearer keys that were made beside those of the settings.
        schedules: future calls; what follows an attempt is stored with the end of its call's record.
        campaigns: campaigns and do-not-call lists; the same is true of their attempts.
        idempotency: what keyed requests were answered.
    """

    def __init__(self, database: Database, node: str) -> None:
        self._database = database
        self._writer = Writer(database)
        self.events = SqlEventStore(self._writer, self._read)
        self.ladders = SqlLadderStore(self._writer, self._read)
        self.nodes = SqlNodeStore(node, self._writer, database.server)
        self.keys = SqlKeyStore(self._writer, self._read)
        self.schedules = SqlScheduleStore(self._writer, self._read, self.events)
        self.campaigns = SqlCampaignStore(self._writer, self._read, self.events)
        self.idempotency = SqlIdempotencyStore(self._writer, node)

    async def accept(self, record: CallRecord, limits: CallLimits | None = None) -> None:
        """Write the first row of a call and its legs.

        Args:
            record: the row.
            limits: of its organisation; where there is one node it has counted itself.

        Raises:
            LimitReachedError: all nodes together have too many calls of the organisation; nothing was written.
            StoreUnavailableError: nothing was written, or a record with this id exists.
            StoreInDoubtError: perhaps it was written.
        """
        if not self.nodes.shared or limits is None or limits == CallLimits():
            if record.attempt is None:
                await self._writer.write_at_once(operations.accept_clicks, self._own(record))
            else:
                await self._writer.write(operations.accept, self._own(record))
        else:
            refused = await self._writer.write(accept_within, Limited(self._own(record), limits))
            if record.id in refused:
                raise refused[record.id]
        self.events.on_stored()

    async def complete(self, record: CallRecord) -> None:
        """Write the record over what is stored of it; insert it when nothing is. Doing it again changes nothing.

        Raises:
            StoreUnavailableError: what is stored is as it was.
        """
        await self._writer.write(operations.complete, self._own(record))
        self.events.on_stored()
        if record.attempt is not None:
            self.schedules.on_due()
            self.campaigns.on_due()

    async def get(self, organisation: str, record_id: str) -> CallRecord | None:
        """Read one record of the organisation, or None.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        found = to_records(await self._read(one_record(organisation, record_id)))
        return found[0] if found else None

    async def find(
        self, organisation: str, wanted: RecordFilter, *, cursor: str | None = None, limit: int = 50
    ) -> RecordPage:
        """Read a page of the organisation's records, newest first.

        A record is on one page only, also when others are written between two pages; those written after the first
        page are on none.

        Args:
            organisation: whose records.
            wanted: which of them.
            cursor: `next` of the page before, or None for the first page.
            limit: most records on the page, at least 1.

        Raises:
            ParameterError: the cursor is none of ours, or the limit is below 1.
            StoreUnavailableError: the database does not answer.
        """
        if limit < 1:
            raise ParameterError("limit", f"{limit} records make no page; give 1 or more")
        after = position_of(cursor)
        # One more than wanted tells whether there is a next page.
        found = to_records(await self._read(newest_records(organisation, wanted, after, limit + 1)))
        return RecordPage(*page_of(found, limit, _accepted))

    async def last_agent(self, organisation: str, number: str) -> str | None:
        """Find who called a number last: dial1 of the newest call that rang it as its dial2, or None.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        found = await self._read(last_dialler(organisation, number))
        return found[0][0] if found else None

    async def keep_batch(self, batch: BatchRecord) -> None:
        """Write a batch over what is stored of it.

        Raises:
            StoreUnavailableError: what is stored is as it was.
        """
        await self._writer.write(keep_batches, self._own(batch))
        self.events.on_stored()

    async def cancel_batch(self, organisation: str, batch_id: str) -> None:
        """Note that a batch is cancelled by request, and wake the node that dials it.

        One that has ended, or is cancelled already, stays as it is.

        Raises:
            StoreUnavailableError: it is as it was.
        """
        await self._writer.write(cancel_batches, (organisation, batch_id))

    async def cancelled_batches(self) -> tuple[str, ...]:
        """Return the ids of those batches of this node that are cancelled and have not ended.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return tuple(row[0] for row in await self._read(cancelled_batches(self.nodes.id)))

    async def get_batch(self, organisation: str, batch_id: str) -> BatchRecord | None:
        """Read one batch of the organisation, or None.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        found = to_batches(await self._read(one_batch(organisation, batch_id)))
        return found[0] if found else None

    async def find_batches(self, organisation: str, *, cursor: str | None = None, limit: int = 50) -> BatchPage:
        """Read a page of the organisation's batches, newest first; as `find` does.

        Raises:
            ParameterError: the cursor is none of ours.
            StoreUnavailableError: the database does not answer.
        """
        found = to_batches(await self._read(newest_batches(organisation, position_of(cursor), limit + 1)))
        return BatchPage(*page_of(found, limit, _accepted))

    async def agent_memories(self) -> tuple[AgentMemory, ...]:
        """Read what is kept of all queues' agents.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return to_memories(await self._read(every_agent()))

    async def keep_agents(self, memories: Sequence[AgentMemory]) -> None:
        """Write memories over what is kept of the same agents in the same queues.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        await self._writer.write(operations.keep_agents, memories)

    async def add_recording(self, recording: Recording) -> None:
        """Keep what is known of a recording that is ready; doing it again changes nothing.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        await self._writer.write(add_recordings, recording)
        self.events.on_stored()

    async def recording(self, organisation: str, recording_id: str) -> Recording | None:
        """Read one recording of the organisation, or None.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        found = to_recordings(await self._read(one_recording(organisation, recording_id)))
        return found[0] if found else None

    async def recordings_before(self, organisation: str, moment: datetime, limit: int) -> tuple[Recording, ...]:
        """Read the organisation's oldest recordings that began before a moment and are not deleted.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return to_recordings(await self._read(kept_recordings(organisation, moment, limit)))

    async def recording_deleted(self, recording_id: str, at: datetime) -> None:
        """Note that a recording's audio was deleted.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        await self._writer.write(operations.delete_recordings, (recording_id, at))

    async def ping(self) -> None:
        """Check that the database answers.

        Raises:
            StoreUnavailableError: it does not.
        """
        await self._read(one_record("", ""))

    async def close(self) -> None:
        """Finish what is being written and close all connections; the store is of no use after it."""
        await self._writer.close()
        await self._database.close()

    def _own(self, record: Record) -> Record:
        """Say that this node carries it."""
        return record if record.node else replace(record, node=self.nodes.id)

    async def _read(self, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        try:
            if not self._database.is_current():
                # The file is another one: the writer, who may be at work, closes the old one and opens the new.
                await self._writer.write(operations.nothing, None)
            async with self._database.reads.connect() as connection:
                rows: Sequence[sa.Row[Any]] = (await connection.execute(statement)).all()
                return rows
        except DATABASE_FAILURES as error:
            await self._database.drop_readers()
            raise unavailable(error) from error


def _accepted(item: CallRecord | BatchRecord) -> tuple[datetime, str]:
    return item.accepted_at, item.id


async def open_store(
    url: str, *, busy_timeout: float = BUSY_TIMEOUT_SECONDS, node: str | None = None
) -> SqlRecordStore:
    """Open the database that the settings name.

    An SQLite file is made, or its schema brought up to date, first. PostgreSQL must have the schema already.

    Args:
        url: `sqlite:///PATH`, a relative path is meant from the working directory; or `postgresql://...`.
        busy_timeout: seconds to wait while another program has the database locked, and for PostgreSQL's answers.
        node: id of this node, or None: a new one.

    Raises:
        StartUpError: it cannot be used; the text is one line.
    """
    node = node or uuid.uuid4().hex
    store = SqlRecordStore(await open_database(url, busy_timeout, node), node)
    try:
        await store.ping()
    except StoreUnavailableError as error:
        await store.close()
        raise StartUpError(f"storage.database: {error}") from error
    return store
