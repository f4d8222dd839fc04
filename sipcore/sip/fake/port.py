"""The fake of the SIP port itself: what the service asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sipcore.domain.commands import (
    AnswerLeg,
    BridgeLegs,
    EchoLeg,
    HangUpLeg,
    JoinRoom,
    LeaveRoom,
    LegCommand,
    ListenForSpeech,
    PassAudio,
    PlaceLeg,
    PlayAudio,
    PlayTone,
    SendDigit,
    StartRecording,
    StopListening,
    StopPlaying,
    StopRecording,
)
from sipcore.domain.directory import Directory
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.events import LegAnswered, LegEarlyMediaStarted, LegEnded, LegPlaced, PortEvent
from sipcore.domain.registration import RegistrationState, TrunkState
from sipcore.domain.slots import Slots
from sipcore.sip.fake.far_ends import FarEnds
from sipcore.sip.fake.scripts import ANSWERS, FakeLeg, FarEnd, Script

_OK = 200
_UNREACHABLE = 503


class FakeSipPort(FarEnds):
    """The SIP port over far ends that do as they are told.

    Args:
        workers: how many there are; a lost one is replaced at once.
        legs_per_worker: how many legs each carries.
        scripts: what far ends do, by the number they are dialled by (user part of the Request-URI).
        default: what all others do.

    Attributes:
        scripts, default: as given; a test may change them at any time.
        commands: everything that was commanded, in order, with the slots it was commanded for.
        directory: the last one that was configured, or None.
        registrations: state of each trunk that the test sets by hand; the others follow from the directory.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        legs_per_worker: int = 4,
        scripts: dict[str, Script] | None = None,
        default: Script = ANSWERS,
    ) -> None:
        super().__init__(workers, legs_per_worker)
        self.scripts = dict(scripts or {})
        self.default = default
        self.commands: list[tuple[Slots, LegCommand]] = []
        self.directory: Directory | None = None
        self.registrations: dict[str, TrunkState] = {}
        self._commanded = asyncio.Event()

    # What the service asks of every SIP port.

    async def reserve(self, legs: int) -> Slots:
        """Reserve slots on the worker with the most room.

        Raises:
            NoLegCapacityError: no worker has room for so many.
        """
        workers = self._capacity.with_room(legs)
        if not workers:
            raise NoLegCapacityError("all leg slots are taken; nothing was dialled")
        return self._capacity.reserve(workers[0], legs)

    async def extend(self, home: Slots, legs: int, *, staying: bool = False) -> tuple[Slots, ...]:
        """Reserve slots for further legs of a call, at home or where links lead home.

        Raises:
            NoLegCapacityError: there is no room for all of them; nothing was reserved.
        """
        plan = self._capacity.plan_extension(home, legs, lambda _worker, _legs: True, staying=staying)
        if plan.missing:
            raise NoLegCapacityError("all leg slots are taken; nothing was dialled")
        return self._capacity.extend(home, plan)

    def send(self, slots: Slots, command: LegCommand) -> None:
        """Carry a command out; for a leg that is over it does nothing."""
        self.commands.append((slots, command))
        self._commanded.set()
        leg = self.legs.get(command.leg)
        if isinstance(command, PlaceLeg):
            self._place(slots, command)
        elif leg is not None and not leg.ended:
            self._obey(leg, command)
        self._bridges.catch_up()

    async def events(self) -> AsyncIterator[PortEvent]:
        """Everything that happened, in order. One reader."""
        while True:
            event = await self._events.get()
            yield event
            # Reached when the reader asks for the next one: it has acted on this one by then.
            self._events.task_done()

    def release(self, slots: Slots) -> None:
        """Give the slots back; legs that are still up on them are hung up first."""
        for uid in sorted(self._capacity.release(slots)):
            self._hang_up(self.legs[uid])
        self._bridges.catch_up()

    def configure(self, directory: Directory) -> None:
        """Take over trunks and peers."""
        self.directory = directory

    def trunk_states(self) -> tuple[TrunkState, ...]:
        """Tell the states that the test has set; a trunk with a registrar counts as registered otherwise."""
        trunks = {} if self.directory is None else self.directory.trunks
        return tuple(
            self.registrations.get(name)
            or TrunkState(name, RegistrationState.NONE if trunk.registrar is None else RegistrationState.REGISTERED)
            for name, trunk in trunks.items()
        )

    # What a test looks at.

    async def settled(self) -> None:
        """Wait until the reader has taken every event, and those that its commands caused."""
        await self._events.join()

    async def commanded(self, command: LegCommand) -> None:
        """Wait until a command was sent, for example by a timer of whoever uses the port."""
        while command not in self.commands_for(command.leg):
            self._commanded.clear()
            await self._commanded.wait()

    def commands_for(self, leg: str) -> list[LegCommand]:
        """List what was commanded for a leg, in order."""
        return [command for _, command in self.commands if command.leg == leg]

    # The inside.

    def _place(self, slots: Slots, command: PlaceLeg) -> None:
        worker = self._capacity.add_leg(slots, command.leg)
        if worker is None:
            self.report(LegEnded(command.leg, _UNREACHABLE, "its worker is gone", "network"))
            return
        script = self.scripts.get(command.plan.user, self.default)
        leg = self.legs[command.leg] = FakeLeg(command.leg, slots, script, command)
        if sum(len(each.legs) + len(each.links) for each in worker.reservations.values()) > worker.max_legs:
            self._end(leg, _UNREACHABLE, "network", "no call slot")
            return
        self.report(LegPlaced(command.leg))
        self._follow_script(leg)

    def _follow_script(self, leg: FakeLeg) -> None:
        script, uid = leg.script, leg.uid
        for sip_code in script.rings:
            self.ring(uid, sip_code)
        if script.early_media:
            self.report(LegEarlyMediaStarted(uid))
        if script.final == _OK:
            self.answer(uid)
        elif script.final is not None:
            self.reject(uid, script.final, script.reason, script.q850_cause)

    def _obey(self, leg: FakeLeg, command: LegCommand) -> None:
        match command:
            case HangUpLeg():
                self._hang_up(leg)
            case AnswerLeg(sip_code=sip_code):
                self._answer_with(leg, sip_code)
            case BridgeLegs() | PassAudio() | JoinRoom() | LeaveRoom():
                self._bridges.join(command)
            case SendDigit(digit=digit):
                leg.digits += digit
            case PlayTone() | PlayAudio() | EchoLeg():
                leg.playing = command
            case StopPlaying():
                leg.playing = None
            case ListenForSpeech() | StopListening():
                leg.listening = isinstance(command, ListenForSpeech)
            case StartRecording(recording=recording):
                leg.recordings.append(recording)
            case StopRecording(recording=recording):
                self._finish_recording(leg, recording)

    def _answer_with(self, leg: FakeLeg, sip_code: int) -> None:
        if leg.far_end is not FarEnd.CALLING or leg.hung_up:
            return
        leg.answers.append(sip_code)
        if sip_code > _OK:
            leg.hung_up = True
            self._end(leg, sip_code, "local")
        elif sip_code == _OK:
            leg.far_end = FarEnd.UP
            self.report(LegAnswered(leg.uid))
