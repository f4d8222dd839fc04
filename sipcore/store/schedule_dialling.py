"""Numbers of future calls on their way: claimed when they are due, begun, settled, and over.

A future call's row is locked before the rows of its numbers, always, so that a cancellation and the end of an attempt
see each other, and no two transactions wait for each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from sipcore.domain import schedule_events
from sipcore.domain.attempt import AttemptSource
from sipcore.domain.attempt_outcome import SettledAttempt
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import AttemptWithdrawnError
from sipcore.domain.record import CallRecord
from sipcore.domain.retry import RetryAt, RetryPolicy
from sipcore.domain.schedule import DueNumber, NumberStatus
from sipcore.domain.schedule_events import NumberRef
from sipcore.store import outbox
from sipcore.store.schema import schedule_numbers, schedule_watch, schedules

_N, _S = schedule_numbers.c, schedules.c
_NOT_OVER = (NumberStatus.WAITING, NumberStatus.DIALLING)
_GIVEN_UP: Mapping[Disposition, NumberStatus] = {
    Disposition.ANSWERED: NumberStatus.ANSWERED,
    Disposition.CANCELLED: NumberStatus.CANCELLED,
}
"""How a number stands that is not tried again; failed after any other outcome."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Numbers that a node wants to dial now.

    Attributes:
        node: which.
        now: the present.
        limit: most numbers.
        without: organisations whose limits are reached.
    """

    node: str
    now: datetime
    limit: int
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Look:
    """A look for what was due while nobody looked.

    Attributes:
        now: the present.
        grace: how late a number may be dialled after that.
        limit: most numbers in one transaction.
    """

    now: datetime
    grace: timedelta
    limit: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A claimed number that cannot be dialled, whenever it is tried.

    Attributes:
        id: of the entry.
        node: that has claimed it.
        reason: why, for people.
        now: the present.
    """

    id: str
    node: str
    reason: str
    now: datetime


def due_unclaimed(without: Iterable[str] = ()) -> tuple[sa.ColumnElement[bool], ...]:
    """Say which numbers wait for anybody to claim them."""
    waiting = _N.due_at.is_not(None), _N.claimed_by.is_(None)
    held = [*without]
    return (*waiting, _N.organisation.not_in(held)) if held else waiting


def claim(connection: sa.Connection, claims: Sequence[Claim]) -> list[DueNumber]:
    """Claim numbers that are due, those that wait longest first.

    Raises:
        ValueError: two claims came at once; each has a result of its own, so they are to be made one by one.
    """
    (wanted,) = claims
    due = (
        sa.select(_N.id)
        .where(*due_unclaimed(wanted.without), _N.due_at <= wanted.now)
        .order_by(_N.due_at, _N.id)
        .limit(wanted.limit)
        .with_for_update(skip_locked=True)
    )
    found = connection.execute(due).scalars().all()
    if not found:
        return []
    # SQLite locks nothing by reading: what another connection has claimed since is left to it.
    ids = (
        connection.execute(
            sa.update(schedule_numbers)
            .where(_N.id.in_(found), *due_unclaimed())
            .values(claimed_by=wanted.node)
            .returning(_N.id)
        )
        .scalars()
        .all()
    )
    claimed = (
        sa.select(
            _N.id, _N.organisation, _S.user, _N.attempts, _N.number, _S.dial2, _S.set_cid, _S.ring_seconds, _N.due_at
        )
        .join(schedules, _S.id == _N.schedule_id)
        .where(_N.id.in_(ids))
        .order_by(_N.due_at, _N.id)
    )
    return [DueNumber(*row) for row in connection.execute(claimed)]


def begin(connection: sa.Connection, records: Iterable[CallRecord]) -> None:
    """Note that claimed numbers are being dialled.

    Raises:
        AttemptWithdrawnError: one is not this node's to dial as this attempt any more.
    """
    begun = {
        record.attempt.source_id: (record, record.attempt)
        for record in records
        if record.attempt is not None and record.attempt.source is AttemptSource.SCHEDULE
    }
    if not begun:
        return
    (node,) = {attempt.node for _, attempt in begun.values()}
    of_schedules = sa.select(_N.schedule_id).where(_N.id.in_(begun))
    now = min(record.accepted_at for record, _ in begun.values())
    connection.execute(sa.update(schedules).where(_S.id.in_(of_schedules), _S.begun_at.is_(None)).values(begun_at=now))
    dialling = connection.execute(
        sa.update(schedule_numbers)
        .where(_N.id.in_(begun), _N.due_at.is_not(None), _N.claimed_by == node)
        .values(status=NumberStatus.DIALLING, due_at=None, attempts=_N.attempts + 1)
        .returning(_N.id, _N.attempts)
    )
    if {row.id: row.attempts for row in dialling} != {key: attempt.number for key, (_, attempt) in begun.items()}:
        raise AttemptWithdrawnError("the number was cancelled meanwhile, or another node has it")


def follow(connection: sa.Connection, settled: Iterable[SettledAttempt]) -> None:
    """Decide what follows attempts that are settled, and tell of it."""
    by_number = {each.source_id: each for each in settled if each.source is AttemptSource.SCHEDULE}
    if not by_number:
        return
    headers = _locked(connection, sa.select(_N.schedule_id).where(_N.id.in_(by_number)))
    over: dict[str, datetime] = {}
    for row in connection.execute(
        sa.select(_N.id, _N.schedule_id, _N.number).where(_N.id.in_(by_number), _N.status == NumberStatus.DIALLING)
    ).all():
        header, attempt = headers[row.schedule_id], by_number[row.id]
        decision = RetryPolicy(header.retries, header.retry_seconds).after(
            attempt.number, attempt.outcome, attempt.settled_at
        )
        status, due_at = _GIVEN_UP.get(attempt.outcome, NumberStatus.FAILED), None
        if isinstance(decision, RetryAt):
            cancelled = header.cancelled_by is not None
            status = NumberStatus.CANCELLED if cancelled else NumberStatus.WAITING
            due_at = None if cancelled else decision.when
        connection.execute(
            sa.update(schedule_numbers).where(_N.id == row.id).values(status=status, due_at=due_at, claimed_by=None)
        )
        ref = NumberRef(row.schedule_id, header.organisation, row.number)
        outbox.put(connection, [schedule_events.attempted(ref, attempt, status, due_at)])
        if due_at is None:
            over[row.schedule_id] = max(over.get(row.schedule_id, attempt.settled_at), attempt.settled_at)
    end_those_over(connection, over)


def release(connection: sa.Connection, nodes: Sequence[str]) -> None:
    """Give back what nodes have claimed and not dialled."""
    release_all(connection, _N.claimed_by.in_(nodes))


def release_all(connection: sa.Connection, of_nodes: sa.ColumnElement[bool]) -> None:
    """Give back what some nodes have claimed and not dialled."""
    claimed = _N.claimed_by.is_not(None), _N.due_at.is_not(None), of_nodes
    connection.execute(sa.update(schedule_numbers).where(*claimed).values(claimed_by=None))


def refuse(connection: sa.Connection, refusals: Sequence[Refusal]) -> None:
    """Note why claimed numbers are not dialled, ever."""
    _locked(connection, sa.select(_N.schedule_id).where(_N.id.in_([each.id for each in refusals])))
    over: dict[str, datetime] = {}
    for each in refusals:
        refused = connection.execute(
            sa.update(schedule_numbers)
            .where(_N.id == each.id, _N.claimed_by == each.node, _N.due_at.is_not(None))
            .values(status=NumberStatus.REFUSED, due_at=None, claimed_by=None, reason=each.reason)
            .returning(_N.schedule_id)
        )
        over |= {row.schedule_id: each.now for row in refused}
    end_those_over(connection, over)


def miss(connection: sa.Connection, looks: Sequence[Look]) -> int:
    """Take out what was due while nobody looked for it, when it is too late now; note that somebody looks.

    Returns:
        How many numbers; with as many as the limit there are more.
    """
    wanted = looks[-1]
    looked_at = connection.execute(sa.select(schedule_watch.c.looked_at)).scalar()
    missed: list[Any] = []
    if looked_at is not None and wanted.now - looked_at > wanted.grace:
        missed = _take_out(connection, wanted)
    if len(missed) < wanted.limit:
        _note(connection, wanted.now)
    return len(missed)


def look(connection: sa.Connection, times: Sequence[datetime]) -> None:
    """Note that somebody looks for what is due."""
    _note(connection, times[-1])


def _note(connection: sa.Connection, now: datetime) -> None:
    noted = connection.execute(sa.update(schedule_watch).values(looked_at=now)).rowcount
    if not noted:
        connection.execute(sa.insert(schedule_watch).values(id=1, looked_at=now))


def _take_out(connection: sa.Connection, look: Look) -> list[Any]:
    late = (
        sa.select(_N.id, _N.schedule_id, _N.organisation, _N.number, _N.due_at)
        .where(*due_unclaimed(), _N.due_at < look.now - look.grace)
        .order_by(_N.due_at, _N.id)
        .limit(look.limit)
    )
    rows = {row.id: row for row in connection.execute(late)}
    if not rows:
        return []
    _locked(connection, sa.select(_N.schedule_id).where(_N.id.in_(rows)))
    taken = connection.execute(
        sa.update(schedule_numbers)
        .where(_N.id.in_(rows), *due_unclaimed())
        .values(status=NumberStatus.MISSED, due_at=None)
        .returning(_N.id)
    )
    missed = [rows[number_id] for number_id in taken.scalars()]
    refs = ((NumberRef(row.schedule_id, row.organisation, row.number), row.due_at) for row in missed)
    outbox.put(connection, (schedule_events.missed(ref, due_at, look.now) for ref, due_at in refs))
    end_those_over(connection, {row.schedule_id: look.now for row in missed})
    return missed


def end_those_over(connection: sa.Connection, may_be_over: Mapping[str, datetime]) -> None:
    """End the future calls of which nothing is left, and tell of it; their rows are locked.

    Args:
        connection: in a transaction.
        may_be_over: their ids, and when the last number of each was over if it was the last.
    """
    if not may_be_over:
        return
    statuses: dict[str, Counter[str]] = defaultdict(Counter)
    counted = sa.select(_N.schedule_id, _N.status, sa.func.count()).where(_N.schedule_id.in_(may_be_over))
    for schedule_id, status, count in connection.execute(counted.group_by(_N.schedule_id, _N.status)):
        statuses[schedule_id][status] = count
    over = [key for key, counts in statuses.items() if not any(counts[status] for status in _NOT_OVER)]
    for schedule_id in over:
        ended = connection.execute(
            sa.update(schedules)
            .where(_S.id == schedule_id, _S.ended_at.is_(None))
            .values(ended_at=may_be_over[schedule_id])
            .returning(_S.organisation, _S.cancelled_by)
        )
        outbox.put(
            connection,
            [
                schedule_events.ended(
                    schedule_id, row.organisation, may_be_over[schedule_id], row.cancelled_by, statuses[schedule_id]
                )
                for row in ended
            ],
        )


def _locked(connection: sa.Connection, ids: sa.Select[tuple[str]]) -> dict[str, sa.Row[Any]]:
    headers = sa.select(schedules).where(_S.id.in_(ids)).order_by(_S.id).with_for_update()
    return {row.id: row for row in connection.execute(headers)}
