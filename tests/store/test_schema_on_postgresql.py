"""The schema on PostgreSQL: made by `click2call migrate`, the same as in the code, and asked for by the server."""

import asyncio
import uuid

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine
from test_store_migrations import MADE_BY_0001

from sipcore.domain.errors import StartUpError
from sipcore.store import migrations
from sipcore.store.opening import migrate
from sipcore.store.records import open_store
from sipcore.store.schema import metadata

INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename != 'alembic_version' ORDER BY 1"
KEYS = (
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace AND conname NOT LIKE 'alembic%' ORDER BY 1"
)


@pytest.fixture
def empty_url(postgresql):
    name = f"empty_{uuid.uuid4().hex}"
    postgresql.sql(f"CREATE DATABASE {name}")
    yield postgresql.url(name)
    postgresql.sql(f"DROP DATABASE {name} WITH (FORCE)")


async def run(url, act):
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.begin() as connection:
        result = await connection.run_sync(act)
    await engine.dispose()
    return result


def indexes_and_keys(connection):
    return connection.exec_driver_sql(INDEXES).all(), connection.exec_driver_sql(KEYS).all()


def alembic(act, revision):
    def apply(connection):
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", migrations.__path__[0])
        act(config, revision)

    return apply


async def test_the_migrated_schema_is_the_one_in_the_code(postgresql_url, empty_url):
    def differences(connection):
        options = {"compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert await run(postgresql_url, differences) == []
    await run(empty_url, metadata.create_all)
    assert await run(postgresql_url, indexes_and_keys) == await run(empty_url, indexes_and_keys)


async def test_a_server_asks_for_a_schema_that_is_missing_or_older_and_changes_nothing(empty_url):
    with pytest.raises(StartUpError, match="has no schema yet; run: click2call migrate --config FILE"):
        await open_store(empty_url)
    assert await run(empty_url, lambda connection: sa.inspect(connection).get_table_names()) == []
    await run(empty_url, alembic(command.upgrade, "0006"))
    with pytest.raises(
        StartUpError, match=r"has an older schema \(0006, this program needs \d+\); run: click2call mig"
    ):
        await open_store(empty_url)
    await migrate(empty_url)
    await (await open_store(empty_url)).close()


async def test_two_who_migrate_at_once_make_one_schema(empty_url):
    first, second = await asyncio.gather(migrate(empty_url), migrate(empty_url))
    assert first == second
    rows = await run(empty_url, lambda connection: connection.execute(sa.text("SELECT * FROM alembic_version")).all())
    assert rows == [(first,)]


async def test_calls_of_the_first_version_stay_through_all_revisions_and_back(empty_url):
    def add(connection):
        for statement in MADE_BY_0001.replace("user,", '"user",').split(";\n"):
            connection.exec_driver_sql(statement)

    await run(empty_url, alembic(command.upgrade, "0001"))
    await run(empty_url, add)
    await migrate(empty_url)
    store = await open_store(empty_url)
    record = await store.get("acme", "c1")
    await store.close()
    assert [(leg.uid, leg.party) for leg in record.legs] == [("u1", "dial1"), ("u2", "dial2")]
    await run(empty_url, alembic(command.downgrade, "0001"))
    count = await run(empty_url, lambda connection: connection.exec_driver_sql("SELECT count(*) FROM legs").scalar())
    assert count == 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("postgres@", "postgres:s3cret@"), None),
        (("postgres@", "nobody:s3cret@"), 'role "nobody" does not exist'),
        (("/empty_", "/other_"), r'database "other_\w+" does not exist'),
        (("//postgres@127.0.0.1", "//u:s3cret@127.0.0.2"), "127.0.0.2:.*: Connect call failed"),
    ],
)
async def test_a_server_that_cannot_be_used_is_told_in_one_line_without_the_password(empty_url, change, complaint):
    await migrate(empty_url)
    url = empty_url.replace(*change)
    if complaint is None:
        await (await open_store(url)).close()
        return
    with pytest.raises(StartUpError, match=complaint) as caught:
        await open_store(url)
    told = str(caught.value)
    assert told.startswith("storage.database: 127.0.0.")
    assert "\n" not in told
    assert "s3cret" not in told
