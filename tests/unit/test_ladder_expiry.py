"""Old SIP ladders are deleted, some at a time, as long as there are any, also after the database was away."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from sipcore.domain.errors import StoreUnavailableError
from sipcore.service import purging
from sipcore.service.ladders import LadderExpiry


class Store:
    """Has so many old ladders; it may be away for the first time that it is asked."""

    def __init__(self, old, *, away=False):
        self.old, self.away = old, away
        self.asked = []
        self.done = asyncio.Event()

    async def of(self, organisation, record_id):
        raise NotImplementedError((organisation, record_id))

    async def purge(self, before, limit):
        self.asked.append(before)
        if self.away:
            self.away = False
            raise StoreUnavailableError("the database is away")
        deleted = min(self.old, limit)
        self.old -= deleted
        if not self.old:
            self.done.set()
        return deleted


@asynccontextmanager
async def running(store):
    expiry = LadderExpiry(store, kept_days=7)
    expiry.start()
    try:
        async with asyncio.timeout(5):
            await store.done.wait()
        yield
    finally:
        await expiry.stop()


async def test_what_is_older_than_the_days_is_deleted_until_nothing_is_left():
    store = Store(2_500)
    begun = datetime.now(UTC)
    async with running(store):
        assert len(store.asked) == 3
    ages = [begun - before for before in store.asked]
    assert all(timedelta(days=7) - timedelta(seconds=5) < age <= timedelta(days=7) for age in ages)


async def test_a_database_that_is_away_is_asked_again_later(monkeypatch):
    monkeypatch.setattr(purging, "PURGE_SECONDS", 0)
    store = Store(10, away=True)
    async with running(store):
        assert store.old == 0
