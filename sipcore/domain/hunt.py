"""The party that is several phones: a ring group, rung all at once or one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sipcore.domain.causes import NO_SUCH_EXTENSION, OWN_TIMEOUT, Disposition
from sipcore.domain.commands import Command, PlayTone
from sipcore.domain.first_taken import FirstTakenParty, Milestones
from sipcore.domain.machine import IGNORED
from sipcore.domain.party import News, NewsKind, Party
from sipcore.domain.tones import ToneKind, tone

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

    @property
    def contest_legs(self) -> int:
        """Those of all members; one after the other, the last one may still be let go while the next one rings."""
        widths = [max(member.contest_legs, 1) for member in self._members]
        return sum(widths) if self._at_once else sum(sorted(widths)[-2:])

    def start(self, now: float, listener: str | None = None) -> list[Command]:
        """Ring the members, or the first of them."""
        self._deadline = now + self._total_seconds
        self._enter(HuntState.RINGING, "start")
        if not self._members:
            self._fail(NO_SUCH_EXTENSION, "no members")
        commands = self._ring(now, len(self._members) if self._at_once else 1)
        if listener is not None and commands:
            commands.append(PlayTone(listener, tone(ToneKind.RINGBACK, self._country)))
        return self._after(commands, now)

    def _ring(self, now: float, count: int) -> list[Command]:
        commands: list[Command] = []
        waiting = self._members[len(self._rung) :]
        for member in waiting[:count]:
            self._rung.append(member)
            commands += member.start(now)
        return commands

    def _next(self, _news: News, _member: Party, now: float) -> list[Command]:
        if len(self._rung) < len(self._members):
            return self._ring(now, 1)
        if all(member.outcome is not None for member in self._members):
            found = {member.outcome.disposition: member.outcome for member in self._members if member.outcome}
            worth = next((found[word] for word in _WORTH_TELLING if word in found), None)
            self._fail(worth or next(iter(found.values())), "no member left")
        return []

    def _time_is_up(self, now: float) -> list[Command]:
        self._fail(OWN_TIMEOUT, "ringing time is up")
        return self._withdraw_all(now)
