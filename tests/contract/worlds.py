"""Two worlds for one contract: the fake SIP port, and the worker pool with real peers around it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import signal
import socket
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import pytest
from testbed.audio import tones
from testbed.capture import UdpSink
from testbed.phone import Behaviour, Phone, PhoneCall
from testbed.process import is_bound, wait_until
from testbed.sipp import Sipp

from sipcore.domain.commands import LegCommand, LegPlan, PlaceLeg
from sipcore.domain.directory import Directory, SipHost
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.events import Event, LegEnded, WorkerLost
from sipcore.domain.slots import Slots
from sipcore.service.port import SipPort
from sipcore.sip.capacity import Capacity, CarrierT
from sipcore.sip.fake import (
    ANSWERS,
    ANSWERS_LATE,
    EARLY_MEDIA_THEN_ANSWERS,
    RINGS,
    SILENT,
    FakeSipPort,
    FarEnd,
    refuses,
)
from sipcore.sip.pool import WorkerPool
from sipcore.sip.starter import PoolSettings

ReservedT = TypeVar("ReservedT")
WORKERS = 2
WIDE_WORKERS = 8
WIDEST_WORKERS = 20
LEGS_PER_WORKER = 4
PATIENCE = 10.0
"""Seconds for what takes milliseconds, on a machine that is busy with other things."""
_EARLY_SECONDS = 0.1
_LISTEN_SECONDS = 0.4
_SPEAKER_HZ = (420.0, 557.0, 701.0, 853.0, 1013.0, 1181.0, 1361.0, 1549.0, 1753.0, 1979.0)
"""None is a harmonic of another, nor a sum or difference of two."""
_BEHAVIOURS: dict[str, Behaviour] = {
    "answers": "answer",
    "rings": "ring",
    "early media": "early_media",
    "refuses": "reject",
}
"""What the phones do, by the name of it in these tests."""


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

    def hubs(self) -> list[Slots]:
        """What conference rooms have reserved for themselves."""
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

    async def extend(self, home: Slots, legs: int) -> tuple[Slots, ...]:
        """Extend a reservation, after the death of a worker once another has taken its place."""
        return await self._patiently(lambda: self.port.extend(home, legs))

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


class FakeSurroundings:
    """Far ends that are scripts."""

    _SCRIPTS = {  # noqa: RUF012 - read only
        "answers": ANSWERS,
        "rings": RINGS,
        "silent": SILENT,
        "early media": EARLY_MEDIA_THEN_ANSWERS,
        "answers late": ANSWERS_LATE,
        "refuses in latin-1": refuses(486, "Bes\N{REPLACEMENT CHARACTER}tzt"),
    }

    def __init__(self, port: FakeSipPort) -> None:
        self._port = port

    def plan(self, behaviour: str) -> LegPlan:
        code = behaviour.removeprefix("refuses ")
        script = self._SCRIPTS.get(behaviour, ANSWERS)
        self._port.scripts[behaviour] = refuses(int(code)) if code.isdigit() else script
        return _plan(behaviour, 5060)

    async def hang_up(self, leg: str) -> None:
        self._port.hang_up(leg)

    async def answer(self, leg: str) -> None:
        self._port.answer(leg)

    async def press(self, leg: str, digits: str) -> None:
        self._port.press(leg, digits)

    async def got_digits(self, leg: str, digits: str) -> None:
        assert self._port.legs[leg].digits == digits

    async def released(self, leg: str) -> None:
        assert self._port.legs[leg].far_end is FarEnd.OVER

    async def calls_seen(self) -> int:
        return len(self._port.legs)

    def kill_worker(self, slots: Slots) -> None:
        self._port.lose_worker(slots.worker)

    def hubs(self) -> list[Slots]:
        return _hubs(self._port._capacity)

    async def hears(self, leg: str, *others: str) -> None:
        assert self._port.heard_by(leg) == sorted(others)


class Foreigner:
    """A far end that refuses every call with a reason that is not UTF-8, which no library writes by itself."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._socket.sendto(b"stop", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while (received := self._socket.recvfrom(65536))[0] != b"stop":
            request, sender = received[0].decode(), received[1]
            if request.startswith("INVITE "):
                kept = re.findall(r"^(?:Via|From|Call-ID|CSeq):.*\r\n", request, re.MULTILINE)
                to = re.findall(r"^To:.*", request, re.MULTILINE)[0].strip()
                head = "".join(["SIP/2.0 486 Besätzt\r\n", *kept, f"{to};tag=1\r\nContent-Length: 0\r\n\r\n"])
                self._socket.sendto(head.encode("latin-1"), sender)


class RealPeers:
    """Software phones, a SIPp scenario and a silent socket."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._phones = {
            name: Phone(
                name.partition(" ")[0],
                behaviour=behaviour,
                tone_hz=700,
                answer_after=_EARLY_SECONDS if name == "early media" else 0.0,
            )
            for name, behaviour in _BEHAVIOURS.items()
        }
        self._hz: dict[int, float] = {}
        self._late = Sipp("late_answer")
        self._foreigner = Foreigner()
        self._silent = UdpSink()

    def plan(self, behaviour: str) -> LegPlan:
        code = behaviour.removeprefix("refuses ")
        if code.isdigit():
            self._phones["refuses"].behave("reject", reject_code=int(code))
            return _plan("refuses", self._phones["refuses"].port)
        if behaviour.startswith("speaker"):
            return _plan("speaker", self._speaker(int(behaviour.split()[1])).port)
        if behaviour in self._phones:
            return _plan(behaviour.partition(" ")[0], self._phones[behaviour].port)
        others = {
            "answers late": self._late.port,
            "refuses in latin-1": self._foreigner.port,
            "silent": self._silent.port,
        }
        return _plan("peer", others[behaviour])

    async def hang_up(self, leg: str) -> None:
        phone, number = await self._call(leg)
        await asyncio.to_thread(phone.hang_up, number)

    async def answer(self, leg: str) -> None:
        phone, number = await self._call(leg)
        await asyncio.to_thread(phone.answer, number)

    async def press(self, leg: str, digits: str) -> None:
        phone, number = await self._call(leg)
        await asyncio.to_thread(phone.send_digits, digits, call=number)

    async def got_digits(self, leg: str, digits: str) -> None:
        phone, number = await self._call(leg)
        await asyncio.to_thread(phone.wait_digits, digits, PATIENCE, number)

    async def released(self, leg: str) -> None:
        await asyncio.to_thread(
            wait_until, lambda: self._is_released(leg), PATIENCE, "the far end is still in the call"
        )

    async def calls_seen(self) -> int:
        return await asyncio.to_thread(self._calls_seen)

    def hubs(self) -> list[Slots]:
        return _hubs(self._pool._capacity)

    async def hears(self, leg: str, *others: str) -> None:
        phone, number = await self._call(leg)
        speakers = [(await self._call(other))[0] for other in others]
        wanted = sorted(self._hz[speaker.port] for speaker in speakers)
        await asyncio.to_thread(_wait_heard, phone, number, wanted)

    def kill_worker(self, slots: Slots) -> None:
        pid = self._pool._capacity.workers[slots.worker].process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def _speaker(self, number: int) -> Phone:
        """Make a phone with a tone of its own; they are started the first time that they are needed."""
        name = f"speaker {number}"
        if name not in self._phones:
            hz = _SPEAKER_HZ[number]
            self._phones[name] = Phone(f"speaker{number}", tone_hz=hz)
            self._phones[name].start()
            self._hz[self._phones[name].port] = hz
        return self._phones[name]

    def start(self) -> None:
        self._silent.start()
        self._foreigner.start()
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda peer: peer.start(), [*self._phones.values(), self._late]))

    def stop(self) -> None:
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda peer: peer.__exit__(None, None, None), [*self._phones.values(), self._late]))
        self._silent.stop()
        self._foreigner.stop()

    async def _call(self, leg: str) -> tuple[Phone, int]:
        """Find the phone that a leg has reached; its own reports come a moment after the leg's."""
        missing = f"no phone has seen the leg {leg}"
        found = await asyncio.to_thread(wait_until, lambda: self._calls_of(leg), PATIENCE, missing)
        phone, call = found[0]
        return phone, call.number

    def _calls_of(self, leg: str) -> list[tuple[Phone, PhoneCall]]:
        return [(phone, call) for phone in self._phones.values() for call in phone.calls() if call.call_id == leg]

    def _calls_seen(self) -> int:
        for name, phone in self._phones.items():
            # What it has seen by now is told before it has obeyed.
            phone.behave(_BEHAVIOURS[name], answer_after=_EARLY_SECONDS if name == "early media" else 0.0)
        phones = sum(len(phone.calls()) for phone in self._phones.values())
        return phones + len(self._late.calls()) + self._silent.settle()

    def _is_released(self, leg: str) -> bool:
        calls = [call for _, call in self._calls_of(leg)]
        if calls:
            return all(call.state == "ended" for call in calls)
        return any(trace.method == "BYE" for trace in self._late.calls().get(leg, []))


def _wait_heard(phone: Phone, call: int, wanted: list[float]) -> None:
    """Wait until a call has heard exactly these tones for a while, what came before left out."""
    start = phone.recording(call).seconds

    def heard() -> list[float]:
        return sorted(tone.hz for tone in tones(phone.recording(call).last(_LISTEN_SECONDS), most=12))

    def there() -> bool:
        found = heard()
        enough = phone.recording(call).seconds >= start + _LISTEN_SECONDS and len(found) == len(wanted)
        return enough and all(abs(hz - other) < 10 for hz, other in zip(found, wanted, strict=True))

    wait_until(
        there,
        PATIENCE,
        lambda: f"phone {phone.extension} hears {heard()} and not {wanted}",
        interval=0.05,
    )


def _hubs(capacity: Capacity[CarrierT]) -> list[Slots]:
    reservations = [each for worker in capacity.workers.values() for each in worker.reservations.values()]
    return [each.slots for each in reservations if each.links and not each.legs]


def _plan(user: str, port: int) -> LegPlan:
    return LegPlan(user, SipHost("127.0.0.1", port), None, "<sip:100@127.0.0.1>")


@contextlib.asynccontextmanager
async def _listening(world: World) -> AsyncIterator[World]:
    listener = asyncio.get_running_loop().create_task(world.listen())
    try:
        yield world
    finally:
        listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listener


@contextlib.asynccontextmanager
async def fake_world(workers: int = WORKERS) -> AsyncIterator[World]:
    port = FakeSipPort(workers=workers, legs_per_worker=LEGS_PER_WORKER)
    async with _listening(World(port, FakeSurroundings(port), workers)) as world:
        yield world


def _free_ports(count: int) -> int:
    """The first of so many free ports, below those that the test bed gives to its peers."""
    for first in range(20000 + os.getpid() % 100 * 50, 26000 - count, count):
        if not any(is_bound("udp", port) for port in range(first, first + count)):
            return first
    raise LookupError("no free ports")


@contextlib.asynccontextmanager
async def real_world(workers: int = WORKERS) -> AsyncIterator[World]:
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    # RTP ports first: they begin even.
    rtp_ports = 16 * workers
    first = _free_ports(rtp_ports + workers)
    pool = WorkerPool(
        PoolSettings(
            address="127.0.0.1",
            sip_ports=range(first + rtp_ports, first + rtp_ports + workers),
            rtp_ports=range(first, first + rtp_ports),
            warm_workers=1,
            uid=nobody and nobody.pw_uid,
            gid=nobody and nobody.pw_gid,
        )
    )
    peers = RealPeers(pool)
    try:
        await asyncio.to_thread(peers.start)
        await pool.start(Directory())
        async with _listening(World(pool, peers, workers)) as world:
            yield world
    finally:
        await pool.close()
        await asyncio.to_thread(peers.stop)
