"""Events in the database, and how far each webhook has been told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from sipcore.domain.public_events import PublicEvent, StoredEvent
from sipcore.store import outbox, told
from sipcore.store.writer import Writer

Read = Callable[[sa.Select[Any]], Awaitable[Sequence[sa.Row[Any]]]]
"""Runs a SELECT; raises `StoreUnavailableError`."""


class SqlEventStore:
    """The event store beside the records, in the same database.

    Args:
        writer: of the database.
        read: reads from it.

    Attributes:
        on_stored: called after events were stored, whatever they were stored with.
    """

    def __init__(self, writer: Writer, read: Read) -> None:
        self._writer = writer
        self._read = read
        self.on_stored: Callable[[], None] = lambda: None

    async def put(self, events: Sequence[PublicEvent]) -> None:
        """Store events in their order.

        Raises:
            StoreUnavailableError: none was stored.
        """
        await self._writer.write(outbox.put_all, events)
        self.on_stored()

    async def after(self, event_id: int, organisation: str | None, limit: int) -> tuple[StoredEvent, ...]:
        """Read what was stored after an event, oldest first.

        Args:
            event_id: of the event; it need not exist.
            organisation: whose, or None: of all.
            limit: most events.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return outbox.to_events(await self._read(outbox.events_after(event_id, organisation, limit)))

    async def newest(self) -> int:
        """Return the id of the newest event, 0 when there is none.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        found = await self._read(outbox.newest_id())
        return found[0][0] or 0

    async def purge(self, before: int, limit: int) -> int:
        """Delete events with ids before one, the oldest first.

        Returns:
            How many; fewer than `limit` when no more are left.

        Raises:
            StoreUnavailableError: none was deleted.
        """
        return await self._writer.write(outbox.purge, outbox.Expired(before, limit))

    async def cursors(self) -> Mapping[tuple[str, str], int]:
        """Read how far each webhook (organisation, name) has been told: the id of an event.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        rows = await self._read(told.all_cursors())
        return {(cursor.organisation, cursor.webhook): cursor.event_id for cursor in rows}

    async def begin_cursor(self, organisation: str, webhook: str, event_id: int) -> None:
        """Keep where a webhook begins, unless it has begun already.

        Raises:
            StoreUnavailableError: it is as it was.
        """
        await self._writer.write(told.begin, told.Cursor(organisation, webhook, event_id))

    async def save_cursor(self, organisation: str, webhook: str, event_id: int) -> None:
        """Keep how far a webhook has been told.

        Raises:
            StoreUnavailableError: it is as it was.
        """
        await self._writer.write(told.save, told.Cursor(organisation, webhook, event_id))

    async def drop_cursor(self, organisation: str, webhook: str) -> None:
        """Forget how far a webhook has been told.

        Raises:
            StoreUnavailableError: it is as it was.
        """
        await self._writer.write(told.drop, (organisation, webhook))
