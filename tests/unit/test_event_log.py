"""The event log: every reader gets every event once, whatever its pace."""

import asyncio
import contextlib

import pytest
from event_stories import MemoryEvents, step

from sipcore.domain.errors import ShuttingDownError
from sipcore.service import event_log
from sipcore.service.event_log import EventLog


@contextlib.asynccontextmanager
async def running(store=None, *, kept_days=7):
    store = store or MemoryEvents()
    log = EventLog(store, kept_days=kept_days)
    store.on_stored = log.on_stored
    await log.start()
    try:
        yield store, log
    finally:
        await log.stop()


async def read(log, place, count, organisation="acme", pause=None):
    """Follow the log from a place until so many events have come."""
    found = []
    while len(found) < count:
        page = await log.after(organisation, place, 5)
        assert page, "nothing came"
        found += page
        place = page[-1].id
        if pause is not None:
            await pause()
    return [event.id for event in found]


async def test_a_reader_waits_for_what_is_stored():
    async with running() as (store, log):
        reader = asyncio.create_task(read(log, log.newest, 2))
        await store.put([step()])
        await store.put([step()])
        assert await reader == [event.id for event in store.stored]


async def test_a_wait_in_vain_ends():
    async with running() as (store, log):
        await store.put([step("other")])
        assert await log.after("acme", log.newest, 0.01) == ()


async def test_everybody_gets_the_events_of_their_own_organisation_alone():
    async with running() as (store, log):
        readers = [asyncio.create_task(read(log, 0, 2, name)) for name in ("acme", "acme", "other")]
        await store.put([step(), step("other"), step("other"), step()])
        mine = [event.id for event in store.stored if event.organisation == "acme"]
        others = [event.id for event in store.stored if event.organisation == "other"]
        assert await asyncio.gather(*readers) == [mine, mine, others]


async def test_who_comes_back_gets_what_was_missed_and_what_follows_without_gap_or_repetition(monkeypatch):
    monkeypatch.setattr(event_log, "PAGE", 7)
    store = MemoryEvents()
    await store.put([step() for _ in range(30)])
    place = store.stored[3].id
    async with running(store) as (_, log):
        reader = asyncio.create_task(read(log, place, 56))
        for _ in range(15):
            await store.put([step(), step("other"), step()])
            await asyncio.sleep(0)
        assert await reader == [e.id for e in store.stored if e.organisation == "acme"][4:]


async def test_a_reader_that_is_slow_reads_from_the_database_and_misses_nothing(monkeypatch):
    monkeypatch.setattr(event_log, "PAGE", 5)
    monkeypatch.setattr(event_log, "KEPT", 10)
    monkeypatch.setattr(event_log, "GATHER_SECONDS", 0)
    async with running() as (store, log):
        place = log.newest
        quick = asyncio.create_task(read(log, place, 200))
        for _ in range(100):
            await store.put([step(), step()])
            await asyncio.sleep(0)
        everything = [event.id for event in store.stored]
        assert await quick == everything
        before = store.reads
        assert await read(log, place, 200) == everything
        assert store.reads > before
        assert len(log._tails["acme"].events) < 20


async def test_what_is_passed_on_while_the_database_is_asked_is_not_missed():
    store = MemoryEvents()
    await store.put([step("other")])
    async with running(store) as (_, log):
        ask = store.after

        async def ask_slowly(event_id, organisation, limit):
            found = await ask(event_id, organisation, limit)
            if organisation is not None:
                await store.put([step()])
                assert await log.after("acme", log.newest, 5)
            return found

        store.after = ask_slowly
        assert await read(log, 0, 1) == [store.stored[-1].id]


async def test_readers_at_the_end_do_not_ask_the_database():
    async with running() as (store, log):
        readers = [asyncio.create_task(read(log, log.newest, 20)) for _ in range(50)]
        for _ in range(20):
            await store.put([step()])
        await asyncio.gather(*readers)
        assert store.reads == 0


async def test_a_database_that_was_away_costs_no_event(monkeypatch):
    monkeypatch.setattr(event_log, "RETRY_SECONDS", 0)
    async with running() as (store, log):
        reader = asyncio.create_task(read(log, log.newest, 1))
        await asyncio.sleep(0)
        store.failures = 3
        with contextlib.suppress(Exception):
            await store.put([step()])
        store.failures = 0
        await store.put([step()])
        store.failures = 2
        assert len(await reader) == 1


async def test_whoever_waits_is_told_of_the_end():
    async with running() as (_, log):
        waiting = asyncio.create_task(log.after("acme", 0, 60))
        await asyncio.sleep(0)
        await log.stop()
        with pytest.raises(ShuttingDownError):
            await waiting


async def test_events_are_deleted_when_they_are_too_old(time_machine):
    store = MemoryEvents()
    time_machine.move_to(1_700_000_000)
    await store.put([step()])
    time_machine.move_to(1_700_000_000 + 7 * 86_400 + 60)
    await store.put([step()])
    async with running(store) as (_, log):
        await store.until(lambda: len(store.stored) == 1)
        assert store.stored[0].id > log.oldest_kept
