"""Changing calls in progress: digits, a third party, a transfer."""

from __future__ import annotations

from collections.abc import Callable

from sipcore.domain.call import Call
from sipcore.domain.call_options import check_digits
from sipcore.domain.commands import Command
from sipcore.domain.errors import CallStateError, NoLegCapacityError
from sipcore.domain.record import CallRecord
from sipcore.domain.role import Role
from sipcore.service.admission import Admission, FurtherParty
from sipcore.service.calls import FurtherLeg, LiveDirectory
from sipcore.service.live_call import LiveCall

Act = Callable[[Call, float], list[Command]]


class LiveCallControl:
    """Changes calls in progress (see `CallControl`).

    Args:
        find: finds a call in progress by organisation and id.
        admission: makes the parties that are rung.
        directory: the directory in force.
        step: lets a call act.
    """

    def __init__(
        self,
        find: Callable[[str, str], LiveCall | None],
        admission: Admission,
        directory: LiveDirectory,
        step: Callable[[LiveCall, Act], None],
    ) -> None:
        self._find = find
        self._admission = admission
        self._directory = directory
        self._step = step

    def send_digits(self, organisation: str, call_id: str, role: Role, digits: str) -> CallRecord | None:
        """Send digits to a party."""
        live = self._find(organisation, call_id)
        if live is None:
            return None
        check_digits(digits, "digits")
        self._step(live, lambda call, now: call.send_digits(role, digits, now))
        return live.record()

    async def join_third(self, organisation: str, call_id: str, wanted: FurtherLeg) -> CallRecord | None:
        """Ring a third party."""
        live = self._find(organisation, call_id)
        if live is None:
            return None
        further = self._further(live, wanted, phones_only=True)
        live.call.check_third()
        await self._make_room(live, further, staying=True)
        self._step(live, lambda call, now: call.join_third(further.party, wanted.options.digits, now))
        return live.record()

    async def transfer(self, organisation: str, call_id: str, wanted: FurtherLeg) -> CallRecord | None:
        """Release party 2 and ring somebody else in its place."""
        live = self._find(organisation, call_id)
        if live is None:
            return None
        further = self._further(live, wanted)
        live.call.check_transfer()
        await self._make_room(live, further, staying=False)
        self._step(live, lambda call, now: call.transfer(further.party, wanted.options.digits, now))
        return live.record()

    def _further(self, live: LiveCall, wanted: FurtherLeg, *, phones_only: bool = False) -> FurtherParty:
        terms, organisation = live.call.terms, self._directory.organisation(live.call.terms.organisation)
        return self._admission.further(terms, wanted, organisation, self._directory.current, phones_only=phones_only)

    async def _make_room(self, live: LiveCall, further: FurtherParty, *, staying: bool) -> None:
        """Reserve slots before anybody is let go: for lack of them nothing is to change."""
        try:
            await live.slots.make_room(further.legs, staying=staying)
        except NoLegCapacityError:
            if live.call.ended:
                raise CallStateError("the call has ended") from None
            raise
