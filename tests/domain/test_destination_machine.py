"""Whatever happens to a call with a menu, an announcement, an app or a checked phone: it ends and leaves no leg behind.

The far ends press, speak, answer and hang up as they like, what is played ends early, late or never, workers die, and
timers come late.
"""

from __future__ import annotations

from collections.abc import Callable

from call_disorder import WHICH, Disorder, at
from destination_stories import CALLER, PARTY, PROMPTS, TERMS, phone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from sipcore.domain.announcement import AnnouncementParty
from sipcore.domain.apps import APPS, AppSurroundings
from sipcore.domain.call import Call
from sipcore.domain.causes import NO_SUCH_EXTENSION
from sipcore.domain.commands import Command, PlayAudio
from sipcore.domain.confirmation import ConfirmedParty
from sipcore.domain.directory import Announcement, App, Ivr
from sipcore.domain.events import (
    BeepHeard,
    DigitPressed,
    LegAnswered,
    PlaybackFinished,
    RecordingFinished,
    SpeechStarted,
    SpeechStopped,
)
from sipcore.domain.ivr import IvrParty
from sipcore.domain.machine_detection import MachineAction, MachineDetection
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.onward import WayOn
from sipcore.domain.party import Party
from sipcore.domain.screening import ScreenedParty

MOST_PARTIES = 12
"""Menus may name each other without end."""
AUDIO = "/audio/menu.wav"
RECORDING = "e" * 32


class Exchange:
    """Makes parties by number, so that each can lead on to any other."""

    def __init__(self) -> None:
        self._made = 0
        self._menus = {"900": self._ivr("900", barge_in=True), "901": self._ivr("901", barge_in=False)}
        self._makers: dict[str, Callable[[str], Party]] = {
            "101": phone,
            "102": lambda uid: ConfirmedParty(phone(uid), PROMPTS),
            "103": lambda uid: ScreenedParty(phone(uid), MachineDetection(action=MachineAction.HANG_UP)),
            "104": lambda uid: ScreenedParty(phone(uid), MachineDetection(action=MachineAction.ANNOUNCE), AUDIO),
            "105": lambda uid: ConfirmedParty(ScreenedParty(phone(uid), MachineDetection()), PROMPTS),
            "199": lambda uid: NowhereParty(uid, "199", NO_SUCH_EXTENSION),
            "800": lambda uid: AnnouncementParty(uid, Announcement("800", AUDIO, 2, "1", "101"), self.way),
            "801": lambda uid: AnnouncementParty(uid, Announcement("801", AUDIO), self.way),
            "900": lambda uid: IvrParty(uid, self._menus["900"], self.way, self._menus, ("101", "102", "1xxx")),
            "901": lambda uid: IvrParty(uid, self._menus["901"], self.way, self._menus, ()),
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


class DestinationUnderDisorder(Disorder):
    def __init__(self) -> None:
        super().__init__()
        self.playbacks: list[PlaybackFinished] = []

    @initialize(number=st.sampled_from(Exchange().numbers), first=st.booleans(), caller_is_there=st.booleans())
    def accept(self, number: str, *, first: bool, caller_is_there: bool) -> None:
        destination = Exchange().party(number, PARTY)
        parties = (destination, phone(CALLER)) if first else (phone(CALLER), destination)
        self.call = Call(TERMS, *parties)
        self.start()
        if caller_is_there and CALLER in self.placed:
            self.happen(LegAnswered(CALLER))

    @precondition(lambda self: CALLER in self.placed)
    @rule(keys=st.text("0123456789*#", min_size=1, max_size=5))
    def dial(self, keys: str) -> None:
        for key in keys:
            self.happen(DigitPressed(CALLER, key, 100))

    @precondition(lambda self: self.placed)
    @rule(which=WHICH, kind=st.sampled_from([SpeechStarted, SpeechStopped, BeepHeard]), at_ms=st.integers(0, 60_000))
    def make_a_sound(self, which: int, kind: type[SpeechStarted | SpeechStopped | BeepHeard], at_ms: int) -> None:
        self.happen(kind(self.leg(which), at_ms))

    @precondition(lambda self: self.playbacks)
    @rule(which=st.integers(-1, 11))
    def play_to_the_end(self, which: int) -> None:
        self.happen(self.playbacks[which % len(self.playbacks)])

    @rule()
    def close_a_recording(self) -> None:
        self.happen(RecordingFinished(CALLER, RECORDING, 3.0))

    def look_at(self, command: Command) -> None:
        if isinstance(command, PlayAudio):
            finished = PlaybackFinished(command.leg, command.playback)
            assert finished not in self.playbacks or command.playback.startswith("why")
            self.playbacks.append(finished)


TestDestinationUnderDisorder = DestinationUnderDisorder.TestCase
TestDestinationUnderDisorder.settings = settings(max_examples=50, stateful_step_count=30)
