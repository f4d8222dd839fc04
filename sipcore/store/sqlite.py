"""The SQLite file: which one it is, whether it can be used, and the connections to it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from sipcore.domain.errors import StartUpError
from sipcore.store import outbox
from sipcore.store.plain import PlainConnection
from sipcore.store.postgresql import DatabaseServer

A = TypeVar("A")
R = TypeVar("R")

WAL_LIMIT_PAGES = 4_000
"""Length of the write-ahead log (16 MB) at which a commit itself writes it back, whoever waits for that commit."""

FileIdentity = tuple[int, int]
"""Device and inode: another file under the same name has another one."""


@dataclass(frozen=True, slots=True)
class DatabaseFile:
    """One SQLite database on disk.

    Attributes:
        path: absolute, so that it stays the same file when the program changes its directory.
    """

    path: Path

    @classmethod
    def from_url(cls, parsed: sa.URL) -> DatabaseFile:
        """Find the file that the setting `storage.database` names.

        Raises:
            StartUpError: it names none.
        """
        if parsed.host is not None:
            raise StartUpError(f"storage.database: sqlite://{parsed.host} names no file; three slashes: sqlite:///PATH")
        if not parsed.database or parsed.database == ":memory:":
            raise StartUpError("storage.database: names no file; write sqlite:///PATH")
        if parsed.query:
            raise StartUpError(f"storage.database: the options after ? are not supported: {', '.join(parsed.query)}")
        return cls(Path(parsed.database).expanduser().absolute())

    def url(self, busy_timeout: float) -> sa.URL:
        """Write it for SQLAlchemy: to open and never to make, so that a lost database is not replaced in silence.

        Args:
            busy_timeout: seconds to wait for another program's lock.
        """
        options = {"mode": "rw", "uri": "true", "timeout": str(busy_timeout)}
        return sa.URL.create("sqlite+aiosqlite", database=f"file:{quote(str(self.path))}", query=options)

    @property
    def name(self) -> str:
        """Where it is."""
        return str(self.path)

    def engine_for_changes(self, busy_timeout: float) -> AsyncEngine:
        """Make an engine for changes of the schema, each of whose transactions is alone from its begin.

        Args:
            busy_timeout: seconds to wait for another program's lock.
        """
        engine = create_async_engine(self.url(busy_timeout), poolclass=NullPool)
        _begin_at_once(engine.sync_engine)
        return engine

    @property
    def wal(self) -> Path:
        """SQLite's write-ahead log beside it."""
        return self.path.with_name(self.path.name + "-wal")

    @property
    def shared_memory(self) -> Path:
        """SQLite's index of the write-ahead log."""
        return self.path.with_name(self.path.name + "-shm")

    def ensure(self) -> None:
        """Make the file, empty, and the directory it stands in, where they are missing.

        Raises:
            StartUpError: that cannot be, or what stands there cannot be used.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Only when it is missing: closing a file drops the locks that SQLite holds on it in this process. Who
            # called whom is not for every user of the machine to read.
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640))
        except OSError as error:
            raise StartUpError(f"storage.database: cannot make {self.path}: {error.strerror}") from error
        if self.path.is_dir():
            raise StartUpError(f"storage.database: {self.path} is a directory")
        if not os.access(self.path, os.R_OK | os.W_OK) or not os.access(self.path.parent, os.W_OK):
            raise StartUpError(f"storage.database: {self.path} and its directory must be writable for this user")

    def identity(self) -> FileIdentity:
        """Tell which file stands under this name now.

        Raises:
            OSError: none does.
        """
        return _identity(self.path)


class SqliteDatabase:
    """The connections: one kept open for all writes, and a few for reads.

    A connection goes on writing into its file when somebody has removed it or put another one in its place, and
    SQLite says nothing. So whoever uses a connection asks first whether the file is still the one that was opened.

    Args:
        file: it exists and holds the schema.
        busy_timeout: seconds to wait for another program's lock, and for a free read connection.

    Attributes:
        reads: engine for statements that change nothing.
        server: none.
    """

    server: DatabaseServer | None = None

    def __init__(self, file: DatabaseFile, *, busy_timeout: float) -> None:
        self._file = file
        url = file.url(busy_timeout)
        # Made in the writing thread and used in the event loop's too, never in both at once.
        self._writes = sa.create_engine(
            url.set(drivername="sqlite"),
            hide_parameters=True,
            poolclass=NullPool,
            connect_args={"check_same_thread": False},
        )
        _set_pragmas(self._writes, "foreign_keys = on")
        _begin_at_once(self._writes)
        self.reads = create_async_engine(
            url, hide_parameters=True, pool_size=2, max_overflow=0, pool_timeout=busy_timeout
        )
        _set_pragmas(self.reads.sync_engine, "query_only = on")
        self._busy_timeout_ms = round(busy_timeout * 1000)
        # Takes a whole transaction at once: see ADR 4.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="record-writer")
        self._writer: sa.Connection | None = None
        self._plain: PlainConnection | None = None
        self._distrusted = False
        self._closed = False
        self._opened: FileIdentity | None = None
        self._opened_wal: FileIdentity | None = None

    def is_current(self) -> bool:
        """Tell whether the file under our name is the one that the connections have open.

        Raises:
            OSError: there is none.
        """
        return self._file.identity() == self._opened

    async def write(self, work: Callable[[sa.Connection, A], R], argument: A) -> R:
        """Run `work` with the write connection, in its thread; only one task may do so at a time.

        Raises:
            OSError, sqlalchemy.exc.SQLAlchemyError: the database cannot be opened, or does not do the work.
        """
        if not self.is_current():
            await self._let_go_of_the_old_file()
        elif self._distrusted:
            await self._in_thread(self._drop_writer)
        return await self._in_thread(self._work, work, argument)

    def write_here(self, work: Callable[[outbox.Connection, A], R], argument: A) -> R:
        """Run `work` with the write connection in the caller's thread, without waiting for anybody's lock.

        Only while no `write` is under way. The caller's thread is the event loop's: see ADR 4.

        Raises:
            OSError, sqlalchemy.exc.SQLAlchemyError: it cannot be done here and now; nothing was written.
        """
        if self._plain is None or self._distrusted or not self.is_current():
            raise BlockingIOError("the write connection has to be opened first")
        try:
            return work(self._plain, argument)
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError.instance(None, None, error, sqlite3.Error) from error

    def _work(self, work: Callable[[sa.Connection, A], R], argument: A) -> R:
        if self._writer is None or self._plain is None:
            opened = self._file.identity()
            self._writer = self._writes.connect()
            # A first read makes SQLite open its write-ahead log.
            self._writer.exec_driver_sql("SELECT version_num FROM alembic_version")
            self._writer.rollback()
            self._plain = PlainConnection(self._writer)
            self._opened, self._opened_wal = opened, _identity(self._file.wal)
        self._plain.wait_for_locks(self._busy_timeout_ms)
        try:
            return work(self._writer, argument)
        finally:
            # A `write_here` waits for nobody, not even for this statement.
            self._plain.wait_for_locks(0)

    async def _in_thread(self, function: Callable[..., R], *arguments: object) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def distrust_writer(self) -> None:
        """Have the next `write` open a fresh connection, because this one met a failure."""
        self._distrusted = True

    async def drop_readers(self) -> None:
        """Close the read connections after a failure; the next read opens a fresh one."""
        await self.reads.dispose()

    async def checkpoint(self) -> None:
        """Write the write-ahead log back into the database, beside the writes and without holding them up."""
        async with self.reads.connect() as connection:
            await connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    async def close(self) -> None:
        """Close all connections; doing it again changes nothing."""
        if self._closed:
            return
        self._closed = True
        self._opened = None
        await self._in_thread(self._drop_writer)
        await self.reads.dispose()
        self._writes.dispose()
        self._thread.shutdown()

    def _drop_writer(self) -> None:
        if self._writer is not None:
            connection, self._writer, self._plain = self._writer, None, None
            # Not `close` alone, which would roll back first, and that may fail as the connection did.
            connection.invalidate()
            connection.close()
        self._distrusted = False

    async def _let_go_of_the_old_file(self) -> None:
        await self._in_thread(self._drop_writer)
        await self.drop_readers()
        # The log of the old file would be applied to the new one, which it corrupts
        # (sqlite.org/howtocorrupt.html, section 1.4). One that came with the new file is left alone.
        if self._opened_wal is not None and self._file.wal.exists() and _identity(self._file.wal) == self._opened_wal:
            self._file.wal.unlink()
            self._file.shared_memory.unlink(missing_ok=True)
        self._opened = self._opened_wal = None


def _identity(path: Path) -> FileIdentity:
    status = path.stat()
    return status.st_dev, status.st_ino


def _begin_at_once(engine: sa.Engine) -> None:
    """Have transactions begin with their first statement, whatever that is, and alone.

    By itself the driver begins one for changes of rows only: not for CREATE and ALTER, and not for what is read before
    something is written because of it. IMMEDIATE takes the write lock, so that of two programs one waits for the other.
    """

    @sa.event.listens_for(engine, "connect")
    def leave_transactions_to_us(dbapi_connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
        dbapi_connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _set_pragmas(engine: sa.Engine, *own: str) -> None:
    """Have every new connection of an engine set up."""

    @sa.event.listens_for(engine, "connect")
    def set_up(dbapi_connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
        cursor = dbapi_connection.cursor()
        for pragma in (
            "journal_mode = wal",
            # A power cut may take the last commits with it, but never the database's consistency.
            "synchronous = normal",
            f"wal_autocheckpoint = {WAL_LIMIT_PAGES}",
            *own,
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
