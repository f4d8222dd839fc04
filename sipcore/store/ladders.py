"""SIP ladders in the database: written with the end of their call's record, and deleted after some days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from sipcore.domain.ladder import LegLadder, Rung
from sipcore.domain.record import CallRecord
from sipcore.store.events import Read
from sipcore.store.schema import ladders
from sipcore.store.upsert import overwriting
from sipcore.store.writer import Writer

_OVERWRITE = overwriting(ladders)


class _Expired(NamedTuple):
    """At most `limit` of the ladders of calls that ended before a moment."""

    before: datetime
    limit: int


def put(connection: sa.Connection, records: Iterable[CallRecord]) -> None:
    """Insert the ladders that complete records bring, over those that are there."""
    rows = [
        {
            "call_id": record.id,
            "organisation": record.organisation,
            "ended_at": record.ended_at,
            "legs": [[leg.uid, [astuple(rung) for rung in leg.rungs]] for leg in record.ladder],
        }
        for record in records
        if record.ladder
    ]
    if rows:
        connection.execute(_OVERWRITE[connection.dialect.name], rows)


def _purge(connection: sa.Connection, expired: Sequence[_Expired]) -> int:
    deleted = 0
    for before, limit in expired:
        oldest = sa.select(ladders.c.call_id).where(ladders.c.ended_at < before)
        oldest = oldest.order_by(ladders.c.ended_at).limit(limit)
        deleted += connection.execute(sa.delete(ladders).where(ladders.c.call_id.in_(oldest))).rowcount
    return deleted


class SqlLadderStore:
    """The ladders beside the records, in the same database.

    Args:
        writer: of the database.
        read: reads from it.
    """

    def __init__(self, writer: Writer, read: Read) -> None:
        self._writer = writer
        self._read = read

    async def of(self, organisation: str, record_id: str) -> tuple[LegLadder, ...]:
        """Read the ladder of a call of the organisation that is over; empty when none is kept.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        mine = ladders.c.organisation == organisation, ladders.c.call_id == record_id
        rows = await self._read(sa.select(ladders.c.legs).where(*mine))
        return tuple(LegLadder(uid, tuple(Rung(*rung) for rung in rungs)) for row in rows for uid, rungs in row[0])

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete the ladders of calls that ended before a moment, the oldest first.

        Returns:
            How many; fewer than `limit` when no more are left.

        Raises:
            StoreUnavailableError: none was deleted.
        """
        return await self._writer.write(_purge, _Expired(before, limit))
