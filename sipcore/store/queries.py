"""What is read: statements, and records from their rows.

Each read is one statement, so that a call and its legs are of one moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from sipcore.domain.record import CallRecord, LegRecord, RecordFilter
from sipcore.store.cursor import PagePosition
from sipcore.store.operations import CALL_FIELDS, LEG_FIELDS
from sipcore.store.schema import UtcTime, calls, legs

RecordRows = sa.Select[Any]
"""One row per leg, in the order of calls and then of legs: the fields of the call, then those of the leg."""


def one_record(organisation: str, record_id: str) -> RecordRows:
    """Select a record by its id."""
    return _with_legs(sa.select(calls).where(calls.c.organisation == organisation, calls.c.id == record_id))


def newest_records(organisation: str, wanted: RecordFilter, after: PagePosition | None, limit: int) -> RecordRows:
    """Select the newest records of an organisation.

    Args:
        organisation: whose.
        wanted: which of them.
        after: begin behind this record, or None: with the newest.
        limit: most records.
    """
    page = sa.select(calls).where(calls.c.organisation == organisation, *_conditions(organisation, wanted))
    if after is not None:
        last = sa.tuple_(sa.literal(after.accepted_at, UtcTime), sa.literal(after.id))
        page = page.where(sa.tuple_(calls.c.accepted_at, calls.c.id) < last)
    return _with_legs(page.order_by(calls.c.accepted_at.desc(), calls.c.id.desc()).limit(limit))


def to_records(rows: Iterable[Sequence[Any]]) -> tuple[CallRecord, ...]:
    """Build records from the rows of one of the statements above."""
    return tuple(_to_record(list(of_one_call)) for _, of_one_call in groupby(rows, key=lambda row: row[0]))


def _conditions(organisation: str, wanted: RecordFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.uid is not None:
        conditions.append(calls.c.id.in_(sa.select(legs.c.call_id).where(legs.c.uid == wanted.uid)))
    if wanted.number is not None:
        conditions.append(calls.c.id.in_(_calls_of_number(organisation, wanted.number)))
    if wanted.disposition is not None:
        conditions.append(calls.c.disposition == wanted.disposition)
    if wanted.since is not None:
        conditions.append(calls.c.accepted_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(calls.c.accepted_at < wanted.until)
    return conditions


def _calls_of_number(organisation: str, number: str) -> sa.CompoundSelect[Any]:
    """Look in three indexes; one condition with OR would read every record of the organisation."""
    ours = sa.select(calls.c.id).where(calls.c.organisation == organisation)
    return sa.union(
        sa.select(legs.c.call_id).where(legs.c.number == number),
        ours.where(calls.c.dial1 == number),
        ours.where(calls.c.dial2 == number),
    )


def _with_legs(page: sa.Select[Any]) -> RecordRows:
    call = page.subquery("call")
    return (
        sa.select(*(call.c[name] for name in CALL_FIELDS), *(legs.c[name] for name in LEG_FIELDS))
        .select_from(call.outerjoin(legs, legs.c.call_id == call.c.id))
        .order_by(call.c.accepted_at.desc(), call.c.id.desc(), legs.c.position)
    )


def _to_record(rows: list[Sequence[Any]]) -> CallRecord:
    width = len(CALL_FIELDS)
    # A call without legs comes as one row whose leg is all NULL.
    of_legs = tuple(LegRecord(*row[width:]) for row in rows if row[width] is not None)
    return CallRecord(**dict(zip(CALL_FIELDS, rows[0][:width], strict=True)), legs=of_legs)
