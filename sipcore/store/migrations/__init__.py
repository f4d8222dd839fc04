"""The schema's history (Alembic): applied to SQLite at every start, to PostgreSQL by `click2call migrate`.

A new revision is a module in `versions`, made from `script.py.mako`. It only adds, and what it adds to a table that is
there may be left out by a program that knows nothing of it: such a program goes on working (ADR 10). A revision that
must do more says `compatible_since = revision`.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from sipcore.domain.errors import StartUpError
from sipcore.store.schema import schema_compatibility

MIGRATION_LOCK = 0xC2C_0002
"""Key of PostgreSQL's advisory lock under which the schema is changed."""


def upgrade(connection: sa.Connection) -> str:
    """Create the schema, or bring an older one to this version's; does nothing when it is there or a newer one fits.

    All revisions are applied in one transaction, the connection's: a database is either upgraded or as it was.

    Returns:
        The revision that the schema has now.

    Raises:
        StartUpError: the database was made by a newer version, and this one does not fit it.
        sqlalchemy.exc.SQLAlchemyError: the database does not do what was asked of it.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    history = ScriptDirectory.from_config(config)
    stored, ours = _revisions(connection, history)
    if stored == ours or (stored is not None and _is_newer_and_fits(connection, history, stored)):
        return stored
    command.upgrade(config, "head")
    since = max(getattr(script.module, "compatible_since", "") for script in history.walk_revisions())
    connection.execute(sa.delete(schema_compatibility))
    connection.execute(sa.insert(schema_compatibility).values(since=since))
    return ours


def check(connection: sa.Connection) -> str:
    """Make sure that the schema is this version's, or a newer one that this version fits; return its revision.

    Raises:
        StartUpError: it is not.
    """
    history = ScriptDirectory(str(Path(__file__).parent))
    stored, ours = _revisions(connection, history)
    if stored == ours or (stored is not None and _is_newer_and_fits(connection, history, stored)):
        return stored
    there = "has no schema yet" if stored is None else f"has an older schema ({stored}, this program needs {ours})"
    raise StartUpError(f"storage.database: the database {there}; run: click2call migrate --config FILE")


def _revisions(connection: sa.Connection, history: ScriptDirectory) -> tuple[str | None, str]:
    """Return the revision of the database, None when it has none, and that of this program."""
    ours = history.get_current_head()
    if ours is None:
        raise StartUpError("the program was installed without its migrations")
    return MigrationContext.configure(connection).get_current_revision(), ours


def _is_newer_and_fits(connection: sa.Connection, history: ScriptDirectory, stored: str) -> bool:
    """Tell a newer schema, which this program fits, from an older one.

    Raises:
        StartUpError: it is newer, and this program does not fit it.
    """
    if any(script.revision == stored for script in history.walk_revisions()):
        return False
    since = None
    if sa.inspect(connection).has_table(schema_compatibility.name):
        since = connection.execute(sa.select(schema_compatibility.c.since)).scalar()
    if since is None or since > history.get_current_head():
        raise StartUpError(
            f"storage.database: the database was made by a newer version of this program "
            f"(its schema is {stored}); run that version, or name another database"
        )
    return True
