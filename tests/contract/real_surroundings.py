"""What is around the pool of real workers: phones and other peers, each a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from testbed.audio import tones
from testbed.capture import UdpSink
from testbed.phone import Behaviour, Phone, PhoneCall
from testbed.process import wait_until
from testbed.sipp import Sipp
from world import PATIENCE, hubs, plan_to

from sipcore.domain.commands import LegPlan
from sipcore.domain.slots import Slots
from sipcore.sip.pool import WorkerPool

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
            return plan_to("refuses", self._phones["refuses"].port)
        if behaviour.startswith("speaker"):
            return plan_to("speaker", self._speaker(int(behaviour.split()[1])).port)
        if behaviour in self._phones:
            return plan_to(behaviour.partition(" ")[0], self._phones[behaviour].port)
        others = {
            "answers late": self._late.port,
            "refuses in latin-1": self._foreigner.port,
            "silent": self._silent.port,
        }
        return plan_to("peer", others[behaviour])

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
        return hubs(self._pool._capacity)

    def call_in(self, number: str, speaker: int) -> None:
        port = max(self._pool._capacity.workers.values(), key=lambda worker: worker.free).process.settings.sip_port
        phone = self._speaker(speaker)
        self._latest = phone, phone.call(f"sip:{number}@127.0.0.1:{port}").number

    async def rings(self, leg: str) -> None:
        phone, number = await self._call(leg)
        await asyncio.to_thread(phone.wait_for, "ringing", PATIENCE, call=number)

    async def ended_with(self, leg: str) -> int:
        return await self._end_code(*await self._call(leg))

    async def refused(self) -> int:
        return await self._end_code(*self._latest)

    async def _end_code(self, phone: Phone, number: int) -> int:
        ended = await asyncio.to_thread(phone.wait_for, "ended", PATIENCE, call=number)
        code: int = ended["code"]
        return code

    async def hears(self, leg: str, *others: str) -> None:
        phone, number = await self._call(leg)
        speakers = [(await self._call(other))[0] for other in others]
        wanted = sorted(self._hz[speaker.port] for speaker in speakers)
        await asyncio.to_thread(_wait_heard, phone, number, wanted)

    def kill_worker(self, slots: Slots) -> None:
        self._signal(slots, signal.SIGKILL)

    def freeze_worker(self, slots: Slots) -> None:
        self._signal(slots, signal.SIGSTOP)

    def _signal(self, slots: Slots, number: signal.Signals) -> None:
        pid = self._pool._capacity.workers[slots.worker].process.pid
        assert pid is not None
        os.kill(pid, number)

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
