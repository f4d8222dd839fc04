"""Requests for many numbers: checked as a whole, dialled a few at a time, read and cancelled."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import structlog

from sipcore.domain.batch import DEFAULT_CALLS_PER_SECOND, Pace
from sipcore.domain.batch_record import BatchPage, BatchRecord, BatchReport, report_of
from sipcore.domain.dialplan import Destination, NumberPlan, queue_number
from sipcore.domain.errors import (
    LimitReachedError,
    ShuttingDownError,
    StoreInDoubtError,
    StoreUnavailableError,
)
from sipcore.domain.record import RecordFilter
from sipcore.service.calls import DEFAULT_RING_SECONDS, Calls, DialRequest, LiveDirectory
from sipcore.service.live_batch import LiveBatch
from sipcore.service.number_list import checked
from sipcore.service.queue_board import QueueBoard
from sipcore.service.record_keeper import RecordKeeper
from sipcore.service.store import CallStore
from sipcore.service.turns import Turns

MAX_RUNNING = 50
"""Batches of one organisation that run at the same time."""
POLL_SECONDS = 5.0
"""How long nobody looks at the database at most for batches that were cancelled through another node."""
_RUNNING_RETRY_SECONDS = 60

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One click with several numbers, authenticated, with its texts as given.

    Attributes:
        organisation, user: who asks; both exist.
        dial1: the numbers as given, 1 or more.
        dial2, set_cid, ring_seconds: as in `DialRequest`, the same for all.
        id: id that the batch was given already, or None.
    """

    organisation: str
    user: str
    dial1: tuple[str, ...]
    dial2: str
    set_cid: str | None = None
    ring_seconds: int = DEFAULT_RING_SECONDS
    id: str | None = None


class Batches:
    """Runs the batches; everything happens in one event loop.

    Args:
        calls: places the calls.
        store: keeps batches and records.
        directory: organisations in force.
        numbers: the world's numbering plans.
        queues: tell how many numbers may be dialled for their agents.
    """

    def __init__(
        self, calls: Calls, store: CallStore, directory: LiveDirectory, numbers: NumberPlan, queues: QueueBoard
    ) -> None:
        self._calls = calls
        self._store = store
        self._directory = directory
        self._numbers = numbers
        self._queues = queues
        self._keeper = RecordKeeper(store.keep_batch)
        self._live: dict[str, LiveBatch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._turns = Turns("cancelled batches", self._turn, retry_seconds=POLL_SECONDS)

    def start(self) -> None:
        """Begin to look for batches that are cancelled through other nodes."""
        self._turns.start()

    def wake(self) -> None:
        """Look now: one was cancelled."""
        self._turns.wake()

    async def dial(self, request: BatchRequest) -> LiveBatch:
        """Accept a batch and begin to dial.

        Raises:
            ParameterError: one of the destinations or the caller identity is malformed; of dial1 it tells which entry.
                Or dial2 cannot talk to many.
            NotAllowedError: one of them is not allowed to the organisation.
            LimitReachedError: too many batches of the organisation are running.
            StoreUnavailableError, ShuttingDownError: nothing is dialled.
        """
        if self._stopping:
            raise ShuttingDownError("the server is being stopped")
        organisation = self._directory.organisation(request.organisation)
        if sum(live.organisation == organisation.name for live in self._live.values()) >= MAX_RUNNING:
            raise LimitReachedError("running batches", _RUNNING_RETRY_SECONDS)
        numbers, second = await checked(request.dial1, partial(self._call_of, request), organisation, self._numbers)
        record = BatchRecord(
            id=request.id or uuid.uuid4().hex,
            organisation=organisation.name,
            user=request.user,
            numbers=numbers,
            dial2=request.dial2,
            set_cid=request.set_cid,
            accepted_at=datetime.now(UTC),
        )
        try:
            await self._store.keep_batch(record)
        except StoreInDoubtError:
            self._keeper.complete(replace(record, cancelled_by="error", ended_at=datetime.now(UTC)))
            raise
        return self._begin(record, request, second)

    async def find(self, organisation: str, cursor: str | None = None) -> BatchPage:
        """Read a page of the organisation's batches, newest first.

        Raises:
            ParameterError: the cursor is none of ours.
            StoreUnavailableError: the database does not answer.
        """
        # Taken before the database is read: read after it, one may have ended in between.
        live = dict(self._live)
        page = await self._store.find_batches(organisation, cursor=cursor)
        items = (live[item.id].record if item.id in live else item for item in page.items)
        return BatchPage(tuple(items), page.next)

    async def get(self, organisation: str, batch_id: str) -> BatchReport | None:
        """Tell how a batch stands, or stood at its end; None: the organisation has none of this id.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        live = self._live.get(batch_id)
        if live is not None:
            return live.report() if live.organisation == organisation else None
        record = await self._store.get_batch(organisation, batch_id)
        if record is None:
            return None
        page = await self._store.find(organisation, RecordFilter(batch=batch_id), limit=len(record.numbers))
        return report_of(record, page.items)

    async def cancel(self, organisation: str, batch_id: str) -> BatchReport | None:
        """Cancel a batch, whichever node dials it, and tell how it stands; one that has ended stays as it is.

        Raises:
            StoreUnavailableError: as `get`; it goes on.
        """
        live = self._live.get(batch_id)
        if live is None:
            await self._store.cancel_batch(organisation, batch_id)
        elif live.organisation == organisation:
            await self._cancel_own(live)
        return await self.get(organisation, batch_id)

    async def _cancel_own(self, live: LiveBatch) -> None:
        live.cancel("request")
        if live.record.ended_at is None:
            try:
                await self._store.cancel_batch(live.organisation, live.id)
            except StoreUnavailableError as error:
                # It is written with the batch's end at the latest.
                _log.warning("other nodes do not know yet of a cancelled batch", batch=live.id, reason=str(error))

    async def _turn(self) -> float:
        """Cancel what was cancelled through other nodes."""
        if self._live:
            for batch_id in await self._store.cancelled_batches():
                if batch_id in self._live:
                    self._live[batch_id].cancel("request")
        return POLL_SECONDS

    def stop(self) -> None:
        """Take no new batch, and dial nothing more; called before the calls are ended."""
        self._stopping = True
        self._keeper.hurry()
        for live in list(self._live.values()):
            live.cancel("shutdown")

    async def finish(self) -> None:
        """Write what is left to be written; called when the calls have ended."""
        await self._turns.stop()
        for live in list(self._live.values()):
            live.abandon()
        await asyncio.gather(*self._tasks)
        await self._keeper.finish()

    def _begin(self, record: BatchRecord, request: BatchRequest, second: Destination) -> LiveBatch:
        template = replace(self._call_of(request, request.dial1[0]), batch_id=record.id)
        queue = queue_number(second)
        live = LiveBatch(
            record,
            template,
            self._calls,
            pace=lambda: self._pace(live),
            allowance=lambda _now, _own: 1 if queue is None else self._queues.dials_allowed(record.organisation, queue),
            count_dial=lambda: None if queue is None else self._queues.count_dial(record.organisation, queue),
            make_room=lambda: self._look_again(record.organisation),
        )
        self._live[record.id] = live
        task = asyncio.get_running_loop().create_task(self._run(live, queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        _log.info(
            "batch accepted",
            batch=record.id,
            organisation=record.organisation,
            user=record.user,
            numbers=len(record.numbers),
            dial2=record.dial2,
        )
        if self._stopping:  # since the request came
            live.cancel("shutdown")
        else:
            live.look_again()
        return live

    async def _run(self, live: LiveBatch, queue: str | None) -> None:
        """Write a batch's end; until then, let it see when more numbers may be dialled for its queue."""
        following = None
        if queue is not None:
            following = asyncio.get_running_loop().create_task(self._follow_queue(live, queue))
        await live.ended
        if following is not None:
            following.cancel()
        record = live.record
        _log.info("batch ended", batch=record.id, state=record.state, cancelled_by=record.cancelled_by)
        await self._keeper.complete(record)
        del self._live[record.id]

    async def _follow_queue(self, live: LiveBatch, queue: str) -> None:
        while True:
            await self._queues.changed(live.organisation, queue)
            live.look_again()

    def _look_again(self, organisation: str) -> None:
        for live in list(self._live.values()):
            if live.organisation == organisation:
                live.look_again()

    def _pace(self, live: LiveBatch) -> Pace:
        """Give each batch its share of the organisation's limits, the eldest first where they do not go round."""
        organisation = self._directory.current.organisations.get(live.organisation)
        if organisation is None:
            return Pace()
        sharing = [
            other for other in self._live.values() if other.organisation == live.organisation and other.machine.dialling
        ]
        at_once = organisation.max_calls
        if at_once is not None:
            share, left = divmod(at_once, len(sharing))
            at_once = share + (sharing.index(live) < left)
        return Pace(at_once, (organisation.calls_per_second or DEFAULT_CALLS_PER_SECOND) / len(sharing))

    @staticmethod
    def _call_of(request: BatchRequest, number: str) -> DialRequest:
        return DialRequest(
            organisation=request.organisation,
            user=request.user,
            dial1=number,
            dial2=request.dial2,
            set_cid=request.set_cid,
            ring_seconds=request.ring_seconds,
        )
