"""A phone whose answer is looked at before anybody is told of it."""

from __future__ import annotations

from abc import abstractmethod
from enum import StrEnum

from sipcore.domain.around import PartyAround
from sipcore.domain.causes import NORMAL_CLEARING, WITHDRAWN, WORKER_DIED, Disposition, Outcome
from sipcore.domain.commands import Command
from sipcore.domain.errors import Click2CallError
from sipcore.domain.events import Event, LegEarlyMediaStarted, WorkerLost
from sipcore.domain.machine import Machine
from sipcore.domain.party import News, NewsKind, Party, earliest

NOT_TAKEN = Outcome(Disposition.NO_ANSWER, NORMAL_CLEARING)
"""A phone that was answered, by nobody who would take the call."""


class CheckState(StrEnum):
    """Where the answer stands."""

    RINGING = "ringing"
    CHECKING = "checking"
    UP = "up"
    OVER = "over"


_TABLE: dict[tuple[CheckState, NewsKind], str] = {
    (CheckState.RINGING, NewsKind.RANG): "_told_on",
    (CheckState.RINGING, NewsKind.ANSWERED): "_begin",
    (CheckState.RINGING, NewsKind.FAILED): "_over",
    (CheckState.CHECKING, NewsKind.DIGIT): "_key",
    (CheckState.CHECKING, NewsKind.LEFT): "_hung_up",
    (CheckState.UP, NewsKind.DIGIT): "_told_on",
    (CheckState.UP, NewsKind.LEFT): "_over",
}


class CheckedParty(PartyAround, Machine[CheckState]):
    """It counts as ringing until its answer has been checked, and as not answered when that ends badly.

    The one who waits hears ringback until then, and never the phone's early media, which is the called person's own
    voice from the answer on.

    Args:
        inner: the phone.
    """

    def __init__(self, inner: Party) -> None:
        PartyAround.__init__(self, inner)
        Machine.__init__(self, f"{type(self).__name__} {inner.uid}", CheckState.RINGING)
        self._deadline: float | None = None

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Release the phone."""
        if self.state is CheckState.CHECKING:
            self._outcome = WITHDRAWN
        self._end("withdraw")
        return super().withdraw(now, reason)

    def feed(self, event: Event, now: float) -> list[Command]:
        """Take an event of the phone, or of what is played to it."""
        if isinstance(event, LegEarlyMediaStarted):
            return []
        commands: list[Command] = []
        if self.state is CheckState.CHECKING:
            if isinstance(event, WorkerLost) and self._inner.leg in event.legs:
                self._outcome = WORKER_DIED
            commands = self._check(event, now)
        return [*commands, *super().feed(event, now)]

    def next_deadline(self) -> float | None:
        """The phone's, or the check's own."""
        return earliest([self._inner], self._deadline)

    def on_deadline(self, now: float) -> list[Command]:
        """Let the phone act, and the check."""
        commands: list[Command] = []
        if self._deadline is not None and now >= self._deadline:
            commands = self._time_is_up(now)
        return [*commands, *super().on_deadline(now)]

    @property
    def _phone_leg(self) -> str:
        if self._inner.leg is None:
            raise Click2CallError(f"{self._name} was answered without a leg")
        return self._inner.leg

    @abstractmethod
    def _start_check(self, now: float) -> list[Command]:
        """Begin to look at the answer."""

    @abstractmethod
    def _check(self, event: Event, now: float) -> list[Command]:
        """Take an event while the answer is looked at."""

    @abstractmethod
    def _time_is_up(self, now: float) -> list[Command]:
        """Act on the check's own deadline."""

    def _key(self, _news: News, _now: float) -> list[Command]:
        """Take a key that was pressed while the answer is looked at; here: pass it over."""
        return []

    def _accept(self) -> None:
        self._deadline = None
        self._enter(CheckState.UP, "accepted")
        self._tell(NewsKind.ANSWERED)

    def _refuse(self, now: float) -> list[Command]:
        self._outcome = NOT_TAKEN
        self._end("refused")
        self._tell(NewsKind.FAILED)
        return super().withdraw(now)

    def _end(self, because: str) -> None:
        self._deadline = None
        self._enter(CheckState.OVER, because)

    def _act_on(self, news: News, now: float) -> list[Command]:
        if self.state is CheckState.OVER:
            return []
        commands: list[Command] = getattr(self, self._method(_TABLE, (self.state, news.kind), news.kind))(news, now)
        return commands

    def _told_on(self, news: News, _now: float) -> list[Command]:
        self._tell_on(news)
        return []

    def _begin(self, _news: News, now: float) -> list[Command]:
        self._enter(CheckState.CHECKING, "answered")
        return self._start_check(now)

    def _over(self, news: News, _now: float) -> list[Command]:
        self._end(news.kind)
        self._tell_on(news)
        return []

    def _hung_up(self, _news: News, _now: float) -> list[Command]:
        self._outcome = self._outcome or NOT_TAKEN
        self._end("hung up")
        self._tell(NewsKind.FAILED)
        return []
