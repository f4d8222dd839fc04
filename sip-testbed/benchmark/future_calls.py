"""Future calls in a database: many that wait, and what it costs to claim those that are due."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from testbed.postgresql import PostgresqlServer

from sipcore.domain.retry import RetryPolicy
from sipcore.domain.schedule import NewSchedule, ScheduleTerms
from sipcore.service.scheduler import BLOCK
from sipcore.store import outbox, schedule_requests
from sipcore.store.opening import migrate
from sipcore.store.records import SqlRecordStore, open_store

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_AT_ONCE = 2000
_NAME = "bench"


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """Run a database of a kind that `DRIVERS` knows; give the setting `storage.database`."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/records.db"
        return
    with PostgresqlServer() as server:
        server.sql(f"CREATE DATABASE {_NAME}")
        yield server.url(_NAME)


async def fill(url: str, organisation: str, pending: int, due: datetime) -> None:
    """Make the schema, and future calls that are due one second after the other, of one number each."""
    await migrate(url)
    parsed = sa.make_url(url)
    engine = create_async_engine(parsed.set(drivername=DRIVERS[parsed.drivername]))

    def keep(connection: sa.Connection, first: int) -> None:
        several = range(first, min(first + _AT_ONCE, pending))
        waiting = [_waiting(organisation, due + timedelta(seconds=n)) for n in several]
        outbox.in_transaction(connection, lambda connection: schedule_requests.accept(connection, waiting))

    async with engine.connect() as connection:
        for first in range(0, pending, _AT_ONCE):
            await connection.run_sync(keep, first)
        if parsed.drivername == "postgresql":
            await connection.execute(sa.text("ANALYZE"))
    await engine.dispose()


def _waiting(organisation: str, due: datetime) -> NewSchedule:
    terms = ScheduleTerms(("+4930100000000",), "+4930200000000", None, 20, due, RetryPolicy(3, 60))
    return NewSchedule(uuid.uuid4().hex, organisation, "", datetime.now(UTC), terms)


async def claim_ms(url: str, now: datetime) -> float:
    """Let two nodes claim everything that is due, in turns as they come; return milliseconds for each number.

    Args:
        url: of the database.
        now: what is due until then.
    """
    nodes = [await open_store(url) for _ in range(2 if url.startswith("postgresql") else 1)]
    begun = time.perf_counter()
    claimed = sum(await asyncio.gather(*(_claim_all(store, now) for store in nodes)))
    seconds = time.perf_counter() - begun
    for store in nodes:
        await store.close()
    return seconds * 1000 * len(nodes) / max(claimed, 1)


async def _claim_all(store: SqlRecordStore, now: datetime) -> int:
    claimed = 0
    while block := await store.schedules.claim(store.nodes.id, now, BLOCK):
        claimed += len(block)
    return claimed
