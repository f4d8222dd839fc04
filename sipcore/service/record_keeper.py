"""Writing the ends of calls and batches, for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from sipcore.domain.batch_record import BatchRecord
from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.record import CallRecord

Record = TypeVar("Record", bound=CallRecord | BatchRecord)

_log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0
_MAX_RETRY_SECONDS = 5.0
_LAST_ATTEMPTS = 2
"""How often an end is written in vain before a shutdown goes on without it."""


class RecordKeeper(Generic[Record]):
    """Completes records in the background; a database that is away for a while costs none.

    Args:
        write: writes the end of one over what is stored of it.
    """

    def __init__(self, write: Callable[[Record], Awaitable[None]]) -> None:
        self._write = write
        self._saving: set[asyncio.Task[None]] = set()
        self._stopping = False

    def complete(self, record: Record) -> asyncio.Task[None]:
        """Write an end, now or as soon as the database takes it; return the task that does."""
        task = asyncio.get_running_loop().create_task(self._complete(record))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)
        return task

    def hurry(self) -> None:
        """Give up soon on what the database does not take."""
        self._stopping = True

    async def finish(self) -> None:
        """Wait for everything that is being written."""
        self._stopping = True
        while self._saving:
            await asyncio.gather(*self._saving)

    async def _complete(self, record: Record) -> None:
        attempt = 0
        while True:
            attempt += 1
            try:
                await self._write(record)
            except StoreUnavailableError as error:
                _log.error("record not written", record=record.id, attempt=attempt, error=str(error))
            else:
                return
            if self._stopping and attempt >= _LAST_ATTEMPTS:
                _log.critical("record not written; the next start settles it as interrupted", record=record.id)
                return
            await asyncio.sleep(min(_RETRY_SECONDS * attempt, _MAX_RETRY_SECONDS))
