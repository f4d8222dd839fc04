"""The call engine: admits requests, pumps events into the calls, carries their commands out, and owns their timers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from sipcore.domain.call import Call
from sipcore.domain.call_limits import CallLimits
from sipcore.domain.call_recording import RecordingAction
from sipcore.domain.commands import (
    AnswerLeg,
    Command,
)
from sipcore.domain.dialplan import NumberPlan
from sipcore.domain.directory import Organisation
from sipcore.domain.errors import (
    InvalidTransitionError,
    ShuttingDownError,
    StoreInDoubtError,
)
from sipcore.domain.events import DigitPressed, LegArrived, LegEnded, MessagesSeen, PortEvent, WorkerLost
from sipcore.domain.lines import LineBoard
from sipcore.domain.record import CallRecord, interrupted
from sipcore.domain.refusal import REFUSAL_STATUSES, Refusal, refusal_of
from sipcore.domain.waiting_queue import QueueNotice
from sipcore.service.admission import Admission, EngineSettings
from sipcore.service.call_control import LiveCallControl
from sipcore.service.call_slots import CallSlots
from sipcore.service.calls import AcceptedCall, DialRequest, LiveDirectory
from sipcore.service.event_recorder import NobodyListens, StepSink
from sipcore.service.execution import Execution
from sipcore.service.group_order import GroupOrder
from sipcore.service.inbound import Inbound
from sipcore.service.limits import Limits, limits_of
from sipcore.service.live_call import LiveCall
from sipcore.service.port import SipPort
from sipcore.service.queue_board import QueueBoard
from sipcore.service.record_keeper import RecordKeeper
from sipcore.service.recorder import Recorder
from sipcore.service.step_log import log_step
from sipcore.service.store import CallStore

_log = structlog.get_logger(__name__)


class CallEngine:
    """Places calls; everything happens in one event loop.

    Args:
        port: the SIP port.
        store: keeps the records, and what outlives the program of queues' agents.
        directory: organisations and trunks in force.
        numbers: the world's numbering plans.
        settings: limits of every call.
        recorder: follows what is recorded; without one nothing is.
        steps: is told of each step of a call.

    Attributes:
        queues: where parties wait; it is started before the engine, and told of new settings.
        control: changes calls in progress.
        on_refused: told why a call that came in was refused before it had a record.
    """

    def __init__(
        self,
        port: SipPort,
        store: CallStore,
        directory: LiveDirectory,
        numbers: NumberPlan,
        settings: EngineSettings,
        recorder: Recorder | None = None,
        *,
        steps: StepSink | None = None,
    ) -> None:
        self._port = port
        self._recorder = recorder
        self._store = store
        self._directory = directory
        lines = LineBoard()
        self.queues = QueueBoard(directory, lines, store, self._tell)
        self._admission = Admission(numbers, settings, GroupOrder(lines))
        self._inbound = Inbound(self._admission, store, directory, numbers)
        self._steps = steps or NobodyListens()
        self._records = RecordKeeper(self._complete)
        self._limits = Limits()
        self._calls: dict[str, LiveCall] = {}
        self._by_leg: dict[str, LiveCall] = {}
        self._arriving: dict[str, list[PortEvent]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pump: asyncio.Task[None] | None = None
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._execution = Execution(
            port, self.queues, recorder, self._steps, self._by_leg, self._take, self._spawn_task
        )
        self.control = LiveCallControl(self._find, self._admission, directory, self._step)
        self.on_refused: Callable[[Refusal], None] = lambda _: None

    def start(self) -> None:
        """Begin to take events."""
        self._pump = asyncio.get_running_loop().create_task(self._take_events())

    def refuse_calls(self) -> None:
        """Take no new call any more."""
        self._stopping = True

    async def stop(self, patience_seconds: float = 3.0) -> None:
        """Take no new call, end those in progress, and wait until their records are written."""
        self.refuse_calls()
        self._records.hurry()
        for live in list(self._calls.values()):
            self._step(live, lambda call, now: call.hang_up("shutdown", now))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), patience_seconds)
        for live in list(self._calls.values()):
            _log.warning("call left with legs at shutdown", call=live.call.terms.id)
            self._records.complete(live.record())
        await self._records.finish()
        await self.queues.stop()
        for task in (*self._tasks, *([] if self._pump is None else [self._pump])):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @property
    def calls_in_progress(self) -> int:
        """How many calls have legs."""
        return len(self._calls)

    async def dial(self, request: DialRequest) -> AcceptedCall:
        """Accept a call and start ringing destination 1 (see `Calls.dial`)."""
        dial_over = request.dial_over
        undo: list[Callable[[], None]] = [] if dial_over is None else [dial_over]
        try:
            call, organisation = self._outgoing(request)
            if dial_over is None and call.terms.queue is not None:
                dial_over = self.queues.count_dial(organisation.name, call.terms.queue)
                undo.append(dial_over)
            count_out = self._limits.admit(organisation, time.monotonic())
            undo.append(count_out)
            third = request.options.room_for_third
            slots = await CallSlots.reserve(self._port, call.contest_legs, room_for_third=third)
            undo.append(slots.release)
            live = await self._accept(call, slots, count_out, limits_of(organisation))
        except BaseException:
            for step in reversed(undo):
                step()
            raise
        if dial_over is not None:
            live.first_stage.add_done_callback(lambda _: dial_over())
        return AcceptedCall(call.terms.id, *call.uids, live.first_stage, live.over)

    def _outgoing(self, request: DialRequest) -> tuple[Call, Organisation]:
        if self._stopping:
            raise ShuttingDownError("the server is being stopped")
        organisation = self._directory.organisation(request.organisation)
        return self._admission.outgoing(request, organisation, self._directory.current), organisation

    def hang_up(self, organisation: str, call_id: str, by: str = "request") -> bool:
        """End a call of the organisation; False when it has none of this id in progress (see `Calls.hang_up`)."""
        live = self._find(organisation, call_id)
        if live is None:
            return False
        self._step(live, lambda call, now: call.hang_up(by, now))
        return True

    def change_recording(self, organisation: str, call_id: str, action: RecordingAction) -> CallRecord | None:
        """Pause, resume or stop the recording of a call; return its record, or None when there is no such call now.

        Raises:
            NotRecordedError: it is not being recorded.
        """
        live = self._find(organisation, call_id)
        if live is None:
            return None
        self._step(live, lambda call, _now: call.change_recording(action))
        return live.record()

    def live_record(self, organisation: str, key: str) -> CallRecord | None:
        """Read the record of a call in progress by its id or by a UniqueID of it."""
        live = self._calls.get(key) or self._by_leg.get(key)
        if live is None or live.call.terms.organisation != organisation:
            return None
        return live.with_ladder(live.record())

    def live_records(self, organisation: str) -> list[CallRecord]:
        """Read the records of an organisation's calls in progress, newest first."""
        mine = [live for live in self._calls.values() if live.call.terms.organisation == organisation]
        return [live.record() for live in reversed(mine)]

    def _find(self, organisation: str, call_id: str) -> LiveCall | None:
        live = self._calls.get(call_id)
        return live if live is not None and live.call.terms.organisation == organisation else None

    async def _accept(
        self, call: Call, slots: CallSlots, count_out: Callable[[], None], limits: CallLimits
    ) -> LiveCall:
        """Write the first row of a call's record, then let it begin.

        Raises:
            LimitReachedError, StoreUnavailableError: nothing was dialled; the caller gives slots and count back.
        """
        loop = asyncio.get_running_loop()
        live = LiveCall(
            call, slots, self.queues, loop.create_future(), loop.create_future(), time.monotonic(), count_out
        )
        record = live.record()
        try:
            await self._store.accept(record, limits)
        except StoreInDoubtError:
            # Should it have been written, then nobody would end it.
            self._records.complete(interrupted(record, datetime.now(UTC), "error"))
            raise
        self._begin(live)
        return live

    def _begin(self, live: LiveCall) -> None:
        terms, uids = live.call.terms, live.call.uids
        self._calls[terms.id] = live
        for uid in uids:
            self._by_leg[uid] = live
        self._idle.clear()
        if terms.direction == "inbound":
            live.leg_in(uids[0], terms.dial1)
        # A caller may have given up while it was looked up whom they reach.
        for event in self._arriving.pop(uids[0], ()):
            self._take(event)
        if self._stopping:  # since the request came; its record is written already
            self._step(live, lambda call, now: call.hang_up("shutdown", now))
            return
        self._step(live, lambda call, now: call.start(now))
        _log.info(
            "call accepted",
            call=terms.id,
            organisation=terms.organisation,
            user=terms.user,
            dial1=terms.dial1,
            dial2=terms.dial2,
            uid1=uids[0],
            uid2=uids[1],
        )

    async def _take_events(self) -> None:
        async for event in self._port.events():
            try:
                self._take(event)
            except Exception:  # noqa: BLE001 - see below
                # One call's trouble must not end the events of all others; the story is in the log.
                _log.exception("event not taken", event_type=type(event).__name__)

    def _take(self, event: PortEvent) -> None:
        if isinstance(event, LegArrived):
            self._arriving[event.leg] = []
            self._spawn_task(self._arrive(event))
            return
        if self._recorder is not None:
            self._recorder.feed(event)
        legs = event.legs if isinstance(event, WorkerLost) else (event.leg,)
        for leg in legs:
            if leg in self._arriving:
                self._arriving[leg].append(event)
        hit = {id(live): live for live in (self._by_leg.get(leg) for leg in legs) if live is not None}
        for live in hit.values():
            if isinstance(event, MessagesSeen):
                live.note(event)
                continue
            # The log line of a leg's end comes before the call's; any other after the step, as the next INVITE may
            # be part of that and does not wait for a line.
            ends = isinstance(event, LegEnded)
            if ends:
                log_step(live.call, event)
            live.count(event)
            self._step(live, lambda call, now: call.feed(event, now))
            if not ends:
                log_step(live.call, event)
            if isinstance(event, DigitPressed):
                self._steps.pressed(live.record(), event)

    def _tell(self, notice: QueueNotice) -> None:
        """Take what a queue has to say to the call that waits in it."""
        live = self._by_leg.get(notice.ticket)
        if live is not None:
            self._steps.queued(live.record(), notice)
            self._step(live, lambda call, now: call.feed(notice, now))

    def _step(self, live: LiveCall, act: Callable[[Call, float], list[Command]]) -> None:
        """Let a call act, carry its commands out, and set its next timer."""
        try:
            commands = act(live.call, time.monotonic())
        except InvalidTransitionError:
            _log.exception("call in an impossible state; ended", call=live.call.terms.id)
            commands = live.call.hang_up("error", time.monotonic())
        self._execution.carry_out(live, commands)
        self._steps.stepped(live.record())
        if live.call.ended:
            self._end(live)
        else:
            live.set_timer(self._on_timer)

    async def _arrive(self, event: LegArrived) -> None:
        """Take a call that came in, or refuse it: without a route, over a limit, or without room for its record."""
        try:
            refusal = None if await self._take_arrived(event) else Refusal.NO_ROUTE
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the caller gets an answer
            refusal = refusal_of(error)
            if refusal is Refusal.ERROR:
                _log.exception("incoming call not taken", uid=event.leg)
            elif refusal is not Refusal.LIMIT:
                _log.error("incoming call refused", uid=event.leg, reason=str(error))
        if refusal is not None:
            self._arriving.pop(event.leg, None)
            self._port.send(event.slots, AnswerLeg(event.leg, REFUSAL_STATUSES[refusal]))
            self._port.release(event.slots)
            self.on_refused(refusal)

    async def _take_arrived(self, event: LegArrived) -> bool:
        """Let the call of a leg that came in begin; False when no route leads from its number.

        Raises:
            LimitReachedError, NoLegCapacityError, StoreUnavailableError, ShuttingDownError: it cannot begin.
        """
        if self._stopping:
            raise ShuttingDownError("the server is being stopped")
        call = await self._inbound.call_for(event)
        organisation = None if call is None else self._directory.current.organisations.get(call.terms.organisation)
        if call is None or organisation is None:
            return False
        count_out = self._limits.admit(organisation, time.monotonic())
        slots = CallSlots(self._port, event.slots)
        slots.hold(event.leg)
        try:
            if call.contest_legs:
                await slots.grow(call.contest_legs)
            await self._accept(call, slots, count_out, limits_of(organisation))
        except BaseException:
            count_out()
            slots.release_further()
            raise
        return True

    def _on_timer(self, live: LiveCall) -> None:
        self._step(live, lambda call, now: call.on_deadline(now))

    def _end(self, live: LiveCall) -> None:
        live.stop_timer()
        terms = live.call.terms
        if self._calls.pop(terms.id, None) is None:
            return
        record = live.record()
        for leg in {*live.call.uids, *live.tickets, *(leg.uid for leg in record.legs)}:
            self._by_leg.pop(leg, None)
            # A leg that was given up without its end still counts its line.
            live.leg_out(leg)
        live.count_out()
        live.slots.release()
        _log.info("call ended", call=terms.id, disposition=record.disposition, ended_by=record.ended_by)
        self._records.complete(live.with_ladder(record))
        if self._recorder is not None:
            self._recorder.call_ended(terms.id)
        live.over.set_result(None)
        if not self._calls:
            self._idle.set()

    async def _complete(self, record: CallRecord) -> None:
        # What happened in a call is told before its end.
        await self._steps.flush()
        await self._store.complete(record)

    def _spawn_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
