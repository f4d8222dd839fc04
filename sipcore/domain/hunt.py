"""The party that is several phones: a ring group, rung all at once or one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sipcore.domain.causes import NO_SUCH_EXTENSION, OWN_TIMEOUT, WITHDRAWN, Disposition, Outcome
from sipcore.domain.commands import Command, PlayTone
from sipcore.domain.events import Event
from sipcore.domain.machine import IGNORED, Machine
from sipcore.domain.party import Clock, News, NewsKind, Party, PartyBase, concerned, earliest
from sipcore.domain.record import LegRecord
from sipcore.domain.tones import ToneKind, tone

COMPLETED_ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
"""Reason header (RFC 3326 section 2) of the CANCEL to phones that lost: they show no missed call."""

_WORTH_TELLING = (
    Disposition.NO_ANSWER,
    Disposition.BUSY,
    Disposition.NOT_CONNECTED,
    Disposition.UNREACHABLE,
)
"""Of several outcomes the first of these is the group's: a phone that rang says more than one that was not there."""


class HuntState(StrEnum):
    """Where the group stands."""

    IDLE = "idle"
    RINGING = "ringing"
    UP = "up"
    OVER = "over"


_TABLE: dict[tuple[HuntState, NewsKind], str] = {
    (HuntState.RINGING, NewsKind.RANG): "_rang",
    (HuntState.RINGING, NewsKind.ANSWERED): "_answered",
    (HuntState.RINGING, NewsKind.FAILED): "_next",
    # A member that is itself made of several may be left between its answer and our reading of it.
    (HuntState.RINGING, NewsKind.LEFT): "_next",
    (HuntState.RINGING, NewsKind.DIGIT): IGNORED,
    (HuntState.UP, NewsKind.LEFT): "_left",
    (HuntState.UP, NewsKind.DIGIT): "_digit",
}


class HuntParty(PartyBase, Machine[HuntState]):
    """Several members of which the first that answers is taken.

    Args:
        uid: UniqueID that it was given at acceptance; the first member's too.
        number: of the group.
        members: in the order in which they are rung.
        at_once: True: all are rung together; False: each when the one before has failed.
        total_seconds: how long all of them together may ring.
        country: whose ringback whoever waits for it hears.
    """

    def __init__(
        self, uid: str, number: str, members: Sequence[Party], *, at_once: bool, total_seconds: float, country: str
    ) -> None:
        PartyBase.__init__(self, uid)
        Machine.__init__(self, f"group {number} {uid}", HuntState.IDLE)
        self._number = number
        self._members = tuple(members)
        self._at_once = at_once
        self._total_seconds = total_seconds
        self._country = country
        self._started: list[Party] = []
        self._winner: Party | None = None
        self._deadline: float | None = None
        self._told_ringing = False

    @property
    def leg(self) -> str | None:
        """The leg of the member who answered."""
        return None if self._winner is None else self._winner.leg

    @property
    def up(self) -> bool:
        """True while the member who answered is up."""
        return self._winner is not None and self._winner.up

    @property
    def contest_legs(self) -> int:
        """Those of all members; one after the other, the last one may still be let go while the next one rings."""
        widths = [max(member.contest_legs, 1) for member in self._members]
        return sum(widths) if self._at_once else sum(sorted(widths)[-2:])

    @property
    def released(self) -> bool:
        """True when no member has a leg left."""
        return all(member.released for member in self._members)

    def owns(self, leg: str) -> bool:
        """Tell whether it is one of a member's."""
        return any(member.owns(leg) for member in self._members)

    def start(self, now: float, listener: str | None = None) -> list[Command]:
        """Ring the members, or the first of them."""
        self._deadline = now + self._total_seconds
        self._enter(HuntState.RINGING, "start")
        commands = self._ring(now, len(self._members) if self._at_once else 1)
        if listener is not None and commands:
            commands.append(PlayTone(listener, tone(ToneKind.RINGBACK, self._country)))
        return self._after(commands, now)

    def join(self, other: str, now: float) -> list[Command]:
        """Join the member who answered."""
        return [] if self._winner is None else self._winner.join(other, now)

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:
        """Give the key to the member who answered."""
        return [] if self._winner is None else self._winner.press(digit, duration_ms, now)

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Release every member."""
        if self.state is not HuntState.OVER:
            self._outcome = WITHDRAWN if self._winner is None else Outcome(Disposition.ANSWERED, WITHDRAWN.cause)
            self._over("withdraw")
        return self._withdraw_all(now, reason)

    def feed(self, event: Event, now: float) -> list[Command]:
        """Give the event to the members that it concerns."""
        commands: list[Command] = []
        for member in concerned(self._started, event):
            commands += member.feed(event, now)
        return self._after(commands, now)

    def next_deadline(self) -> float | None:
        """End of the ringing time, or a member's."""
        return earliest(self._started, self._deadline)

    def on_deadline(self, now: float) -> list[Command]:
        """Let the members act, and end the ringing when its time is over."""
        commands: list[Command] = []
        for member in self._started:
            commands += member.on_deadline(now)
        commands = self._after(commands, now)
        if self._deadline is not None and now >= self._deadline:
            self._fail(OWN_TIMEOUT, "ringing time is up")
            commands += self._withdraw_all(now, "")
        return commands

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell what became of every leg that was placed."""
        if self._started:
            return tuple(leg for member in self._started for leg in member.records(at))
        outcome = self._outcome
        return (
            LegRecord(
                uid=self._uid,
                number=self._number,
                disposition=outcome.disposition if outcome else None,
                cause=outcome.cause if outcome else None,
            ),
        )

    def _ring(self, now: float, count: int) -> list[Command]:
        commands: list[Command] = []
        waiting = self._members[len(self._started) :]
        for member in waiting[:count]:
            self._started.append(member)
            commands += member.start(now)
        return commands

    def _after(self, commands: list[Command], now: float) -> list[Command]:
        """Act on the members' news until there is none: a member that fails at once brings the next one's."""
        commands = list(commands)
        progress = True
        while progress:
            progress = False
            for member in tuple(self._started):
                for news in member.take_news():
                    progress = True
                    commands += self._act_on(news, member, now)
        if self.state is HuntState.RINGING and not self._members:
            self._fail(NO_SUCH_EXTENSION, "no members")
        return commands

    def _act_on(self, news: News, member: Party, now: float) -> list[Command]:
        if self.state is HuntState.OVER or (self._winner is not None and member is not self._winner):
            # The losers are being released, and whatever they still say of it no longer matters.
            return []
        method = self._method(_TABLE, (self.state, news.kind), str(news.kind))
        commands: list[Command] = [] if method == IGNORED else getattr(self, method)(news, member, now)
        return commands

    def _rang(self, _news: News, _member: Party, _now: float) -> list[Command]:
        if not self._told_ringing:
            self._told_ringing = True
            self._tell(NewsKind.RANG)
        return []

    def _answered(self, _news: News, member: Party, now: float) -> list[Command]:
        self._winner = member
        self._deadline = None
        self._enter(HuntState.UP, "a member answered")
        self._tell(NewsKind.ANSWERED)
        commands: list[Command] = []
        for other in self._started:
            if other is not member:
                commands += other.withdraw(now, COMPLETED_ELSEWHERE)
        return commands

    def _next(self, _news: News, _member: Party, now: float) -> list[Command]:
        if len(self._started) < len(self._members):
            return self._ring(now, 1)
        if all(member.outcome is not None for member in self._members):
            found = {member.outcome.disposition: member.outcome for member in self._members if member.outcome}
            worth = next((found[word] for word in _WORTH_TELLING if word in found), None)
            self._fail(worth or next(iter(found.values())), "no member left")
        return []

    def _left(self, _news: News, _member: Party, _now: float) -> list[Command]:
        self._outcome = self._winner.outcome if self._winner else None
        self._over("the member left")
        self._tell(NewsKind.LEFT)
        return []

    def _digit(self, news: News, _member: Party, _now: float) -> list[Command]:
        self._tell(NewsKind.DIGIT, news.digit, news.duration_ms)
        return []

    def _fail(self, outcome: Outcome, because: str) -> None:
        self._outcome = outcome
        self._over(because)
        self._tell(NewsKind.FAILED)

    def _over(self, because: str) -> None:
        self._deadline = None
        self._enter(HuntState.OVER, because)

    def _withdraw_all(self, now: float, reason: str) -> list[Command]:
        commands: list[Command] = []
        for member in self._started:
            commands += member.withdraw(now, reason)
        return commands
