"""The recording of a call: when it begins, pauses and ends, and which leg is heard on which side of it.

It watches the call's commands: a leg that is placed tells who is rung, and legs that are joined are recorded from
then on, whatever party they belong to. A recording that has begun goes on over a transfer, and with a third party,
which is heard on the side of leg 2: it stays whose it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

from sipcore.domain.commands import (
    BridgeLegs,
    CloseRecording,
    Command,
    JoinRoom,
    PlaceLeg,
    PlayAudio,
    ReportFirstStage,
    StartRecording,
    StopRecording,
)
from sipcore.domain.directory import RecordingRules
from sipcore.domain.errors import NotRecordedError
from sipcore.domain.events import PlaybackFinished
from sipcore.domain.feature_codes import FeatureCodes
from sipcore.domain.machine import IGNORED, Machine
from sipcore.domain.party import News, Party
from sipcore.domain.recording import Channel
from sipcore.domain.recording_policy import Owner
from sipcore.domain.role import Role

_CHANNELS = {Role.FIRST: Channel.LEFT, Role.SECOND: Channel.RIGHT, Role.THIRD: Channel.RIGHT}


_TWO = (Role.FIRST, Role.SECOND)
"""Whose lines decide whether a call is recorded."""


class RecordingState(StrEnum):
    """Where the recording stands."""

    OFF = "off"
    NOTICE = "notice"
    RECORDING = "recording"
    PAUSED = "paused"
    STOPPED = "stopped"


class RecordingAction(StrEnum):
    """What can be asked of a recording while it is made; `TOGGLE` pauses it or resumes it."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    TOGGLE = "toggle"


_TABLE: dict[tuple[RecordingState, RecordingAction], str] = {
    (RecordingState.RECORDING, RecordingAction.PAUSE): "_pause",
    (RecordingState.RECORDING, RecordingAction.RESUME): IGNORED,
    (RecordingState.RECORDING, RecordingAction.TOGGLE): "_pause",
    (RecordingState.RECORDING, RecordingAction.STOP): "_stop",
    (RecordingState.PAUSED, RecordingAction.PAUSE): IGNORED,
    (RecordingState.PAUSED, RecordingAction.RESUME): "_resume",
    (RecordingState.PAUSED, RecordingAction.TOGGLE): "_resume",
    (RecordingState.PAUSED, RecordingAction.STOP): "_stop",
    (RecordingState.STOPPED, RecordingAction.STOP): IGNORED,
}


class CallRecording(Machine[RecordingState]):
    """Records one call, or does not.

    Args:
        owner_of: whose recording it is, by who talks as party 1 and as party 2; None: it is not recorded.
        rules: of the organisation.
        notice: audio files that say that the call is recorded; without any there is no notice.
        new_id: mints the id of a recording, 32 hex digits.
    """

    def __init__(
        self,
        owner_of: Callable[[str, str], Owner | None],
        rules: RecordingRules,
        notice: Sequence[str],
        new_id: Callable[[], str],
    ) -> None:
        super().__init__("recording", RecordingState.OFF)
        self._owner_of = owner_of
        self._rules = rules
        self._notice = tuple(notice) if rules.notice else ()
        self._new_id = new_id
        codes = {rules.pause_code: RecordingAction.TOGGLE, rules.stop_code: RecordingAction.STOP}
        self._codes = FeatureCodes({code: action for code, action in codes.items() if code})
        self._owner: Owner | None = None
        self._id: str | None = None
        self._lines: dict[str, str] = {}
        self._legs: dict[Role, str] = {}
        self._takes: dict[str, str] = {}
        self._held: list[Command] = []
        self._unheard: dict[str, str] = {}
        self._told: set[str] = set()

    @property
    def id(self) -> str | None:
        """Of the recording, or None: there is none, or none yet."""
        return self._id

    @property
    def agents_role(self) -> Role:
        """On which side the agent is, whose keys may be codes."""
        return Role.FIRST if self._owner is None else self._owner.role

    def watch(self, commands: Iterable[Command], parties: Mapping[Role, Party]) -> list[Command]:
        """Complete what the call wants done by what its recording takes."""
        completed: list[Command] = []
        for command in commands:
            if isinstance(command, PlaceLeg):
                self._lines[command.leg] = command.plan.line
            if isinstance(command, BridgeLegs):
                completed += self._joined(command, parties)
                continue
            completed.append(command)
            if isinstance(command, ReportFirstStage) and command.fail_reason is None:
                completed += self._first_answered(parties)
        return completed

    def feed(self, event: PlaybackFinished) -> list[Command]:
        """Join the legs and record them, once all have heard the notice."""
        leg = self._unheard.pop(event.playback, None)
        if leg is None:
            return []
        self._told.add(leg)
        if self._unheard or not self._held:
            return []
        held, self._held = self._held, []
        return [*held, *(self._begin() if self.state is RecordingState.NOTICE else self._record())]

    def admit(self, leg: str, joins: list[Command]) -> list[Command]:
        """Record a third leg beside those that talk, once it has heard the notice.

        Args:
            leg: the third one.
            joins: what joins it with the others.
        """
        self._legs[Role.THIRD] = leg
        if self.state in (RecordingState.RECORDING, RecordingState.PAUSED):
            return self._join_when_told(joins)
        return joins

    def forget(self, party: Party) -> None:
        """Let go of a party that leaves while the call goes on: its takes end with its legs."""
        owner_left = any(party.owns(leg) for role, leg in self._legs.items() if role is self.agents_role)
        if owner_left:
            # The codes are the agent's, and nobody else's who comes to the same side.
            self._codes = FeatureCodes({})
        self._legs = {role: leg for role, leg in self._legs.items() if not party.owns(leg)}
        self._takes = {leg: take for leg, take in self._takes.items() if not party.owns(leg)}
        self._held = [command for command in self._held if not any(map(party.owns, _joined_by(command)))]
        self._unheard = {playback: leg for playback, leg in self._unheard.items() if not party.owns(leg)}

    def act(self, action: RecordingAction) -> list[Command]:
        """Do what was asked for; doing it again changes nothing.

        Raises:
            NotRecordedError: the call is not recorded, or not any more.
        """
        method = _TABLE.get((self.state, action))
        if method is None:
            raise NotRecordedError("the call is not being recorded")
        commands: list[Command] = [] if method == IGNORED else getattr(self, method)(action)
        return commands

    def press(self, key: News, role: Role, now: float) -> tuple[list[News], list[Command]]:
        """Take a key of one of the parties.

        Returns:
            The keys that the other party hears now, and what is to be done.
        """
        if self.state not in (RecordingState.RECORDING, RecordingState.PAUSED) or role is not self.agents_role:
            return [key], []
        passed, action = self._codes.press(key, now)
        return passed, [] if action is None else self.act(action)

    def next_deadline(self) -> float | None:
        """End of the time in which keys may become a code."""
        return self._codes.deadline

    def on_deadline(self, now: float) -> list[News]:
        """Give the agent's keys that the other party hears now, as they have not become a code."""
        deadline = self._codes.deadline
        return [] if deadline is None or now < deadline else self._codes.release()

    def _joined(self, command: BridgeLegs, parties: Mapping[Role, Party]) -> list[Command]:
        legs = {role: leg for leg in _joined_by(command) for role in _TWO if parties[role].owns(leg)}
        if len(legs) < len(_TWO):
            return [command]
        self._legs = legs
        if self.state is RecordingState.OFF:
            self._owner = self._owner_of(*(self._lines.get(legs[role], "") for role in _TWO))
            if self._owner is None:
                return [command]
            if not self._notice:
                return [command, *self._begin()]
            self._enter(RecordingState.NOTICE, "joined")
        if self.state is RecordingState.STOPPED:
            return [command]
        return self._join_when_told([command])

    def _first_answered(self, parties: Mapping[Role, Party]) -> list[Command]:
        first, second = parties[Role.FIRST], parties[Role.SECOND]
        if self._rules.start != "answered" or self._notice or first.leg is None or not first.up:
            return []
        line = self._lines.get(first.leg, "")
        if second.leg is None and (not line or line.startswith("+")):
            # Who will answer as party 2, and whose recording it would be, is not known yet.
            return []
        self._owner = self._owner_of(line, self._lines.get(second.leg or "", ""))
        if self._owner is None:
            return []
        self._legs = {Role.FIRST: first.leg}
        return self._begin()

    def _join_when_told(self, joins: list[Command]) -> list[Command]:
        """Play the notice to those who have not heard it, before they are joined and recorded."""
        untold = [leg for leg in self._legs.values() if leg not in self._told] if self._notice else []
        if not untold:
            return [*joins, *(self._begin() if self.state is RecordingState.NOTICE else self._record())]
        self._held = joins
        self._unheard = {f"notice {leg}": leg for leg in untold}
        return [PlayAudio(leg, playback, self._notice) for playback, leg in self._unheard.items()]

    def _begin(self) -> list[Command]:
        self._id = self._new_id()
        self._enter(RecordingState.RECORDING, "begin")
        return self._record()

    def _record(self) -> list[Command]:
        """Record each leg that is not recorded yet."""
        if self.state is not RecordingState.RECORDING or self._id is None or self._owner is None:
            return []
        commands: list[Command] = []
        for role, leg in sorted(self._legs.items()):
            if leg not in self._takes:
                take = self._takes[leg] = self._new_id()
                commands.append(StartRecording(leg, take, self._id, _CHANNELS[role], self._owner.extension))
        return commands

    def _end_takes(self) -> list[Command]:
        takes, self._takes = self._takes, {}
        return [StopRecording(leg, take) for leg, take in takes.items()]

    def _pause(self, action: RecordingAction) -> list[Command]:
        self._enter(RecordingState.PAUSED, action)
        return self._end_takes()

    def _resume(self, action: RecordingAction) -> list[Command]:
        self._enter(RecordingState.RECORDING, action)
        return self._record()

    def _stop(self, action: RecordingAction) -> list[Command]:
        self._enter(RecordingState.STOPPED, action)
        closed = [] if self._id is None else [CloseRecording(self._id)]
        return [*self._end_takes(), *closed]


def _joined_by(command: Command) -> tuple[str, ...]:
    if isinstance(command, BridgeLegs):
        return command.other, command.leg
    return (command.leg,) if isinstance(command, JoinRoom) else ()


def unrecorded() -> CallRecording:
    """Return what records nothing."""
    return CallRecording(lambda _line1, _line2: None, RecordingRules(), (), str)
