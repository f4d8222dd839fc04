"""Requests for many numbers, in a real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sipcore.domain.batch_record import BatchRecord
from sipcore.domain.errors import ParameterError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NUMBERS = ("101", "+12025550123", "tel:2025550124")
BATCH = BatchRecord("b" * 32, "acme", "alice", NUMBERS, "800", "+12025550100", NOON)


async def test_a_batch_comes_back_as_it_was_written_to_its_organisation_alone(store):
    await store.keep_batch(BATCH)
    assert await store.get_batch("acme", BATCH.id) == BATCH
    assert await store.get_batch("other", BATCH.id) is None
    assert await store.get_batch("acme", "c" * 32) is None


async def test_its_end_is_written_over_it(store):
    ended = replace(BATCH, cancelled_by="request", ended_at=NOON + timedelta(seconds=9))
    await store.keep_batch(BATCH)
    await store.keep_batch(ended)
    assert await store.get_batch("acme", BATCH.id) == ended


async def test_one_that_runs_is_cancelled_by_its_organisation_and_its_end_leaves_it_so(store, next_store):
    over = replace(BATCH, id="1" * 32, ended_at=NOON)
    for batch in (BATCH, over):
        await store.keep_batch(batch)
    await next_store.cancel_batch("other", BATCH.id)
    assert await store.cancelled_batches() == ()
    for batch in (BATCH, over):
        await next_store.cancel_batch("acme", batch.id)
    assert await next_store.cancelled_batches() == ()
    assert await store.cancelled_batches() == (BATCH.id,)
    assert await store.get_batch("acme", over.id) == over
    ended = replace(BATCH, ended_at=NOON + timedelta(seconds=9))
    await store.keep_batch(ended)
    assert await store.get_batch("acme", BATCH.id) == replace(ended, cancelled_by="request")
    assert await store.cancelled_batches() == ()


async def test_the_end_of_one_whose_node_was_only_thought_dead_is_written_over_what_was_settled(store):
    ended = replace(BATCH, ended_at=NOON + timedelta(seconds=9))
    await store.keep_batch(replace(ended, cancelled_by="restart"))
    await store.keep_batch(ended)
    assert await store.get_batch("acme", BATCH.id) == ended


async def test_pages_go_from_the_newest_to_the_oldest_and_each_batch_is_on_one(store):
    batches = [
        replace(BATCH, id=f"{number:032x}", accepted_at=NOON + timedelta(seconds=number // 2)) for number in range(5)
    ]
    for batch in batches:
        await store.keep_batch(batch)
    await store.keep_batch(replace(BATCH, organisation="other"))
    first = await store.find_batches("acme", limit=3)
    second = await store.find_batches("acme", cursor=first.next, limit=3)
    assert [*first.items, *second.items] == batches[::-1]
    assert second.next is None
    assert (await store.find_batches("acme", limit=5)).next is None


async def test_a_cursor_that_is_none_of_ours_is_named(store):
    with pytest.raises(ParameterError, match="cursor"):
        await store.find_batches("acme", cursor="x")


async def test_what_a_crash_left_is_cancelled_and_nothing_else(store, next_store):
    over = replace(BATCH, id="1" * 32, ended_at=NOON)
    cancelled = replace(BATCH, id="2" * 32, cancelled_by="request")
    for batch in (BATCH, over, cancelled):
        await store.keep_batch(batch)
    now = NOON + timedelta(minutes=5)
    await next_store.nodes.settle(now)
    assert await store.get_batch("acme", BATCH.id) == replace(BATCH, cancelled_by="restart", ended_at=now)
    assert await store.get_batch("acme", over.id) == over
    assert await store.get_batch("acme", cancelled.id) == replace(cancelled, ended_at=now)
