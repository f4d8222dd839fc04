"""The pool of worker processes: the SIP port over real SIP.

It decides which worker carries a call, starts workers as load grows and lets them go after it, and turns the death of
a worker into one event.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import structlog

from sipcore.domain.commands import HangUpLeg, LegCommand, PlaceLeg
from sipcore.domain.directory import Directory, SipHost, Trunk
from sipcore.domain.errors import NoLegCapacityError, StartUpError
from sipcore.domain.events import LegEnded, LegEvent, PlaybackFinished, PortEvent, RecordingFinished, WorkerLost
from sipcore.domain.registration import TrunkState
from sipcore.domain.slots import Slots
from sipcore.sip import journal, wire
from sipcore.sip.process import WorkerProcess
from sipcore.sip.registrar import RegistrarClient
from sipcore.sip.resolver import Resolver
from sipcore.sip.starter import PoolSettings, WorkerStarter
from sipcore.sip.wire import CommandFailed, DialogNoted

_log = structlog.get_logger(__name__)

_HANDLE_SECONDS = 0.6
"""A closed media socket keeps its I/O handle for 500 ms in pjlib's select queue."""
_LEGS_IN_HANDLES = 20
"""Legs, living or ended within `_HANDLE_SECONDS`, that one worker may hold: 40 of its 64 I/O handles."""
_STUCK_SECONDS = 45.0
"""A leg that was hung up this long ago and has not ended tells that its worker does not work any more."""
_TICK_SECONDS = 1.0
_GROW_LATER_SECONDS = 0.002
_UNREACHABLE = 503
_TERMINATED = 487


@dataclass(slots=True)
class _Reservation:
    slots: Slots
    legs: set[str] = field(default_factory=set)
    released_at: float | None = None


@dataclass(slots=True)
class _Worker:
    """What the pool knows of one worker."""

    process: WorkerProcess
    max_legs: int
    reservations: dict[int, _Reservation] = field(default_factory=dict)
    dialogs: dict[str, journal.Dialog] = field(default_factory=dict)
    ended: deque[float] = field(default_factory=deque)
    idle_since: float = 0.0
    leaving: bool = False

    @property
    def free(self) -> int:
        """Leg slots that nobody reserved."""
        if self.leaving:
            return 0
        free = self.max_legs
        for reservation in self.reservations.values():
            free -= reservation.slots.legs if reservation.released_at is None else len(reservation.legs)
        return free

    def paced(self, legs: int, now: float) -> bool:
        """Tell whether its I/O handles allow so many more legs now."""
        while self.ended and self.ended[0] < now - _HANDLE_SECONDS:
            self.ended.popleft()
        return len(self.dialogs) + len(self.ended) + legs <= _LEGS_IN_HANDLES


class WorkerPool:
    """The SIP port over worker processes. All methods belong to one event loop.

    Args:
        settings: how it is made.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._starter = WorkerStarter(settings)
        self._resolver = Resolver()
        self._trunks: dict[str, Trunk] = {}
        self._events: asyncio.Queue[PortEvent] = asyncio.Queue()
        self._workers: dict[int, _Worker] = {}
        self._of_leg: dict[str, tuple[_Worker, _Reservation]] = {}
        self._resolving: set[str] = set()
        self._last_slots = 0
        self._starting = 0
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._ticker: asyncio.TimerHandle | None = None
        self._registrar = RegistrarClient(self._starter, self._resolver)

    async def start(self, directory: Directory) -> None:
        """Start the warm workers and the registrations.

        Raises:
            StartUpError: no worker can use the address, or any of the ports.
        """
        self.configure(directory)
        # The first one alone: it loads the fork server, and tells whether the address is usable at all.
        await self._start_worker()
        await asyncio.gather(*(self._grow() for _ in range(self._settings.warm_workers - 1)))
        self._registrar.start()
        self._tick()

    async def close(self) -> None:
        """Release every leg and end every worker."""
        self._closing = True
        if self._ticker is not None:
            self._ticker.cancel()
        self._registrar.close()
        for worker in self._workers.values():
            worker.process.send(wire.Retire())
        await self._starter.close()
        while self._tasks:
            await asyncio.gather(*self._tasks)

    @property
    def ready_workers(self) -> int:
        """How many workers can carry legs."""
        return sum(1 for worker in self._workers.values() if not worker.leaving)

    def configure(self, directory: Directory) -> None:
        """Take over trunks and peers; legs in progress keep what they were placed with."""
        # Trunks that are gone are kept: a call that was accepted before may still have a leg to place through them.
        self._trunks |= directory.trunks
        self._spawn_task(self._admit_peers(directory))
        self._registrar.configure(directory)

    def trunk_states(self) -> tuple[TrunkState, ...]:
        """Tell how each trunk's registration stands."""
        return self._registrar.states()

    async def reserve(self, legs: int) -> Slots:
        """Reserve slots for the legs of one call on one worker.

        Raises:
            NoLegCapacityError: no worker has room, and no further one can be started.
        """
        deadline = time.monotonic() + _HANDLE_SECONDS * 2
        while not self._closing:
            now = time.monotonic()
            room = [(free, worker) for worker in self._workers.values() if (free := worker.free) >= legs]
            paced = [(free, worker) for free, worker in room if worker.paced(legs, now)]
            if paced:
                return self._reserve_on(max(paced, key=itemgetter(0))[1], legs)
            if self._starter.free_ports:
                if not await self._grow():
                    break
            elif (room or self._starting) and now < deadline:
                # A handle or a worker that comes in a moment: nothing else can change that sooner.
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _HANDLE_SECONDS / 4)
            else:
                break
        raise NoLegCapacityError("all leg slots are taken; nothing was dialled")

    async def extend(self, home: Slots, legs: int) -> tuple[Slots, ...]:
        """Reserve further slots on the home worker.

        Raises:
            NoLegCapacityError: it has no room for so many.
        """
        worker = self._workers.get(home.worker)
        if worker is None or worker.free < legs:
            raise NoLegCapacityError("all leg slots are taken")
        return (self._reserve_on(worker, legs),)

    def send(self, slots: Slots, command: LegCommand) -> None:
        """Have a command carried out on the worker of the slots."""
        worker = self._workers.get(slots.worker)
        if isinstance(command, PlaceLeg):
            reservation = worker.reservations.get(slots.id) if worker is not None else None
            if worker is None or reservation is None:
                self._events.put_nowait(LegEnded(command.leg, _UNREACHABLE, "its worker is gone", "network"))
                return
            reservation.legs.add(command.leg)
            self._of_leg[command.leg] = (worker, reservation)
            self._place(worker, command)
        elif isinstance(command, HangUpLeg) and command.leg in self._resolving:
            self._resolving.discard(command.leg)
            self._take_leg_end(LegEnded(command.leg, _TERMINATED, "hung up before it was placed", "local"))
        elif worker is not None:
            worker.process.send(command)

    def release(self, slots: Slots) -> None:
        """Give the slots back; legs that are still up on them are hung up first."""
        worker = self._workers.get(slots.worker)
        reservation = worker.reservations.get(slots.id) if worker is not None else None
        if worker is None or reservation is None:
            return
        reservation.released_at = time.monotonic()
        for leg in list(reservation.legs):
            self.send(slots, HangUpLeg(leg))
        self._settle(worker, reservation)

    async def events(self) -> AsyncIterator[PortEvent]:
        """Everything that happens, in order per worker."""
        while True:
            yield await self._events.get()

    def _reserve_on(self, worker: _Worker, legs: int) -> Slots:
        self._last_slots += 1
        slots = Slots(self._last_slots, worker.process.number, legs)
        worker.reservations[slots.id] = _Reservation(slots)
        # The caller has a call to place; starting further workers can wait until it has.
        asyncio.get_running_loop().call_later(_GROW_LATER_SECONDS, self._keep_warm)
        return slots

    def _keep_warm(self) -> None:
        with_room = sum(1 for worker in self._workers.values() if worker.free > 1)
        missing = self._settings.warm_workers - with_room - self._starting
        for _ in range(min(missing, self._starter.free_ports) if not self._closing else 0):
            self._spawn_task(self._grow_quietly())

    async def _grow_quietly(self) -> None:
        await self._grow()

    async def _grow(self) -> bool:
        """Start one worker; tell whether it could be done."""
        try:
            await self._start_worker()
        except StartUpError as error:
            _log.warning("worker not started", reason=str(error))
            return False
        return True

    async def _start_worker(self) -> None:
        self._starting += 1
        try:
            process, max_legs = await self._starter.start(self._take_message, self._take_exit)
        finally:
            self._starting -= 1
            self._changed.set()
        worker = _Worker(process, max_legs, idle_since=time.monotonic())
        self._workers[process.number] = worker
        if not process.alive:
            self._take_exit(process)

    def _place(self, worker: _Worker, command: PlaceLeg) -> None:
        at = command.plan.at
        address = self._resolver.known(at.host)
        if address is None:
            self._resolving.add(command.leg)
            self._spawn_task(self._resolve_and_place(worker, command))
            return
        trunk = self._trunks[command.plan.trunk] if command.plan.trunk is not None else None
        source = (self._settings.address, worker.process.settings.sip_port)
        worker.dialogs[command.leg] = journal.Dialog(command.leg, source, (address, at.port), at.transport)
        worker.process.send(wire.PlaceLegAt(command, address, trunk))

    async def _resolve_and_place(self, worker: _Worker, command: PlaceLeg) -> None:
        address = await self._resolver.resolve(command.plan.at.host)
        if command.leg not in self._resolving:
            return
        self._resolving.discard(command.leg)
        if address is None:
            self._take_leg_end(LegEnded(command.leg, _UNREACHABLE, "host name not found", "network"))
        elif command.leg in self._of_leg:
            self._place(worker, command)

    def _take_message(
        self,
        process: WorkerProcess,
        message: CommandFailed | DialogNoted | LegEvent | PlaybackFinished | RecordingFinished,
    ) -> None:
        worker = self._workers[process.number]
        if isinstance(message, DialogNoted):
            dialog = worker.dialogs.get(message.leg)
            if dialog is not None:
                dialog.note(message)
        elif isinstance(message, LegEnded):
            self._take_leg_end(message)
        elif isinstance(message, CommandFailed):
            _log.warning("command failed", command=message.command, uid=message.leg, reason=message.reason)
        else:
            self._events.put_nowait(message)

    def _take_leg_end(self, event: LegEnded) -> None:
        worker, reservation = self._of_leg.pop(event.leg, (None, None))
        if worker is not None and reservation is not None:
            reservation.legs.discard(event.leg)
            worker.dialogs.pop(event.leg, None)
            worker.ended.append(time.monotonic())
            self._settle(worker, reservation)
        self._events.put_nowait(event)

    def _settle(self, worker: _Worker, reservation: _Reservation) -> None:
        """Forget a reservation that was released and has no leg left."""
        if reservation.released_at is not None and not reservation.legs:
            worker.reservations.pop(reservation.slots.id, None)
            worker.idle_since = time.monotonic()
            self._changed.set()

    def _take_exit(self, process: WorkerProcess) -> None:
        worker = self._workers.pop(process.number, None)
        if worker is None:
            return
        legs = tuple(leg for reservation in worker.reservations.values() for leg in reservation.legs)
        for leg in legs:
            self._of_leg.pop(leg, None)
            self._resolving.discard(leg)
        if legs:
            self._events.put_nowait(WorkerLost(legs))
        if not worker.leaving and not self._closing:
            _log.error("worker lost", worker=process.number, pid=process.pid, legs=legs)
        self._spawn_task(self._clear_up(process, list(worker.dialogs.values())))

    async def _clear_up(self, process: WorkerProcess, dialogs: list[journal.Dialog]) -> None:
        await self._starter.reap(process)
        try:
            if dialogs:
                await journal.release(dialogs)
        finally:
            self._starter.free_port(process)
            self._keep_warm()

    async def _admit_peers(self, directory: Directory) -> None:
        addresses = [await self._resolver.resolve(at.host) for at in _hosts_of(directory)]
        found = {address for address in addresses if address is not None}
        self._starter.allow(tuple(sorted(found | set(self._settings.allowed_peers))))

    def _tick(self) -> None:
        now = time.monotonic()
        self._ticker = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)
        for worker in list(self._workers.values()):
            overdue = [
                reservation
                for reservation in worker.reservations.values()
                if reservation.released_at is not None and now - reservation.released_at > _STUCK_SECONDS
            ]
            if overdue:
                _log.error("worker does not end its legs; killed", worker=worker.process.number)
                worker.process.kill()
        self._retire_one(now)
        self._keep_warm()

    def _retire_one(self, now: float) -> None:
        idle = [worker for worker in self._workers.values() if worker.free and worker.free == worker.max_legs]
        if len(idle) <= self._settings.warm_workers:
            return
        longest = min(idle, key=lambda worker: worker.idle_since)
        if now - longest.idle_since > self._settings.idle_seconds:
            longest.leaving = True
            longest.process.send(wire.Retire())

    def _spawn_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _hosts_of(directory: Directory) -> set[SipHost]:
    """Every host that the settings name as a SIP peer."""
    hosts = {trunk.proxy for trunk in directory.trunks.values()}
    hosts |= {trunk.registrar for trunk in directory.trunks.values() if trunk.registrar is not None}
    for organisation in directory.organisations.values():
        hosts |= {address.at for address in organisation.sip_addresses.values()}
        hosts |= {phone.contact.at for phone in organisation.extensions.values() if phone.contact is not None}
    return hosts
