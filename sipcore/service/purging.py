"""Deleting what is kept for some days only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from sipcore.domain.errors import StoreUnavailableError

_log = structlog.get_logger(__name__)

PURGE_SECONDS = 600.0
_AT_ONCE = 1_000
"""Deleted in one transaction, so that no call waits long for its own."""


async def purge(delete: Callable[[int], Awaitable[int]], what: str) -> None:
    """Delete what is old, now and every ten minutes, until this is cancelled.

    Args:
        delete: deletes at most so many of the oldest and returns how many; it may raise StoreUnavailableError.
        what: for the log.
    """
    while True:
        try:
            while await delete(_AT_ONCE) == _AT_ONCE:
                pass
        except StoreUnavailableError as error:
            _log.error("what is old was not deleted", what=what, error=str(error))
        await asyncio.sleep(PURGE_SECONDS)
