"""Leg slots: what each worker carries, what is reserved on it and for which call, and where more fits.

The pool of real workers and the fake count in the same way, with this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Generic, TypeVar

from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.slots import Slots

_LEG_AND_LINK = 2
_BY_ROOM = itemgetter(0)
_HUB_MIN_SLOTS = 3
"""A link to a hub takes one of its slots and one elsewhere: with two it would win no place for anybody."""
_HUB_MAX_SLOTS = 4
"""A larger one would keep slots waiting for company that seldom comes."""


@dataclass(slots=True, eq=False)
class Reservation:
    """Slots of one worker that belong to one call.

    Attributes:
        slots: as its owner knows it.
        family: id of the first reservation of the call: what its reservations share.
        hidden: slots for links, which its owner does not see.
        legs: the call's legs on it that have not ended.
        links: ends of links that take slots of it.
        released_at: when it was given back (seconds, monotonic), or None; what is still up keeps its slot.
    """

    slots: Slots
    family: int
    hidden: int = 0
    legs: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    released_at: float | None = None

    @property
    def size(self) -> int:
        """All its slots."""
        return self.slots.legs + self.hidden

    @property
    def spare(self) -> int:
        """Slots that nothing uses now; negative when it uses more than it reserved."""
        return self.size - len(self.legs) - len(self.links)

    @property
    def taken(self) -> int:
        """Slots that nobody else can have."""
        used = len(self.legs) + len(self.links)
        return max(used, self.size) if self.released_at is None else used


@dataclass(slots=True, eq=False)
class Carrier:
    """What one worker carries.

    Attributes:
        number: id of the worker.
        max_legs: legs that it carries at once.
        registers: True when it holds bindings: it takes what arrives there, and what belongs to that, only.
        leaving: True once it takes nothing new.
        reservations: by id.
    """

    number: int
    max_legs: int
    registers: bool = False
    leaving: bool = False
    reservations: dict[int, Reservation] = field(default_factory=dict)

    @property
    def free(self) -> int:
        """Leg slots that nobody reserved."""
        if self.leaving:
            return 0
        return max(self.max_legs - sum(each.taken for each in self.reservations.values()), 0)

    @property
    def idle(self) -> bool:
        """True when nothing at all is on it."""
        return not self.reservations


CarrierT = TypeVar("CarrierT", bound=Carrier)
Fits = Callable[[CarrierT, int], bool]
"""Tells whether a worker can take so many more legs just now, besides having the slots."""


@dataclass(frozen=True, slots=True)
class Share(Generic[CarrierT]):
    """One worker's part of an extension.

    Attributes:
        legs: legs on it.
        hidden: slots for a link on it.
    """

    worker: CarrierT
    legs: int
    hidden: int


@dataclass(frozen=True, slots=True)
class Extension(Generic[CarrierT]):
    """How a call can get more legs.

    Attributes:
        shares: what the workers carry.
        missing: legs that nobody carries; nothing may be reserved unless it is 0.
        home_link: whether the call's first reservation needs a slot more, for the link to the others.
    """

    shares: tuple[Share[CarrierT], ...]
    missing: int
    home_link: bool


class Capacity(Generic[CarrierT]):
    """All workers' slots.

    Args:
        on_change: told of each worker on which slots were taken or given back.
    """

    def __init__(self, on_change: Callable[[CarrierT], None]) -> None:
        self.workers: dict[int, CarrierT] = {}
        self._on_change = on_change
        self._of_leg: dict[str, tuple[CarrierT, Reservation]] = {}
        self._last_slots = 0

    def enter(self, worker: CarrierT) -> None:
        """Count a worker in."""
        self.workers[worker.number] = worker
        self._on_change(worker)

    def find(self, slots: Slots) -> tuple[CarrierT, Reservation] | None:
        """Find a reservation and its worker; None when either is gone."""
        worker = self.workers.get(slots.worker)
        reservation = worker.reservations.get(slots.id) if worker is not None else None
        return None if worker is None or reservation is None else (worker, reservation)

    def of_leg(self, leg: str) -> tuple[CarrierT, Reservation] | None:
        """Find where a leg is; None when it is over, or never was."""
        return self._of_leg.get(leg)

    def with_room(self, legs: int) -> list[CarrierT]:
        """List the workers on which a call of so many legs fits, the emptiest first."""
        room = [(worker.free, worker) for worker in self.workers.values() if not worker.registers]
        return [worker for free, worker in sorted(room, key=_BY_ROOM, reverse=True) if free >= legs]

    def reserve(self, worker: CarrierT, legs: int, *, hidden: int = 0, family: int | None = None) -> Slots:
        """Reserve slots on a worker that has them."""
        self._last_slots += 1
        slots = Slots(self._last_slots, worker.number, legs)
        worker.reservations[slots.id] = Reservation(slots, slots.id if family is None else family, hidden)
        self._on_change(worker)
        return slots

    def reserve_hub(self, others: Collection[int]) -> Slots | None:
        """Reserve slots for a hub of a conference room on a worker that is none of these; None when none has room."""
        found = next((worker for worker in self.with_room(_HUB_MIN_SLOTS) if worker.number not in others), None)
        return None if found is None else self.reserve(found, min(found.free, _HUB_MAX_SLOTS))

    def plan_extension(self, home: Slots, legs: int, fits: Fits[CarrierT], *, staying: bool) -> Extension[CarrierT]:
        """Find room for further legs of a call: at home first, then on as few other workers as possible.

        Raises:
            NoLegCapacityError: no other worker could help: the call's own is gone, or has no slot for a link.
        """
        found = self.find(home)
        if found is None:
            raise NoLegCapacityError("the worker of the call is gone; nothing was dialled")
        worker, reservation = found
        room = worker.free if fits(worker, min(legs, worker.free)) else 0
        if legs <= room:
            return Extension((Share(worker, legs, 0),), 0, home_link=False)
        home_link = reservation.size < _LEG_AND_LINK or (staying and reservation.spare < 1)
        if home_link and not worker.free:
            raise NoLegCapacityError("the worker of the call has no slot for a link; nothing was dialled")
        shares = [Share(worker, room - home_link, 0)] if room > home_link else []
        missing = legs - sum(share.legs for share in shares)
        others = [each for each in self.with_room(_LEG_AND_LINK) if each is not worker and fits(each, each.free)]
        while missing and others:
            # The fullest that can take all the rest, else the emptiest.
            chosen = next((each for each in reversed(others) if each.free > missing), others[0])
            others.remove(chosen)
            shares.append(Share(chosen, min(chosen.free - 1, missing), 1))
            missing -= shares[-1].legs
        return Extension(tuple(shares), missing, home_link)

    def extend(self, home: Slots, plan: Extension[CarrierT]) -> tuple[Slots, ...]:
        """Reserve what was planned for a call."""
        found = self.find(home)
        if found is None or plan.missing:
            raise ValueError("an extension that does not fit")
        worker, reservation = found
        if plan.home_link:
            reservation.hidden += 1
            self._on_change(worker)
        return tuple(
            self.reserve(share.worker, share.legs, hidden=share.hidden, family=reservation.family)
            for share in plan.shares
        )

    def add_leg(self, slots: Slots, leg: str) -> CarrierT | None:
        """Let a leg take a slot of a reservation; None when that is gone."""
        found = self.find(slots)
        if found is None:
            return None
        worker, reservation = found
        reservation.legs.add(leg)
        self._of_leg[leg] = found
        self._on_change(worker)
        return worker

    def end_leg(self, leg: str) -> CarrierT | None:
        """Take note that a leg is over; return the worker that it was on."""
        found = self._of_leg.pop(leg, None)
        if found is None:
            return None
        worker, reservation = found
        reservation.legs.discard(leg)
        self._settle(worker, reservation)
        return worker

    def slot_for_link(self, worker: CarrierT, families: Collection[int], *, borrow: bool) -> Reservation | None:
        """Find a reservation whose slot the end of a link can take.

        Args:
            worker: where.
            families: whose reservations may be used.
            borrow: whether a slot that nobody reserved may be used when they have none.
        """
        own = [each for each in worker.reservations.values() if each.family in families and each.released_at is None]
        spare = next((each for each in own if each.spare > 0), None)
        return spare or (own[0] if borrow and own and worker.free else None)

    def add_link(self, worker: CarrierT, reservation: Reservation, link: str) -> None:
        """Let the end of a link take a slot of a reservation."""
        reservation.links.add(link)
        self._on_change(worker)

    def end_link(self, worker: CarrierT, reservation: Reservation, link: str) -> None:
        """Take note that a link's end is over."""
        reservation.links.discard(link)
        self._settle(worker, reservation)

    def release(self, slots: Slots) -> frozenset[str]:
        """Give slots back; return the legs that are still up on them, and keep their slots until they have ended."""
        found = self.find(slots)
        if found is None:
            return frozenset()
        worker, reservation = found
        reservation.released_at = time.monotonic()
        legs = frozenset(reservation.legs)
        self._settle(worker, reservation)
        return legs

    def lose(self, number: int) -> CarrierT | None:
        """Forget a worker that is gone with all its legs."""
        worker = self.workers.pop(number, None)
        if worker is not None:
            for reservation in worker.reservations.values():
                for leg in reservation.legs:
                    self._of_leg.pop(leg, None)
        return worker

    def _settle(self, worker: CarrierT, reservation: Reservation) -> None:
        if reservation.released_at is not None and not reservation.legs and not reservation.links:
            worker.reservations.pop(reservation.slots.id, None)
        self._on_change(worker)
