"""The end of the stored events, in memory: whoever follows an organisation's events reads here, at a pace of its own.

Only what is stored is passed on, so whoever comes back with the id of the last event that it has seen misses nothing,
whatever happened to this program meanwhile. A reader keeps nothing here but its place: one that is slow falls behind
the end that is kept in memory, reads from the database instead, and holds nobody up.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter

import structlog

from sipcore.domain.errors import ShuttingDownError, StoreUnavailableError
from sipcore.domain.public_events import StoredEvent, first_id_at
from sipcore.service.event_store import EventStore
from sipcore.service.purging import purge

_log = structlog.get_logger(__name__)

PAGE = 500
"""Most events that are read at once."""
KEPT = 2_000
"""Most events of an organisation that are kept in memory."""
GATHER_SECONDS = 0.04
"""After events were passed on, those of this time are passed on together: one write a reader instead of many."""
STEP_ASIDE_SECONDS = 0.01
"""What was stored is read so much later: it tells of a call whose next leg is about to be placed in this process."""
RETRY_SECONDS = 1.0
LOOK_SECONDS = 1.0
"""How often it is looked for what other nodes have stored, should nobody have told."""
_DAY_SECONDS = 86_400.0
_ID = attrgetter("id")


@dataclass(slots=True)
class _Tail:
    """The newest events of an organisation.

    Attributes:
        floor: every event with a higher id is in `events`, as far as the log has come.
    """

    floor: int
    events: list[StoredEvent] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, event: StoredEvent) -> None:
        self.events.append(event)
        if len(self.events) >= 2 * KEPT:
            self.floor = self.events[-KEPT - 1].id
            del self.events[:-KEPT]

    def wake(self) -> None:
        """Wake everybody who waits now, and nobody who comes later."""
        self.more.set()
        self.more.clear()


class EventLog:
    """Passes stored events on.

    Args:
        store: keeps them.
        kept_days: how many days events are kept.
        shared: whether other nodes store events too, of which a wake-up call may be lost.
    """

    def __init__(self, store: EventStore, *, kept_days: int, shared: bool = False) -> None:
        self._store = store
        self._look_after = LOOK_SECONDS if shared else None
        self._kept_seconds = kept_days * _DAY_SECONDS
        self._tails: dict[str, _Tail] = {}
        self._last = 0
        self._stored = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def start(self) -> None:
        """Begin at the newest event.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        self._last = await self._store.newest()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read_on()), loop.create_task(purge(self._purge, "events"))]

    async def stop(self) -> None:
        """End every reader's wait."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for tail in self._tails.values():
            tail.wake()

    def on_stored(self) -> None:
        """Take notice that something was stored."""
        self._stored.set()

    @property
    def newest(self) -> int:
        """Id of the newest event that was passed on: whoever begins behind it gets what comes from now on."""
        return self._last

    @property
    def oldest_kept(self) -> int:
        """What was stored before this id may have been deleted."""
        return first_id_at(time.time() - self._kept_seconds)

    async def after(self, organisation: str, event_id: int, patience: float) -> Sequence[StoredEvent]:
        """Read an organisation's events behind one, oldest first, and wait for them when there are none yet.

        Args:
            organisation: whose.
            event_id: the last event that the reader has.
            patience: seconds to wait.

        Returns:
            At most `PAGE` events; none when the wait was in vain.

        Raises:
            ShuttingDownError: there will be no more.
            StoreUnavailableError: the reader is far behind, and the database does not answer.
        """
        tail = self._tail(organisation)
        deadline = asyncio.get_running_loop().time() + patience
        while not self._closed:
            floor = tail.floor
            if event_id < floor:
                if page := await self._store.after(event_id, organisation, PAGE):
                    return page
                event_id = floor
            elif tail.events and tail.events[-1].id > event_id:
                begin = bisect_right(tail.events, event_id, key=_ID)
                return tail.events[begin : begin + PAGE]
            else:
                try:
                    async with asyncio.timeout_at(deadline):
                        await tail.more.wait()
                except TimeoutError:
                    return ()
        raise ShuttingDownError("the server is being stopped")

    def _tail(self, organisation: str) -> _Tail:
        tail = self._tails.get(organisation)
        if tail is None:
            tail = self._tails[organisation] = _Tail(self._last)
        return tail

    async def _read_on(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_after):
                    await self._stored.wait()
            await asyncio.sleep(STEP_ASIDE_SECONDS)
            self._stored.clear()
            try:
                page = await self._store.after(self._last, None, PAGE)
            except StoreUnavailableError as error:
                _log.error("events not read", error=str(error))
                self._stored.set()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._pass_on(page)
            if len(page) == PAGE:
                self._stored.set()
            else:
                await asyncio.sleep(GATHER_SECONDS)

    def _pass_on(self, page: Sequence[StoredEvent]) -> None:
        told = set()
        for event in page:
            # Before `_last` moves: an organisation that was not looked at so far has its floor just before this event.
            self._tail(event.organisation).add(event)
            self._last = event.id
            told.add(event.organisation)
        for organisation in told:
            self._tails[organisation].wake()

    async def _purge(self, limit: int) -> int:
        return await self._store.purge(self.oldest_kept, limit)
