"""Programs and schemas of different revisions: which work together, and what is told of those that do not."""

import importlib
import pkgutil

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from test_store import accepted

from sipcore.domain.errors import StartUpError
from sipcore.store import migrations
from sipcore.store.migrations import versions
from sipcore.store.opening import migrate
from sipcore.store.records import open_store

FIRST = "0007"
"""The revision with which compatibility began."""
OURS = ScriptDirectory(migrations.__path__[0]).get_current_head()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """As for the other tests, but not to be used by them after it."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql_copy")
    return f"sqlite:///{tmp_path}/calls.db"


async def works(url):
    store = await open_store(url)
    record = accepted()
    await store.accept(record)
    found = await store.get("acme", record.id)
    await store.close()
    return found == record


@pytest.mark.usefixtures("store")
async def test_a_program_works_with_a_newer_schema_that_it_fits_and_leaves_it_as_it_is(database_url, sql):
    await sql("UPDATE alembic_version SET version_num = '9999'")
    await sql("ALTER TABLE calls ADD COLUMN colour VARCHAR DEFAULT 'red' NOT NULL")
    await sql(f"UPDATE schema_compatibility SET since = '{OURS}'")  # noqa: S608 - of the program itself
    assert await works(database_url)
    assert await migrate(database_url) == "9999"
    assert await sql("SELECT version_num FROM alembic_version") == [("9999",)]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "change", ["UPDATE schema_compatibility SET since = '9999'", "DROP TABLE schema_compatibility"]
)
async def test_a_program_refuses_a_newer_schema_that_it_does_not_fit(database_url, sql, change):
    await sql("UPDATE alembic_version SET version_num = '9999'")
    await sql(change)
    for start in (open_store(database_url), migrate(database_url)):
        with pytest.raises(StartUpError, match=r"made by a newer version of this program \(its schema is 9999\)"):
            await start


@pytest.mark.usefixtures("store")
async def test_the_database_knows_since_when_its_schema_is_compatible(sql):
    marks = [
        getattr(importlib.import_module(f"{versions.__name__}.{module.name}"), "compatible_since", "")
        for module in pkgutil.iter_modules(versions.__path__)
    ]
    assert await sql("SELECT since FROM schema_compatibility") == [(max(marks),)]


def columns(connection):
    inspector = sa.inspect(connection)
    return {
        (table, column["name"]): (str(column["type"]), column["nullable"], column["default"] is not None)
        for table in inspector.get_table_names()
        for column in inspector.get_columns(table)
    }


def broken(before, after):
    """What a program that knows the schema as it was would stumble over."""
    tables = {table for table, _ in before}
    gone = [column for column in before if after.get(column, ("",))[0] != before[column][0]]
    stricter = [column for column in before if before[column][1] and column not in gone and not after[column][1]]
    required = [
        column
        for column, (_, nullable, has_default) in after.items()
        if column not in before and column[0] in tables and not nullable and not has_default
    ]
    return gone + stricter + required


def test_every_revision_leaves_older_programs_working_or_says_that_it_does_not():
    config = Config()
    config.set_main_option("script_location", migrations.__path__[0])
    scripts = [*ScriptDirectory.from_config(config).walk_revisions()][::-1]
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, FIRST)
        for script in scripts:
            if script.revision > FIRST:
                before = columns(connection)
                command.upgrade(config, script.revision)
                says_so = getattr(script.module, "compatible_since", "") == script.revision
                assert says_so or not broken(before, columns(connection)), script.revision
    engine.dispose()


def test_what_an_older_program_would_stumble_over_is_seen():
    kept = {("calls", "id"): ("VARCHAR", False, False), ("calls", "user"): ("VARCHAR", True, False)}
    assert not broken(kept, kept | {("calls", "new"): ("VARCHAR", False, True), ("other", "x"): ("INT", False, False)})
    assert broken(kept, {("calls", "id"): ("VARCHAR", False, False)})
    assert broken(kept, kept | {("calls", "id"): ("INTEGER", False, False)})
    assert broken(kept, kept | {("calls", "user"): ("VARCHAR", False, False)})
    assert broken(kept, kept | {("calls", "new"): ("VARCHAR", False, False)})
