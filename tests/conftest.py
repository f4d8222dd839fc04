"""What tests of several folders share."""

import asyncio
import uuid

import pytest
from testbed.postgresql import PostgresqlServer

from sipcore.store.opening import migrate

TEMPLATE = "click2call_template"


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server of this test run."""
    with PostgresqlServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(postgresql):
    """Name of a database with our schema, to be copied."""
    postgresql.sql(f"CREATE DATABASE {TEMPLATE}")
    asyncio.run(migrate(postgresql.url(TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def postgresql_url(postgresql, postgresql_template):
    """A database of its own for a test, with our schema in it."""
    name = f"test_{uuid.uuid4().hex}"
    postgresql.sql(f"CREATE DATABASE {name} TEMPLATE {postgresql_template}")
    yield postgresql.url(name)
    postgresql.sql(f"DROP DATABASE {name} WITH (FORCE)")
