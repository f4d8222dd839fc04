"""From a destination to the party that stands for it in a call: one table, and nobody else asks for the kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sipcore.domain.causes import NO_SUCH_EXTENSION, Disposition, Outcome
from sipcore.domain.dialplan import (
    Destination,
    ExtensionDestination,
    ExternalDestination,
    NamedDestination,
    NumberPlan,
    QueueDestination,
    RingGroupDestination,
    UnknownExtension,
    resolve,
)
from sipcore.domain.directory import Directory, HuntStrategy, Organisation, RingGroup
from sipcore.domain.errors import ParameterError
from sipcore.domain.hunt import HuntParty
from sipcore.domain.identity import PhoneDestination, plan_leg
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.party import Party
from sipcore.domain.phone import PhoneParty
from sipcore.domain.queue_party import QueueParty, WaitTerms

MAX_DEPTH = 8
"""How many destinations may stand inside each other: a menu in a menu, a group in a group."""
_TOO_DEEP = Outcome(Disposition.UNREACHABLE, 25)
"""Q.850 cause 25, exchange routing error."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What parties are made of, for one call.

    Attributes:
        organisation: whose call it is.
        directory: trunks and our own address.
        numbers: the world's numbering plans.
        new_uid: mints the UniqueID of a further leg.
        order: puts the members of a ring group in the order in which they are to be rung.
    """

    organisation: Organisation
    directory: Directory
    numbers: NumberPlan
    new_uid: Callable[[], str]
    order: Callable[[RingGroup], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Side:
    """How one side of the call is rung.

    Attributes:
        shown: the number that its phones show as caller, or None.
        foreign: True when that is the other party's number and not the organisation's own.
        auto_answer: True when phones that are set so shall answer by themselves.
        ring_seconds: how long one phone may ring.
    """

    shown: str | None
    foreign: bool
    auto_answer: bool
    ring_seconds: float


class PartyMaker:
    """Makes the parties of one side of a call.

    Args:
        around: what they are made of.
        side: how they are rung.
        depth: how many destinations this one stands inside already.
        contest: True when its phones ring beside others for the same call.
    """

    def __init__(self, around: Surroundings, side: Side, *, depth: int = 0, contest: bool = False) -> None:
        self.around = around
        self.side = side
        self._depth = depth
        self._contest = contest

    def party(self, destination: Destination, uid: str) -> Party:
        """Make the party of a destination.

        Args:
            destination: whom or what it stands for.
            uid: its UniqueID: the Call-ID of its first leg.

        Raises:
            ParameterError: no party of this kind can be made.
        """
        make = _MAKERS.get(type(destination))
        if make is None:
            raise ParameterError("dial2", "destinations of this kind are not available yet")
        return make(self, destination, uid)

    def target(self, number: str, uid: str | None = None) -> Party:
        """Make the party of a number that the settings or a caller's keys name, inside this maker's destination.

        It never raises: a number that is nobody's, is not allowed, or is nested too deep, is a party that fails.
        """
        uid = uid or self.around.new_uid()
        if self._depth >= MAX_DEPTH:
            return NowhereParty(uid, number, _TOO_DEEP)
        inside = PartyMaker(self.around, self.side, depth=self._depth + 1, contest=self._contest)
        try:
            destination = resolve(number, self.around.organisation, self.around.numbers, parameter="number")
            return inside.party(destination, uid)
        except ParameterError:
            return NowhereParty(uid, number, NO_SUCH_EXTENSION)

    def ringing(self, ring_seconds: float, *, contest: bool = False) -> PartyMaker:
        """Return a maker of phones that ring for so long.

        Args:
            ring_seconds: how long each of them may ring.
            contest: True when they ring beside each other.
        """
        side = replace(self.side, ring_seconds=ring_seconds)
        return PartyMaker(self.around, side, depth=self._depth, contest=contest or self._contest)

    def phone(self, destination: PhoneDestination, uid: str) -> Party:
        """Make the party of a destination that one INVITE reaches."""
        around, side = self.around, self.side
        plan = plan_leg(
            destination,
            side.shown,
            around.organisation,
            around.directory,
            around.numbers,
            foreign=side.foreign,
            auto_answer=side.auto_answer,
        )
        if plan is None:
            return NowhereParty(uid, destination.number, NO_SUCH_EXTENSION)
        country = around.organisation.country
        return PhoneParty(uid, plan, side.ring_seconds, country=country, contest=self._contest)

    def group(self, destination: RingGroupDestination, uid: str) -> Party:
        """Make the party of a ring group."""
        group = destination.group
        at_once = group.strategy is HuntStrategy.RING_ALL
        members = self.ringing(group.ring_seconds, contest=True)
        order = self.around.order(group)
        uids = [uid, *(self.around.new_uid() for _ in order[1:])]
        return HuntParty(
            uid,
            group.number,
            [members.target(number, member_uid) for number, member_uid in zip(order, uids, strict=False)],
            at_once=at_once,
            total_seconds=group.total_seconds,
            country=self.around.organisation.country,
        )

    def queue(self, destination: QueueDestination, uid: str) -> Party:
        """Make the party that waits in a queue."""
        queue, organisation = destination.queue, self.around.organisation
        agents = self.ringing(queue.ring_seconds, contest=queue.strategy is HuntStrategy.RING_ALL)
        terms = WaitTerms(queue, organisation.country, organisation.prompts, wait_seconds=self.side.ring_seconds)
        return QueueParty(uid, terms, agents.target, self.target)


_MAKERS: dict[type[Any], Callable[[PartyMaker, Any, str], Party]] = {
    ExtensionDestination: PartyMaker.phone,
    ExternalDestination: PartyMaker.phone,
    NamedDestination: PartyMaker.phone,
    UnknownExtension: PartyMaker.phone,
    RingGroupDestination: PartyMaker.group,
    QueueDestination: PartyMaker.queue,
}
