"""A destination that is tried first, and what is rung when it fails."""

from __future__ import annotations

from collections.abc import Callable

from sipcore.domain.around import PartyAround
from sipcore.domain.commands import Command
from sipcore.domain.events import Event, WorkerLost
from sipcore.domain.party import Clock, News, NewsKind, Party, concerned, earliest
from sipcore.domain.record import LegRecord


class FallbackParty(PartyAround):
    """One party, and another in its place once it has failed.

    Args:
        inner: tried first.
        instead: makes the one that follows.
    """

    def __init__(self, inner: Party, instead: Callable[[], Party]) -> None:
        super().__init__(inner)
        self._instead: Callable[[], Party] | None = instead
        self._failed: list[Party] = []
        self._listener: str | None = None

    @property
    def released(self) -> bool:
        """True when neither has a leg left."""
        return super().released and all(party.released for party in self._failed)

    def owns(self, leg: str) -> bool:
        """Tell whether it is one of either's."""
        return super().owns(leg) or any(party.owns(leg) for party in self._failed)

    def start(self, now: float, listener: str | None = None) -> list[Command]:
        """Ring the first."""
        self._listener = listener
        return super().start(now, listener)

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Release whichever is there; nothing follows any more."""
        self._instead = None
        return super().withdraw(now, reason)

    def feed(self, event: Event, now: float) -> list[Command]:
        """Give the event to whom it concerns."""
        if isinstance(event, WorkerLost) and self._listener in event.legs:
            self._instead = None  # nobody waits any more: whoever that was withdraws this party next
        commands: list[Command] = []
        for party in concerned([*self._failed, self._inner], event):
            commands += party.feed(event, now)
        return self._after(commands, now)

    def next_deadline(self) -> float | None:
        """The earliest of both."""
        return earliest([*self._failed, self._inner])

    def on_deadline(self, now: float) -> list[Command]:
        """Let both act."""
        commands: list[Command] = []
        for party in self._failed:
            commands += party.on_deadline(now)
        return [*commands, *super().on_deadline(now)]

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell what became of the legs of both."""
        return tuple(leg for party in (*self._failed, self._inner) for leg in party.records(at))

    def _act_on(self, news: News, now: float) -> list[Command]:
        if news.kind is NewsKind.FAILED and self._instead is not None:
            self._failed.append(self._inner)
            self._inner, self._instead = self._instead(), None
            return self._after(self._inner.start(now, self._listener), now)
        self._tell_on(news)
        return []
