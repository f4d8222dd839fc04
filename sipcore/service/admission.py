"""From a request to a call that can begin: destinations, caller identity, parties and terms."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sipcore.domain.call import Call
from sipcore.domain.call_options import check_digits, check_headers
from sipcore.domain.call_recording import CallRecording
from sipcore.domain.call_terms import CallTerms
from sipcore.domain.dialplan import Destination, NumberPlan, queue_number, resolve
from sipcore.domain.directory import Directory, Organisation
from sipcore.domain.errors import ParameterError
from sipcore.domain.identity import Callers, callers
from sipcore.domain.incoming import IncomingParty
from sipcore.domain.parties import PartyMaker, Side, Surroundings
from sipcore.domain.party import Party
from sipcore.domain.prompts import Prompt
from sipcore.domain.recording_policy import Owner, owner_of
from sipcore.domain.role import Role
from sipcore.service.calls import DialRequest, FurtherLeg
from sipcore.service.group_order import GroupOrder


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Limits of every call.

    Attributes:
        max_call_seconds: how long a call may last once destination 1 has answered.
        ring_seconds: how long destination 2 may ring.
        node: id of the node that carries them, or None: the database knows.
    """

    max_call_seconds: float = 14400.0
    ring_seconds: float = 120.0
    node: str | None = None


@dataclass(frozen=True, slots=True)
class FurtherParty:
    """A party that a call in progress rings.

    Attributes:
        party: the party.
        legs: how many slots it takes to ring it.
    """

    party: Party
    legs: int


def new_uid() -> str:
    """Mint a UniqueID, or the id of a recording: 32 hex digits."""
    return secrets.token_hex(16)


def destinations(
    request: DialRequest, organisation: Organisation, numbers: NumberPlan
) -> tuple[Destination, Destination, Callers]:
    """Find what a request names as dial1 and dial2, and who each leg shows as caller.

    Raises:
        ParameterError, NotAllowedError: it cannot be dialled; the error names the parameter.
    """
    first = resolve(request.dial1, organisation, numbers, parameter="dial1")
    second = resolve(request.dial2, organisation, numbers, parameter="dial2")
    if not (first.rings or second.rings):
        raise ParameterError("dial2", "neither destination is a phone: nobody would be there to hear the other one")
    return first, second, callers(organisation, first, second, request.set_cid, numbers)


class Admission:
    """Makes calls.

    Args:
        numbers: the world's numbering plans.
        settings: limits of every call.
        order: in which order ring groups are rung.
    """

    def __init__(self, numbers: NumberPlan, settings: EngineSettings, order: GroupOrder) -> None:
        self._numbers = numbers
        self._settings = settings
        self._order = order

    def outgoing(self, request: DialRequest, organisation: Organisation, directory: Directory) -> Call:
        """Make the call that a request asks for.

        Raises:
            ParameterError, NotAllowedError: it cannot be made; the error names the parameter.
        """
        options = request.options
        options.check(self._settings.max_call_seconds)
        first, second, shown = destinations(request, organisation, self._numbers)
        uid1, uid2 = request.uids or (new_uid(), new_uid())
        around = self._around(organisation, directory)
        side1 = Side(
            shown.leg1,
            foreign=request.set_cid is None,
            auto_answer=True,
            ring_seconds=float(request.ring_seconds),
            headers=options.leg1.headers,
        )
        side2 = Side(
            shown.leg2,
            foreign=False,
            auto_answer=False,
            ring_seconds=self._settings.ring_seconds,
            headers=options.leg2.headers,
        )
        return Call(
            CallTerms(
                id=request.id or new_uid(),
                organisation=organisation.name,
                user=request.user,
                dial1=request.dial1,
                dial2=request.dial2,
                set_cid=request.set_cid,
                accepted_at=datetime.now(UTC),
                country=organisation.country,
                max_seconds=float(options.max_seconds or self._settings.max_call_seconds),
                prompts=organisation.prompts,
                digits={Role.FIRST: options.leg1.digits, Role.SECOND: options.leg2.digits},
                reference=options.reference,
                batch_id=request.batch_id,
                attempt=request.attempt,
                node=self._settings.node,
                queue=queue_number(second),
            ),
            PartyMaker(around, side1).party(first, uid1),
            PartyMaker(around, side2).party(second, uid2),
            self._recording(organisation, request.set_cid),
        )

    def inside(
        self, organisation: Organisation, directory: Directory, shown: str | None, *, foreign: bool = True
    ) -> PartyMaker:
        """Return a maker for whom somebody who called us reaches.

        Args:
            organisation: whose number was called.
            directory: the directory in force.
            shown: the caller's number.
            foreign: False when that is a number of the organisation's own.
        """
        side = Side(shown or None, foreign=foreign, auto_answer=False, ring_seconds=self._settings.ring_seconds)
        return PartyMaker(self._around(organisation, directory), side)

    def incoming(
        self, organisation: Organisation, caller: IncomingParty, called: Party, numbers: tuple[str, str], trunk: str
    ) -> Call:
        """Make the call of somebody who called us.

        Args:
            organisation: whose number was called.
            caller: their leg.
            called: whom they reach.
            numbers: the caller's number and the one that was called.
            trunk: where it came from.
        """
        terms = CallTerms(
            id=new_uid(),
            organisation=organisation.name,
            user=trunk,
            dial1=numbers[0],
            dial2=numbers[1],
            set_cid=None,
            accepted_at=datetime.now(UTC),
            country=organisation.country,
            max_seconds=self._settings.max_call_seconds,
            prompts=organisation.prompts,
            direction="inbound",
            node=self._settings.node,
        )
        return Call(terms, caller, called, self._recording(organisation, None))

    def further(
        self,
        terms: CallTerms,
        wanted: FurtherLeg,
        organisation: Organisation,
        directory: Directory,
        *,
        phones_only: bool,
    ) -> FurtherParty:
        """Make a party that a call in progress rings, with the caller identity that its leg 2 had or would have had.

        Args:
            terms: of the call.
            wanted: whom it rings.
            organisation: whose call it is.
            directory: the directory in force.
            phones_only: True when it needs a leg of its own.

        Raises:
            ParameterError, NotAllowedError: it cannot be rung; the error names the parameter.
        """
        options = wanted.options
        check_headers(options.headers, "headers")
        if options.digits:
            check_digits(options.digits, "digits")
        destination = resolve(wanted.destination, organisation, self._numbers, parameter="destination")
        if phones_only and not destination.rings:
            raise ParameterError("destination", "is no phone: it could talk to one leg only")
        shown: str | None = terms.dial1
        foreign = terms.direction == "inbound" and terms.dial1 not in organisation.extensions
        if not foreign:
            first = resolve(terms.dial1, organisation, self._numbers, parameter="dial1")
            shown = callers(organisation, first, destination, terms.set_cid, self._numbers).leg2
        side = Side(
            shown or None,
            foreign=foreign,
            auto_answer=False,
            ring_seconds=self._settings.ring_seconds,
            headers=options.headers,
        )
        # Off the home slots, of which the other legs and the link to them take what there is.
        party = PartyMaker(self._around(organisation, directory), side, contest=True).party(destination, new_uid())
        return FurtherParty(party, max(party.contest_legs, 1) if destination.rings else 0)

    def _recording(self, organisation: Organisation, set_cid: str | None) -> CallRecording:
        def owner(line1: str, line2: str) -> Owner | None:
            return owner_of(line1, line2, set_cid, organisation, self._numbers)

        notice = organisation.prompts.get(Prompt.RECORDED_NOTICE)
        return CallRecording(owner, organisation.recording, [] if notice is None else [notice], new_uid)

    def _around(self, organisation: Organisation, directory: Directory) -> Surroundings:
        zone = ZoneInfo(organisation.time_zone)
        return Surroundings(
            organisation=organisation,
            directory=directory,
            numbers=self._numbers,
            new_uid=new_uid,
            order=lambda group: self._order.of(organisation.name, group),
            local_time=lambda now: datetime.now(zone) + timedelta(seconds=now - time.monotonic()),
            new_recording=new_uid,
        )
