"""From what calls and trunks do to stored events, off the path of the calls.

A step is stored some milliseconds after it happened, with others. A program that is killed loses the steps of that
time, but never that a call was accepted or that it ended: those are stored with its record.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol

import structlog

from sipcore.domain import public_events
from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.events import DigitPressed
from sipcore.domain.public_events import PublicEvent, QueueStep
from sipcore.domain.record import CallRecord
from sipcore.domain.registration import TrunkState
from sipcore.service.calls import LiveDirectory
from sipcore.service.event_store import EventStore

_log = structlog.get_logger(__name__)

GATHER_SECONDS = 0.02
RETRY_SECONDS = 1.0


class StepSink(Protocol):
    """Is told of each step that a call takes."""

    def stepped(self, record: CallRecord) -> None:
        """Take the record of a call that may have done something."""
        ...

    def pressed(self, record: CallRecord, event: DigitPressed) -> None:
        """Take a key that was pressed on a leg of a call."""
        ...

    def queued(self, record: CallRecord, step: QueueStep) -> None:
        """Take what a call wants of a queue, or is told by it."""
        ...

    async def flush(self) -> None:
        """Store what was told, before the end of a call is stored."""
        ...


class NobodyListens:
    """A sink that tells nobody."""

    def stepped(self, record: CallRecord) -> None:
        """Pass it over."""

    def pressed(self, record: CallRecord, event: DigitPressed) -> None:
        """Pass it over."""

    def queued(self, record: CallRecord, step: QueueStep) -> None:
        """Pass it over."""

    async def flush(self) -> None:
        """Do nothing: nothing was kept."""


class EventRecorder:
    """Stores what happens.

    Args:
        store: keeps the events.
        directory: tells which organisations see keys, and whose trunk it is.
    """

    def __init__(self, store: EventStore, directory: LiveDirectory) -> None:
        self._store = store
        self._directory = directory
        self._before: dict[str, CallRecord] = {}
        self._pending: list[PublicEvent] = []
        self._more = asyncio.Event()
        self._writing = asyncio.Lock()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to store."""
        self._task = asyncio.get_running_loop().create_task(self._store_on())

    async def stop(self) -> None:
        """Store what is left."""
        # A write is not cancelled: nobody would know whether it was made.
        self._stopping = True
        self._more.set()
        if self._task is not None:
            await self._task
        await self.flush()

    @property
    def pending(self) -> int:
        """How many events are not stored yet."""
        return len(self._pending)

    def tell(self, *events: PublicEvent) -> None:
        """Take events of any kind, in their order."""
        if events:
            self._pending += events
            self._more.set()

    def stepped(self, record: CallRecord) -> None:
        """Tell what a call has done since its last step."""
        before = self._before.get(record.id)
        self.tell(*public_events.steps(before, record))
        if record.ended_at is None:
            self._before[record.id] = record
        else:
            self._before.pop(record.id, None)

    def pressed(self, record: CallRecord, event: DigitPressed) -> None:
        """Tell that a key was pressed, and which one where the organisation's settings say so."""
        organisation = self._directory.current.organisations.get(record.organisation)
        shown = organisation is not None and organisation.event_digits
        self.tell(public_events.digit(record, event, datetime.now(UTC), shown=shown))

    def queued(self, record: CallRecord, step: QueueStep) -> None:
        """Tell of a call that waits in a queue."""
        event = public_events.queue_event(record, step, datetime.now(UTC))
        if event is not None:
            self.tell(event)

    def agent_changed(self, organisation: str, queue: str, agent: str, paused: bool) -> None:
        """Tell that an agent of a queue pauses, or is back."""
        self.tell(public_events.agent_event(organisation, queue, agent, datetime.now(UTC), paused=paused))

    def trunk_changed(self, state: TrunkState) -> None:
        """Tell the organisations that use a trunk how its registration stands now."""
        now = datetime.now(UTC)
        for organisation in self._directory.current.organisations.values():
            if organisation.trunk == state.trunk:
                event = public_events.trunk_event(state, organisation.name, now)
                if event is not None:
                    self.tell(event)

    async def flush(self) -> None:
        """Store what was told; what the database does not take is kept for later."""
        await self._write()

    async def _write(self) -> bool:
        """Store what was told; False: the database does not take it."""
        async with self._writing:
            if not self._pending:
                return True
            events, self._pending = self._pending, []
            try:
                await self._store.put(events)
            except StoreUnavailableError as error:
                self._pending = events + self._pending
                _log.error("events not stored yet", events=len(self._pending), error=str(error))
                return False
            return True

    async def _store_on(self) -> None:
        while not self._stopping:
            await self._more.wait()
            self._more.clear()
            if await self._write():
                await asyncio.sleep(GATHER_SECONDS)
            else:
                self._more.set()
                await asyncio.sleep(RETRY_SECONDS)
