"""Attempts, in a real database: one row with the first row of the call's record, settled with its end."""

import asyncio
from dataclasses import replace

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from test_store import NOON, SECOND, accepted, completed
from test_store_schedules import NODE, schedule

from sipcore.domain.attempt import Attempt, AttemptSource
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import StoreUnavailableError
from sipcore.store import operations
from sipcore.store.records import open_store

WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"
ATTEMPTS = "SELECT id, source, source_id, number, organisation, node, outcome FROM attempts ORDER BY begun_at, id"


def row(record, outcome):
    attempt = record.attempt
    return (record.id, "schedule", attempt.source_id, attempt.number, "acme", attempt.node, outcome)


def failed(record, disposition, by="dial1", seconds=20):
    return replace(record, ended_at=NOON + seconds * SECOND, disposition=disposition, ended_by=by)


@pytest_asyncio.fixture
async def claim(store):
    """Claim the one number of a future call, for its first attempt or, later, for another one."""
    await store.schedules.accept(schedule())

    async def claim(now=NOON):
        (due,) = await store.schedules.claim(NODE, now, 50, ())
        return Attempt(AttemptSource.SCHEDULE, due.id, due.attempts + 1, NODE)

    return claim


async def test_an_attempt_is_there_with_the_first_row_of_its_call_and_settled_with_its_end(store, sql, claim):
    record = accepted(attempt=await claim())
    await store.accept(record)
    assert await sql(ATTEMPTS) == [row(record, None)]
    await store.complete(failed(record, Disposition.BUSY))
    assert await sql(ATTEMPTS) == [row(record, "busy")]


async def test_a_call_that_is_no_attempt_leaves_none(store, sql):
    await store.accept(accepted())
    assert await sql(ATTEMPTS) == []


async def test_nothing_is_accepted_a_second_time_under_the_same_number(store, sql, claim):
    first = await claim()
    record = accepted(attempt=first)
    await store.accept(record)
    again = accepted(attempt=first)
    with pytest.raises(StoreUnavailableError):
        await store.accept(again)
    assert await store.get("acme", again.id) is None
    assert await sql(ATTEMPTS) == [row(record, None)]


async def test_an_attempt_whose_dial1_answered_is_answered_whatever_followed(store, sql, claim):
    record = accepted(attempt=await claim())
    await store.accept(record)
    await store.complete(replace(completed(record), disposition=Disposition.BUSY, ended_by="dial2"))
    assert await sql(ATTEMPTS) == [row(record, "answered")]


async def test_an_attempt_whose_first_row_is_committed_late_is_settled_all_the_same(postgresql_url):
    store = await open_store(postgresql_url)
    await store.schedules.accept(schedule())
    (due,) = await store.schedules.claim(NODE, NOON, 50, ())
    record = replace(accepted(attempt=Attempt(AttemptSource.SCHEDULE, due.id, 1, NODE)), node=NODE)
    engine = create_async_engine(sa.make_url(postgresql_url).set(drivername="postgresql+asyncpg"))
    async with engine.connect() as late, engine.connect() as looks:
        await late.run_sync(operations.accept, [record])
        completing = asyncio.create_task(store.complete(failed(record, Disposition.INTERRUPTED, "error")))
        async with asyncio.timeout(10):
            while not (await looks.execute(sa.text(WAITS))).scalar():  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.01)
        await late.commit()
        await completing
        outcomes = (await looks.execute(sa.text("SELECT outcome FROM attempts"))).scalars().all()
    await engine.dispose()
    await store.close()
    assert outcomes == ["interrupted"]


async def test_an_attempt_is_settled_once(store, next_store, sql, claim):
    record = accepted(attempt=await claim())
    await store.accept(record)
    await next_store.nodes.settle(NOON + SECOND)
    await store.complete(failed(record, Disposition.BUSY))
    assert await sql(ATTEMPTS) == [row(record, "interrupted")]


async def test_an_attempt_that_a_crash_left_is_interrupted_and_those_before_it_stay(store, next_store, sql, claim):
    earlier = accepted(id="1" * 32, attempt=await claim())
    await store.accept(earlier)
    await store.complete(failed(earlier, Disposition.NO_ANSWER))
    later = accepted(id="2" * 32, attempt=await claim(NOON + 60 * SECOND))
    await store.accept(later)
    assert await next_store.nodes.settle(NOON + 90 * SECOND) == 1
    assert await sql(ATTEMPTS) == [row(earlier, "no_answer"), row(later, "interrupted")]
    assert await sql("SELECT count(*) FROM attempts WHERE settled_at IS NULL") == [(0,)]
