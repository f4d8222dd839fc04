"""`/api/v1/calls`: placing calls, and those in progress."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Awaitable, Callable, Sequence

from api.handlers.dialup import ANSWER_MARGIN_SECONDS
from api.handlers.records import LiveRecord, RecordSearch, record_as_json
from api.models import CallPage, DigitsToSend, FurtherDestination, LegWishes, NewCall, PlacedCall, Record
from api.operations import Asked, Operation
from sipcore.domain.attempt_outcome import first_stage_reason
from sipcore.domain.call_options import CallOptions, LegOptions
from sipcore.domain.call_recording import RecordingAction
from sipcore.domain.causes import FAIL_REASONS, Disposition
from sipcore.domain.directory import Scope
from sipcore.domain.record import CallRecord
from sipcore.domain.role import Role
from sipcore.service.calls import CallControl, Calls, DialRequest, FurtherLeg
from sipcore.service.errand import PassOn
from sipcore.service.store import RecordStore

_RECORDING_ACTIONS = (RecordingAction.PAUSE, RecordingAction.RESUME, RecordingAction.STOP)
"""Each says what is to be; what turns with every key press is for keys."""

LiveRecords = Callable[[str], Sequence[CallRecord]]
"""From an organisation's name to its calls in progress, newest first."""


_PLACES = {1: Role.FIRST, 2: Role.SECOND, 3: Role.THIRD}


class CallsResource:
    """Calls in progress.

    Args:
        calls: places and ends them.
        control: changes them.
        store: has those that are over.
        live_record: finds a call in progress by organisation and id or UniqueID.
        live_records: finds all of an organisation.
        hang_up_elsewhere: has another node end a call of an organisation by its id.
    """

    def __init__(
        self,
        calls: Calls,
        control: CallControl,
        store: RecordStore,
        live_record: LiveRecord,
        live_records: LiveRecords,
        hang_up_elsewhere: PassOn,
    ) -> None:
        self._calls = calls
        self._control = control
        self._store = store
        self._search = RecordSearch(store, live_record)
        self._live_records = live_records
        self._hang_up_elsewhere = hang_up_elsewhere

    def operations(self) -> list[Operation]:
        """Return what can be done."""
        return [
            Operation(
                name="placeCall", method="POST", path="/api/v1/calls", tag="calls", scope=Scope.CALL,
                summary="Ring dial1, on its answer dial2, and join their audio",
                body=NewCall, answer=PlacedCall, status=http.HTTPStatus.CREATED,
                problems=frozenset({422, 429}), act=self.place, again=self.placed,
            ),
            Operation(
                name="listCalls", method="GET", path="/api/v1/calls", tag="calls", scope=Scope.READ,
                summary="The calls in progress, newest first", answer=CallPage, act=self.list,
            ),
            Operation(
                name="getCall", method="GET", path="/api/v1/calls/{id}", tag="calls", scope=Scope.READ,
                summary="A call, in progress or over", answer=Record, act=self.get,
            ),
            Operation(
                name="hangUpCall", method="DELETE", path="/api/v1/calls/{id}", tag="calls", scope=Scope.CALL,
                summary="Hang a call up; one that is over stays as it is",
                answer=Record, act=self.hang_up,
            ),
            Operation(
                name="sendDigits", method="POST", path="/api/v1/calls/{id}/digits", tag="calls", scope=Scope.CALL,
                summary="Send digits to a leg of a call in progress",
                body=DigitsToSend, answer=Record, problems=frozenset({409}), act=self.send_digits,
            ),
            Operation(
                name="joinThird", method="POST", path="/api/v1/calls/{id}/join", tag="calls", scope=Scope.CALL,
                summary="Ring a third number, which hears both legs and is heard by both when it answers",
                body=FurtherDestination, answer=Record, problems=frozenset({409}), act=self.join_third,
            ),
            Operation(
                name="transferCall", method="POST", path="/api/v1/calls/{id}/transfer", tag="calls", scope=Scope.CALL,
                summary="Release leg 2 and ring another destination in its place",
                body=FurtherDestination, answer=Record, problems=frozenset({409}), act=self.transfer,
            ),
            *(
                Operation(
                    name=f"{action}Recording", method="POST", path=f"/api/v1/calls/{{id}}/recording/{action}",
                    tag="calls", scope=Scope.CALL, summary=f"{action.capitalize()} the recording of a call in progress",
                    answer=Record, problems=frozenset({409}), act=self._changes_recording(action),
                )
                for action in _RECORDING_ACTIONS
            ),
        ]  # fmt: skip

    async def place(self, asked: Asked[None, NewCall]) -> object:
        """Place a call; wait for destination 1 when that is asked for."""
        body = asked.body
        accepted = await self._calls.dial(
            DialRequest(
                organisation=asked.organisation,
                user=asked.caller.user,
                dial1=body.dial1,
                dial2=body.dial2,
                set_cid=body.set_cid,
                ring_seconds=body.ring_seconds,
                id=asked.made,
                options=CallOptions(
                    leg1=_leg(body.leg1),
                    leg2=_leg(body.leg2),
                    max_seconds=body.max_seconds,
                    reference=body.reference,
                    room_for_third=body.room_for_third,
                ),
            )
        )
        asked.accepted()
        if body.wait:
            # asyncio.wait leaves the future alone when the time is over: the call goes on.
            await asyncio.wait({accepted.first_stage}, timeout=body.ring_seconds + ANSWER_MARGIN_SECONDS)
        first_stage: dict[str, str | None] = {"status": "pending", "reason": None}
        if accepted.first_stage.done():
            first_stage = _over(accepted.first_stage.result())
        elif body.wait:
            first_stage = _over(FAIL_REASONS[Disposition.NO_ANSWER])
        record = await self._record(asked.organisation, accepted.id)
        return None if record is None else {**record, "first_stage": first_stage}

    async def placed(self, asked: Asked[None, NewCall]) -> object:
        """Return a call that a node which died had placed, as far as is known."""
        record = await self._store.get(asked.organisation, asked.path["id"])
        if record is None:
            return None
        return {**record_as_json(record), "first_stage": _over(first_stage_reason(record))}

    async def list(self, asked: Asked[None, None]) -> object:
        """Return those in progress."""
        return {"items": [record_as_json(record) for record in self._live_records(asked.organisation)]}

    async def get(self, asked: Asked[None, None]) -> object:
        """Return one, whether it is over or not."""
        return await self._record(asked.organisation, asked.path["id"])

    async def hang_up(self, asked: Asked[None, None]) -> object:
        """End one, and tell how it stands."""
        organisation, call_id = asked.organisation, asked.path["id"]
        here = self._calls.hang_up(organisation, call_id)
        record = await self._record(organisation, call_id)
        if not here and record is not None and record["ended_at"] is None:
            await self._hang_up_elsewhere(organisation, call_id)
        return record

    async def send_digits(self, asked: Asked[None, DigitsToSend]) -> object:
        """Send digits, and tell how the call stands."""
        role = _PLACES[asked.body.leg]
        record = self._control.send_digits(asked.organisation, asked.path["id"], role, asked.body.digits)
        return None if record is None else record_as_json(record)

    async def join_third(self, asked: Asked[None, FurtherDestination]) -> object:
        """Ring a third party, and tell how the call stands."""
        record = await self._control.join_third(asked.organisation, asked.path["id"], _further(asked.body))
        return None if record is None else record_as_json(record)

    async def transfer(self, asked: Asked[None, FurtherDestination]) -> object:
        """Ring somebody else in place of leg 2, and tell how the call stands."""
        record = await self._control.transfer(asked.organisation, asked.path["id"], _further(asked.body))
        return None if record is None else record_as_json(record)

    def _changes_recording(self, action: RecordingAction) -> Callable[[Asked[None, None]], Awaitable[object]]:
        async def change(asked: Asked[None, None]) -> object:
            record = self._calls.change_recording(asked.organisation, asked.path["id"], action)
            return None if record is None else record_as_json(record)

        return change

    async def _record(self, organisation: str, call_id: str) -> dict[str, object] | None:
        found = await self._search.one(organisation, call_id)
        return None if found is None else record_as_json(found)


def _over(fail_reason: str | None) -> dict[str, str | None]:
    return {"status": "ok" if fail_reason is None else "Fail", "reason": fail_reason}


def _leg(wishes: LegWishes) -> LegOptions:
    return LegOptions(tuple(wishes.headers.items()), wishes.digits or "")


def _further(body: FurtherDestination) -> FurtherLeg:
    return FurtherLeg(body.destination, _leg(body))
