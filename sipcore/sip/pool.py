"""The pool of worker processes: the SIP port over real SIP.

It decides which worker carries a leg, and turns the death of a worker into one event. The workers' own lives are the
crew's affair.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, TypeVar

import structlog

from sipcore.domain.commands import HangUpLeg, LegCommand, PlaceLeg
from sipcore.domain.directory import Directory, SipHost, Trunk
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.events import JoinFailed, LegEnded, PortEvent, WorkerLost
from sipcore.domain.pool_state import PoolState
from sipcore.domain.registration import TrunkState
from sipcore.domain.slots import Slots
from sipcore.sip import journal, wire
from sipcore.sip.arrivals import Arrivals
from sipcore.sip.capacity import Capacity, Extension, Fits
from sipcore.sip.crew import HANDLE_SECONDS, Crew, PoolWorker
from sipcore.sip.joining import JoinCommand, Joining
from sipcore.sip.link_legs import SipLinks
from sipcore.sip.registrar import RegistrarClient
from sipcore.sip.resolver import Resolver
from sipcore.sip.starter import PoolSettings, WorkerStarter

_log = structlog.get_logger(__name__)

_UNREACHABLE = 503
_TERMINATED = 487

PlanT = TypeVar("PlanT")


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
        self._capacity: Capacity[PoolWorker] = Capacity(self._slots_changed)
        self._crew = Crew(settings, self._starter, self._capacity, self._take_message, self._take_loss)
        self._registrar = RegistrarClient(self._crew.start_registering, self._resolver)
        self._link_legs = SipLinks(settings.address, self._take_link_end)
        self._joining = Joining(
            self._capacity, self._link_legs, _tell, self._tell_failed, self._find_hub, self._call_later
        )
        self._arrivals = Arrivals(settings.address, self._capacity, self._events.put_nowait)
        self._retrying = False
        self._resolving: set[str] = set()

    async def start(self, directory: Directory) -> None:
        """Start the warm workers and the registrations.

        Raises:
            StartUpError: no worker can use the address, or any of the ports.
        """
        self.configure(directory)
        await self._crew.start()
        self._registrar.start()

    async def close(self) -> None:
        """Release every leg and end every worker."""
        self._registrar.close()
        await self._crew.close()

    @property
    def ready_workers(self) -> int:
        """How many workers can carry calls."""
        return len(self._capacity.with_room(0))

    def state(self) -> PoolState:
        """Tell how the workers stand as a whole."""
        workers = [worker for worker in self._capacity.workers.values() if not worker.leaving]
        slots, free = sum(worker.max_legs for worker in workers), sum(worker.free for worker in workers)
        return PoolState(
            workers=len(workers),
            startable=self._starter.free_ports,
            started=self._crew.started,
            died=self._crew.died,
            leg_slots=slots,
            reserved=slots - free,
        )

    def configure(self, directory: Directory) -> None:
        """Take over trunks and peers; legs in progress keep what they were placed with."""
        # Trunks that are gone are kept: a call that was accepted before may still have a leg to place through them.
        self._trunks |= directory.trunks
        self._crew.run(self._admit_peers(directory))
        self._registrar.configure(directory)

    def watch_trunks(self, watcher: Callable[[TrunkState], None]) -> None:
        """Have somebody told how a trunk's registration stands, whenever that is another state than before."""
        self._registrar.on_change = watcher

    def trunk_states(self) -> tuple[TrunkState, ...]:
        """Tell how each trunk's registration stands."""
        return self._registrar.states()

    async def reserve(self, legs: int) -> Slots:
        """Reserve slots for the legs of one call on one worker.

        Raises:
            NoLegCapacityError: no worker has room, and no further one can be started.
        """

        def plan(fits: Fits[PoolWorker]) -> tuple[PoolWorker | None, int]:
            return next((worker for worker in self._capacity.with_room(legs) if fits(worker, legs)), None), 1

        return self._capacity.reserve(await self._find_room(plan, legs), legs)

    async def extend(self, home: Slots, legs: int, *, staying: bool = False) -> tuple[Slots, ...]:
        """Reserve slots for further legs of a call, at home or where links lead home.

        Raises:
            NoLegCapacityError: there is no room for all of them; nothing was reserved.
        """

        def plan(fits: Fits[PoolWorker]) -> tuple[Extension[PoolWorker] | None, int]:
            extension = self._capacity.plan_extension(home, legs, fits, staying=staying)
            # A new worker keeps one of its slots for the link.
            workers = math.ceil(extension.missing / max(self._crew.max_legs - 1, 1))
            return (None if workers else extension), workers

        return self._capacity.extend(home, await self._find_room(plan))

    def send(self, slots: Slots, command: LegCommand) -> None:
        """Have a command carried out on the worker of the slots."""
        if isinstance(command, PlaceLeg):
            worker = self._capacity.add_leg(slots, command.leg)
            if worker is None:
                self._events.put_nowait(LegEnded(command.leg, _UNREACHABLE, "its worker is gone", "network"))
            else:
                self._place(worker, command)
        elif isinstance(command, HangUpLeg) and command.leg in self._resolving:
            self._resolving.discard(command.leg)
            self._take_leg_end(LegEnded(command.leg, _TERMINATED, "hung up before it was placed", "local"))
        elif isinstance(command, JoinCommand):
            self._joining.join(command)
        elif (found := self._capacity.of_leg(command.leg)) is not None:
            found[0].process.send(command)

    def release(self, slots: Slots) -> None:
        """Give the slots back; legs that are still up on them are hung up first."""
        for leg in self._capacity.release(slots):
            self.send(slots, HangUpLeg(leg))

    async def events(self) -> AsyncIterator[PortEvent]:
        """Everything that happens, in order per worker."""
        while True:
            yield await self._events.get()

    async def _find_room(self, plan: Callable[[Fits[PoolWorker]], tuple[PlanT | None, int]], legs: int = 0) -> PlanT:
        """Find room, and start the workers that are missing, until there is room or nothing can help.

        Args:
            plan: returns where there is room, else None and how many more workers it takes.
            legs: how many must fit on one worker.
        """
        deadline = time.monotonic() + HANDLE_SECONDS * 2
        while not self._crew.closing and legs <= self._crew.max_legs:
            found, missing = plan(PoolWorker.paced)
            if found is not None:
                # The caller has a call to place; starting further workers can wait until it has.
                self._crew.keep_warm_soon()
                return found
            if missing <= self._starter.free_ports:
                if not await self._crew.grow(missing):
                    break
            elif time.monotonic() < deadline and (self._crew.starting or plan(_whenever)[0] is not None):
                # A handle or a worker that comes in a moment: nothing else can change that sooner.
                await self._crew.change(HANDLE_SECONDS / 4)
            else:
                break
        raise NoLegCapacityError("all leg slots are taken; nothing was dialled")

    def _slots_changed(self, worker: PoolWorker) -> None:
        if worker.idle:
            worker.idle_since = time.monotonic()
        self._crew.note_change()
        self._arrivals.update(worker)
        if not self._retrying:
            self._retrying = True
            asyncio.get_running_loop().call_soon(self._retry)

    def _retry(self) -> None:
        self._retrying = False
        self._joining.retry()

    def _call_later(self, seconds: float, action: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, action)

    def _tell_failed(self, legs: Collection[str], reason: str) -> None:
        for leg in sorted(legs):
            self._events.put_nowait(JoinFailed(leg, reason))

    def _find_hub(self, others: Collection[int], found: Callable[[Slots | None], None]) -> None:
        self._crew.run(self._reserve_hub(frozenset(others), found))

    async def _reserve_hub(self, others: Collection[int], found: Callable[[Slots | None], None]) -> None:
        slots = self._capacity.reserve_hub(others)
        if slots is None and await self._crew.grow(1):
            slots = self._capacity.reserve_hub(others)
        found(slots)

    def _place(self, worker: PoolWorker, command: PlaceLeg) -> None:
        trunk = self._trunk_of(command)
        at = command.plan.at if trunk is None else trunk.next_hop
        address = self._resolver.known(at.host)
        if address is None:
            self._resolving.add(command.leg)
            self._crew.run(self._resolve_and_place(worker, command))
            return
        source = (self._settings.address, worker.process.settings.sip_port)
        worker.dialogs[command.leg] = journal.Dialog(command.leg, source, (address, at.port), at.transport)
        worker.process.send(wire.PlaceLegAt(command, address, trunk))

    def _trunk_of(self, command: PlaceLeg) -> Trunk | None:
        return self._trunks[command.plan.trunk] if command.plan.trunk is not None else None

    async def _resolve_and_place(self, worker: PoolWorker, command: PlaceLeg) -> None:
        trunk = self._trunk_of(command)
        address = await self._resolver.resolve((command.plan.at if trunk is None else trunk.next_hop).host)
        if command.leg not in self._resolving:
            return
        self._resolving.discard(command.leg)
        if address is None:
            self._take_leg_end(LegEnded(command.leg, _UNREACHABLE, "host name not found", "network"))
        elif self._capacity.of_leg(command.leg) is not None:
            self._place(worker, command)

    def _take_message(self, worker: PoolWorker, message: Any) -> None:
        if isinstance(message, wire.DialogNoted):
            dialog = worker.dialogs.get(message.leg)
            if dialog is not None:
                dialog.note(message)
        elif isinstance(message, LegEnded):
            self._take_leg_end(message, worker)
        elif isinstance(message, wire.LinkExpected):
            self._link_legs.take_expected(message.leg)
        elif isinstance(message, wire.LegOffered):
            self._arrivals.take(worker, message)
        elif isinstance(message, wire.CommandFailed):
            _log.warning("command failed", command=message.command, uid=message.leg, reason=message.reason)
        elif not self._joining.take(worker, message) and self._carries(worker, message.leg):
            self._events.put_nowait(message)

    def _carries(self, worker: PoolWorker, leg: str) -> bool:
        """Tell whether a leg is on a worker; a call that was refused as it came in is nobody's."""
        found = self._capacity.of_leg(leg)
        return found is not None and found[0] is worker

    def _take_link_end(self, worker: PoolWorker, event: LegEnded) -> bool:
        """Take the end of a link's end; tell whether it was one."""
        if not self._joining.take(worker, event):
            return False
        worker.forget_dialog(event.leg)
        return True

    def _take_leg_end(self, event: LegEnded, worker: PoolWorker | None = None) -> None:
        if worker is not None and (self._take_link_end(worker, event) or not self._carries(worker, event.leg)):
            return
        carrier = self._capacity.end_leg(event.leg)
        if carrier is not None:
            carrier.forget_dialog(event.leg)
            self._arrivals.end_leg(carrier, event.leg)
        self._joining.end_leg(event.leg)
        self._events.put_nowait(event)

    def _take_loss(self, worker: PoolWorker) -> None:
        legs = tuple(leg for reservation in worker.reservations.values() for leg in reservation.legs)
        self._resolving.difference_update(legs)
        if legs:
            self._events.put_nowait(WorkerLost(legs))
        self._arrivals.lose(worker)
        self._joining.lose(worker)
        for leg in legs:
            self._joining.end_leg(leg)

    async def _admit_peers(self, directory: Directory) -> None:
        addresses = [await self._resolver.resolve(at.host) for at in _hosts_of(directory)]
        found = {address for address in addresses if address is not None}
        peers = tuple(sorted(found | set(self._settings.allowed_peers)))
        self._starter.allow(peers)
        self._arrivals.configure(directory, self._resolver, peers)


def _tell(worker: PoolWorker, command: JoinCommand) -> None:
    worker.process.send(command)


def _whenever(_worker: PoolWorker, _legs: int) -> bool:
    """Tell that handles will come back."""
    return True


def _hosts_of(directory: Directory) -> set[SipHost]:
    """Every host that the settings name as a SIP peer."""
    hosts = {trunk.next_hop for trunk in directory.trunks.values()}
    hosts |= {trunk.registrar for trunk in directory.trunks.values() if trunk.registrar is not None}
    if directory.edge is not None:
        hosts.add(directory.edge)
    for organisation in directory.organisations.values():
        hosts |= {address.at for address in organisation.sip_addresses.values()}
        hosts |= {phone.contact.at for phone in organisation.extensions.values() if phone.contact is not None}
    return hosts
