"""The SIP port: all that the service knows of SIP. `sipcore.sip` implements it, with a pool and with a fake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from sipcore.domain.commands import LegCommand
from sipcore.domain.directory import Directory
from sipcore.domain.events import Event


@dataclass(frozen=True, slots=True)
class Slots:
    """Leg slots of one worker, reserved for one call.

    Attributes:
        id: of the reservation, unique in this process.
        worker: id of the worker that carries them.
        legs: how many.
    """

    id: int
    worker: int
    legs: int


@dataclass(frozen=True, slots=True)
class TrunkState:
    """Where a trunk's registration stands.

    Attributes:
        trunk: name of the trunk.
        state: `unregistered`, `registering`, `registered`, `failed`, or `none` for a trunk that does not register.
        sip_code: the last answer's status, or None.
        text: the last answer in words.
    """

    trunk: str
    state: str
    sip_code: int | None = None
    text: str = ""


class SipPort(Protocol):
    """Places legs and reports what happens on them. Used from one event loop."""

    async def reserve(self, legs: int) -> Slots:
        """Reserve slots for the legs of one call, all on one worker.

        Raises:
            NoLegCapacityError: nothing is free and nothing can be made free; no packet was sent.
        """
        ...

    def send(self, slots: Slots, command: LegCommand) -> None:
        """Have a command carried out. It never fails: what goes wrong comes back as an event of the leg."""
        ...

    def events(self) -> AsyncIterator[Event]:
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
