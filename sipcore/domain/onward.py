"""Leading a leg that listens on to another party: from a menu, an announcement or a queue to what comes after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sipcore.domain.answering import AnsweringParty, Step, Table
from sipcore.domain.around import PartyAround
from sipcore.domain.commands import Command
from sipcore.domain.errors import Click2CallError
from sipcore.domain.events import Event, PlaybackFinished, WorkerLost
from sipcore.domain.machine import IGNORED, Machine, StateT
from sipcore.domain.party import Clock, News, NewsKind, Party, concerned, earliest
from sipcore.domain.record import LegRecord
from sipcore.domain.telling import TELL_SECONDS, Telling


class OnwardState(StrEnum):
    """Where the way on stands."""

    IDLE = "idle"
    RINGING = "ringing"
    JOINED = "joined"
    TELLING = "telling"
    OVER = "over"


_TABLE: dict[tuple[OnwardState, NewsKind], str] = {
    (OnwardState.RINGING, NewsKind.RANG): IGNORED,
    (OnwardState.RINGING, NewsKind.ANSWERED): "_join",
    (OnwardState.RINGING, NewsKind.FAILED): "_tell_why",
    (OnwardState.JOINED, NewsKind.DIGIT): "_digit",
    (OnwardState.JOINED, NewsKind.LEFT): "_left",
}


class Onward(PartyAround, Machine[OnwardState]):
    """A party that a listening leg is led on to, with everything that this takes.

    `start` rings it while the leg hears ringback, its answer joins it with the leg, its failure is told to the leg.
    Whoever leads on acts on three kinds of news: DIGIT and LEFT of a party that was joined, FAILED when the leg heard
    why. Keys that the leg presses go to `press`, and reach the party when it is joined.

    Args:
        inner: the party.
        leg: the leg that is led on; it is up, and stays so until this party is withdrawn.
        country: whose tones the leg hears (ISO 3166-1 alpha-2).
        prompts: audio files of the organisation's prompts, by name.
    """

    def __init__(self, inner: Party, leg: str, country: str, prompts: Mapping[str, str]) -> None:
        PartyAround.__init__(self, inner)
        Machine.__init__(self, f"onward {inner.uid}", OnwardState.IDLE)
        self._leg = leg
        self._country = country
        self._prompts = prompts
        self._telling: Telling | None = None
        self._deadline: float | None = None

    @property
    def over(self) -> bool:
        """True when the leg is led on no longer."""
        return self.state is OnwardState.OVER

    def start(self, now: float, listener: str | None = None) -> list[Command]:  # noqa: ARG002 - the leg that is led on listens
        """Ring the party."""
        self._enter(OnwardState.RINGING, "start")
        return super().start(now, self._leg)

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:
        """Give the key to the party, if it is there."""
        return super().press(digit, duration_ms, now) if self.state is OnwardState.JOINED else []

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Release the party."""
        self._end("withdraw")
        return super().withdraw(now, reason)

    def feed(self, event: Event, now: float) -> list[Command]:
        """Take an event of the party, or of what is played about it."""
        if isinstance(event, WorkerLost) and self._leg in event.legs:
            # Nobody is left who could be told anything: whoever the leg belongs to withdraws this party next.
            self._end("the leg is lost")
        told: list[Command] = []
        if isinstance(event, PlaybackFinished) and self._telling is not None:
            told = self._telling.feed(event)
        return [*told, *super().feed(event, now)]

    def next_deadline(self) -> float | None:
        """The party's, or the end of what is told."""
        return earliest([self._inner], self._deadline)

    def on_deadline(self, now: float) -> list[Command]:
        """Let the party act, and end what is told."""
        if self._deadline is not None and now >= self._deadline:
            self._end("told")
            self._tell(NewsKind.FAILED)
        return super().on_deadline(now)

    def _act_on(self, news: News, now: float) -> list[Command]:
        if self.over:
            return []
        method = self._method(_TABLE, (self.state, news.kind), news.kind)
        commands: list[Command] = [] if method == IGNORED else getattr(self, method)(news, now)
        return commands

    def _join(self, _news: News, now: float) -> list[Command]:
        self._enter(OnwardState.JOINED, "answered")
        return self._inner.join(self._leg, now)

    def _tell_why(self, _news: News, now: float) -> list[Command]:
        if self.outcome is None:
            raise Click2CallError(f"{self._name} failed without an outcome")
        self._enter(OnwardState.TELLING, "failed")
        self._deadline = now + TELL_SECONDS
        self._telling = Telling(self._leg, self.outcome.disposition, self._country, self._prompts)
        return self._telling.start()

    def _digit(self, news: News, _now: float) -> list[Command]:
        self._tell_on(news)
        return []

    def _left(self, news: News, _now: float) -> list[Command]:
        self._end("left")
        self._tell_on(news)
        return []

    def _end(self, because: str) -> None:
        self._deadline = None
        self._telling = None
        self._enter(OnwardState.OVER, because)


@dataclass(frozen=True, slots=True)
class WayOn:
    """What it takes to lead a leg on.

    Attributes:
        make_target: makes the party of a number, with a UniqueID of its own; a number that is nobody's is a party that
            fails.
        country: whose tones the leg hears (ISO 3166-1 alpha-2).
        prompts: audio files of the organisation's prompts, by name.
    """

    make_target: Callable[[str], Party]
    country: str
    prompts: Mapping[str, str]


class LeadingParty(AnsweringParty[StateT]):
    """A party without a phone that may lead the other side's leg on to others, one at a time.

    When one of those was joined and has left, it leaves. When one has failed, that is a step of its own.

    Args:
        uid: its UniqueID; no leg has it.
        number: its internal number.
        way: what it takes to lead on.
        state: the first state.
        table: its transitions.
    """

    def __init__(self, uid: str, number: str, way: WayOn, state: StateT, table: Table[StateT]) -> None:
        super().__init__(uid, number, way.prompts, state, table)
        self._way = way
        self._onwards: list[Onward] = []

    @property
    def released(self) -> bool:
        """True when nobody it led on to has a leg left."""
        return all(onward.released for onward in self._onwards)

    @property
    def recording_id(self) -> str | None:
        """Of a box that it led on to."""
        return next((onward.recording_id for onward in self._onwards if onward.recording_id), None)

    def owns(self, leg: str) -> bool:
        """Tell whether it belongs to one that it led on to."""
        return any(onward.owns(leg) for onward in self._onwards)

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:
        """Take a key, or send it on to whom the leg was led to."""
        leads = self._onwards and not self._onwards[-1].over
        if not leads:
            return super().press(digit, duration_ms, now)
        return self._after(self._onwards[-1].press(digit, duration_ms, now), now)

    def let_go(self) -> list[Command]:
        """Let whom it led on to let go."""
        return [command for onward in self._onwards for command in onward.let_go()]

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Say no more, and release whomever it led on to."""
        commands = super().withdraw(now, reason)
        for onward in self._onwards:
            commands += onward.withdraw(now, reason)
        return commands

    def feed(self, event: Event, now: float) -> list[Command]:
        """Go on, and give the event to those it concerns."""
        commands = super().feed(event, now)
        for onward in concerned(self._onwards, event):
            commands += onward.feed(event, now)
        return self._after(commands, now)

    def next_deadline(self) -> float | None:
        """Its own, or one of those it led on to."""
        return earliest(self._onwards, super().next_deadline())

    def on_deadline(self, now: float) -> list[Command]:
        """Let everybody act."""
        commands = super().on_deadline(now)
        for onward in self._onwards:
            commands += onward.on_deadline(now)
        return self._after(commands, now)

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell when it was there, and what became of the legs that followed."""
        return (*super().records(at), *(leg for onward in self._onwards for leg in onward.records(at)))

    def _lead_on(self, number: str, now: float) -> list[Command]:
        onward = Onward(self._way.make_target(number), self._other, self._way.country, self._way.prompts)
        self._onwards.append(onward)
        return self._after(onward.start(now), now)

    def _after(self, commands: list[Command], now: float) -> list[Command]:
        for onward in tuple(self._onwards):
            for news in onward.take_news():
                if news.kind is NewsKind.DIGIT:
                    self._tell(NewsKind.DIGIT, news.digit, news.duration_ms)
                else:
                    commands += self._leave(now) if news.kind is NewsKind.LEFT else self._take(Step.CAME_BACK, now)
        return commands
