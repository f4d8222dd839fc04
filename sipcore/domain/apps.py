"""The parties that are built in: echo test, music, speaking clock, conference room, voicemail box."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sipcore.domain.answering import AnsweringParty, Step, Table
from sipcore.domain.commands import Command, EchoLeg, JoinRoom, LeaveRoom, StartRecording, StopPlaying, StopRecording
from sipcore.domain.directory import App, AppKind
from sipcore.domain.machine import IGNORED
from sipcore.domain.prompts import Prompt, clock_prompts

CLOCK_SECONDS = 10.0
"""From one announcement of the time to the next."""
CLOCK_TIMES = 5
"""How often the time is told before the clock hangs up."""
END_OF_RECORDING = "#"
"""The key that ends what is said to a voicemail box, or skips its greeting."""


@dataclass(frozen=True, slots=True)
class AppSurroundings:
    """What apps are made of, for one call.

    Attributes:
        organisation: name of the organisation whose call it is.
        prompts: audio files of its prompts, by name.
        local_time: from the machine's time (seconds, monotonic) to its local time.
        new_recording: mints the id of a recording, 32 hex digits.
    """

    organisation: str
    prompts: Mapping[str, str]
    local_time: Callable[[float], datetime]
    new_recording: Callable[[], str]


class AppState(StrEnum):
    """Where an app stands."""

    IDLE = "idle"
    PLAYING = "playing"
    RUNNING = "running"
    CLOSING = "closing"


class AppParty(AnsweringParty[AppState]):
    """Something built in.

    Args:
        uid: its UniqueID; no leg has it.
        app: its settings.
        around: what it is made of.
        table: its transitions.
    """

    def __init__(self, uid: str, app: App, around: AppSurroundings, table: Table[AppState]) -> None:
        super().__init__(uid, app.number, around.prompts, AppState.IDLE, table)
        self._app = app
        self._around = around

    def _own_audio(self, prompt: Prompt) -> tuple[str, ...]:
        return self._prompt(prompt) if self._app.audio is None else (self._app.audio,)


class EchoParty(AppParty):
    """The leg hears itself until it hangs up."""

    def __init__(self, uid: str, app: App, around: AppSurroundings) -> None:
        super().__init__(uid, app, around, _ECHO)

    def _echo(self, _now: float) -> list[Command]:
        self._enter(AppState.RUNNING, "joined")
        return [StopPlaying(self._other), EchoLeg(self._other)]


class MusicParty(AppParty):
    """The leg hears music until it hangs up."""

    def __init__(self, uid: str, app: App, around: AppSurroundings) -> None:
        super().__init__(uid, app, around, _MUSIC)

    def _begin(self, now: float) -> list[Command]:
        self._enter(AppState.PLAYING, "joined")
        return self._play(self._own_audio(Prompt.MUSIC), now, loop=True)


class ConferenceParty(AppParty):
    """The leg hears a beep, and then everybody who is in the room of that number."""

    def __init__(self, uid: str, app: App, around: AppSurroundings) -> None:
        super().__init__(uid, app, around, _CONFERENCE)

    def _begin(self, now: float) -> list[Command]:
        self._enter(AppState.PLAYING, "joined")
        return self._play(self._prompt(Prompt.BEEP), now)

    def let_go(self) -> list[Command]:
        """Take the leg out of the room."""
        return [LeaveRoom(self._other)] if self.state is AppState.RUNNING else []

    def _enter_room(self, _now: float) -> list[Command]:
        self._enter(AppState.RUNNING, "beeped")
        return [StopPlaying(self._other), JoinRoom(self._other, f"{self._around.organisation}/{self._app.number}")]


class ClockParty(AppParty):
    """The leg hears the organisation's local time, some times over."""

    def __init__(self, uid: str, app: App, around: AppSurroundings) -> None:
        super().__init__(uid, app, around, _CLOCK)
        self._times_left = CLOCK_TIMES
        self._again_at = 0.0

    def _tell_time(self, now: float) -> list[Command]:
        self._again_at = now + CLOCK_SECONDS
        self._times_left -= 1
        self._enter(AppState.PLAYING, "time")
        local = self._around.local_time(now)
        spoken = (Prompt.THE_TIME_IS, *clock_prompts(local.hour, local.minute), Prompt.BEEP)
        return self._play(self._prompt(*spoken), now)

    def _pause(self, now: float) -> list[Command]:
        if self._times_left == 0:
            return self._leave_when_heard(now)
        self._deadline = self._again_at
        self._enter(AppState.RUNNING, "told")
        return []


class VoicemailParty(AppParty):
    """The leg hears a greeting and a beep, and is recorded from then on."""

    def __init__(self, uid: str, app: App, around: AppSurroundings) -> None:
        super().__init__(uid, app, around, _VOICEMAIL)
        self._recording = ""

    @property
    def recording_id(self) -> str | None:
        """Of what was said."""
        return self._recording or None

    def let_go(self) -> list[Command]:
        """Record the leg no longer."""
        return [StopRecording(self._other, self._recording)] if self.state is AppState.RUNNING else []

    def _greet(self, now: float) -> list[Command]:
        self._enter(AppState.PLAYING, "joined")
        return self._play((*self._own_audio(Prompt.PLEASE_LEAVE_A_MESSAGE), *self._prompt(Prompt.BEEP)), now)

    def _skip_greeting(self, now: float, key: str) -> list[Command]:
        if key != END_OF_RECORDING:
            return []
        return [*self._stop_playing(), *self._play(self._prompt(Prompt.BEEP), now)]

    def _record(self, now: float) -> list[Command]:
        self._recording = self._around.new_recording()
        self._deadline = now + self._app.max_seconds
        self._enter(AppState.RUNNING, "beeped")
        return [StartRecording(self._other, self._recording)]

    def _stop_at(self, now: float, key: str) -> list[Command]:
        return self._stop(now) if key == END_OF_RECORDING else []

    def _stop(self, now: float) -> list[Command]:
        self._deadline = None
        self._enter(AppState.CLOSING, "recorded")
        return [StopRecording(self._other, self._recording), *self._play(self._prompt(Prompt.GOODBYE), now)]


_ECHO: Table[AppState] = {
    (AppState.IDLE, Step.JOINED): "_echo",
    (AppState.RUNNING, Step.KEY): IGNORED,
}
_MUSIC: Table[AppState] = {
    (AppState.IDLE, Step.JOINED): "_begin",
    (AppState.PLAYING, Step.KEY): IGNORED,
    # Music does not end by itself, unless there is none: better no call than a silent one.
    (AppState.PLAYING, Step.PLAYED): "_leave",
}
_CONFERENCE: Table[AppState] = {
    (AppState.IDLE, Step.JOINED): "_begin",
    (AppState.PLAYING, Step.PLAYED): "_enter_room",
    (AppState.PLAYING, Step.KEY): IGNORED,
    (AppState.RUNNING, Step.KEY): IGNORED,
}
_CLOCK: Table[AppState] = {
    (AppState.IDLE, Step.JOINED): "_tell_time",
    (AppState.PLAYING, Step.PLAYED): "_pause",
    (AppState.PLAYING, Step.KEY): IGNORED,
    (AppState.RUNNING, Step.TIME_UP): "_tell_time",
    (AppState.RUNNING, Step.KEY): IGNORED,
}
_VOICEMAIL: Table[AppState] = {
    (AppState.IDLE, Step.JOINED): "_greet",
    (AppState.PLAYING, Step.PLAYED): "_record",
    (AppState.PLAYING, Step.KEY): "_skip_greeting",
    (AppState.RUNNING, Step.KEY): "_stop_at",
    (AppState.RUNNING, Step.TIME_UP): "_stop",
    (AppState.CLOSING, Step.PLAYED): "_leave_when_heard",
    (AppState.CLOSING, Step.KEY): IGNORED,
}

APPS: Mapping[AppKind, Callable[[str, App, AppSurroundings], AppParty]] = {
    "echo": EchoParty,
    "music": MusicParty,
    "conference": ConferenceParty,
    "clock": ClockParty,
    "hold": MusicParty,
    "voicemail": VoicemailParty,
}
"""From the kind of an app to what makes its party."""
