"""A scripted fake of the SIP port: no process, no socket, no time that passes.

What a far end does is written down as a `Script` for the number it is dialled by, or ordered by calling a method. All
consequences are queued at once, in the order in which a worker would report them; `settled` waits until the reader
has taken them. Slots, workers and lost workers follow the rules of `sipcore.sip.pool`, and both pass the same contract
tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum

from sipcore.domain.commands import HangUpLeg, LegCommand, PlaceLeg, SendDigit
from sipcore.domain.directory import Directory
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.events import (
    DigitPressed,
    EndedBy,
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegPlaced,
    LegRang,
    PortEvent,
    WorkerLost,
)
from sipcore.domain.registration import RegistrationState, TrunkState
from sipcore.domain.slots import Slots

_OK = 200
_REQUEST_TIMEOUT = 408
_REQUEST_TERMINATED = 487
_UNREACHABLE = 503


class OnCancel(StrEnum):
    """What a far end does about our CANCEL.

    Attributes:
        TERMINATE: it answers the INVITE with 487.
        ANSWER: it has answered meanwhile, so that the leg is up and its worker sends BYE (RFC 3261 section 9.1).
        IGNORE: it says nothing, so the leg keeps its slot until `time_out`.
    """

    TERMINATE = "terminate"
    ANSWER = "answer"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Script:
    """What a far end does from our INVITE on.

    Attributes:
        rings: statuses of its provisional responses, in order.
        early_media: whether the last of them carries SDP.
        final: the final status that follows at once; None: it waits for `answer`, `reject` or our CANCEL.
        reason: phrase of the final status.
        q850_cause: of a `Reason` header in a refusal, or None.
        on_cancel: what it does about our CANCEL.
    """

    rings: tuple[int, ...] = (180,)
    early_media: bool = False
    final: int | None = None
    reason: str = ""
    q850_cause: int | None = None
    on_cancel: OnCancel = OnCancel.TERMINATE


ANSWERS = Script(final=_OK)
"""Rings and answers."""
RINGS = Script()
"""Rings for ever."""
SILENT = Script(rings=(), on_cancel=OnCancel.IGNORE)
"""Says nothing, whatever comes."""
EARLY_MEDIA = Script(rings=(183,), early_media=True)
"""Sends audio before it answers, and waits."""
EARLY_MEDIA_THEN_ANSWERS = Script(rings=(183,), early_media=True, final=_OK)
"""Sends audio before it answers."""
ANSWERS_LATE = Script(on_cancel=OnCancel.ANSWER)
"""Rings until we give up, and answers just then."""


def refuses(sip_code: int, reason: str = "", *, rings: tuple[int, ...] = (), q850_cause: int | None = None) -> Script:
    """Make the script of a far end that refuses, after ringing when `rings` says so."""
    return Script(rings=rings, final=sip_code, reason=reason, q850_cause=q850_cause)


class FarEnd(StrEnum):
    """How far the dialog of a leg has come, as its far end sees it."""

    CALLED = "called"
    UP = "up"
    OVER = "over"


@dataclass(slots=True)
class FakeLeg:
    """One leg and its far end.

    Attributes:
        place: the command that placed it.
        slots: where.
        script: what its far end does.
        far_end: how far its far end has come.
        hung_up: True once it was ordered to end.
        ended: True once its end was reported; its slot is free then.
        digits: what was sent to it.
    """

    place: PlaceLeg
    slots: Slots
    script: Script
    far_end: FarEnd = FarEnd.CALLED
    hung_up: bool = False
    ended: bool = False
    digits: str = ""


@dataclass(slots=True)
class _Reservation:
    slots: Slots
    legs: set[str] = field(default_factory=set)
    released: bool = False

    @property
    def taken(self) -> int:
        """Leg slots that nobody else can have."""
        return len(self.legs) if self.released else self.slots.legs


class FakeSipPort:
    """The SIP port over far ends that do as they are told.

    Args:
        workers: how many there are; a lost one is replaced at once.
        legs_per_worker: how many legs each carries.
        scripts: what far ends do, by the number they are dialled by (user part of the Request-URI).
        default: what all others do.

    Attributes:
        scripts, default: as given; a test may change them at any time.
        commands: everything that was commanded, in order, with the slots it was commanded for.
        legs: every leg that was ever placed, by UniqueID.
        directory: the last one that was configured, or None.
        registrations: state of each trunk that the test sets by hand; the others follow from the directory.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        legs_per_worker: int = 4,
        scripts: dict[str, Script] | None = None,
        default: Script = ANSWERS,
    ) -> None:
        self.scripts = dict(scripts or {})
        self.default = default
        self.commands: list[tuple[Slots, LegCommand]] = []
        self.legs: dict[str, FakeLeg] = {}
        self.directory: Directory | None = None
        self.registrations: dict[str, TrunkState] = {}
        self._legs_per_worker = legs_per_worker
        self._workers: dict[int, dict[int, _Reservation]] = {number: {} for number in range(1, workers + 1)}
        self._last_worker = workers
        self._last_slots = 0
        self._events: asyncio.Queue[PortEvent] = asyncio.Queue()
        self._commanded = asyncio.Event()

    # What the service asks of every SIP port.

    async def reserve(self, legs: int) -> Slots:
        """Reserve slots on the worker with the most room.

        Raises:
            NoLegCapacityError: no worker has room for so many.
        """
        worker = max(self._workers, key=self._free_on, default=None)
        if worker is None or self._free_on(worker) < legs:
            raise NoLegCapacityError("all leg slots are taken; nothing was dialled")
        self._last_slots += 1
        slots = Slots(self._last_slots, worker, legs)
        self._workers[worker][slots.id] = _Reservation(slots)
        return slots

    async def extend(self, home: Slots, legs: int) -> tuple[Slots, ...]:
        """Reserve further slots on the home worker.

        Raises:
            NoLegCapacityError: it has no room for so many.
        """
        if home.worker not in self._workers or self._free_on(home.worker) < legs:
            raise NoLegCapacityError("all leg slots are taken")
        self._last_slots += 1
        slots = Slots(self._last_slots, home.worker, legs)
        self._workers[home.worker][slots.id] = _Reservation(slots)
        return (slots,)

    def send(self, slots: Slots, command: LegCommand) -> None:
        """Carry a command out; for a leg that is over it does nothing."""
        self.commands.append((slots, command))
        self._commanded.set()
        if isinstance(command, PlaceLeg):
            self._place(slots, command)
            return
        leg = self.legs.get(command.leg)
        if leg is None or leg.ended:
            return
        if isinstance(command, HangUpLeg):
            self._hang_up(leg)
        elif isinstance(command, SendDigit):
            leg.digits += command.digit

    async def events(self) -> AsyncIterator[PortEvent]:
        """Everything that happened, in order. One reader."""
        while True:
            event = await self._events.get()
            yield event
            # Reached when the reader asks for the next one: it has acted on this one by then.
            self._events.task_done()

    def release(self, slots: Slots) -> None:
        """Give the slots back; legs that are still up on them are hung up first."""
        reservation = self._reservation(slots)
        if reservation is None:
            return
        reservation.released = True
        for uid in sorted(reservation.legs):
            self._hang_up(self.legs[uid])
        self._settle(reservation)

    def configure(self, directory: Directory) -> None:
        """Take over trunks and peers."""
        self.directory = directory

    def trunk_states(self) -> tuple[TrunkState, ...]:
        """Tell the states that the test has set; a trunk with a registrar counts as registered otherwise."""
        trunks = {} if self.directory is None else self.directory.trunks
        return tuple(
            self.registrations.get(name)
            or TrunkState(name, RegistrationState.NONE if trunk.registrar is None else RegistrationState.REGISTERED)
            for name, trunk in trunks.items()
        )

    # What far ends and the network do, as a test orders it.

    def ring(self, leg: str, sip_code: int = 180) -> None:
        """Let the far end send a provisional response."""
        self._living(leg, FarEnd.CALLED)
        self.report(LegRang(leg, sip_code))

    def start_early_media(self, leg: str) -> None:
        """Let the far end send audio before it answers."""
        self.ring(leg, 183)
        self.report(LegEarlyMediaStarted(leg))

    def answer(self, leg: str) -> None:
        """Let the far end answer."""
        self._living(leg, FarEnd.CALLED).far_end = FarEnd.UP
        self.report(LegAnswered(leg))

    def reject(self, leg: str, sip_code: int, reason: str = "", q850_cause: int | None = None) -> None:
        """Let the far end refuse."""
        self._end(self._living(leg, FarEnd.CALLED), sip_code, "remote", reason, q850_cause)

    def hang_up(self, leg: str, q850_cause: int | None = None) -> None:
        """Let the far end send BYE."""
        self._end(self._living(leg, FarEnd.UP), _OK, "remote", q850_cause=q850_cause)

    def press(self, leg: str, digits: str, duration_ms: int = 0) -> None:
        """Let the far end press keys, each for so long (0: it does not tell)."""
        self._living(leg, FarEnd.UP)
        for digit in digits:
            self.report(DigitPressed(leg, digit, duration_ms))

    def time_out(self, leg: str) -> None:
        """Let the transaction of a leg with a silent far end end after its 64*T1 (RFC 3261 section 17.1.1.2)."""
        living = self._living(leg)
        code = _REQUEST_TERMINATED if living.hung_up else _REQUEST_TIMEOUT
        self._end(living, code, "local" if living.hung_up else "network")

    def lose_worker(self, worker: int) -> None:
        """Let a worker die; its far ends are released, and another takes its place."""
        lost = [leg for leg in self.legs.values() if leg.slots.worker == worker and not leg.ended]
        del self._workers[worker]
        self._last_worker += 1
        self._workers[self._last_worker] = {}
        for leg in lost:
            leg.ended, leg.far_end = True, FarEnd.OVER
        if lost:
            self.report(WorkerLost(tuple(leg.place.leg for leg in lost)))

    def report(self, event: PortEvent) -> None:
        """Queue any event, also one that no far end could cause."""
        self._events.put_nowait(event)

    # What a test looks at.

    async def settled(self) -> None:
        """Wait until the reader has taken every event, and those that its commands caused."""
        await self._events.join()

    async def commanded(self, command: LegCommand) -> None:
        """Wait until a command was sent, for example by a timer of whoever uses the port."""
        while command not in self.commands_for(command.leg):
            self._commanded.clear()
            await self._commanded.wait()

    @property
    def free_legs(self) -> int:
        """Leg slots that nobody has, on all workers."""
        return sum(self._free_on(worker) for worker in self._workers)

    @property
    def living_legs(self) -> list[str]:
        """UniqueIDs of the legs that have not ended, oldest first."""
        return [uid for uid, leg in self.legs.items() if not leg.ended]

    def leg_to(self, number: str) -> FakeLeg:
        """Find the newest leg that was placed to a number.

        Raises:
            LookupError: there is none.
        """
        placed = [leg for leg in self.legs.values() if leg.place.plan.user == number]
        if not placed:
            raise LookupError(f"no leg was placed to {number}")
        return placed[-1]

    def commands_for(self, leg: str) -> list[LegCommand]:
        """List what was commanded for a leg, in order."""
        return [command for _, command in self.commands if command.leg == leg]

    # The inside.

    def _place(self, slots: Slots, command: PlaceLeg) -> None:
        reservation = self._reservation(slots)
        if reservation is None:
            self.report(LegEnded(command.leg, _UNREACHABLE, "its worker is gone", "network"))
            return
        script = self.scripts.get(command.plan.user, self.default)
        leg = self.legs[command.leg] = FakeLeg(command, slots, script)
        reservation.legs.add(command.leg)
        if sum(len(each.legs) for each in self._workers[slots.worker].values()) > self._legs_per_worker:
            self._end(leg, _UNREACHABLE, "network", "no call slot")
            return
        self.report(LegPlaced(command.leg))
        self._follow_script(leg)

    def _follow_script(self, leg: FakeLeg) -> None:
        script, uid = leg.script, leg.place.leg
        for sip_code in script.rings:
            self.ring(uid, sip_code)
        if script.early_media:
            self.report(LegEarlyMediaStarted(uid))
        if script.final == _OK:
            self.answer(uid)
        elif script.final is not None:
            self.reject(uid, script.final, script.reason, script.q850_cause)

    def _hang_up(self, leg: FakeLeg) -> None:
        if leg.hung_up:
            return
        leg.hung_up = True
        if leg.far_end is FarEnd.CALLED and leg.script.on_cancel is OnCancel.ANSWER:
            self.answer(leg.place.leg)
        if leg.far_end is FarEnd.UP:
            self._end(leg, _OK, "local")
        elif leg.script.on_cancel is OnCancel.TERMINATE:
            self._end(leg, _REQUEST_TERMINATED, "local")

    def _end(
        self, leg: FakeLeg, sip_code: int, ended_by: EndedBy, reason: str = "", q850_cause: int | None = None
    ) -> None:
        leg.ended, leg.far_end = True, FarEnd.OVER
        reservation = self._reservation(leg.slots)
        if reservation is not None:
            reservation.legs.discard(leg.place.leg)
            self._settle(reservation)
        self.report(LegEnded(leg.place.leg, sip_code, reason, ended_by, q850_cause))

    def _settle(self, reservation: _Reservation) -> None:
        """Forget a reservation that was released and has no leg left."""
        if reservation.released and not reservation.legs:
            self._workers[reservation.slots.worker].pop(reservation.slots.id, None)

    def _reservation(self, slots: Slots) -> _Reservation | None:
        return self._workers.get(slots.worker, {}).get(slots.id)

    def _free_on(self, worker: int) -> int:
        return self._legs_per_worker - sum(each.taken for each in self._workers[worker].values())

    def _living(self, leg: str, far_end: FarEnd | None = None) -> FakeLeg:
        """Find a leg whose far end can act; anything else is a mistake of the test."""
        living = self.legs.get(leg)
        if living is None or living.ended or far_end not in (None, living.far_end):
            state = "never placed" if living is None else str(living.far_end)
            raise LookupError(f"leg {leg} is {state}" + ("" if far_end is None else f", not {far_end}"))
        return living
