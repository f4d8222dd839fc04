"""The party that is several phones: a ring group, rung all at once or one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sipcore.domain.causes import NO_SUCH_EXTENSION, OWN_TIMEOUT, WORTH_TELLING
from sipcore.domain.commands import Command, PlayTone
from sipcore.domain.events import Event, WorkerLost
from sipcore.domain.first_taken import FirstTakenParty, Milestones
from sipcore.domain.party import News, NewsKind, Party
from sipcore.domain.tones import ToneKind, tone


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
    (HuntState.UP, NewsKind.LEFT): "_left",
    (HuntState.UP, NewsKind.DIGIT): "_digit",
}


class HuntParty(FirstTakenParty[HuntState]):
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
        super().__init__(uid, number, Milestones(HuntState.IDLE, HuntState.UP, HuntState.OVER), _TABLE)
        self._members = tuple(members)
        self._at_once = at_once
        self._total_seconds = total_seconds
        self._country = country
        self._listener: str | None = None

    @property
    def contest_legs(self) -> int:
        """Those of all members; one after the other, the last one may still be let go while the next one rings."""
        widths = [max(member.contest_legs, 1) for member in self._members]
        return sum(widths) if self._at_once else sum(sorted(widths)[-2:])

    def start(self, now: float, listener: str | None = None) -> list[Command]:
        """Ring the members, or the first of them."""
        self._listener = listener
        self._deadline = now + self._total_seconds
        self._enter(HuntState.RINGING, "start")
        if not self._members:
            self._fail(NO_SUCH_EXTENSION, "no members")
        commands = self._after(self._ring(now, len(self._members) if self._at_once else 1), now)
        if listener is not None and self.state is HuntState.RINGING:
            commands.append(PlayTone(listener, tone(ToneKind.RINGBACK, self._country)))
        return commands

    def feed(self, event: Event, now: float) -> list[Command]:
        """Give the event to whom it concerns."""
        rings = self.state is HuntState.RINGING
        if rings and isinstance(event, WorkerLost) and self._listener in event.legs:
            # Nobody waits any more: whoever that was withdraws this party next, and nobody else is to be rung.
            self._over("the one who waits is lost")
        return super().feed(event, now)

    def _ring(self, now: float, count: int) -> list[Command]:
        commands: list[Command] = []
        waiting = self._members[len(self._rung) :]
        for member in waiting[:count]:
            self._rung.append(member)
            commands += member.start(now)
        return commands

    def _next(self, _news: News, _member: Party, now: float) -> list[Command]:
        if len(self._rung) < len(self._members):
            # The member's time and the group's may be up together: nobody is rung just to be let go.
            time_is_up = self._deadline is not None and now >= self._deadline
            return [] if time_is_up else self._ring(now, 1)
        if all(member.outcome is not None for member in self._members):
            found = {member.outcome.disposition: member.outcome for member in self._members if member.outcome}
            worth = next((found[word] for word in WORTH_TELLING if word in found), None)
            self._fail(worth or next(iter(found.values())), "no member left")
        return []

    def _time_is_up(self, now: float) -> list[Command]:
        self._fail(OWN_TIMEOUT, "ringing time is up")
        return self._withdraw_all(now)
