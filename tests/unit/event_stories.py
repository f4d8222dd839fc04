"""An event store in memory that can fail, for tests of the service."""

import asyncio
import time
from datetime import UTC, datetime

from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.public_events import EventType, PublicEvent, StoredEvent, first_id_at

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def step(organisation="acme", call="c1", kind=EventType.JOINED):
    return PublicEvent(kind, NOON, organisation, call)


class MemoryEvents:
    """Keeps events; `failures` of the next requests fail; `reads` counts what was read of one organisation."""

    def __init__(self):
        self.stored, self.places = [], {}
        self.failures = self.reads = 0
        self.on_stored = lambda: None
        self.changed = asyncio.Event()

    def _fail(self):
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("the database is away")

    async def put(self, events):
        self._fail()
        first = max([first_id_at(time.time()), *(event.id + 1 for event in self.stored[-1:])])
        self.stored += [StoredEvent(n, e.organisation, e.type, e.body()) for n, e in enumerate(events, first)]
        self.on_stored()

    async def after(self, event_id, organisation, limit):
        self._fail()
        self.reads += organisation is not None
        return tuple(e for e in self.stored if e.id > event_id and organisation in (None, e.organisation))[:limit]

    async def newest(self):
        return self.stored[-1].id if self.stored else 0

    async def purge(self, before, limit):
        old = [event for event in self.stored if event.id < before][:limit]
        self.stored = [event for event in self.stored if event not in old]
        self.changed.set()
        return len(old)

    async def cursors(self):
        self._fail()
        return dict(self.places)

    async def begin_cursor(self, organisation, webhook, event_id):
        await self.save_cursor(organisation, webhook, event_id)

    async def save_cursor(self, organisation, webhook, event_id):
        self._fail()
        self.places[organisation, webhook] = event_id
        self.changed.set()

    async def drop_cursor(self, organisation, webhook):
        del self.places[organisation, webhook]

    async def until(self, condition):
        """Wait until a condition on what is kept holds."""
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()
