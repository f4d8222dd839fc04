"""PostgreSQL: where it is, and the connections to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from sipcore.domain.errors import StartUpError
from sipcore.store import outbox

A = TypeVar("A")
R = TypeVar("R")

READ_CONNECTIONS = 4
CONNECT_SECONDS = 2.0
SESSION_SETTINGS = {
    # A program that stands still in the middle of a transaction must not hold up the others' locks for long.
    "idle_in_transaction_session_timeout": "5s",
    # A machine that is gone without a word is noticed within five seconds, and its locks are free.
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "5s",
}
"""What each session asks of the server (PostgreSQL's manual, chapter 20)."""


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """One database on a PostgreSQL server.

    Attributes:
        url: for SQLAlchemy, with the name of the driver and without options.
        ssl: whether the connection is encrypted, in the words of libpq's `sslmode`.
        application: name that the server's own views show us under.
    """

    url: sa.URL
    ssl: str
    application: str

    @classmethod
    def from_url(cls, parsed: sa.URL, node: str) -> DatabaseServer:
        """Find the database that the setting `storage.database` names.

        Args:
            parsed: the setting.
            node: id of this node, or whatever else connects.

        Raises:
            StartUpError: it names none.
        """
        if not parsed.host or not parsed.database:
            raise StartUpError("storage.database: names no host or no database: postgresql://USER:PASSWORD@HOST/NAME")
        ssl = str(parsed.query.get("sslmode", "prefer"))
        return cls(parsed.set(drivername="postgresql+asyncpg", query={}), ssl, f"click2call-{node}")

    @property
    def name(self) -> str:
        """Where it is, without the password."""
        return f"{self.url.host}:{self.url.port or 5432}/{self.url.database}"

    def engine(self, patience: float, *, connections: int) -> AsyncEngine:
        """Make an engine.

        Args:
            patience: seconds to wait for a connection and for each statement.
            connections: most connections at once.
        """
        return create_async_engine(
            self.url,
            async_creator=partial(self.connect, patience),
            hide_parameters=True,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=patience,
            # A server that was restarted meanwhile costs no request: the connection is asked first.
            pool_pre_ping=True,
        )

    def engine_for_changes(self, patience: float) -> AsyncEngine:
        """Make an engine for changes of the schema.

        Args:
            patience: seconds to wait for each statement.
        """
        return create_async_engine(self.url, async_creator=partial(self.connect, patience), poolclass=NullPool)

    async def connect(self, patience: float) -> asyncpg.Connection:
        """Open a connection.

        Args:
            patience: seconds to wait for each statement.

        Raises:
            OSError: that cannot be; the text says why.
        """
        url = self.url
        try:
            return await asyncpg.connect(
                host=url.host,
                port=url.port,
                user=url.username,
                password=url.password,
                database=url.database,
                ssl=self.ssl,
                timeout=CONNECT_SECONDS,
                command_timeout=patience,
                server_settings=SESSION_SETTINGS | {"application_name": self.application},
            )
        except TimeoutError as error:
            raise TimeoutError(f"no connection within {CONNECT_SECONDS:g} s") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise ConnectionError(str(error)) from error


class PostgresqlDatabase:
    """The connections to PostgreSQL.

    Args:
        server: where it is.
        timeout: seconds to wait for a connection and for each statement.

    Attributes:
        reads: engine for statements that change nothing.
        server: where it is.
    """

    def __init__(self, server: DatabaseServer, *, timeout: float) -> None:
        self.server: DatabaseServer | None = server
        self.reads = server.engine(timeout, connections=READ_CONNECTIONS)
        self._writes = server.engine(timeout, connections=1)
        self._distrusted = False
        self._closed = False

    def is_current(self) -> bool:
        """Tell whether it was not closed: what the server has is what there is."""
        return not self._closed

    async def write(self, work: Callable[[sa.Connection, A], R], argument: A) -> R:
        """Run `work` with the write connection; only one task may do so at a time.

        Raises:
            OSError, sqlalchemy.exc.SQLAlchemyError: the database cannot be reached, or does not do the work.
        """
        if self._distrusted:
            await self._writes.dispose()
            self._distrusted = False
        async with self._writes.connect() as connection:
            return await connection.run_sync(work, argument)

    def write_here(self, work: Callable[[outbox.Connection, A], R], argument: A) -> R:  # noqa: ARG002 - as `Database` has it
        """Refuse: a server's answer has to be waited for."""
        raise BlockingIOError("a server's answer has to be waited for")

    def distrust_writer(self) -> None:
        """Have the next `write` open a fresh connection, because this one met a failure."""
        self._distrusted = True

    async def drop_readers(self) -> None:
        """Close the read connections that nobody uses; the next read opens a fresh one."""
        await self.reads.dispose()

    async def checkpoint(self) -> None:
        """Leave it to the server."""

    async def close(self) -> None:
        """Close all connections; doing it again changes nothing."""
        self._closed = True
        await self.reads.dispose()
        await self._writes.dispose()
