"""The call engine: admits requests, pumps events into the calls, carries their commands out, and owns their timers."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from sipcore.domain.call import Call, CallTerms
from sipcore.domain.causes import NO_SUCH_EXTENSION
from sipcore.domain.commands import Command, ReportFirstStage
from sipcore.domain.dialplan import Destination, NumberPlan, resolve
from sipcore.domain.directory import Directory, Organisation
from sipcore.domain.errors import AuthenticationError, InvalidTransitionError, ShuttingDownError, StoreUnavailableError
from sipcore.domain.events import Event, LegEnded, WorkerLost
from sipcore.domain.identity import callers, plan_leg
from sipcore.domain.party import Party
from sipcore.domain.phone import NowhereParty, PhoneParty
from sipcore.domain.record import CallRecord
from sipcore.domain.slots import Slots
from sipcore.service.calls import AcceptedCall, DialRequest, LiveDirectory
from sipcore.service.limits import Limits
from sipcore.service.port import SipPort
from sipcore.service.step_log import log_step
from sipcore.service.store import RecordStore

_log = structlog.get_logger(__name__)

_LEGS_PER_CALL = 2
_SAVE_RETRY_SECONDS = 1.0
_MAX_SAVE_RETRY_SECONDS = 30.0
_LAST_ATTEMPTS = 2
"""How often the end of a call is written in vain before a shutdown goes on without it."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Limits of every call.

    Attributes:
        max_call_seconds: how long a call may last once destination 1 has answered.
        ring_seconds: how long destination 2 may ring.
    """

    max_call_seconds: float = 14400.0
    ring_seconds: float = 120.0


@dataclass(slots=True)
class _LiveCall:
    """A call in progress and what hangs on it."""

    call: Call
    slots: Slots
    first_stage: asyncio.Future[str | None]
    accepted: float
    count_out: Callable[[], None]
    timer: asyncio.TimerHandle | None = None

    def at(self, moment: float) -> datetime:
        """Turn a moment of the monotonic clock into UTC; a change of the system's clock moves no record."""
        return self.call.terms.accepted_at + timedelta(seconds=moment - self.accepted)

    def record(self) -> CallRecord:
        return self.call.record(self.at)


class CallEngine:
    """Places calls; everything happens in one event loop.

    Args:
        port: the SIP port.
        store: keeps the records.
        directory: organisations and trunks in force.
        numbers: the world's numbering plans.
        settings: limits of every call.
    """

    def __init__(
        self,
        port: SipPort,
        store: RecordStore,
        directory: LiveDirectory,
        numbers: NumberPlan,
        settings: EngineSettings,
    ) -> None:
        self._port = port
        self._store = store
        self._directory = directory
        self._numbers = numbers
        self._settings = settings
        self._limits = Limits()
        self._calls: dict[str, _LiveCall] = {}
        self._by_leg: dict[str, _LiveCall] = {}
        self._saving: set[asyncio.Task[None]] = set()
        self._pump: asyncio.Task[None] | None = None
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        """Begin to take events."""
        self._pump = asyncio.get_running_loop().create_task(self._take_events())

    async def stop(self, patience_seconds: float = 3.0) -> None:
        """Take no new call, end those in progress, and wait until their records are written."""
        self._stopping = True
        for live in list(self._calls.values()):
            self._step(live, lambda call, now: call.hang_up("shutdown", now))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), patience_seconds)
        for live in list(self._calls.values()):
            _log.warning("call left with legs at shutdown", call=live.call.terms.id)
            self._save(live.record())
        while self._saving:
            await asyncio.gather(*self._saving)
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError):
                await self._pump

    @property
    def calls_in_progress(self) -> int:
        """How many calls have legs."""
        return len(self._calls)

    async def dial(self, request: DialRequest) -> AcceptedCall:
        """Accept a call and start ringing destination 1 (see `Calls.dial`)."""
        if self._stopping:
            raise ShuttingDownError("the server is being stopped")
        directory = self._directory.current
        organisation = directory.organisations.get(request.organisation)
        if organisation is None:
            raise AuthenticationError("the organisation is gone from the settings")
        uid1, uid2 = uuid.uuid4().hex, uuid.uuid4().hex
        first, second = self._parties(request, organisation, directory, uid1, uid2)
        count_out = self._limits.admit(organisation, time.monotonic())
        try:
            slots = await self._port.reserve(_LEGS_PER_CALL)
        except BaseException:
            count_out()
            raise
        call = Call(self._terms(request, organisation), first, second)
        first_stage = asyncio.get_running_loop().create_future()
        live = _LiveCall(call, slots, first_stage, time.monotonic(), count_out)
        try:
            await self._store.accept(live.record())
        except BaseException:
            self._port.release(slots)
            count_out()
            raise
        self._begin(live)
        return AcceptedCall(call.terms.id, uid1, uid2, first_stage)

    def hang_up(self, organisation: str, call_id: str) -> bool:
        """End a call of the organisation; False when it has none of this id in progress."""
        live = self._calls.get(call_id)
        if live is None or live.call.terms.organisation != organisation:
            return False
        self._step(live, lambda call, now: call.hang_up("request", now))
        return True

    def live_record(self, organisation: str, key: str) -> CallRecord | None:
        """Read the record of a call in progress by its id or by the UniqueID of one of its legs."""
        live = self._calls.get(key) or self._by_leg.get(key)
        if live is None or live.call.terms.organisation != organisation:
            return None
        return live.record()

    def _parties(
        self, request: DialRequest, organisation: Organisation, directory: Directory, uid1: str, uid2: str
    ) -> tuple[Party, Party]:
        first = resolve(request.dial1, organisation, self._numbers, parameter="dial1")
        second = resolve(request.dial2, organisation, self._numbers, parameter="dial2")
        shown = callers(organisation, first, second, request.set_cid, self._numbers)

        def party(uid: str, destination: Destination, caller: str | None, seconds: float, *, foreign: bool) -> Party:
            plan = plan_leg(destination, caller, organisation, directory, self._numbers, foreign=foreign)
            if plan is None:
                return NowhereParty(uid, destination.number, NO_SUCH_EXTENSION)
            return PhoneParty(uid, plan, seconds)

        return (
            party(uid1, first, shown.leg1, request.ring_seconds, foreign=request.set_cid is None),
            party(uid2, second, shown.leg2, self._settings.ring_seconds, foreign=False),
        )

    def _terms(self, request: DialRequest, organisation: Organisation) -> CallTerms:
        return CallTerms(
            id=uuid.uuid4().hex,
            organisation=organisation.name,
            user=request.user,
            dial1=request.dial1,
            dial2=request.dial2,
            set_cid=request.set_cid,
            accepted_at=datetime.now(UTC),
            country=organisation.country,
            max_seconds=self._settings.max_call_seconds,
        )

    def _begin(self, live: _LiveCall) -> None:
        terms, legs = live.call.terms, live.call.legs
        self._calls[terms.id] = live
        for leg in legs:
            self._by_leg[leg] = live
        self._idle.clear()
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
            uid1=legs[0],
            uid2=legs[1],
        )

    async def _take_events(self) -> None:
        async for event in self._port.events():
            try:
                self._take(event)
            except Exception:  # noqa: BLE001 - see below
                # One call's trouble must not end the events of all others; the story is in the log.
                _log.exception("event not taken", event_type=type(event).__name__)

    def _take(self, event: Event) -> None:
        legs = event.legs if isinstance(event, WorkerLost) else (event.leg,)
        hit = {id(live): live for live in (self._by_leg.get(leg) for leg in legs) if live is not None}
        for live in hit.values():
            # The log line of a leg's end comes before the call's; any other after the step, as the next INVITE may
            # be part of that and does not wait for a line.
            ends = isinstance(event, LegEnded)
            if ends:
                log_step(live.call.legs, event)
            self._step(live, lambda call, now: call.feed(event, now))
            if not ends:
                log_step(live.call.legs, event)

    def _step(self, live: _LiveCall, act: Callable[[Call, float], list[Command]]) -> None:
        """Let a call act, carry its commands out, and set its next timer."""
        try:
            commands = act(live.call, time.monotonic())
        except InvalidTransitionError:
            _log.exception("call in an impossible state; ended", call=live.call.terms.id)
            commands = live.call.hang_up("error", time.monotonic())
        for command in commands:
            self._execute(live, command)
        if live.call.ended:
            self._end(live)
        else:
            self._set_timer(live)

    def _execute(self, live: _LiveCall, command: Command) -> None:
        if isinstance(command, ReportFirstStage):
            if not live.first_stage.done():
                live.first_stage.set_result(command.fail_reason)
        else:
            self._port.send(live.slots, command)

    def _set_timer(self, live: _LiveCall) -> None:
        if live.timer is not None:
            live.timer.cancel()
            live.timer = None
        deadline = live.call.next_deadline()
        if deadline is not None:
            delay = max(deadline - time.monotonic(), 0.0)
            live.timer = asyncio.get_running_loop().call_later(delay, self._on_timer, live)

    def _on_timer(self, live: _LiveCall) -> None:
        live.timer = None
        self._step(live, lambda call, now: call.on_deadline(now))

    def _end(self, live: _LiveCall) -> None:
        if live.timer is not None:
            live.timer.cancel()
            live.timer = None
        terms = live.call.terms
        if self._calls.pop(terms.id, None) is None:
            return
        for leg in live.call.legs:
            self._by_leg.pop(leg, None)
        live.count_out()
        self._port.release(live.slots)
        record = live.record()
        _log.info("call ended", call=terms.id, disposition=record.disposition, ended_by=record.ended_by)
        self._save(record)
        if not self._calls:
            self._idle.set()

    def _save(self, record: CallRecord) -> None:
        task = asyncio.get_running_loop().create_task(self._complete(record))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def _complete(self, record: CallRecord) -> None:
        """Write the end of a call; a database that is away for a while costs no record."""
        attempt = 0
        while True:
            attempt += 1
            try:
                await self._store.complete(record)
            except StoreUnavailableError as error:
                _log.error("record not written", call=record.id, attempt=attempt, error=str(error))
            else:
                return
            if self._stopping and attempt >= _LAST_ATTEMPTS:
                _log.critical("record not written; the next start settles it as interrupted", call=record.id)
                return
            await asyncio.sleep(min(_SAVE_RETRY_SECONDS * attempt, _MAX_SAVE_RETRY_SECONDS))
