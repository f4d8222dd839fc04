"""The legs of the fake and their far ends, which do what a test orders."""

from __future__ import annotations

import asyncio
import uuid

from sipcore.domain.commands import PlayAudio
from sipcore.domain.events import (
    BeepHeard,
    DigitPressed,
    EndedBy,
    LegAnswered,
    LegArrived,
    LegEarlyMediaStarted,
    LegEnded,
    LegRang,
    PlaybackFinished,
    PortEvent,
    RecordingFinished,
    SpeechStarted,
    SpeechStopped,
    WorkerLost,
)
from sipcore.domain.slots import Slots
from sipcore.sip.capacity import Capacity, Carrier
from sipcore.sip.fake.bridges import FakeBridges
from sipcore.sip.fake.scripts import RINGS, FakeLeg, FarEnd, OnCancel

_OK = 200
_REQUEST_TIMEOUT = 408
_TEMPORARILY_UNAVAILABLE = 480
_REQUEST_TERMINATED = 487
_UNREACHABLE = 503


class FarEnds:
    """Workers, legs, and what is at the other end of them.

    Args:
        workers: how many there are; a lost one is replaced at once.
        legs_per_worker: how many legs each carries.

    Attributes:
        legs: every leg that there ever was, by UniqueID.
        recorded_seconds: length of every recording.
    """

    def __init__(self, workers: int, legs_per_worker: int) -> None:
        self.legs: dict[str, FakeLeg] = {}
        self.recorded_seconds = 1.0
        self._legs_per_worker = legs_per_worker
        self._capacity: Capacity[Carrier] = Capacity(lambda _worker: None)
        self._last_worker = 0
        for _ in range(workers):
            self._add_worker()
        self._events: asyncio.Queue[PortEvent] = asyncio.Queue()
        self._bridges = FakeBridges(self._capacity, self.report)

    def arrive(self, number: str, caller: str = "", trunk: str | None = None) -> str:
        """Let a far end call us; without a free slot it gets 503 and nobody hears of it.

        Returns:
            The leg.
        """
        uid = uuid.uuid4().hex
        workers = self._capacity.with_room(1)
        leg = self.legs[uid] = FakeLeg(uid, Slots(0, 0, 0), RINGS, far_end=FarEnd.CALLING)
        if not workers:
            leg.answers.append(_UNREACHABLE)
            leg.ended, leg.far_end = True, FarEnd.OVER
            return uid
        leg.slots = self._capacity.reserve(workers[0], min(workers[0].free, 2))
        self._capacity.add_leg(leg.slots, uid)
        self.report(LegArrived(uid, number, caller, trunk, leg.slots))
        return uid

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
        """Let the far end send BYE, or CANCEL before we have answered it."""
        living = self._living(leg)
        if living.far_end is FarEnd.CALLED:
            self._living(leg, FarEnd.UP)
        code = _OK if living.far_end is FarEnd.UP else _REQUEST_TERMINATED
        self._end(living, code, "remote", q850_cause=q850_cause)

    def press(self, leg: str, digits: str, duration_ms: int = 0) -> None:
        """Let the far end press keys, each for so long (0: it does not tell)."""
        self._living(leg, FarEnd.UP)
        for digit in digits:
            self.report(DigitPressed(leg, digit, duration_ms))

    def start_speaking(self, leg: str, at_ms: int = 0) -> None:
        """Let somebody begin to speak on a leg that is listened to."""
        self._listened(leg)
        self.report(SpeechStarted(leg, at_ms))

    def stop_speaking(self, leg: str, at_ms: int) -> None:
        """Let whoever speaks on a leg that is listened to fall silent."""
        self._listened(leg)
        self.report(SpeechStopped(leg, at_ms))

    def beep(self, leg: str, at_ms: int) -> None:
        """Let a steady tone end on a leg that is listened to."""
        self._listened(leg)
        self.report(BeepHeard(leg, at_ms))

    def finish_playback(self, leg: str) -> None:
        """Let the files that are played to a leg come to their end."""
        living = self._living(leg)
        playing = living.playing
        if not isinstance(playing, PlayAudio) or playing.loop:
            raise LookupError(f"leg {leg} hears {playing}, which has no end")
        living.playing = None
        self.report(PlaybackFinished(leg, playing.playback))

    def time_out(self, leg: str) -> None:
        """Let the transaction of a leg with a silent far end end after its 64*T1 (RFC 3261 section 17.1.1.2)."""
        living = self._living(leg)
        code = _REQUEST_TERMINATED if living.hung_up else _REQUEST_TIMEOUT
        self._end(living, code, "local" if living.hung_up else "network")

    def freeze_worker(self, worker: int) -> None:
        """Let a worker hang, as far as links to it are concerned."""
        self._bridges.frozen.add(worker)

    def lose_worker(self, worker: int) -> None:
        """Let a worker die; its far ends are released, and another takes its place."""
        lost = tuple(uid for uid, leg in self.legs.items() if leg.slots.worker == worker and not leg.ended)
        gone = self._capacity.lose(worker)
        if gone is None:
            raise LookupError(f"there is no worker {worker}")
        self._add_worker()
        for leg in lost:
            self.legs[leg].ended, self.legs[leg].far_end = True, FarEnd.OVER
        if lost:
            self.report(WorkerLost(lost))
        self._bridges.lose(gone, lost)
        self._bridges.catch_up()

    def report(self, event: PortEvent) -> None:
        """Queue any event, also one that no far end could cause."""
        self._events.put_nowait(event)

    # What a test looks at.

    @property
    def free_legs(self) -> int:
        """Leg slots that nobody has, on all workers."""
        return sum(worker.free for worker in self._capacity.workers.values())

    @property
    def living_legs(self) -> list[str]:
        """UniqueIDs of the legs that have not ended, oldest first."""
        return [uid for uid, leg in self.legs.items() if not leg.ended]

    def leg_to(self, number: str) -> FakeLeg:
        """Find the newest leg that was placed to a number.

        Raises:
            LookupError: there is none.
        """
        placed = [leg for leg in self.legs.values() if leg.placed is not None and leg.placed.plan.user == number]
        if not placed:
            raise LookupError(f"no leg was placed to {number}")
        return placed[-1]

    def heard_by(self, leg: str) -> list[str]:
        """List the legs that a leg hears, one twice that it hears on two ways."""
        audiences = ((uid, self._bridges.audience(each.slots.worker, uid)) for uid, each in self.legs.items())
        return sorted(uid for uid, audience in audiences for _ in range(audience[leg]))

    # The inside.

    def _add_worker(self) -> None:
        self._last_worker += 1
        self._capacity.workers[self._last_worker] = Carrier(self._last_worker, self._legs_per_worker)

    def _finish_recording(self, leg: FakeLeg, recording: str) -> None:
        if recording in leg.recordings:
            leg.recordings.remove(recording)
            self.report(RecordingFinished(leg.uid, recording, self.recorded_seconds))

    def _hang_up(self, leg: FakeLeg) -> None:
        if leg.hung_up:
            return
        leg.hung_up = True
        if leg.far_end is FarEnd.CALLED and leg.script.on_cancel is OnCancel.ANSWER:
            self.answer(leg.uid)
        if leg.far_end is FarEnd.UP:
            self._end(leg, _OK, "local")
        elif leg.far_end is FarEnd.CALLING:
            leg.answers.append(_TEMPORARILY_UNAVAILABLE)
            self._end(leg, _TEMPORARILY_UNAVAILABLE, "local")
        elif leg.script.on_cancel is OnCancel.TERMINATE:
            self._end(leg, _REQUEST_TERMINATED, "local")

    def _end(
        self, leg: FakeLeg, sip_code: int, ended_by: EndedBy, reason: str = "", q850_cause: int | None = None
    ) -> None:
        for recording in list(leg.recordings):
            self._finish_recording(leg, recording)
        leg.ended, leg.far_end = True, FarEnd.OVER
        self._capacity.end_leg(leg.uid)
        self._bridges.end_leg(leg.slots.worker, leg.uid)
        self.report(LegEnded(leg.uid, sip_code, reason, ended_by, q850_cause))
        self._bridges.catch_up()

    def _listened(self, leg: str) -> None:
        if not self._living(leg).listening:
            raise LookupError(f"nobody listens to leg {leg}")

    def _living(self, leg: str, far_end: FarEnd | None = None) -> FakeLeg:
        """Find a leg whose far end can act; anything else is a mistake of the test."""
        living = self.legs.get(leg)
        if living is None or living.ended or far_end not in (None, living.far_end):
            state = "never placed" if living is None else str(living.far_end)
            raise LookupError(f"leg {leg} is {state}" + ("" if far_end is None else f", not {far_end}"))
        return living
