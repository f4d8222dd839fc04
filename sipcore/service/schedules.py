"""Future calls as organisations see them: accepted, read, changed, cancelled. The scheduler dials them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog

from sipcore.domain.dialplan import NumberPlan
from sipcore.domain.directory import Organisation
from sipcore.domain.errors import ParameterError
from sipcore.domain.retry import LONGEST_SECONDS, MAX_RETRIES, SHORTEST_SECONDS, RetryPolicy
from sipcore.domain.schedule import NewSchedule, SchedulePage, ScheduleReport, ScheduleTerms
from sipcore.domain.schedule_date import read_date
from sipcore.service.calls import DEFAULT_RING_SECONDS, DialRequest, LiveDirectory
from sipcore.service.number_list import checked
from sipcore.service.scheduler import utc_now
from sipcore.service.store import ScheduleStore

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """What somebody asks for, authenticated, with its texts as given.

    Attributes:
        organisation: who asks; it exists.
        user: who asks, or empty when the organisation's ident alone did.
        dial1: the numbers, 1 or more.
        dial2, set_cid, ring_seconds: as in `DialRequest`, the same for all.
        date: as `sipcore.domain.schedule_date.read_date` takes it.
        retries, retry_seconds: as in `RetryPolicy`.
        id: id that it was given already, or None.
    """

    organisation: str
    user: str
    dial1: tuple[str, ...]
    dial2: str
    date: str
    retries: int
    retry_seconds: int
    set_cid: str | None = None
    ring_seconds: int = DEFAULT_RING_SECONDS
    id: str | None = None


@dataclass(frozen=True, slots=True)
class NamesInRequest:
    """What a request calls the things that may be wrong with it."""

    date: str
    retries: str
    retry_seconds: str


IN_DIALUP = NamesInRequest("Date", "Maxretry", "Retrytime")
IN_API = NamesInRequest("date", "retries", "retry_seconds")


@dataclass(frozen=True, slots=True)
class ScheduleChanges:
    """What of a pending future call is to be another; None: stays as it is.

    Attributes:
        date, retries, retry_seconds, dial1, dial2, ring_seconds: as in `ScheduleRequest`.
        set_cid: the same; empty: none.
    """

    date: str | None = None
    retries: int | None = None
    retry_seconds: int | None = None
    dial1: tuple[str, ...] | None = None
    dial2: str | None = None
    set_cid: str | None = None
    ring_seconds: int | None = None

    def over(self, report: ScheduleReport, now: datetime, zone: ZoneInfo) -> ScheduleTerms:
        """Make the terms that hold from now on.

        Raises:
            ParameterError: the date or a number is wrong.
        """
        old = report.schedule
        return ScheduleTerms(
            self.dial1 or tuple(each.number for each in report.results),
            self.dial2 or old.dial2,
            old.set_cid if self.set_cid is None else self.set_cid or None,
            self.ring_seconds or old.ring_seconds,
            old.date if self.date is None else read_date(self.date, zone, now, parameter=IN_API.date),
            checked_retry(
                old.retry.retries if self.retries is None else self.retries,
                old.retry.seconds if self.retry_seconds is None else self.retry_seconds,
                IN_API,
            ),
        )


def checked_retry(retries: int, seconds: int, names: NamesInRequest) -> RetryPolicy:
    """Make a policy.

    Raises:
        ParameterError: a number is out of its range.
    """
    if not 0 <= retries <= MAX_RETRIES:
        raise ParameterError(names.retries, f"must be a whole number from 0 to {MAX_RETRIES}")
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ParameterError(
            names.retry_seconds, f"must be a whole number of seconds from {SHORTEST_SECONDS} to {LONGEST_SECONDS}"
        )
    return RetryPolicy(retries, seconds)


class Schedules:
    """Future calls of all organisations.

    Args:
        store: keeps them.
        directory: organisations in force.
        numbers: the world's numbering plans.
        now: the present (aware).
    """

    def __init__(
        self,
        store: ScheduleStore,
        directory: LiveDirectory,
        numbers: NumberPlan,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._directory = directory
        self._numbers = numbers
        self._now = now

    def user_required(self, organisation: str) -> bool:
        """Tell whether the organisation's ident alone does not authorise a future call."""
        return self._directory.organisation(organisation).future_calls_need_user

    async def accept(self, request: ScheduleRequest, names: NamesInRequest = IN_DIALUP) -> NewSchedule:
        """Keep a future call.

        Raises:
            ParameterError: the date, the retries, a destination or the caller identity is wrong.
            NotAllowedError: a destination or the caller identity is not allowed to the organisation.
            StoreUnavailableError: nothing was kept.
        """
        organisation = self._directory.organisation(request.organisation)
        now = self._now()
        terms = ScheduleTerms(
            request.dial1,
            request.dial2,
            request.set_cid,
            request.ring_seconds,
            read_date(request.date, ZoneInfo(organisation.time_zone), now, parameter=names.date),
            checked_retry(request.retries, request.retry_seconds, names),
        )
        terms = await self._checked(terms, organisation)
        schedule = NewSchedule(request.id or uuid.uuid4().hex, organisation.name, request.user, now, terms)
        await self._store.accept(schedule)
        _log.info(
            "future call accepted",
            schedule=schedule.id,
            organisation=schedule.organisation,
            user=schedule.user,
            numbers=len(terms.numbers),
            dial2=terms.dial2,
            date=terms.date.isoformat(),
        )
        return schedule

    async def get(self, organisation: str, schedule_id: str) -> ScheduleReport | None:
        """Tell how one stands; None: the organisation has none of this id.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return await self._store.get(organisation, schedule_id)

    async def find(self, organisation: str, cursor: str | None = None) -> SchedulePage:
        """Read a page of the organisation's, newest first.

        Raises:
            ParameterError: the cursor is none of ours.
            StoreUnavailableError: the database does not answer.
        """
        return await self._store.find(organisation, cursor=cursor)

    async def change(self, organisation: str, schedule_id: str, changes: ScheduleChanges) -> ScheduleReport | None:
        """Change one that is pending, and tell how it stands then; None: the organisation has none of this id.

        Raises:
            ParameterError, NotAllowedError: as `accept`.
            ScheduleRunningError: it is not pending any more.
            StoreUnavailableError: it is as it was.
        """
        found = await self._store.get(organisation, schedule_id)
        if found is None:
            return None
        terms = changes.over(found, self._now(), ZoneInfo(self._directory.organisation(organisation).time_zone))
        terms = await self._checked(terms, self._directory.organisation(organisation))
        await self._store.change(organisation, schedule_id, terms)
        _log.info("future call changed", schedule=schedule_id, organisation=organisation)
        return await self._store.get(organisation, schedule_id)

    async def cancel(self, organisation: str, schedule_id: str) -> ScheduleReport | None:
        """Dial nothing more of one, and tell how it stands; one that is over stays as it is.

        The scheduler of the node that rings somebody for it hangs up.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        await self._store.cancel(organisation, schedule_id, self._now())
        return await self._store.get(organisation, schedule_id)

    async def _checked(self, terms: ScheduleTerms, organisation: Organisation) -> ScheduleTerms:
        def call_of(number: str) -> DialRequest:
            return DialRequest(organisation.name, "", number, terms.dial2, terms.set_cid, terms.ring_seconds)

        numbers, _ = await checked(terms.numbers, call_of, organisation, self._numbers)
        return replace(terms, numbers=numbers)
