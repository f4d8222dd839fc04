"""Who is in a call, and who was: parties come, leave, and take each other's places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sipcore.domain.dtmf import DigitSequence
from sipcore.domain.party import Clock, Party
from sipcore.domain.record import LegRecord
from sipcore.domain.role import Role


@dataclass(slots=True, eq=False)
class Member:
    """Somebody in a call.

    Attributes:
        role: as what it came; its record says so also when it has taken another one's place.
        party: the party itself.
        wanted: digits that it gets once it can take them.
        digits: those that are on their way to it.
    """

    role: Role
    party: Party
    wanted: str = ""
    digits: DigitSequence = field(default_factory=DigitSequence)

    def begin_digits(self, now: float) -> None:
        """Send what was wanted from the start, once."""
        self.digits.add(self.wanted, now)
        self.wanted = ""


class Cast:
    """The parties of a call.

    Args:
        first, second: who it begins with.
        digits: what they get once they have answered.
    """

    def __init__(self, first: Party, second: Party, digits: Mapping[Role, str]) -> None:
        self._members: dict[Role, Member] = {}
        self._everybody: list[Member] = []
        for role, party in ((Role.FIRST, first), (Role.SECOND, second)):
            self.enter(role, party, digits.get(role, ""))

    def __contains__(self, role: Role) -> bool:
        """Tell whether somebody has a place."""
        return role in self._members

    def __getitem__(self, role: Role) -> Member:
        """Give who has a place."""
        return self._members[role]

    @property
    def present(self) -> Mapping[Role, Party]:
        """Who is in the call, by place."""
        return {role: member.party for role, member in self._members.items()}

    @property
    def members(self) -> tuple[tuple[Role, Member], ...]:
        """Who is in the call, with their places."""
        return tuple(self._members.items())

    @property
    def everybody(self) -> tuple[Party, ...]:
        """Who is in the call or was, in the order in which they came."""
        return tuple(member.party for member in self._everybody)

    @property
    def released(self) -> bool:
        """True when nobody has a leg left."""
        return all(party.released for party in self.everybody)

    def enter(self, role: Role, party: Party, digits: str = "") -> None:
        """Let a party take a place, of which whoever had it is left without one."""
        self._members[role] = Member(role, party, digits)
        self._everybody.append(self._members[role])

    def leave(self, role: Role) -> Party:
        """Free a place."""
        return self._members.pop(role).party

    def move(self, role: Role, to: Role) -> None:
        """Let who has a place take another one instead."""
        self._members[to] = self._members.pop(role)

    def owner_of(self, leg: str) -> Member | None:
        """Tell whose leg it is or was, or None."""
        return next((member for member in self._everybody if member.party.owns(leg)), None)

    def place_of(self, member: Member) -> Role | None:
        """Tell which place somebody has, or None."""
        return next((role for role, other in self._members.items() if other is member), None)

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell what became of all legs: those of dial1, of dial2, of the third."""
        return tuple(
            leg if leg.party == role else replace(leg, party=str(role))
            for role in Role
            for member in self._everybody
            if member.role is role
            for leg in member.party.records(at)
        )
