"""Group commit: writes that come while one is being committed share the next transaction.

Fifty calls in one commit take about a fifth of the time of fifty commits, so a burst does not queue behind itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import sqlalchemy as sa
import structlog

from sipcore.domain.errors import StoreInDoubtError, StoreUnavailableError
from sipcore.store import outbox
from sipcore.store.database import Database
from sipcore.store.failures import DATABASE_FAILURES, blames_the_database, unavailable

GROUP_LIMIT = 200
"""Most writes in one transaction; it holds the event loop for some milliseconds."""
CHECKPOINT_EVERY = 50
"""Writes after which the write-ahead log is written back: rarely enough to cost little, often enough to keep it short,
because a long one makes every write slower."""

A = TypeVar("A")
R = TypeVar("R")
Operation = Callable[[sa.Connection, Sequence[A]], R]
"""Writes for all arguments at once, in a transaction that is already open."""
PlainOperation = Callable[[outbox.Connection, Sequence[A]], R]
"""One that needs no more of SQLAlchemy than this."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Write:
    operation: Operation[Any, Any]
    argument: object
    done: asyncio.Future[Any]

    def succeed(self, result: object) -> None:
        if not self.done.done():
            self.done.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            ours = isinstance(error, DATABASE_FAILURES)
            self.done.set_exception(unavailable(error) if ours else error)


class Writer:
    """The only one that writes to the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: deque[_Write] = deque()
        self._drain: asyncio.Task[None] | None = None
        self._checkpoint: asyncio.Task[None] | None = None
        self._since_checkpoint = 0
        self._closed = False

    async def write(self, operation: Operation[A, R], argument: A) -> R:
        """Write, together with what others have queued for the same operation, and return after the commit.

        When one write of a group fails for a reason of its own, the others succeed. A write whose caller is
        cancelled before its transaction has begun is not made.

        Returns:
            What the operation returned for its group.

        Raises:
            StoreUnavailableError: nothing was written.
            StoreInDoubtError: perhaps it was.
        """
        if self._closed:
            raise StoreUnavailableError("the record store is closed")
        write = _Write(operation, argument, asyncio.get_running_loop().create_future())
        self._queue.append(write)
        if self._drain is None or self._drain.done():
            self._drain = asyncio.create_task(self._write_all())
        result: R = await write.done
        return result

    async def write_at_once(self, operation: PlainOperation[A, R], argument: A) -> R:
        """Write here and now where the database can, while nobody else is writing; else as `write`.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        if not self._closed and (self._drain is None or self._drain.done()):
            try:
                result = self._database.write_here(_run_alone, (operation, argument))
            except (sa.exc.SQLAlchemyError, OSError) as error:
                # A server, locked by another program, or anything worse: `write` may wait, open anew, and tell.
                _log.debug("write has to be waited for", reason=str(error))
            else:
                self._count(1)
                return cast("R", result)
        return await self.write(operation, argument)

    async def close(self) -> None:
        """Finish what is queued."""
        self._closed = True
        for task in (self._drain, self._checkpoint):
            if task is not None:
                await task

    async def _write_all(self) -> None:
        while self._queue:
            group = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_LIMIT))]
            if wanted := [write for write in group if not write.done.cancelled()]:
                await self._commit(wanted)

    async def _commit(self, group: list[_Write]) -> None:
        try:
            results = await self._database.write(_transaction, group)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised at the callers, who wait for it
            in_doubt = isinstance(error, StoreInDoubtError)
            if len(group) > 1 and not in_doubt and not blames_the_database(error):
                for write in group:
                    await self._commit([write])
                return
            self._database.distrust_writer()
            for write in group:
                write.fail(error)
        else:
            for write, result in zip(group, results, strict=True):
                write.succeed(result)
            self._count(len(group))

    def _count(self, written: int) -> None:
        self._since_checkpoint += written
        if self._since_checkpoint >= CHECKPOINT_EVERY and (self._checkpoint is None or self._checkpoint.done()):
            self._since_checkpoint = 0
            self._checkpoint = asyncio.create_task(self._write_back())

    async def _write_back(self) -> None:
        try:
            await self._database.checkpoint()
        except sa.exc.SQLAlchemyError as error:
            # No record is lost: the log grows until the next attempt, or until a commit writes it back itself.
            _log.warning("database checkpoint failed", error=str(error))


def _run_alone(connection: outbox.Connection, work: tuple[PlainOperation[Any, Any], object]) -> object:
    operation, argument = work
    return outbox.in_transaction(connection, lambda connection: operation(connection, [argument]))


def _transaction(connection: sa.Connection, group: list[_Write]) -> list[object]:
    """Run the operations of a group, each once with all its arguments, in the order in which they came."""
    arguments: dict[Operation[Any, Any], list[object]] = {}
    for write in group:
        arguments.setdefault(write.operation, []).append(write.argument)
    results = outbox.in_transaction(
        connection,
        lambda connection: {operation: operation(connection, given) for operation, given in arguments.items()},
    )
    return [results[write.operation] for write in group]
