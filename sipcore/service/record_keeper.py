"""Writing the ends of calls, for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.record import CallRecord
from sipcore.service.store import RecordStore

_log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0
_MAX_RETRY_SECONDS = 30.0
_LAST_ATTEMPTS = 2
"""How often the end of a call is written in vain before a shutdown goes on without it."""


class RecordKeeper:
    """Completes records in the background; a database that is away for a while costs none.

    Args:
        store: keeps the records.
        first: writes what has to be there before the end of a call.
    """

    def __init__(self, store: RecordStore, first: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._first = first
        self._saving: set[asyncio.Task[None]] = set()
        self._stopping = False

    def complete(self, record: CallRecord) -> None:
        """Write the end of a call, now or as soon as the database takes it."""
        task = asyncio.get_running_loop().create_task(self._complete(record))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    def hurry(self) -> None:
        """Give up soon on what the database does not take."""
        self._stopping = True

    async def finish(self) -> None:
        """Wait for everything that is being written."""
        self._stopping = True
        while self._saving:
            await asyncio.gather(*self._saving)

    async def _complete(self, record: CallRecord) -> None:
        attempt = 0
        while True:
            attempt += 1
            try:
                await self._first()
                await self._store.complete(record)
            except StoreUnavailableError as error:
                _log.error("record not written", call=record.id, attempt=attempt, error=str(error))
            else:
                return
            if self._stopping and attempt >= _LAST_ATTEMPTS:
                _log.critical("record not written; the next start settles it as interrupted", call=record.id)
                return
            await asyncio.sleep(min(_RETRY_SECONDS * attempt, _MAX_RETRY_SECONDS))
