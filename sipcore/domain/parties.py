"""From a destination to the party that stands for it in a call: one table, and nobody else asks for the kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sipcore.domain.announcement import AnnouncementParty
from sipcore.domain.apps import APPS, AppSurroundings
from sipcore.domain.call_options import Headers
from sipcore.domain.causes import NO_SUCH_EXTENSION, Disposition, Outcome
from sipcore.domain.confirmation import ConfirmedParty
from sipcore.domain.dialplan import (
    AnnouncementDestination,
    AppDestination,
    Destination,
    ExtensionDestination,
    ExternalDestination,
    IvrDestination,
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
from sipcore.domain.ivr import IvrParty
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.onward import WayOn
from sipcore.domain.party import Party
from sipcore.domain.phone import PhoneParty
from sipcore.domain.queue_party import QueueParty, WaitTerms
from sipcore.domain.screening import ScreenedParty

MAX_DEPTH = 8
"""How many destinations may stand inside each other: a group in a group, a queue that leads to a queue."""
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
        local_time: from the machine's time (seconds, monotonic) to the organisation's local time.
        new_recording: mints the id of a recording, 32 hex digits.
    """

    organisation: Organisation
    directory: Directory
    numbers: NumberPlan
    new_uid: Callable[[], str]
    order: Callable[[RingGroup], tuple[str, ...]]
    local_time: Callable[[float], datetime]
    new_recording: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Side:
    """How one side of the call is rung.

    Attributes:
        shown: the number that its phones show as caller, or None.
        foreign: True when that is the other party's number and not the organisation's own.
        auto_answer: True when phones that are set so shall answer by themselves.
        ring_seconds: how long a phone, or a group in all, may ring.
        headers: further headers of every INVITE.
    """

    shown: str | None
    foreign: bool
    auto_answer: bool
    ring_seconds: float
    headers: Headers = ()


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
            uid: its UniqueID: the Call-ID of its first leg, if it has legs.
        """
        return _MAKERS[type(destination)](self, destination, uid)

    def target(self, number: str, uid: str | None = None) -> Party:
        """Make the party of a number that stands inside this maker's destination; see `named`."""
        return PartyMaker(self.around, self.side, depth=self._depth + 1, contest=self._contest).named(number, uid)

    def named(self, number: str, uid: str | None = None) -> Party:
        """Make the party of a number that the settings or a caller's keys name.

        It never raises: a number that is nobody's, is not allowed, or is nested too deep, is a party that fails.

        Args:
            number: of a destination of any kind.
            uid: its UniqueID, or None for a new one.
        """
        uid = uid or self.around.new_uid()
        if self._depth > MAX_DEPTH:
            return NowhereParty(uid, number, _TOO_DEEP)
        try:
            return self.party(resolve(number, self.around.organisation, self.around.numbers, parameter="number"), uid)
        except ParameterError:
            return NowhereParty(uid, number, NO_SUCH_EXTENSION)

    def ringing(self, ring_seconds: float, *, contest: bool = False) -> PartyMaker:
        """Return a maker of phones that ring for so long.

        Args:
            ring_seconds: how long each of them may ring.
            contest: True when they ring beside each other.
        """
        side = replace(self.side, ring_seconds=ring_seconds)
        return PartyMaker(self.around, side, depth=self._depth, contest=contest)

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
        if side.headers:
            plan = replace(plan, headers=(*plan.headers, *side.headers))
        return PhoneParty(uid, plan, side.ring_seconds, country=country, contest=self._contest)

    def extension(self, destination: ExtensionDestination, uid: str) -> Party:
        """Make the party of an internal phone."""
        return self._confirmed(self.phone(destination, uid), confirm=destination.extension.confirm)

    def external(self, destination: ExternalDestination, uid: str) -> Party:
        """Make the party of a number of the outside world, where a machine may answer."""
        organisation = self.around.organisation
        party, detection = self.phone(destination, uid), organisation.machine_detection
        if detection is not None:
            announcement = organisation.announcements.get(detection.announcement or "")
            party = ScreenedParty(party, detection, None if announcement is None else announcement.audio)
        known = organisation.external_numbers.get(destination.number)
        return self._confirmed(party, confirm=known is not None and known.confirm)

    def _confirmed(self, party: Party, *, confirm: bool) -> Party:
        return ConfirmedParty(party, self.around.organisation.prompts) if confirm else party

    def group(self, destination: RingGroupDestination, uid: str) -> Party:
        """Make the party of a ring group."""
        group = destination.group
        at_once = group.strategy is HuntStrategy.RING_ALL
        total_seconds = min(group.total_seconds, self.side.ring_seconds)
        members = self.ringing(min(group.ring_seconds, total_seconds), contest=True)
        order = self.around.order(group)
        uids = [uid, *(self.around.new_uid() for _ in order[1:])]
        return HuntParty(
            uid,
            group.number,
            [members.target(number, member_uid) for number, member_uid in zip(order, uids, strict=False)],
            at_once=at_once,
            total_seconds=total_seconds,
            country=self.around.organisation.country,
        )

    def queue(self, destination: QueueDestination, uid: str) -> Party:
        """Make the party that waits in a queue."""
        queue, organisation = destination.queue, self.around.organisation
        at_once = queue.strategy is HuntStrategy.RING_ALL
        agents = self.ringing(queue.ring_seconds, contest=self._contest or at_once)
        terms = WaitTerms(queue, organisation.country, organisation.prompts, wait_seconds=self.side.ring_seconds)
        return QueueParty(uid, terms, agents.target, self.target)

    def ivr(self, destination: IvrDestination, uid: str) -> Party:
        """Make the party of a menu."""
        organisation = self.around.organisation
        direct = (*organisation.extensions, *organisation.internal_numbers)
        return IvrParty(uid, destination.ivr, self._way, organisation.ivrs, direct)

    def announcement(self, destination: AnnouncementDestination, uid: str) -> Party:
        """Make the party of an announcement."""
        return AnnouncementParty(uid, destination.announcement, self._way)

    def app(self, destination: AppDestination, uid: str) -> Party:
        """Make the party of something built in."""
        around = self.around
        organisation = around.organisation
        needs = AppSurroundings(organisation.name, organisation.prompts, around.local_time, around.new_recording)
        return APPS[destination.app.kind](uid, destination.app, needs)

    @property
    def _way(self) -> WayOn:
        return WayOn(self.target, self.around.organisation.country, self.around.organisation.prompts)


_MAKERS: dict[type[Any], Callable[[PartyMaker, Any, str], Party]] = {
    ExtensionDestination: PartyMaker.extension,
    ExternalDestination: PartyMaker.external,
    NamedDestination: PartyMaker.phone,
    UnknownExtension: PartyMaker.phone,
    RingGroupDestination: PartyMaker.group,
    QueueDestination: PartyMaker.queue,
    IvrDestination: PartyMaker.ivr,
    AnnouncementDestination: PartyMaker.announcement,
    AppDestination: PartyMaker.app,
}
