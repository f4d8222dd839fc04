"""SIP ladders of calls that are over: kept for some days."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sipcore.domain.ladder import LegLadder
from sipcore.service.purging import purge


class LadderStore(Protocol):
    """Keeps ladders; they are written with their records. Every method raises `StoreUnavailableError`."""

    async def of(self, organisation: str, record_id: str) -> tuple[LegLadder, ...]:
        """Read the ladder of a call of the organisation; empty when none is kept."""
        ...

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete at most `limit` ladders of calls that ended before a moment, oldest first; return how many."""
        ...


class LadderExpiry:
    """Deletes old ladders.

    Args:
        store: keeps them.
        kept_days: for how many days.
    """

    def __init__(self, store: LadderStore, *, kept_days: int) -> None:
        self._store = store
        self._kept = timedelta(days=kept_days)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(purge(self._delete, "SIP ladders"))

    async def stop(self) -> None:
        """Delete no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _delete(self, limit: int) -> int:
        return await self._store.purge(datetime.now(UTC) - self._kept, limit)
