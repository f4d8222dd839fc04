"""The database that the settings name: opened by the server, brought up to date by `click2call migrate`."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from sipcore.domain.errors import StartUpError
from sipcore.store.database import Database, parse_url
from sipcore.store.failures import DATABASE_FAILURES, reason_of
from sipcore.store.migrations import check, upgrade
from sipcore.store.postgresql import DatabaseServer, PostgresqlDatabase
from sipcore.store.sqlite import DatabaseFile, SqliteDatabase

BUSY_PATIENCE_SECONDS = 10.0
"""How long a server may hold the SQLite file locked before a migration gives up."""
MIGRATING_PATIENCE_SECONDS = 3600.0
"""How long one statement of a migration may take on PostgreSQL: an index over all records that there are."""


async def open_database(url: str, patience: float, node: str) -> Database:
    """Open a database that holds the schema; SQLite's is made, or brought up to date, first.

    Args:
        url: the setting `storage.database`.
        patience: seconds to wait for another program's lock, or for PostgreSQL's answers.
        node: id of this node.

    Raises:
        StartUpError: it cannot be used; the text is one line.
    """
    parsed = parse_url(url)
    if parsed.drivername == "sqlite":
        file = DatabaseFile.from_url(parsed)
        file.ensure()
        await _run(file, upgrade, patience)
        return SqliteDatabase(file, busy_timeout=patience)
    server = DatabaseServer.from_url(parsed, node)
    await _run(server, check, patience)
    return PostgresqlDatabase(server, timeout=patience)


async def migrate(url: str) -> str:
    """Make the schema, or bring an older one up to date, while servers may be at work.

    Args:
        url: the setting `storage.database`.

    Returns:
        The revision that the schema has now.

    Raises:
        StartUpError: it cannot be done, and the database is as it was; the text is one line.
    """
    parsed = parse_url(url)
    if parsed.drivername == "sqlite":
        file = DatabaseFile.from_url(parsed)
        file.ensure()
        return await _run(file, upgrade, BUSY_PATIENCE_SECONDS)
    return await _run(DatabaseServer.from_url(parsed, "migrate"), upgrade, MIGRATING_PATIENCE_SECONDS)


async def _run(place: DatabaseFile | DatabaseServer, act: Callable[[sa.Connection], str], patience: float) -> str:
    """Run one function in a transaction of its own."""
    engine = place.engine_for_changes(patience)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(act)
    except DATABASE_FAILURES as error:
        raise StartUpError(f"storage.database: {place.name}: {reason_of(error)}") from error
    finally:
        await engine.dispose()
