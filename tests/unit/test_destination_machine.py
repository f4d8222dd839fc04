"""Whatever happens to a call with a menu, an announcement, an app or a checked phone: it ends and leaves no leg behind.

The far ends press, speak, answer and hang up as they like, what is played ends early, late or never, workers die, and
timers come late.
"""

from __future__ import annotations

from collections.abc import Callable

from destination_stories import CALLER, PARTY, PROMPTS, TERMS, at, phone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sipcore.domain.announcement import AnnouncementParty
from sipcore.domain.apps import APPS, AppSurroundings
from sipcore.domain.call import Call
from sipcore.domain.causes import NO_SUCH_EXTENSION
from sipcore.domain.commands import BridgeLegs, Command, HangUpLeg, PassAudio, PlaceLeg, PlayAudio, ReportFirstStage
from sipcore.domain.confirmation import ConfirmedParty
from sipcore.domain.directory import Announcement, App, Ivr
from sipcore.domain.events import (
    BeepHeard,
    DigitPressed,
    Event,
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegPlaced,
    LegRang,
    PlaybackFinished,
    RecordingFinished,
    SpeechStarted,
    SpeechStopped,
    WorkerLost,
)
from sipcore.domain.ivr import IvrParty
from sipcore.domain.machine_detection import MachineAction, MachineDetection
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.onward import WayOn
from sipcore.domain.party import Party
from sipcore.domain.record import CallRecord
from sipcore.domain.screening import ScreenedParty

MOST_DEADLINES = 200
"""More than a call can have that is left alone: a menu in a menu has some dozens."""
AUDIO = "/audio/menu.wav"
RECORDING = "e" * 32


class Exchange:
    """Makes parties by number, so that each can lead on to any other."""

    def __init__(self) -> None:
        self._made = 0
        self._depth = 0
        self._makers: dict[str, Callable[[str], Party]] = {
            "101": phone,
            "102": lambda uid: ConfirmedParty(phone(uid), PROMPTS),
            "103": lambda uid: ScreenedParty(phone(uid), MachineDetection(action=MachineAction.HANG_UP)),
            "104": lambda uid: ScreenedParty(phone(uid), MachineDetection(action=MachineAction.ANNOUNCE), AUDIO),
            "105": lambda uid: ConfirmedParty(ScreenedParty(phone(uid), MachineDetection()), PROMPTS),
            "199": lambda uid: NowhereParty(uid, "199", NO_SUCH_EXTENSION),
            "800": lambda uid: AnnouncementParty(uid, Announcement("800", AUDIO, 2, "1", "101"), self.way),
            "801": lambda uid: AnnouncementParty(uid, Announcement("801", AUDIO), self.way),
            "900": lambda uid: IvrParty(uid, self._ivr("900", barge_in=True), self.way, ("101", "102", "1xxx")),
            "901": lambda uid: IvrParty(uid, self._ivr("901", barge_in=False), self.way, ()),
            **{f"app {kind}": self._app_maker(App(kind, f"app {kind}", kind)) for kind in APPS},
        }

    @property
    def numbers(self) -> list[str]:
        return sorted(self._makers)

    @property
    def way(self) -> WayOn:
        return WayOn(self.party, "US", PROMPTS)

    def party(self, number: str, uid: str = "") -> Party:
        """Make a party; one that is nested too deep, or a number that is nobody's, is a party that fails."""
        self._made += 1
        known = self._made < MOST_PARTIES and number in self._makers
        return self._makers[number if known else "199"](uid or f"further-{self._made}")

    def _ivr(self, number: str, *, barge_in: bool) -> Ivr:
        options = dict(zip("1234567890*#", ["101", "102", "104", "199", "800", "900", "901", "app echo"], strict=False))
        options["*"], options["#"] = "app voicemail", "app conference"
        return Ivr(number, AUDIO, options, repeats=1, barge_in=barge_in, direct_dial=barge_in)

    def _app_maker(self, app: App) -> Callable[[str], Party]:
        around = AppSurroundings("acme", PROMPTS, at, lambda: RECORDING)
        return lambda uid: APPS[app.kind](uid, app, around)


MOST_PARTIES = 12


def legs_of(command: Command) -> tuple[str, ...]:
    """The legs that a command is about."""
    if isinstance(command, ReportFirstStage):
        return ()
    if isinstance(command, BridgeLegs):
        return command.leg, command.other
    if isinstance(command, PassAudio):
        return command.leg, command.sink
    return (command.leg,)  # type: ignore[union-attr]


class DestinationUnderDisorder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.placed: list[str] = []
        self.answered: set[str] = set()
        self.gone: set[str] = set()
        self.hung_up: set[str] = set()
        self.playbacks: list[tuple[str, str]] = []
        self.final_record: CallRecord | None = None

    @initialize(number=st.sampled_from(Exchange().numbers), first=st.booleans(), caller_is_there=st.booleans())
    def accept(self, number: str, *, first: bool, caller_is_there: bool) -> None:
        destination = Exchange().party(number, PARTY)
        parties = (destination, phone(CALLER)) if first else (phone(CALLER), destination)
        self.call = Call(TERMS, *parties)
        self.carry_out(self.call.start(self.now))
        if caller_is_there:
            self.happen(LegAnswered(CALLER))

    @rule(data=st.data(), sip_code=st.sampled_from([180, 183]))
    def ring(self, data: st.DataObject, sip_code: int) -> None:
        leg = self.some_leg(data)
        self.happen(LegPlaced(leg))
        self.happen(LegRang(leg, sip_code))

    @rule(data=st.data())
    def send_early_media(self, data: st.DataObject) -> None:
        self.happen(LegEarlyMediaStarted(self.some_leg(data)))

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.happen(LegAnswered(self.some_leg(data)))

    @rule(data=st.data(), digit=st.sampled_from("0123456789*#AD111"))
    def press(self, data: st.DataObject, digit: str) -> None:
        self.happen(DigitPressed(self.some_leg(data), digit, 100))

    @rule(digits=st.text("0123456789*#", min_size=1, max_size=5))
    def dial(self, digits: str) -> None:
        for digit in digits:
            self.happen(DigitPressed(CALLER, digit, 100))

    @rule(data=st.data(), kind=st.sampled_from([SpeechStarted, SpeechStopped, BeepHeard]), at_ms=st.integers(0, 60_000))
    def make_a_sound(
        self, data: st.DataObject, kind: type[SpeechStarted | SpeechStopped | BeepHeard], at_ms: int
    ) -> None:
        self.happen(kind(self.some_leg(data), at_ms))

    @precondition(lambda self: self.playbacks)
    @rule(last=st.booleans(), data=st.data())
    def play_to_the_end(self, *, last: bool, data: st.DataObject) -> None:
        leg, playback = self.playbacks[-1] if last else data.draw(st.sampled_from(self.playbacks))
        self.feed(PlaybackFinished(leg, playback))

    @rule()
    def close_a_recording(self) -> None:
        self.feed(RecordingFinished(CALLER, RECORDING, 3.0))

    @rule(data=st.data(), sip_code=st.sampled_from([200, 404, 480, 486, 487, 503]))
    def end(self, data: st.DataObject, sip_code: int) -> None:
        self.happen(LegEnded(self.some_leg(data), sip_code))

    @precondition(lambda self: self.placed)
    @rule(together=st.booleans(), data=st.data())
    def lose_worker(self, *, together: bool, data: st.DataObject) -> None:
        lost = tuple(self.placed) if together else (self.some_leg(data),)
        self.now += 0.01
        commands = self.call.feed(WorkerLost(lost), self.now)
        self.gone.update(lost)
        self.carry_out(commands)

    @rule()
    def hang_up(self) -> None:
        self.carry_out(self.call.hang_up("request", self.now))

    @rule(seconds=st.floats(0, 30))
    def pass_time_without_a_timer(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.call.next_deadline() is not None)
    @rule(late_by=st.floats(0, 5))
    def reach_the_deadline(self, late_by: float) -> None:
        self.reach(late_by)

    def reach(self, late_by: float = 0.0) -> None:
        """Let the next deadline pass."""
        deadline = self.call.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline) + late_by
        self.carry_out(self.call.on_deadline(self.now))

    def some_leg(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.placed or [CALLER]))

    def happen(self, event: Event) -> None:
        """Feed an event of a leg, if the leg was ever placed: nothing can come of another."""
        leg = event.leg  # type: ignore[union-attr]
        if leg not in self.placed:
            return
        too_late = leg in self.hung_up | self.gone
        if isinstance(event, LegAnswered) and not too_late:
            self.answered.add(leg)
        commands = self.feed(event, ended=leg if isinstance(event, LegEnded) else None)
        if isinstance(event, LegAnswered) and too_late:
            assert commands == [HangUpLeg(leg)], "a late answer is ended, and by nothing else"

    def feed(self, event: Event, ended: str | None = None) -> list[Command]:
        self.now += 0.01
        commands = self.call.feed(event, self.now)
        if ended is not None:
            self.gone.add(ended)
        if not (isinstance(event, LegAnswered) and event.leg in self.hung_up | self.gone):
            self.carry_out(commands)
        return commands

    def carry_out(self, commands: list[Command]) -> None:
        """Check each command against what the legs have been through."""
        for command in commands:
            if isinstance(command, PlaceLeg):
                assert command.leg not in self.placed, "a leg is placed once"
                self.placed.append(command.leg)
            for leg in legs_of(command):
                assert leg in self.placed, f"{command} for a leg that was never placed"
                assert leg not in self.gone, f"{command} for a leg that is over"
                assert isinstance(command, HangUpLeg) or leg not in self.hung_up, f"{command} after its HangUpLeg"
                assert isinstance(command, PlaceLeg | HangUpLeg | PassAudio) or leg in self.answered, f"{command} early"
            if isinstance(command, PlayAudio):
                assert (command.leg, command.playback) not in self.playbacks or command.playback.startswith("why")
                self.playbacks.append((command.leg, command.playback))
            if isinstance(command, HangUpLeg):
                self.hung_up.add(command.leg)

    @invariant()
    def something_always_comes_next(self) -> None:
        if not self.call.ended:
            assert self.call.next_deadline() is not None, f"stuck in {self.call.state}: {self.call.story}"

    @invariant()
    def an_ended_call_leaves_no_leg_behind(self) -> None:
        if self.call.ended:
            assert set(self.placed) <= self.gone | self.hung_up
            assert self.call.next_deadline() is None

    @invariant()
    def a_record_is_whole_and_then_final(self) -> None:
        record = self.call.record(at)
        if not self.call.ended:
            return
        if self.final_record is None:
            self.final_record = record
            reached = [leg for leg in record.legs if leg.uid in self.placed or leg.answered_at is not None]
            assert all(leg.disposition is not None and leg.ended_at is not None for leg in reached)
            assert {leg.uid for leg in record.legs} >= set(self.placed)
        assert record == self.final_record, "nothing that comes late changes it"

    def teardown(self) -> None:
        """Leave the call alone: its own deadlines end it."""
        if not hasattr(self, "call"):
            return
        for _ in range(MOST_DEADLINES):
            if self.call.next_deadline() is None:
                break
            self.reach()
        assert self.call.ended, f"stuck in {self.call.state}: {self.call.story}"
        self.an_ended_call_leaves_no_leg_behind()
        self.a_record_is_whole_and_then_final()


TestDestinationUnderDisorder = DestinationUnderDisorder.TestCase
TestDestinationUnderDisorder.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
