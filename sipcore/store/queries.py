"""What is read: statements, and records from their rows.

Each read is one statement, so that a call and its legs are of one moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from sipcore.domain.batch_record import BatchRecord
from sipcore.domain.record import CallRecord, LegRecord, RecordFilter
from sipcore.domain.recording import Flaw, Recording, RecordingEnd, RecordingFormat
from sipcore.domain.waiting_queue import AgentMemory
from sipcore.store.cursor import PagePosition
from sipcore.store.operations import CALL_FIELDS, LEG_FIELDS
from sipcore.store.schema import batches, calls, legs, queue_agents, recordings

Column = sa.ColumnElement
Condition = sa.ColumnElement[bool]

_BATCH_FIELDS = tuple(field.name for field in fields(BatchRecord))
_EVERY_BATCH = sa.select(*(batches.c[name] for name in _BATCH_FIELDS))

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
    page = sa.select(calls).where(*_conditions(wanted, after, calls.c.accepted_at, calls.c.id))
    # The organisation stands in the inner queries alone where there are any. Beside them it would invite SQLite, which
    # knows nothing of how often a value occurs, to walk through all records of the organisation; and so would the
    # disposition beside something that leads to fewer calls.
    ours = calls.c.organisation == organisation
    if wanted.uid is not None:
        of_uid = sa.select(legs.c.call_id).where(legs.c.uid == wanted.uid, legs.c.organisation == organisation)
        page = page.where(calls.c.id.in_(of_uid), *_of_phones(wanted), *_with_outcome(calls, wanted))
    elif wanted.batch is not None or wanted.reference is not None:
        page = page.where(ours, *_of_phones(wanted), *_with_outcome(calls, wanted))
    elif wanted.number is not None:
        page = page.where(calls.c.id.in_(_newest_of_number(organisation, wanted, wanted.number, after, limit)))
    elif wanted.extension is not None:
        of_extension = [legs.c.organisation == organisation, legs.c.extension == wanted.extension]
        page = page.where(calls.c.id.in_(_newest(of_extension, legs, wanted, after, limit)))
    elif wanted.disposition is not None:
        page = page.where(ours, calls.c.disposition == wanted.disposition)
    else:
        page = page.where(ours)
    return _with_legs(page.order_by(calls.c.accepted_at.desc(), calls.c.id.desc()).limit(limit))


def unfinished_records(wanted: Condition) -> RecordRows:
    """Select those of the records of all organisations that are not complete."""
    return _with_legs(sa.select(calls).where(calls.c.ended_at.is_(None), wanted))


def last_dialler(organisation: str, number: str) -> sa.Select[tuple[str]]:
    """Select dial1 of the newest call that we placed and that rang a number, as it is dialled, as its dial2."""
    return (
        sa.select(calls.c.dial1)
        .join(legs, legs.c.call_id == calls.c.id)
        .where(
            legs.c.organisation == organisation,
            legs.c.number == number,
            legs.c.party == "dial2",
            legs.c.placed_at.is_not(None),
            calls.c.direction == "outbound",
        )
        .order_by(legs.c.accepted_at.desc(), legs.c.call_id.desc())
        .limit(1)
    )


def every_agent() -> sa.Select[Any]:
    """Select all agents of queues: the fields of an `AgentMemory`."""
    return sa.select(*(queue_agents.c[field.name] for field in fields(AgentMemory)))


def one_recording(organisation: str, recording_id: str) -> sa.Select[Any]:
    """Select a recording by its id: the fields of a `Recording`."""
    return _recordings().where(recordings.c.organisation == organisation, recordings.c.id == recording_id)


def kept_recordings(organisation: str, before: datetime, limit: int) -> sa.Select[Any]:
    """Select the oldest recordings that began before a moment and are not deleted."""
    kept = recordings.c.organisation == organisation, recordings.c.deleted_at.is_(None)
    old = _recordings().where(*kept, recordings.c.started_at < before)
    return old.order_by(recordings.c.started_at).limit(limit)


def _recordings() -> sa.Select[Any]:
    return sa.select(*(recordings.c[field.name] for field in fields(Recording)))


def to_recordings(rows: Iterable[Sequence[Any]]) -> tuple[Recording, ...]:
    """Build recordings from the rows of one of the two statements above."""
    found = (dict(zip((field.name for field in fields(Recording)), row, strict=True)) for row in rows)
    return tuple(
        Recording(**row | {"format": RecordingFormat(row["format"]), "flaw": row["flaw"] and Flaw(row["flaw"])})
        for row in found
    )


def one_batch(organisation: str, batch_id: str) -> sa.Select[Any]:
    """Select a batch by its id: the fields of a `BatchRecord`."""
    return _batches(organisation).where(batches.c.id == batch_id)


def unfinished_batches(wanted: Condition) -> sa.Select[Any]:
    """Select those of the batches of all organisations that have not ended."""
    return _EVERY_BATCH.where(batches.c.ended_at.is_(None), wanted)


def cancelled_batches(node: str) -> sa.Select[tuple[str]]:
    """Select the ids of those batches of a node that are cancelled and have not ended."""
    mine = batches.c.node == node, batches.c.ended_at.is_(None), batches.c.cancelled_by.is_not(None)
    return sa.select(batches.c.id).where(*mine)


def newest_batches(organisation: str, after: PagePosition | None, limit: int) -> sa.Select[Any]:
    """Select the newest batches of an organisation.

    Args:
        organisation: whose.
        after: begin behind this one, or None: with the newest.
        limit: most batches.
    """
    page = _batches(organisation)
    if after is not None:
        page = page.where(after.behind(batches.c.accepted_at, batches.c.id))
    return page.order_by(batches.c.accepted_at.desc(), batches.c.id.desc()).limit(limit)


def to_records(rows: Iterable[Sequence[Any]]) -> tuple[CallRecord, ...]:
    """Build records from the rows of one of the statements above."""
    return tuple(_to_record(list(of_one_call)) for _, of_one_call in groupby(rows, key=lambda row: row[0]))


def to_batches(rows: Iterable[Sequence[Any]]) -> tuple[BatchRecord, ...]:
    """Build batches from the rows of one of the statements above."""
    named = (dict(zip(_BATCH_FIELDS, row, strict=True)) for row in rows)
    return tuple(BatchRecord(**{**row, "numbers": tuple(row["numbers"])}) for row in named)


def to_memories(rows: Iterable[Sequence[Any]]) -> tuple[AgentMemory, ...]:
    """Build memories from the rows of `every_agent`."""
    return tuple(AgentMemory(*row) for row in rows)


def _conditions(
    wanted: RecordFilter, after: PagePosition | None, accepted_at: Column[datetime], call_id: Column[str]
) -> list[Condition]:
    """Say what of a filter needs no look at numbers or UniqueIDs, with the columns that the index in use ends with."""
    conditions: list[Condition] = []
    if wanted.batch is not None:
        conditions.append(calls.c.batch_id == wanted.batch)
    if wanted.reference is not None:
        conditions.append(calls.c.reference == wanted.reference)
    if wanted.since is not None:
        conditions.append(accepted_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(accepted_at < wanted.until)
    if after is not None:
        conditions.append(after.behind(accepted_at, call_id))
    return conditions


def _batches(organisation: str) -> sa.Select[Any]:
    return _EVERY_BATCH.where(batches.c.organisation == organisation)


def _of_phones(wanted: RecordFilter) -> list[Condition]:
    """Say what of a filter is about numbers and extensions, for calls that are few, or found by something else."""
    conditions = _of_extension(wanted, calls.c.id)
    if wanted.number is not None:
        of_a_leg = sa.exists().where(legs.c.call_id == calls.c.id, legs.c.number == wanted.number)
        conditions.append(sa.or_(calls.c.dial1 == wanted.number, calls.c.dial2 == wanted.number, of_a_leg))
    return conditions


def _of_extension(wanted: RecordFilter, call_id: Column[str]) -> list[Condition]:
    if wanted.extension is None:
        return []
    other = legs.alias("other")
    return [sa.exists().where(other.c.call_id == call_id, other.c.extension == wanted.extension)]


def _with_outcome(of: sa.Table, wanted: RecordFilter) -> list[Condition]:
    """Ask for the disposition of the call, of a row of calls or of legs, in a way for which no index is looked up."""
    if wanted.disposition is None:
        return []
    disposition = sa.type_coerce(calls.c.disposition, sa.String).concat("") == wanted.disposition.value
    if of is calls:
        return [disposition]
    # Calls in progress have none yet; for those that an older program has written, the call itself has to be asked.
    of_call = sa.exists().where(calls.c.id == legs.c.call_id, disposition)
    return [sa.or_(legs.c.outcome == wanted.disposition, sa.and_(legs.c.outcome.is_(None), of_call))]


def _newest(
    matches: Sequence[Condition], of: sa.Table, wanted: RecordFilter, after: PagePosition | None, limit: int
) -> sa.Select[Any]:
    """Select the ids of the newest calls that match, from the end of an index of calls or of legs."""
    accepted_at, call_id = of.c.accepted_at, of.c.call_id if of is legs else of.c.id
    found = (
        sa.select(accepted_at.label("accepted_at"), call_id.label("id"))
        .where(*matches, *_conditions(wanted, after, accepted_at, call_id), *_with_outcome(of, wanted))
        # Several legs of a call may match, and must not use up the limit.
        .distinct()
        .order_by(accepted_at.desc(), call_id.desc())
        .limit(limit)
        .subquery()
    )
    return sa.select(found.c.id)


def _newest_of_number(
    organisation: str, wanted: RecordFilter, number: str, after: PagePosition | None, limit: int
) -> sa.CompoundSelect[Any]:
    """Take the newest from each of the three indexes that have a number; the newest of all are among them."""
    ours, of_a_leg = calls.c.organisation == organisation, legs.c.organisation == organisation
    of_call, of_leg = _of_extension(wanted, calls.c.id), _of_extension(wanted, legs.c.call_id)
    return sa.union(
        _newest([ours, calls.c.dial1 == number, *of_call], calls, wanted, after, limit),
        _newest([ours, calls.c.dial2 == number, *of_call], calls, wanted, after, limit),
        _newest([of_a_leg, legs.c.number == number, *of_leg], legs, wanted, after, limit),
    )


def _with_legs(page: sa.Select[Any]) -> RecordRows:
    call = page.subquery("call")
    state = sa.case(
        (call.c.recording_id.is_(None), sa.null()),
        (recordings.c.id.is_(None), sa.literal(RecordingEnd.PENDING.value)),
        (recordings.c.deleted_at.is_not(None), sa.literal(RecordingEnd.DELETED.value)),
        (recordings.c.flaw.is_not(None), sa.literal(RecordingEnd.INCOMPLETE.value)),
        else_=sa.literal(RecordingEnd.COMPLETE.value),
    )
    return (
        sa.select(*(call.c[name] for name in CALL_FIELDS), state, *(legs.c[name] for name in LEG_FIELDS))
        .select_from(
            call.outerjoin(legs, legs.c.call_id == call.c.id).outerjoin(
                recordings, recordings.c.id == call.c.recording_id
            )
        )
        .order_by(call.c.accepted_at.desc(), call.c.id.desc(), legs.c.position)
    )


def _to_record(rows: list[Sequence[Any]]) -> CallRecord:
    names = (*CALL_FIELDS, "recording_state")
    width = len(names)
    # A call without legs comes as one row whose leg is all NULL.
    of_legs = tuple(LegRecord(*row[width:]) for row in rows if row[width] is not None)
    return CallRecord(**dict(zip(names, rows[0][:width], strict=True)), legs=of_legs)
