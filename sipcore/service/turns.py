"""Turns that somebody takes at the database: when there is something to do, and in case there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from sipcore.domain.errors import StoreUnavailableError

_log = structlog.get_logger(__name__)


class Turns:
    """Takes turn after turn, until it is stopped; a turn that fails is told in the log and followed by the next.

    Args:
        what: is looked for, for the log.
        turn: looks; returns for how many seconds nothing is to be done, unless somebody wakes.
        retry_seconds: after a turn that failed.
        failed: told that one has.

    Attributes:
        stopping: whether the turn that is being taken is the last one.
    """

    def __init__(
        self,
        what: str,
        turn: Callable[[], Awaitable[float]],
        *,
        retry_seconds: float,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._what = what
        self._turn = turn
        self._retry_seconds = retry_seconds
        self._failed = failed
        self._woken = asyncio.Event()
        self.stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take the first one."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Have a turn taken now, or after the one that is being taken."""
        self._woken.set()

    async def stop(self) -> None:
        """Wait for the turn that is being taken, and take no more."""
        self.stopping = True
        self.wake()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self.stopping:
            self._woken.clear()
            try:
                seconds = await self._turn()
            except StoreUnavailableError as error:
                _log.warning(f"{self._what} not looked for", error=str(error))
                seconds = self._after_failure()
            except Exception:  # noqa: BLE001 - whatever it was, without this task nothing of it would go on
                _log.exception(f"{self._what} not looked for")
                seconds = self._after_failure()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), seconds)

    def _after_failure(self) -> float:
        self._failed()
        return self._retry_seconds
