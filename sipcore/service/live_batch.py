"""One batch that runs: its machine, the calls of its numbers, and its timer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from sipcore.domain.batch import (
    Batch,
    BatchCommand,
    CallAccepted,
    CallOver,
    EndCall,
    FirstStageOver,
    NumberEvent,
    NumberState,
    Pace,
    StartCall,
    StartFailed,
    StartRefused,
)
from sipcore.domain.batch_record import BatchRecord, BatchReport, NumberResult
from sipcore.domain.errors import Click2CallError, LimitReachedError, NoLegCapacityError, StoreUnavailableError
from sipcore.service.calls import AcceptedCall, Calls, DialRequest

_log = structlog.get_logger(__name__)

_NO_ROOM_RETRY_SECONDS = 2.0
"""When to try again what failed for want of leg slots or of the database."""


class LiveBatch:
    """Everything happens in one event loop.

    Args:
        record: what was accepted.
        request: of its calls, but for dial1 and what is each number's own.
        calls: places them.
        pace, allowance: as for `Batch`.
        count_dial: counts a call for its queue and returns `DialRequest.dial_over`, or None: it is for no queue.
        make_room: called when one of its calls has ended, so that other batches may look again.

    Attributes:
        machine: how it stands; only read by others.
        first_stage: done when one number has answered (None), or when all have failed (the contract's reason). It is
            never cancelled by whoever waits for it.
        ended: when nothing was left to be dialled and no call in progress.
    """

    def __init__(
        self,
        record: BatchRecord,
        request: DialRequest,
        calls: Calls,
        pace: Callable[[], Pace],
        allowance: Callable[[float, int], int],
        count_dial: Callable[[], Callable[[], None] | None],
        make_room: Callable[[], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._record = record
        self._request = request
        self._calls = calls
        self._count_dial = count_dial
        self._make_room = make_room
        self._accepted = time.monotonic()
        self._under_way: dict[int, AcceptedCall] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._decided_by = 0
        self.machine = Batch(record.id, len(record.numbers), pace, allowance)
        self.first_stage: asyncio.Future[str | None] = loop.create_future()
        self.ended: asyncio.Future[datetime] = loop.create_future()

    @property
    def id(self) -> str:
        """Of the batch."""
        return self._record.id

    @property
    def organisation(self) -> str:
        """Whose it is."""
        return self._record.organisation

    @property
    def record(self) -> BatchRecord:
        """What is kept of it, as it stands now."""
        ended_at = self.ended.result() if self.ended.done() else None
        return replace(self._record, cancelled_by=self.machine.cancelled_by, ended_at=ended_at)

    @property
    def uids(self) -> tuple[str, str]:
        """UniqueIDs of the number that decided the first stage; of the first number until then."""
        return self._record.uids(self._decided_by)

    def report(self) -> BatchReport:
        """Tell how it stands, number by number."""
        results = tuple(self._result(position, number) for position, number in enumerate(self._record.numbers))
        return BatchReport(self.record, results)

    def look_again(self) -> None:
        """Dial what can be dialled; there may be more room than before."""
        self._step(lambda machine, now: machine.look_again(now))

    def cancel(self, by: str) -> None:
        """Dial nothing more and hang up what rings."""
        self._step(lambda machine, now: machine.cancel(by, now))

    def abandon(self) -> None:
        """End it, whatever its calls do."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._starting:
            task.cancel()
        self._end()

    def _result(self, position: int, number: str) -> NumberResult:
        state, reason = self.machine.state_of(position)
        status = NumberState.QUEUED if state is NumberState.STARTING else state
        accepted = self._under_way.get(position)
        return NumberResult(
            number, status, reason, *self._record.uids(position), None if accepted is None else accepted.id
        )

    def _feed(self, event: NumberEvent) -> None:
        self._step(lambda machine, now: machine.feed(event, now))

    def _step(self, act: Callable[[Batch, float], list[BatchCommand]]) -> None:
        """Let the machine act, carry its commands out, and set its next timer."""
        if self.ended.done():
            return
        for command in act(self.machine, time.monotonic()):
            self._execute(command)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.machine.next_deadline()
        if deadline is not None:
            delay = max(deadline - time.monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)
        if self.machine.ended:
            self._end()

    def _on_timer(self) -> None:
        self._timer = None
        self._step(lambda machine, now: machine.on_deadline(now))

    def _execute(self, command: BatchCommand) -> None:
        if isinstance(command, StartCall):
            task = asyncio.get_running_loop().create_task(self._start(command.position, self._count_dial()))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
        elif isinstance(command, EndCall):
            accepted = self._under_way[command.position]
            # One that is over has been answered, or failed, and the machine is about to be told.
            if not accepted.first_stage.done():
                by = "shutdown" if self.machine.cancelled_by == "shutdown" else "request"
                self._calls.hang_up(self.organisation, accepted.id, by)
        else:
            self._decided_by = command.position
            self.first_stage.set_result(command.fail_reason)

    async def _start(self, position: int, dial_over: Callable[[], None] | None) -> None:
        number = self._record.numbers[position]
        request = replace(self._request, dial1=number, uids=self._record.uids(position), dial_over=dial_over)
        try:
            accepted = await self._calls.dial(request)
        except LimitReachedError as error:
            self._feed(StartRefused(position, error.retry_after))
        except (NoLegCapacityError, StoreUnavailableError):
            self._feed(StartRefused(position, _NO_ROOM_RETRY_SECONDS))
        except Click2CallError as error:
            _log.warning("number not dialled", batch=self._record.id, number=number, reason=str(error))
            self._feed(StartFailed(position))
        except Exception:  # noqa: BLE001 - whatever it is, the other numbers go on; the story is in the log
            _log.exception("number not dialled", batch=self._record.id, number=number)
            self._feed(StartFailed(position))
        else:
            self._follow(position, accepted)

    def _follow(self, position: int, accepted: AcceptedCall) -> None:
        self._under_way[position] = accepted
        self._feed(CallAccepted(position))
        accepted.first_stage.add_done_callback(
            lambda first_stage: self._feed(FirstStageOver(position, first_stage.result()))
        )
        accepted.over.add_done_callback(lambda _: self._over(position))

    def _over(self, position: int) -> None:
        self._feed(CallOver(position))
        self._make_room()

    def _end(self) -> None:
        if not self.ended.done():
            lasted = timedelta(seconds=time.monotonic() - self._accepted)
            self.ended.set_result(self._record.accepted_at + lasted)
