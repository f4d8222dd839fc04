"""The leg slots of one call: where each of its legs is, and more of them when it needs more."""

from __future__ import annotations

from typing import Self

from sipcore.domain.commands import PlaceLeg
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.slots import Slots
from sipcore.service.port import SipPort

LEGS_PER_CALL = 2
"""What two phones that talk need."""


class CallSlots:
    """Reservations of one call. The first is its home.

    Legs that ring beside each other stay off its two slots: one is the other party's, and one links the winner with it
    when that is on another worker.

    Args:
        port: the SIP port.
        home: what was reserved first.
    """

    def __init__(self, port: SipPort, home: Slots) -> None:
        self._port = port
        self._home = home
        self._further: list[Slots] = []
        self._of_leg: dict[str, Slots] = {}
        self._released = False

    @classmethod
    async def reserve(cls, port: SipPort, contest_legs: int, *, room_for_third: bool = False) -> Self:
        """Reserve what a call needs before it rings anybody.

        Args:
            port: the SIP port.
            contest_legs: how many legs ring beside each other.
            room_for_third: whether a slot at home is kept free for the link to a third party, wherever that will be.

        Raises:
            NoLegCapacityError: there is no room; nothing was reserved.
        """
        slots = cls(port, await port.reserve(LEGS_PER_CALL + room_for_third))
        if contest_legs:
            try:
                await slots.grow(contest_legs)
            except BaseException:
                slots.release()
                raise
        return slots

    def take(self, command: PlaceLeg) -> Slots | None:
        """Find the slot of a leg that is to be placed, or None when there is none yet."""
        choice = self._further if command.contest else [self._home, *self._further]
        slots = next((slots for slots in choice if self._taken(slots) < slots.legs), None)
        if slots is not None:
            self._of_leg[command.leg] = slots
        return slots

    def hold(self, leg: str) -> None:
        """Take a home slot for a leg that is up already."""
        self._of_leg[leg] = self._home

    def of(self, leg: str) -> Slots:
        """Tell where a leg is, or was."""
        return self._of_leg.get(leg, self._home)

    def ended(self, leg: str) -> None:
        """Free a leg's slot."""
        self._of_leg.pop(leg, None)

    def lost(self, leg: str) -> None:
        """Forget everything on the worker of a leg, which has died: nothing can be placed there."""
        lost = self._of_leg.get(leg)
        if lost is not None:
            self._further = [slots for slots in self._further if slots.worker != lost.worker]

    async def grow(self, legs: int, *, staying: bool = False) -> None:
        """Reserve more.

        Args:
            legs: how many.
            staying: as in `SipPort.extend`.

        Raises:
            NoLegCapacityError: there is no room, or the call is over.
        """
        more = await self._port.extend(self._home, legs, staying=staying)
        if self._released:
            for slots in more:
                self._port.release(slots)
            raise NoLegCapacityError("the call is over")
        self._further += more

    async def make_room(self, legs: int, *, staying: bool) -> None:
        """Have room for legs that stay off the home slots (see `take`); of what is there is made use.

        Raises:
            NoLegCapacityError: there is none, or the call is over.
        """
        missing = legs - sum(slots.legs - self._taken(slots) for slots in self._further)
        if missing > 0 or self._released:
            await self.grow(max(missing, 1), staying=staying)

    def release(self) -> None:
        """Give everything back."""
        self.release_further()
        self._port.release(self._home)

    def release_further(self) -> None:
        """Give back what was reserved beside the home; no more can be reserved."""
        self._released = True
        for slots in self._further:
            self._port.release(slots)
        self._further.clear()

    def _taken(self, slots: Slots) -> int:
        return sum(1 for taken in self._of_leg.values() if taken is slots)
