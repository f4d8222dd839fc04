"""A party around another one, which it stands for and whose news it may keep to itself."""

from __future__ import annotations

from abc import abstractmethod

from sipcore.domain.causes import Outcome
from sipcore.domain.commands import Command
from sipcore.domain.events import Event
from sipcore.domain.party import Clock, News, Party, PartyBase
from sipcore.domain.record import LegRecord


class PartyAround(PartyBase):
    """Everything goes to the party inside, except where a kind of it says otherwise.

    Args:
        inner: the party that it stands for.
    """

    def __init__(self, inner: Party) -> None:
        super().__init__(inner.uid)
        self._inner = inner

    @property
    def leg(self) -> str | None:
        """The inner party's."""
        return self._inner.leg

    @property
    def up(self) -> bool:
        """As the inner party is."""
        return self._inner.up

    @property
    def contest_legs(self) -> int:
        """The inner party's."""
        return self._inner.contest_legs

    @property
    def released(self) -> bool:
        """As the inner party is."""
        return self._inner.released

    @property
    def outcome(self) -> Outcome | None:
        """Its own, or else the inner party's."""
        return self._outcome or self._inner.outcome

    @property
    def recording_id(self) -> str | None:
        """The inner party's."""
        return self._inner.recording_id

    def owns(self, leg: str) -> bool:
        """Tell whether it is one of the inner party's."""
        return self._inner.owns(leg)

    def start(self, now: float, listener: str | None = None) -> list[Command]:
        """Ring the inner party."""
        return self._after(self._inner.start(now, listener), now)

    def join(self, other: str, now: float) -> list[Command]:
        """Join the inner party."""
        return self._after(self._inner.join(other, now), now)

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:
        """Give the key to the inner party."""
        return self._after(self._inner.press(digit, duration_ms, now), now)

    def let_go(self) -> list[Command]:
        """Let the inner party let go."""
        return self._inner.let_go()

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Release the inner party."""
        return self._after(self._inner.withdraw(now, reason), now)

    def feed(self, event: Event, now: float) -> list[Command]:
        """Give the event to the inner party."""
        return self._after(self._inner.feed(event, now), now)

    def next_deadline(self) -> float | None:
        """The inner party's."""
        return self._inner.next_deadline()

    def on_deadline(self, now: float) -> list[Command]:
        """Let the inner party act."""
        return self._after(self._inner.on_deadline(now), now)

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell what became of the inner party's legs."""
        return self._inner.records(at)

    @abstractmethod
    def _act_on(self, news: News, now: float) -> list[Command]:
        """Act on the inner party's news: tell it on, or keep it."""

    def _after(self, commands: list[Command], now: float) -> list[Command]:
        commands = list(commands)
        while told := self._inner.take_news():
            for news in told:
                commands += self._act_on(news, now)
        return commands

    def _tell_on(self, news: News) -> None:
        self._news.append(news)
