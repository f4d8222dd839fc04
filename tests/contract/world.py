"""A SIP port, what is around it, and what a contract test asks of both."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import pytest

from sipcore.domain.commands import LegCommand, LegPlan, PlaceLeg
from sipcore.domain.directory import SipHost
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.events import Event, LegArrived, LegEnded, MessagesSeen, WorkerLost
from sipcore.domain.slots import Slots
from sipcore.service.port import SipPort
from sipcore.sip.capacity import Capacity, CarrierT

ReservedT = TypeVar("ReservedT")
LEGS_PER_WORKER = 4
PATIENCE = 10.0
"""Seconds for what takes milliseconds, on a machine that is busy with other things."""


class Surroundings(Protocol):
    """What is around a port: far ends that do as they are told, and workers that can be killed."""

    def plan(self, behaviour: str) -> LegPlan:
        """The INVITE to a far end that `answers`, `rings`, is `silent`, sends `early media`, `answers late`,
        `refuses CODE`, or `refuses in latin-1`, with 486; or `speaker N`, which answers and sounds like no other."""
        ...

    async def hang_up(self, leg: str) -> None: ...

    async def answer(self, leg: str) -> None: ...

    async def press(self, leg: str, digits: str) -> None: ...

    async def got_digits(self, leg: str, digits: str) -> None:
        """Return when these digits have reached the far end."""
        ...

    async def released(self, leg: str) -> None:
        """Return when the far end of a leg is in no call any more."""
        ...

    async def calls_seen(self) -> int:
        """How many calls have reached far ends."""
        ...

    def kill_worker(self, slots: Slots) -> None: ...

    def freeze_worker(self, slots: Slots) -> None:
        """Let a worker hang until it is killed."""
        ...

    def hubs(self) -> list[Slots]:
        """What conference rooms have reserved for themselves."""
        ...

    def call_in(self, number: str, speaker: int) -> None:
        """Let the far end `speaker N` call a number of ours, at the worker with the most room."""
        ...

    async def rings(self, leg: str) -> None:
        """Return when the far end of a leg that it placed hears that it rings."""
        ...

    async def ended_with(self, leg: str) -> int:
        """Return the final status that the far end of a leg that it placed has got."""
        ...

    async def refused(self) -> int:
        """Return the status that the newest call got that nobody was told of."""
        ...

    async def hears(self, leg: str, *others: str) -> None:
        """Return when the far end of a leg has heard just the far ends of these for a while from now on.

        Each of them is a `speaker N`.
        """
        ...


class World:
    """A SIP port, what is around it, and every event so far."""

    def __init__(self, port: SipPort, around: Surroundings, workers: int) -> None:
        self.port = port
        self.around = around
        self.workers = workers
        self.events: list[Event] = []
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        async for event in self.port.events():
            # Only real SIP has messages.
            if isinstance(event, MessagesSeen):
                continue
            async with self._news:
                self.events.append(event)
                self._news.notify_all()

    def place(self, slots: Slots, behaviour: str) -> str:
        leg = uuid.uuid4().hex
        self.port.send(slots, PlaceLeg(leg, self.around.plan(behaviour)))
        return leg

    async def place_and_answer(self, slots: Slots, behaviour: str = "answers") -> str:
        leg = self.place(slots, behaviour)
        await self.event(leg, "LegAnswered")
        return leg

    def send(self, slots: Slots, *commands: LegCommand) -> None:
        for command in commands:
            self.port.send(slots, command)

    async def event(self, leg: str, kind: str, *, nth: int = 1) -> Event:
        def there() -> bool:
            return self.kinds(leg).count(kind) >= nth

        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(there)
        except TimeoutError:
            pytest.fail(f"{kind} of the leg did not come; there were {self.events_of(leg)}")
        return [event for event in self.events_of(leg) if type(event).__name__ == kind][nth - 1]

    async def hear(self, *legs: str) -> None:
        """Return when each of these hears all the others, and nothing else."""
        await asyncio.gather(*(self.around.hears(leg, *(other for other in legs if other != leg)) for leg in legs))

    async def arrival(self, number: str, speaker: int = 0) -> LegArrived:
        """Let somebody call a number that nobody has called before."""
        await asyncio.to_thread(self.around.call_in, number, speaker)

        def there() -> list[LegArrived]:
            arrived = [event for event in self.events if isinstance(event, LegArrived)]
            return [event for event in arrived if event.number == number]

        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(there)
        return there()[0]

    async def end_of(self, leg: str) -> LegEnded:
        event = await self.event(leg, "LegEnded")
        assert isinstance(event, LegEnded)
        return event

    def events_of(self, leg: str) -> list[Event]:
        return [
            event for event in self.events if leg in (event.legs if isinstance(event, WorkerLost) else (event.leg,))
        ]

    def kinds(self, leg: str) -> list[str]:
        return [type(event).__name__ for event in self.events_of(leg)]

    async def reserve(self, legs: int) -> Slots:
        """Reserve slots, after the death of a worker once another has taken its place."""
        return await self._patiently(lambda: self.port.reserve(legs))

    async def extend(self, home: Slots, legs: int, *, staying: bool = False) -> tuple[Slots, ...]:
        """Extend a reservation, after the death of a worker once another has taken its place."""
        return await self._patiently(lambda: self.port.extend(home, legs, staying=staying))

    async def reserve_rest(self) -> list[Slots]:
        """Reserve what nobody has."""
        slots: list[Slots] = []
        with contextlib.suppress(NoLegCapacityError):
            while True:
                slots.append(await self.port.reserve(1))
        return slots

    async def reserve_all(self) -> list[Slots]:
        """Reserve everything there is; return when that could be done."""
        return await self._patiently(self._reserve_workers)

    async def _patiently(self, reserve: Callable[[], Awaitable[ReservedT]]) -> ReservedT:
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(NoLegCapacityError):
                    return await reserve()
                # A slot comes back with an event, or a little after the death of a worker, without one.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02), self._news:
                        await self._news.wait()

    async def _reserve_workers(self) -> list[Slots]:
        slots: list[Slots] = []
        try:
            for _ in range(self.workers):
                slots.append(await self.port.reserve(LEGS_PER_WORKER))  # noqa: PERF401 - given back when one fails
        except NoLegCapacityError:
            self.release(slots)
            raise
        return slots

    def release(self, slots: list[Slots]) -> None:
        for each in slots:
            self.port.release(each)


def hubs(capacity: Capacity[CarrierT]) -> list[Slots]:
    reservations = [each for worker in capacity.workers.values() for each in worker.reservations.values()]
    return [each.slots for each in reservations if each.links and not each.legs]


def plan_to(user: str, port: int) -> LegPlan:
    return LegPlan(user, SipHost("127.0.0.1", port), None, "<sip:100@127.0.0.1>")
