"""`/api/v1/schedules`: future calls, made, read, changed and cancelled."""

from __future__ import annotations

import http

from api.models import PageQuery
from api.operations import Asked, Operation
from api.schedule_models import NewSchedule, ScheduleChanges, SchedulePage, ScheduleReport
from sipcore.domain.directory import Scope
from sipcore.domain.public_events import written_time
from sipcore.domain.schedule import MadeAttempt, Schedule, ScheduledNumber
from sipcore.domain.schedule import ScheduleReport as Report
from sipcore.service.schedules import IN_API, ScheduleRequest, Schedules
from sipcore.service.schedules import ScheduleChanges as Changes


class SchedulesResource:
    """The organisation's future calls.

    Args:
        schedules: keeps them.
    """

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    def operations(self) -> list[Operation]:
        """Return what can be done."""
        return [
            Operation(
                name="makeSchedule", method="POST", path="/api/v1/schedules", tag="schedules", scope=Scope.CALL,
                summary="Ring one or many numbers at a later time, and again until they answer",
                body=NewSchedule, answer=ScheduleReport, status=http.HTTPStatus.CREATED,
                problems=frozenset({422}), act=self.make, again=self.get,
            ),
            Operation(
                name="listSchedules", method="GET", path="/api/v1/schedules", tag="schedules", scope=Scope.READ,
                summary="The future calls, newest first, a page at a time",
                query=PageQuery, answer=SchedulePage, act=self.list,
            ),
            Operation(
                name="getSchedule", method="GET", path="/api/v1/schedules/{id}", tag="schedules", scope=Scope.READ,
                summary="A future call, its numbers and their attempts",
                answer=ScheduleReport, act=self.get,
            ),
            Operation(
                name="changeSchedule", method="PATCH", path="/api/v1/schedules/{id}", tag="schedules", scope=Scope.CALL,
                summary="Change a future call that is pending",
                body=ScheduleChanges, answer=ScheduleReport, problems=frozenset({409}), act=self.change,
            ),
            Operation(
                name="cancelSchedule", method="DELETE", path="/api/v1/schedules/{id}", tag="schedules",
                scope=Scope.CALL, summary="Dial nothing more of a future call; one that is over stays as it is",
                answer=ScheduleReport, act=self.cancel,
            ),
        ]  # fmt: skip

    async def make(self, asked: Asked[None, NewSchedule]) -> object:
        """Keep one, and tell how it stands."""
        body = asked.body
        made = await self._schedules.accept(
            ScheduleRequest(
                organisation=asked.organisation,
                user=asked.caller.user,
                dial1=tuple(body.dial1),
                dial2=body.dial2,
                date=body.date,
                retries=body.retries,
                retry_seconds=body.retry_seconds,
                set_cid=body.set_cid,
                ring_seconds=body.ring_seconds,
                id=asked.made,
            ),
            IN_API,
        )
        asked.accepted()
        return _shown(await self._schedules.get(asked.organisation, made.id))

    async def list(self, asked: Asked[PageQuery, None]) -> object:
        """Return a page of them."""
        page = await self._schedules.find(asked.organisation, asked.query.cursor)
        return {"items": [_schedule_as_json(schedule) for schedule in page.items], "next": page.next}

    async def get(self, asked: Asked[None, None]) -> object:
        """Return one."""
        return _shown(await self._schedules.get(asked.organisation, asked.path["id"]))

    async def change(self, asked: Asked[None, ScheduleChanges]) -> object:
        """Change one, and tell how it stands."""
        body = asked.body
        changes = Changes(
            date=body.date,
            retries=body.retries,
            retry_seconds=body.retry_seconds,
            dial1=None if body.dial1 is None else tuple(body.dial1),
            dial2=body.dial2,
            set_cid=body.set_cid,
            ring_seconds=body.ring_seconds,
        )
        return _shown(await self._schedules.change(asked.organisation, asked.path["id"], changes))

    async def cancel(self, asked: Asked[None, None]) -> object:
        """Cancel one, and tell how it stands."""
        return _shown(await self._schedules.cancel(asked.organisation, asked.path["id"]))


def _schedule_as_json(schedule: Schedule) -> dict[str, object]:
    return {
        "id": schedule.id,
        "user": schedule.user or None,
        "state": schedule.state,
        "cancelled_by": schedule.cancelled_by,
        "dial1": schedule.dial1,
        "numbers": schedule.numbers,
        "dial2": schedule.dial2,
        "set_cid": schedule.set_cid,
        "ring_seconds": schedule.ring_seconds,
        "date": written_time(schedule.date),
        "retries": schedule.retry.retries,
        "retry_seconds": schedule.retry.seconds,
        "next_at": written_time(schedule.next_at),
        "accepted_at": written_time(schedule.accepted_at),
        "begun_at": written_time(schedule.begun_at),
        "ended_at": written_time(schedule.ended_at),
    }


def _shown(report: Report | None) -> dict[str, object] | None:
    if report is None:
        return None
    return {**_schedule_as_json(report.schedule), "results": [_number_as_json(each) for each in report.results]}


def _number_as_json(number: ScheduledNumber) -> dict[str, object]:
    return {
        "number": number.number,
        "status": number.status,
        "next_at": written_time(number.due_at),
        "reason": number.reason,
        "attempts": [_attempt_as_json(attempt) for attempt in number.attempts],
    }


def _attempt_as_json(attempt: MadeAttempt) -> dict[str, object]:
    return {
        "number": attempt.number,
        "record_id": attempt.record_id,
        "begun_at": written_time(attempt.begun_at),
        "outcome": attempt.outcome,
    }
