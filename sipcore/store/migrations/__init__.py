"""The schema's history (Alembic), applied by the program itself at every start.

A new revision is a module in `versions`, made from `script.py.mako`.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from sipcore.domain.errors import StartUpError


async def upgrade(url: sa.URL) -> None:
    """Create the schema, or bring an older one to this version's; does nothing when it is there already.

    All revisions are applied in one transaction: a database is either upgraded or as it was.

    Args:
        url: of the database, with the name of its asyncio driver.

    Raises:
        StartUpError: the database was made by a newer version.
        sqlalchemy.exc.SQLAlchemyError: the database does not do what was asked of it.
    """
    engine = create_async_engine(url, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        _begin_before_changing_tables(engine.sync_engine)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_apply)
    finally:
        await engine.dispose()


def _begin_before_changing_tables(engine: sa.Engine) -> None:
    """Put SQLite's CREATE and ALTER into the transaction: by itself the driver begins one for row changes only.

    IMMEDIATE takes the write lock at once, so that of two programs that start together one waits for the other.
    """

    @sa.event.listens_for(engine, "connect")
    def driver_leaves_transactions_to_us(dbapi_connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
        dbapi_connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _apply(connection: sa.Connection) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    ours = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    newer = [head for head in MigrationContext.configure(connection).get_current_heads() if head not in ours]
    if newer:
        raise StartUpError(
            f"storage.database: the database was made by a newer version of this program "
            f"(its schema is {', '.join(newer)}); run that version, or name another database"
        )
    command.upgrade(config, "head")
