"""The SIP port: all that the service knows of SIP. `sipcore.sip` implements it, with a pool and with a fake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from sipcore.domain.commands import LegCommand
from sipcore.domain.directory import Directory
from sipcore.domain.events import PortEvent
from sipcore.domain.registration import TrunkState
from sipcore.domain.slots import Slots


class SipPort(Protocol):
    """Places legs and reports what happens on them. Used from one event loop."""

    async def reserve(self, legs: int) -> Slots:
        """Reserve slots for the legs of one call, all on one worker.

        Raises:
            NoLegCapacityError: nothing is free and nothing can be made free; no packet was sent.
        """
        ...

    async def extend(self, home: Slots, legs: int, *, staying: bool = False) -> tuple[Slots, ...]:
        """Reserve slots for further legs of a call, each of which can be joined with any other leg of it.

        They are on the home worker while it has room, else on others, where each reservation has a hidden slot more,
        for the link over which its legs are joined with those elsewhere; `home` links with a slot that no leg uses.

        Args:
            home: what the call reserved first.
            legs: how many more.
            staying: True when the legs on `home` stay beside them: a link takes a slot that is free now.

        Returns:
            Reservations for `legs` legs in all, to be released one by one.

        Raises:
            NoLegCapacityError: there is no room for all of them; nothing was reserved.
        """
        ...

    def send(self, slots: Slots, command: LegCommand) -> None:
        """Have a command carried out. It never fails: what goes wrong comes back as an event of the leg."""
        ...

    def events(self) -> AsyncIterator[PortEvent]:
        """Everything that happens, in order per worker. One reader."""
        ...

    def release(self, slots: Slots) -> None:
        """Give the slots back. Legs that are still up on them are hung up first."""
        ...

    def configure(self, directory: Directory) -> None:
        """Take over trunks and peers from the settings; legs in progress keep what they were placed with."""
        ...

    def trunk_states(self) -> tuple[TrunkState, ...]:
        """Tell how each trunk's registration stands."""
        ...
