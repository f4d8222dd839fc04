"""Future calls as they are accepted, changed, cancelled and read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sipcore.domain import schedule_events
from sipcore.domain.attempt import AttemptSource
from sipcore.domain.errors import ScheduleRunningError
from sipcore.domain.retry import RetryPolicy
from sipcore.domain.schedule import (
    MadeAttempt,
    NewSchedule,
    NumberStatus,
    Schedule,
    ScheduledNumber,
    ScheduleReport,
    ScheduleTerms,
)
from sipcore.store import outbox
from sipcore.store.cursor import PagePosition
from sipcore.store.notices import SCHEDULES_DUE, notify
from sipcore.store.schedule_dialling import end_those_over
from sipcore.store.schema import attempts, schedule_numbers, schedules

_N, _S = schedule_numbers.c, schedules.c


@dataclass(frozen=True, slots=True)
class Change:
    """New terms for a future call that is pending.

    Attributes:
        organisation, id: which.
        terms: all of them.
    """

    organisation: str
    id: str
    terms: ScheduleTerms


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The end of a future call, asked for.

    Attributes:
        organisation, id: which.
        now: when.
    """

    organisation: str
    id: str
    now: datetime


def accept(connection: sa.Connection, accepted: Sequence[NewSchedule]) -> None:
    """Insert future calls and their numbers, and tell that they were accepted."""
    rows = [
        {
            "id": each.id,
            "organisation": each.organisation,
            "user": each.user,
            "accepted_at": each.accepted_at,
            **_terms_row(each.terms),
        }
        for each in accepted
    ]
    connection.execute(sa.insert(schedules), rows)
    _insert_numbers(connection, [(each.id, each.organisation, each.terms) for each in accepted])
    outbox.put(connection, map(schedule_events.accepted, accepted))
    notify(connection, SCHEDULES_DUE)


def change(connection: sa.Connection, changes: Sequence[Change]) -> None:
    """Write new terms over those of future calls that are pending.

    Raises:
        ScheduleRunningError: one is not pending (any more).
    """
    for each in changes:
        mine = _S.id == each.id, _S.organisation == each.organisation, _S.ended_at.is_(None), _S.begun_at.is_(None)
        # Locks it, and so begins a write transaction on SQLite.
        pending = connection.execute(sa.update(schedules).where(*mine).values(_terms_row(each.terms))).rowcount
        numbers = sa.select(_N.claimed_by).where(_N.schedule_id == each.id).with_for_update()
        if not pending or any(connection.execute(numbers).scalars()):
            raise ScheduleRunningError("it is being dialled already, or is over: it cannot be changed any more")
        connection.execute(sa.delete(schedule_numbers).where(_N.schedule_id == each.id))
        _insert_numbers(connection, [(each.id, each.organisation, each.terms)])
    notify(connection, SCHEDULES_DUE)


def cancel(connection: sa.Connection, cancellations: Sequence[Cancellation]) -> None:
    """Take out what waits of future calls; what is over stays as it is."""
    for each in cancellations:
        mine = _S.id == each.id, _S.organisation == each.organisation, _S.ended_at.is_(None)
        running = mine[0], mine[1], mine[2], _S.cancelled_by.is_(None)
        if not connection.execute(sa.update(schedules).where(*running).values(cancelled_by="request")).rowcount:
            continue
        connection.execute(
            sa.update(schedule_numbers)
            .where(_N.schedule_id == each.id, _N.due_at.is_not(None))
            .values(status=NumberStatus.CANCELLED, due_at=None, claimed_by=None)
        )
        notify(connection, SCHEDULES_DUE)
        end_those_over(connection, {each.id: each.now})


def one_schedule(organisation: str, schedule_id: str) -> sa.Select[Any]:
    """Select a future call with its numbers, each once for every attempt that was made, or once."""
    made = (attempts.c.source_id == _N.id) & (attempts.c.source == AttemptSource.SCHEDULE)
    return (
        sa.select(
            schedules,
            _N.position,
            _N.number,
            _N.status,
            _N.due_at,
            _N.reason,
            attempts.c.number.label("attempt"),
            attempts.c.id.label("record_id"),
            attempts.c.begun_at.label("attempted_at"),
            attempts.c.outcome,
        )
        .select_from(schedules.join(schedule_numbers).outerjoin(attempts, made))
        .where(_S.id == schedule_id, _S.organisation == organisation)
        .order_by(_N.position, attempts.c.number)
    )


def to_report(rows: Sequence[sa.Row[Any]]) -> ScheduleReport | None:
    """Build a future call from the rows of the statement above; None: there is none."""
    if not rows:
        return None
    made: dict[int, tuple[sa.Row[Any], list[MadeAttempt]]] = {}
    for row in rows:
        _, of_number = made.setdefault(row.position, (row, []))
        if row.record_id is not None:
            of_number.append(MadeAttempt(row.attempt, row.record_id, row.attempted_at, row.outcome))
    numbers = tuple(
        ScheduledNumber(row.number, NumberStatus(row.status), row.due_at, row.reason, tuple(of_number))
        for row, of_number in made.values()
    )
    next_at = min((number.due_at for number in numbers if number.due_at is not None), default=None)
    return ScheduleReport(_to_schedule(rows[0], numbers[0].number, len(numbers), next_at), numbers)


def newest_schedules(organisation: str, after: PagePosition | None, limit: int) -> sa.Select[Any]:
    """Select the newest future calls of an organisation.

    Args:
        organisation: whose.
        after: begin behind this one, or None: with the newest.
        limit: most.
    """
    of_it = sa.select(schedule_numbers).where(_N.schedule_id == _S.id)
    page = sa.select(
        schedules,
        of_it.with_only_columns(_N.number).where(_N.position == 0).scalar_subquery().label("dial1"),
        of_it.with_only_columns(sa.func.count()).scalar_subquery().label("numbers"),
        of_it.with_only_columns(sa.func.min(_N.due_at)).scalar_subquery().label("next_at"),
    ).where(_S.organisation == organisation)
    if after is not None:
        page = page.where(after.behind(_S.accepted_at, _S.id))
    return page.order_by(_S.accepted_at.desc(), _S.id.desc()).limit(limit)


def to_schedules(rows: Iterable[sa.Row[Any]]) -> tuple[Schedule, ...]:
    """Build future calls from the rows of the statement above."""
    return tuple(_to_schedule(row, row.dial1, row.numbers, row.next_at) for row in rows)


def _to_schedule(row: sa.Row[Any], dial1: str, numbers: int, next_at: datetime | None) -> Schedule:
    return Schedule(
        id=row.id,
        organisation=row.organisation,
        user=row.user,
        accepted_at=row.accepted_at,
        dial1=dial1,
        numbers=numbers,
        dial2=row.dial2,
        set_cid=row.set_cid,
        ring_seconds=row.ring_seconds,
        date=row.date,
        retry=RetryPolicy(row.retries, row.retry_seconds),
        next_at=next_at,
        begun_at=row.begun_at,
        cancelled_by=row.cancelled_by,
        ended_at=row.ended_at,
    )


def cancelled_among(calls: Sequence[str]) -> sa.Select[tuple[str, str]]:
    """Select those of some calls, by organisation and id, that are attempts of future calls that were cancelled."""
    return (
        sa.select(attempts.c.organisation, attempts.c.id)
        .join(schedule_numbers, _N.id == attempts.c.source_id)
        .join(schedules, _S.id == _N.schedule_id)
        .where(
            attempts.c.id.in_(calls),
            attempts.c.source == AttemptSource.SCHEDULE,
            _S.cancelled_by.is_not(None),
        )
    )


def _terms_row(terms: ScheduleTerms) -> dict[str, Any]:
    return {
        "dial2": terms.dial2,
        "set_cid": terms.set_cid,
        "ring_seconds": terms.ring_seconds,
        "date": terms.date,
        "retries": terms.retry.retries,
        "retry_seconds": terms.retry.seconds,
    }


def _insert_numbers(connection: sa.Connection, of_schedules: Iterable[tuple[str, str, ScheduleTerms]]) -> None:
    rows = [
        {
            "id": f"{schedule_id}.{position}",
            "schedule_id": schedule_id,
            "position": position,
            "organisation": organisation,
            "number": number,
            "status": NumberStatus.WAITING,
            "due_at": terms.date,
            "attempts": 0,
        }
        for schedule_id, organisation, terms in of_schedules
        for position, number in enumerate(terms.numbers)
    ]
    connection.execute(sa.insert(schedule_numbers), rows)
