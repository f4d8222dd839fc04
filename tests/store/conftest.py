"""The same tests over both databases."""

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from sipcore.store.records import open_store


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """The setting `storage.database` of a database of its own, on each of the two engines in turn."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql_url")
    return f"sqlite:///{tmp_path}/calls.db"


@pytest_asyncio.fixture
async def store(database_url):
    opened = await open_store(database_url)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def next_store(database_url):
    """The store of a node that starts while the first one's calls are unfinished."""
    opened = await open_store(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def sql(database_url):
    """Run a statement beside the store, and return its rows."""

    async def run(statement):
        driver = "sqlite+aiosqlite" if database_url.startswith("sqlite") else "postgresql+asyncpg"
        engine = create_async_engine(sa.make_url(database_url).set(drivername=driver))
        async with engine.begin() as connection:
            result = await connection.execute(sa.text(statement))
            rows = [tuple(row) for row in result.all()] if result.returns_rows else []
        await engine.dispose()
        return rows

    return run
