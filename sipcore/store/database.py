"""What the store needs of a database, and which one the setting `storage.database` names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from sipcore.domain.errors import StartUpError
from sipcore.store import outbox
from sipcore.store.postgresql import DatabaseServer

A = TypeVar("A")
R = TypeVar("R")


class Database(Protocol):
    """The connections: one for all writes, and a few for reads.

    Attributes:
        reads: engine for statements that change nothing.
        server: where it is, when others use it too.
    """

    reads: AsyncEngine
    server: DatabaseServer | None

    def is_current(self) -> bool:
        """Tell whether the connections lead to the database that the settings name.

        Raises:
            OSError: there is none.
        """
        ...

    async def write(self, work: Callable[[sa.Connection, A], R], argument: A) -> R:
        """Run `work` with the write connection; only one task may do so at a time.

        Raises:
            OSError, sqlalchemy.exc.SQLAlchemyError: the database cannot be reached, or does not do the work.
        """
        ...

    def write_here(self, work: Callable[[outbox.Connection, A], R], argument: A) -> R:
        """Run `work` with the write connection in the event loop, waiting for nobody; only while no `write` goes on.

        Raises:
            OSError, sqlalchemy.exc.SQLAlchemyError: it cannot be done here and now; nothing was written.
        """
        ...

    def distrust_writer(self) -> None:
        """Have the next `write` open a fresh connection, because this one met a failure."""
        ...

    async def drop_readers(self) -> None:
        """Close the read connections after a failure; the next read opens a fresh one."""
        ...

    async def checkpoint(self) -> None:
        """Write a write-ahead log back that would grow otherwise."""
        ...

    async def close(self) -> None:
        """Close all connections; doing it again changes nothing."""
        ...


def parse_url(url: str) -> sa.URL:
    """Read the setting `storage.database`.

    Raises:
        StartUpError: it names no database of a kind that we know.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        # The text is not repeated: a mistyped PostgreSQL URL has a password in it.
        raise StartUpError(
            "storage.database: not a URL; write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"
        ) from None
    if parsed.drivername not in {"sqlite", "postgresql"}:
        raise StartUpError(
            f"storage.database: {parsed.drivername} is no database we know; write sqlite:///PATH "
            f"or postgresql://USER:PASSWORD@HOST/NAME"
        )
    return parsed
