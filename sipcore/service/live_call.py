"""A call in progress, and what hangs on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sipcore.domain.call import Call
from sipcore.domain.commands import PlaceLeg
from sipcore.domain.events import LegAnswered, LegEnded, MessagesSeen, PortEvent, WorkerLost
from sipcore.domain.ladder import LegLadder, Rung
from sipcore.domain.record import CallRecord
from sipcore.service.call_slots import CallSlots
from sipcore.service.queue_board import QueueBoard


@dataclass(slots=True)
class LiveCall:
    """A call, its slots, its timer, and who is in a call because of it.

    Attributes:
        call: its state machine.
        slots: where its legs are.
        queues: are told whose line is busy.
        first_stage, over: as in `AcceptedCall`.
        accepted: when, in monotonic seconds.
        count_out: counts it out of the organisation's limits.
        unplaced: legs for which no slot is there yet.
        waiting: UniqueIDs of legs that wait for slots, until they are hung up.
        tickets: under which its parties wait in queues.
    """

    call: Call
    slots: CallSlots
    queues: QueueBoard
    first_stage: asyncio.Future[str | None]
    over: asyncio.Future[None]
    accepted: float
    count_out: Callable[[], None]
    unplaced: list[PlaceLeg] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    tickets: set[str] = field(default_factory=set)
    _timer: asyncio.TimerHandle | None = None
    _lines: dict[str, str] = field(default_factory=dict)
    _answered: set[str] = field(default_factory=set)
    _rungs: dict[str, list[Rung]] = field(default_factory=dict)

    def at(self, moment: float) -> datetime:
        """Turn a moment of the monotonic clock into UTC; a change of the system's clock moves no record."""
        return self.call.terms.accepted_at + timedelta(seconds=moment - self.accepted)

    def record(self) -> CallRecord:
        """Tell what became of it so far."""
        return self.call.record(self.at)

    def note(self, seen: MessagesSeen) -> None:
        """Keep which messages of a leg went to and fro."""
        rungs = self._rungs.setdefault(seen.leg, [])
        rungs += (replace(rung, at=round(rung.at - self.accepted, 6)) for rung in seen.rungs)

    def with_ladder(self, record: CallRecord) -> CallRecord:
        """Add to its record the messages of its legs so far."""
        return replace(record, ladder=tuple(LegLadder(leg, tuple(rungs)) for leg, rungs in self._rungs.items()))

    def set_timer(self, act: Callable[[LiveCall], None]) -> None:
        """Have the call act at its next deadline, if there is one."""
        self.stop_timer()
        deadline = self.call.next_deadline()
        if deadline is not None:
            delay = max(deadline - time.monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, act, self)

    def stop_timer(self) -> None:
        """Wait for no deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def count(self, event: PortEvent) -> None:
        """Keep the board of who is in a call, and the call's slots, in step with its legs."""
        if isinstance(event, LegAnswered):
            self._answered.add(event.leg)
        elif isinstance(event, LegEnded):
            self.leg_out(event.leg)
        elif isinstance(event, WorkerLost):
            for leg in event.legs:
                self.slots.lost(leg)
                self.leg_out(leg)

    def leg_in(self, leg: str, line: str) -> None:
        """Count a leg in: its line is busy."""
        if line:
            self._lines[leg] = line
            self.queues.line_busy(self.call.terms.organisation, line)

    def leg_out(self, leg: str) -> None:
        """Count a leg out, once."""
        self.slots.ended(leg)
        line = self._lines.pop(leg, None)
        if line is not None:
            self.queues.line_free(self.call.terms.organisation, line, talked=leg in self._answered)
