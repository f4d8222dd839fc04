"""SQLite's own connection for the few statements that a call's first INVITE waits for.

What SQLAlchemy does around each statement is more than the statement: at the pace of real clicks, when caches are
cold, it took 0.3 of the 0.9 ms that a record's first rows took.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Self

import sqlalchemy as sa


class PlainConnection:
    """The driver's connection beneath one of SQLAlchemy's, which must have no transaction open meanwhile.

    Args:
        connection: SQLAlchemy's; its driver leaves transactions to us.

    Attributes:
        dialect: SQLAlchemy's, for statements that are written beforehand.
        info: what is kept with it.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.dialect = connection.dialect
        self.info: dict[Any, Any] = {}
        driver: Any = connection.connection.driver_connection
        self._driver: sqlite3.Connection = driver
        self._cursor = self._driver.cursor()

    def wait_for_locks(self, milliseconds: int) -> None:
        """Have every statement wait for another program's lock so long, SQLAlchemy's too."""
        self._cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")

    def begin(self) -> Self:
        """Begin a transaction alone; it is rolled back when the block is left without a commit.

        Raises:
            sqlite3.Error: another program has the lock, or the database fails.
        """
        self._cursor.execute("BEGIN IMMEDIATE")
        return self

    def __enter__(self) -> Self:
        """Go on with the transaction that was begun."""
        return self

    def __exit__(self, *_: object) -> None:
        """Roll back what was not committed.

        Raises:
            sqlite3.Error: the database fails.
        """
        if self._driver.in_transaction:
            self._cursor.execute("ROLLBACK")

    def commit(self) -> None:
        """Make what was done since `begin` last.

        Raises:
            sqlite3.Error: the database fails.
        """
        self._cursor.execute("COMMIT")

    def exec_driver_sql(self, statement: str, parameters: Any = None, /) -> None:
        """Run a statement once, or for each row of a list.

        Raises:
            sqlite3.Error: a row or the database is at fault.
        """
        if parameters is None:
            self._cursor.execute(statement)
        else:
            self._cursor.executemany(statement, parameters)
