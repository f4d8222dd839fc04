"""A party without a phone: it answers by itself, and what it says goes to the other side's leg."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sipcore.domain.causes import NORMAL_CLEARING, Disposition, Outcome
from sipcore.domain.commands import Command, PlayAudio, StopPlaying
from sipcore.domain.events import Event, PlaybackFinished
from sipcore.domain.machine import IGNORED, Machine, StateT
from sipcore.domain.party import Clock, NewsKind, PartyBase
from sipcore.domain.record import LegRecord

PLAYOUT_SECONDS = 0.3
"""How long a far end goes on playing what has reached it: a jitter buffer and the way there. A BYE cuts that off."""


class Step(StrEnum):
    """What moves such a party."""

    JOINED = "joined"
    PLAYED = "played"
    KEY = "key"
    TIME_UP = "time is up"
    CAME_BACK = "came back"


Table = Mapping[tuple[StateT, Step], str]
"""From state and step to the method that acts; that of a KEY takes the key, too."""


class AnsweringParty(PartyBase, Machine[StateT]):
    """It is answered as soon as it is rung, and begins when it is joined with a leg.

    Once it is over nothing can follow: what was played or pressed shortly before is passed over here, for all kinds.

    Args:
        uid: its UniqueID; no leg has it.
        number: its internal number.
        prompts: audio files of the organisation's prompts, by name; one that is not there is left out.
        state: the first state.
        table: its transitions.
    """

    def __init__(self, uid: str, number: str, prompts: Mapping[str, str], state: StateT, table: Table[StateT]) -> None:
        PartyBase.__init__(self, uid)
        Machine.__init__(self, f"{type(self).__name__} {number} {uid}", state)
        self._number = number
        self._prompts = prompts
        self._table = table
        self._other = ""
        self._deadline: float | None = None
        self._answered: float | None = None
        self._ended: float | None = None
        self._plays = 0
        self._playback: str | None = None
        self._leaving = False

    def start(self, now: float, listener: str | None = None) -> list[Command]:  # noqa: ARG002 - the parties' common shape
        """Answer."""
        self._answered = now
        self._tell(NewsKind.ANSWERED)
        return []

    def join(self, other: str, now: float) -> list[Command]:
        """Begin, with this leg as the one that hears it."""
        self._other = other
        return self._take(Step.JOINED, now)

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:  # noqa: ARG002 - as above
        """Take a key."""
        return [] if self._leaving or self._ended is not None else self._take(Step.KEY, now, digit)

    def withdraw(self, now: float, reason: str = "") -> list[Command]:  # noqa: ARG002 - as above
        """Say no more; whatever the leg still hears ends with it."""
        self._end(now)
        return []

    def feed(self, event: Event, now: float) -> list[Command]:
        """Go on when what is played has come to its end."""
        if not isinstance(event, PlaybackFinished) or event.playback != self._playback:
            return []
        self._playback = None
        return self._take(Step.PLAYED, now)

    def next_deadline(self) -> float | None:
        """When it will wait no longer."""
        return self._deadline

    def on_deadline(self, now: float) -> list[Command]:
        """Wait no longer."""
        if self._deadline is None or now < self._deadline:
            return []
        self._deadline = None
        return self._leave(now) if self._leaving else self._take(Step.TIME_UP, now)

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell when it was there."""
        record = LegRecord(
            uid=self._uid,
            number=self._number,
            disposition=self._outcome.disposition if self._outcome else None,
            cause=self._outcome.cause if self._outcome else None,
            ended_by="local" if self._outcome else None,
            answered_at=None if self._answered is None else at(self._answered),
            ended_at=None if self._ended is None else at(self._ended),
        )
        return (record,)

    def _take(self, step: Step, now: float, *key: str) -> list[Command]:
        method = self._method(self._table, (self.state, step), step)
        commands: list[Command] = [] if method == IGNORED else getattr(self, method)(now, *key)
        return commands

    def _prompt(self, *names: str) -> tuple[str, ...]:
        return tuple(self._prompts[name] for name in names if name in self._prompts)

    def _play(self, files: tuple[str, ...], now: float, *, loop: bool = False) -> list[Command]:
        """Play files in place of what the leg hears; where there are none, go on as if they had been played."""
        if not files:
            return self._take(Step.PLAYED, now)
        self._plays += 1
        # An end that is reported late must not be taken for the end of what is played now.
        self._playback = f"{self._uid} {self._plays}"
        return [PlayAudio(self._other, self._playback, files, loop)]

    def _stop_playing(self) -> list[Command]:
        self._playback = None
        return [StopPlaying(self._other)]

    def _leave_when_heard(self, now: float) -> list[Command]:
        """Leave when the far end has heard the end of what was played."""
        self._leaving = True
        self._deadline = now + PLAYOUT_SECONDS
        return []

    def _leave(self, now: float) -> list[Command]:
        self._end(now)
        self._tell(NewsKind.LEFT)
        return []

    def _end(self, now: float) -> None:
        if self._answered is None or self._ended is not None:
            return
        self._ended = now
        self._deadline = None
        self._playback = None
        self._outcome = Outcome(Disposition.ANSWERED, NORMAL_CLEARING)
