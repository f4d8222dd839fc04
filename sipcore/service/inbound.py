"""Calls that come in: whose number was called, and whom it reaches."""

from __future__ import annotations

from sipcore.domain.call import Call
from sipcore.domain.dialplan import ExtensionDestination, ExternalDestination, NumberPlan, resolve
from sipcore.domain.directory import Organisation
from sipcore.domain.errors import ParameterError
from sipcore.domain.events import LegArrived
from sipcore.domain.fallback import FallbackParty
from sipcore.domain.identity import trunk_number
from sipcore.domain.incoming import IncomingParty
from sipcore.domain.party import Party
from sipcore.service.admission import Admission, new_uid
from sipcore.service.calls import LiveDirectory
from sipcore.service.store import RecordStore

_EDGE = "edge"
"""Where a call came from that no trunk has sent."""
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
        if event.extension is not None:
            return self._call_of_phone(event, *event.extension)
        found = self._route(event)
        if found is None:
            return None
        organisation, called, target = found
        caller = self._as_e164(event.caller, organisation) or event.caller
        party = await self._called(organisation, caller, target)
        incoming = IncomingParty(event.leg, caller)
        origin = _EDGE if event.trunk is None else event.trunk
        return self._admission.incoming(organisation, incoming, party, (caller, called), origin)

    def _call_of_phone(self, event: LegArrived, organisation_name: str, number: str) -> Call | None:
        """Make the call of an extension's phone: to whatever a number means in its organisation."""
        organisation = self._directory.current.organisations.get(organisation_name)
        extension = organisation.extensions.get(number) if organisation is not None else None
        if organisation is None or extension is None:
            return None
        try:
            called = resolve(event.number, organisation, self._numbers, parameter="number")
        except ParameterError:
            return None
        outside = isinstance(called, ExternalDestination)
        shown = extension.caller_id or organisation.caller_id if outside else number
        maker = self._admission.inside(organisation, self._directory.current, shown, foreign=False)
        party, incoming = maker.party(called, new_uid()), IncomingParty(event.leg, number, number)
        return self._admission.incoming(organisation, incoming, party, (number, event.number), _EDGE)

    def _route(self, event: LegArrived) -> tuple[Organisation, str, str] | None:
        """Find the organisation whose number it is; a trunk reaches only those that use it."""
        for organisation in self._directory.current.organisations.values():
            if event.trunk is not None and not self._serves(event.trunk, organisation):
                continue
            for number in self._readings(event.number, organisation):
                target = organisation.inbound.routes.get(number)
                if target is not None:
                    return organisation, number, target
        return None

    def _serves(self, trunk: str, organisation: Organisation) -> bool:
        """Tell whether an organisation is called through a trunk: its own, or another account at the same host."""
        trunks = self._directory.current.trunks
        came, own = trunks.get(trunk), trunks.get(organisation.trunk or "")
        return came is not None and own is not None and came.proxy.host == own.proxy.host

    async def _called(self, organisation: Organisation, caller: str, target: str) -> Party:
        maker = self._admission.inside(organisation, self._directory.current, caller)
        agent = await self._last_agent(organisation, caller)
        if agent is None:
            return maker.named(target)
        last = maker.ringing(LAST_AGENT_SECONDS).party(agent, new_uid())
        return FallbackParty(last, lambda: maker.named(target))

    async def _last_agent(self, organisation: Organisation, caller: str) -> ExtensionDestination | None:
        """Find the extension that called this caller last, where the organisation wants it."""
        trunk = self._directory.current.trunks.get(organisation.trunk or "")
        if not organisation.inbound.last_agent or not caller or trunk is None:
            return None
        dialled = trunk_number(caller, trunk, organisation, self._numbers)
        dial1 = await self._store.last_agent(organisation.name, dialled)
        try:
            found = None if dial1 is None else resolve(dial1, organisation, self._numbers, parameter="dial1")
        except ParameterError:
            return None
        return found if isinstance(found, ExtensionDestination) else None

    def _readings(self, number: str, organisation: Organisation) -> tuple[str, ...]:
        """Read a number as a trunk may write it: E.164 with or without its `+`, or national."""
        readings = (self._as_e164(number, organisation), self._numbers.e164(f"+{number}", organisation.country))
        return tuple(reading for reading in readings if reading is not None)

    def _as_e164(self, number: str, organisation: Organisation) -> str | None:
        return self._numbers.e164(number, organisation.country) if number else None
