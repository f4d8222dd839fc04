"""What tests of several folders share."""

import asyncio
import uuid

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from testbed.postgresql import PostgresqlServer

from sipcore.store.opening import migrate
from sipcore.store.schema import metadata

TEMPLATE = "click2call_template"
KEPT = "schema_compatibility"

# How fast an example is says something about the machine's load, and nothing about the behaviour.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


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
def postgresql_copy(postgresql, postgresql_template):
    """A database of its own for a test that changes the schema."""
    name = f"test_{uuid.uuid4().hex}"
    postgresql.sql(f"CREATE DATABASE {name} TEMPLATE {postgresql_template}")
    yield postgresql.url(name)
    postgresql.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def _postgresql_shared(postgresql, postgresql_template):
    """Name of a database that tests use one after the other; to empty it takes a tenth of the time of a copy."""
    name = "test_shared"
    postgresql.sql(f"CREATE DATABASE {name} TEMPLATE {postgresql_template}")
    return name


@pytest.fixture
def postgresql_url(postgresql, _postgresql_shared):
    """A database with our schema, and nothing in it and nobody else at work on it."""
    yield postgresql.url(_postgresql_shared)
    others = f"datname = '{_postgresql_shared}' AND pid != pg_backend_pid()"
    tables = [table for table in reversed(metadata.sorted_tables) if table.name != KEPT]
    statements = [
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}",  # noqa: S608 - our own name
        *(str(sa.delete(table)) for table in tables),
    ]
    postgresql.sql(";\n".join(statements), _postgresql_shared)
