"""Calls that come in: whose number was called, and whom it reaches."""

from __future__ import annotations

from sipcore.domain.call import Call
from sipcore.domain.dialplan import NumberPlan
from sipcore.domain.directory import Organisation
from sipcore.domain.events import LegArrived
from sipcore.domain.fallback import FallbackParty
from sipcore.domain.incoming import IncomingParty
from sipcore.domain.party import Party
from sipcore.service.admission import Admission, new_uid
from sipcore.service.calls import LiveDirectory
from sipcore.service.store import RecordStore

LAST_AGENT_SECONDS = 20.0
"""How long the extension that called last is rung before the number's own route is taken."""


class Inbound:
    """Routes calls that come in.

    Args:
        admission: makes the calls.
        store: knows who called whom last.
        directory: organisations and trunks in force.
        numbers: the world's numbering plans.
    """

    def __init__(self, admission: Admission, store: RecordStore, directory: LiveDirectory, numbers: NumberPlan) -> None:
        self._admission = admission
        self._store = store
        self._directory = directory
        self._numbers = numbers

    async def call_for(self, event: LegArrived) -> Call | None:
        """Make the call of a leg that came in, or None when no route leads from its number.

        Raises:
            StoreUnavailableError: who called last cannot be looked up.
        """
        found = self._route(event)
        if found is None:
            return None
        organisation, called, target = found
        caller = self._as_e164(event.caller, organisation) or event.caller
        party = await self._called(organisation, caller, target)
        incoming = IncomingParty(event.leg, caller)
        origin = "edge" if event.trunk is None else event.trunk
        return self._admission.incoming(organisation, incoming, party, (caller, called), origin)

    def _route(self, event: LegArrived) -> tuple[Organisation, str, str] | None:
        """Find the organisation whose number it is; a trunk reaches only those that use it."""
        for organisation in self._directory.current.organisations.values():
            if event.trunk is not None and organisation.trunk != event.trunk:
                continue
            for number in self._readings(event.number, organisation):
                target = organisation.inbound.routes.get(number)
                if target is not None:
                    return organisation, number, target
        return None

    async def _called(self, organisation: Organisation, caller: str, target: str) -> Party:
        maker = self._admission.inside(organisation, self._directory.current, caller)
        if organisation.inbound.last_agent and caller:
            agent = await self._store.last_agent(organisation.name, caller)
            if agent is not None and agent in organisation.extensions:
                last = maker.ringing(LAST_AGENT_SECONDS).target(agent, new_uid())
                return FallbackParty(last, lambda: maker.target(target))
        return maker.target(target)

    def _readings(self, number: str, organisation: Organisation) -> tuple[str, ...]:
        """Read a number as a trunk may write it: E.164 with or without its `+`, or national."""
        readings = (self._as_e164(number, organisation), self._numbers.e164(f"+{number}", organisation.country))
        return tuple(reading for reading in readings if reading is not None)

    def _as_e164(self, number: str, organisation: Organisation) -> str | None:
        return self._numbers.e164(number, organisation.country) if number else None
