"""Future calls in the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from sipcore.domain.schedule import (
    DueNumber,
    NewSchedule,
    SchedulePage,
    ScheduleReport,
    ScheduleTerms,
)
from sipcore.store import schedule_dialling, schedule_requests
from sipcore.store.cursor import page_of, position_of
from sipcore.store.events import Read, SqlEventStore
from sipcore.store.schedule_dialling import Claim, Look, Refusal
from sipcore.store.schedule_requests import Cancellation, Change
from sipcore.store.schema import schedule_numbers
from sipcore.store.writer import Writer


class SqlScheduleStore:
    """Future calls beside the records, in the same database. Attempts are written with their calls' records.

    Args:
        writer: of the database.
        read: reads from it.
        events: is told that events were stored.

    Attributes:
        on_due: called when something may be due earlier than it was, or was cancelled.
    """

    def __init__(self, writer: Writer, read: Read, events: SqlEventStore) -> None:
        self._writer = writer
        self._read = read
        self._events = events
        self.on_due: Callable[[], None] = lambda: None

    async def accept(self, schedule: NewSchedule) -> None:
        """Write a future call.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        await self._writer.write(schedule_requests.accept, schedule)
        self._events.on_stored()
        self.on_due()

    async def get(self, organisation: str, schedule_id: str) -> ScheduleReport | None:
        """Read one of the organisation, or None.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return schedule_requests.to_report(await self._read(schedule_requests.one_schedule(organisation, schedule_id)))

    async def find(self, organisation: str, *, cursor: str | None = None, limit: int = 50) -> SchedulePage:
        """Read a page of the organisation's, newest first.

        Raises:
            ParameterError: the cursor is none of ours.
            StoreUnavailableError: the database does not answer.
        """
        statement = schedule_requests.newest_schedules(organisation, position_of(cursor), limit + 1)
        found = schedule_requests.to_schedules(await self._read(statement))
        return SchedulePage(*page_of(found, limit, lambda schedule: (schedule.accepted_at, schedule.id)))

    async def change(self, organisation: str, schedule_id: str, terms: ScheduleTerms) -> None:
        """Write new terms over those of one that is pending.

        Raises:
            ScheduleRunningError: it is not.
            StoreUnavailableError: it is as it was.
        """
        await self._writer.write(schedule_requests.change, Change(organisation, schedule_id, terms))
        self.on_due()

    async def cancel(self, organisation: str, schedule_id: str, now: datetime) -> None:
        """Take out what waits of one of the organisation; one that is over stays as it is.

        Raises:
            StoreUnavailableError: it is as it was.
        """
        await self._writer.write(schedule_requests.cancel, Cancellation(organisation, schedule_id, now))
        self._events.on_stored()
        self.on_due()

    async def cancelled(self, calls: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Tell which of some calls (ids) are attempts of future calls that were cancelled: organisation and id of each.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        found = await self._read(schedule_requests.cancelled_among(calls))
        return tuple((call.organisation, call.id) for call in found)

    async def next_due(self, without: Iterable[str] = ()) -> datetime | None:
        """Tell when a number that nobody has claimed is due next, or None.

        Args:
            without: organisations that do not count.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        due_at = schedule_numbers.c.due_at
        earliest = sa.select(due_at).where(*schedule_dialling.due_unclaimed(without)).order_by(due_at).limit(1)
        found = await self._read(earliest)
        moment: datetime | None = found[0][0] if found else None
        return moment

    async def claim(self, node: str, now: datetime, limit: int, without: Iterable[str] = ()) -> list[DueNumber]:
        """Claim numbers that are due, those that wait longest first; nobody else gets them.

        Raises:
            StoreUnavailableError: none was claimed.
        """
        return await self._writer.write(schedule_dialling.claim, Claim(node, now, limit, frozenset(without)))

    async def release(self, node: str) -> None:
        """Give back what a node has claimed and not dialled.

        Raises:
            StoreUnavailableError: it is still claimed.
        """
        await self._writer.write(schedule_dialling.release, node)

    async def refuse(self, number_id: str, node: str, reason: str, now: datetime) -> None:
        """Note why a claimed number is not dialled, ever.

        Raises:
            StoreUnavailableError: it is still claimed.
        """
        await self._writer.write(schedule_dialling.refuse, Refusal(number_id, node, reason, now))
        self._events.on_stored()

    async def look(self, now: datetime) -> None:
        """Note that a node looks for what is due.

        Raises:
            StoreUnavailableError: it is not noted.
        """
        await self._writer.write(schedule_dialling.look, now)

    async def miss(self, now: datetime, grace: timedelta, limit: int) -> int:
        """Take out what was due while no node looked, and is later than `grace` now; note that one looks.

        Returns:
            How many numbers; with as many as the limit there are more.

        Raises:
            StoreUnavailableError: none was taken out.
        """
        missed = await self._writer.write(schedule_dialling.miss, Look(now, grace, limit))
        if missed:
            self._events.on_stored()
        return missed
