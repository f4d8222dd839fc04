"""What the parties share that ring several others, of whom the first who answers stands for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic

from sipcore.domain.causes import WITHDRAWN, Disposition, Outcome
from sipcore.domain.commands import Command
from sipcore.domain.events import Event
from sipcore.domain.machine import IGNORED, Machine, StateT
from sipcore.domain.party import Clock, News, NewsKind, Party, PartyBase, concerned, earliest
from sipcore.domain.record import LegRecord

COMPLETED_ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
"""Reason header (RFC 3326 section 2) of the CANCEL to phones that lost: they show no missed call."""


@dataclass(frozen=True, slots=True)
class Milestones(Generic[StateT]):
    """The states that every such party has: before it rings, with somebody who answered, and at the end."""

    idle: StateT
    up: StateT
    over: StateT


class FirstTakenParty(PartyBase, Machine[StateT]):
    """Several parties, rung together or one after the other, of which the first that answers is taken.

    Args:
        uid: UniqueID that it was given at acceptance; that of the first leg, too.
        number: its internal number.
        states: its milestones.
        table: from state and news of a party that matters to the method that acts on it.
    """

    def __init__(
        self, uid: str, number: str, states: Milestones[StateT], table: Mapping[tuple[StateT, NewsKind], str]
    ) -> None:
        PartyBase.__init__(self, uid)
        Machine.__init__(self, f"{type(self).__name__} {number} {uid}", states.idle)
        self._number = number
        self._states = states
        self._table = table
        self._rung: list[Party] = []
        self._winner: Party | None = None
        self._deadline: float | None = None
        self._told_ringing = False

    @property
    def leg(self) -> str | None:
        """The leg of whoever answered."""
        return None if self._winner is None else self._winner.leg

    @property
    def up(self) -> bool:
        """True while whoever answered is up."""
        return self._winner is not None and self._winner.up

    @property
    def recording_id(self) -> str | None:
        """Of whoever answered."""
        return None if self._winner is None else self._winner.recording_id

    @property
    def released(self) -> bool:
        """True when nobody who was rung has a leg left."""
        return all(party.released for party in self._rung)

    def owns(self, leg: str) -> bool:
        """Tell whether it belongs to somebody who was rung."""
        return any(party.owns(leg) for party in self._rung)

    def join(self, other: str, now: float) -> list[Command]:
        """Join whoever answered."""
        return [] if self._winner is None else self._after(self._winner.join(other, now), now)

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:
        """Give the key to whoever answered."""
        return [] if self._winner is None else self._after(self._winner.press(digit, duration_ms, now), now)

    def let_go(self) -> list[Command]:
        """Let whoever answered let go."""
        return [] if self._winner is None else self._winner.let_go()

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Release everybody who was rung."""
        if self.state not in (self._states.idle, self._states.over):
            self._outcome = WITHDRAWN if self._winner is None else Outcome(Disposition.ANSWERED, WITHDRAWN.cause)
            self._over("withdraw")
        return self._withdraw_all(now, reason)

    def feed(self, event: Event, now: float) -> list[Command]:
        """Give the event to whom it concerns."""
        commands: list[Command] = []
        for party in concerned(tuple(self._rung), event):
            commands += party.feed(event, now)
        return self._after(commands, now)

    def next_deadline(self) -> float | None:
        """Its own, or one of somebody who was rung."""
        return earliest(self._rung, self._deadline)

    def on_deadline(self, now: float) -> list[Command]:
        """Let those who were rung act, and end the ringing when its time is over."""
        commands: list[Command] = []
        for party in tuple(self._rung):
            commands += party.on_deadline(now)
        commands = self._after(commands, now)
        if self._deadline is not None and now >= self._deadline:
            commands += self._time_is_up(now)
        return self._after(commands, now)

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell what became of every leg that was placed."""
        if self._rung:
            return tuple(leg for party in self._rung for leg in party.records(at))
        outcome = self._outcome
        return (
            LegRecord(
                uid=self._uid,
                number=self._number,
                disposition=outcome.disposition if outcome else None,
                cause=outcome.cause if outcome else None,
            ),
        )

    def _matters(self, party: Party) -> bool:
        """Tell whether news of a party are to be acted on: not those of one that is being released."""
        return self._winner is None or party is self._winner

    def _time_is_up(self, now: float) -> list[Command]:
        """End the ringing without an answer."""
        raise NotImplementedError

    def _after(self, commands: list[Command], now: float) -> list[Command]:
        """Act on news, and on what follows from that, until there is none."""
        commands = list(commands)
        while told := [(party, news) for party in self._rung for news in party.take_news()]:
            for party, news in told:
                commands += self._act_on(news, party, now)
        return commands

    def _act_on(self, news: News, party: Party, now: float) -> list[Command]:
        if self.state is self._states.over or not self._matters(party):
            return []
        method = self._method(self._table, (self.state, news.kind), str(news.kind))
        commands: list[Command] = [] if method == IGNORED else getattr(self, method)(news, party, now)
        return commands

    def _rang(self, _news: News, _party: Party, _now: float) -> list[Command]:
        if not self._told_ringing:
            self._told_ringing = True
            self._tell(NewsKind.RANG)
        return []

    def _answered(self, _news: News, party: Party, now: float) -> list[Command]:
        self._winner = party
        self._deadline = None
        self._enter(self._states.up, "answered")
        self._tell(NewsKind.ANSWERED)
        return self._withdraw_all(now, COMPLETED_ELSEWHERE)

    def _left(self, _news: News, party: Party, _now: float) -> list[Command]:
        self._outcome = party.outcome
        self._over("whoever answered left")
        self._tell(NewsKind.LEFT)
        return []

    def _digit(self, news: News, _party: Party, _now: float) -> list[Command]:
        self._tell(NewsKind.DIGIT, news.digit, news.duration_ms)
        return []

    def _fail(self, outcome: Outcome, because: str) -> None:
        self._outcome = outcome
        self._over(because)
        self._tell(NewsKind.FAILED)

    def _over(self, because: str) -> None:
        self._deadline = None
        self._enter(self._states.over, because)

    def _withdraw_all(self, now: float, reason: str = "") -> list[Command]:
        """Release everybody, but whoever is up with the call."""
        commands: list[Command] = []
        for party in self._rung:
            if party is not self._winner or self.state is not self._states.up:
                commands += party.withdraw(now, reason)
        return commands
