"""Attempts in the database: begun with the first row of their call's record, settled with its end."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from sipcore.domain.attempt import AttemptSource
from sipcore.domain.attempt_outcome import SettledAttempt, outcome_of
from sipcore.domain.record import CallRecord
from sipcore.store.schema import attempts

_UNSETTLED_AMONG = sa.select(
    attempts.c.id, attempts.c.source, attempts.c.source_id, attempts.c.number, attempts.c.organisation
).where(attempts.c.id.in_(sa.bindparam("ids", expanding=True)), attempts.c.settled_at.is_(None))
_SETTLE = (
    sa.update(attempts)
    .where(attempts.c.id == sa.bindparam("of_call"))
    .values(settled_at=sa.bindparam("at"), outcome=sa.bindparam("as"))
)


def begin(connection: sa.Connection, records: Iterable[CallRecord]) -> None:
    """Insert the attempts that calls are.

    Raises:
        sqlalchemy.exc.IntegrityError: one of this number was made already.
    """
    rows = [
        {
            "id": record.id,
            "source": record.attempt.source,
            "source_id": record.attempt.source_id,
            "number": record.attempt.number,
            "organisation": record.organisation,
            "node": record.attempt.node,
            "begun_at": record.accepted_at,
        }
        for record in records
        if record.attempt is not None
    ]
    if rows:
        connection.execute(sa.insert(attempts), rows)


def settle(connection: sa.Connection, records: Iterable[CallRecord]) -> list[SettledAttempt]:
    """Settle the attempts that calls were.

    Args:
        connection: in a transaction.
        records: complete.

    Returns:
        Those that were not settled before.
    """
    by_id = {record.id: record for record in records}
    if not by_id:
        return []
    settled = [
        SettledAttempt(
            row.id,
            AttemptSource(row.source),
            row.source_id,
            row.number,
            row.organisation,
            outcome_of(by_id[row.id]),
            by_id[row.id].ended_at or by_id[row.id].accepted_at,
        )
        for row in connection.execute(_UNSETTLED_AMONG, {"ids": [*by_id]})
    ]
    if settled:
        rows = [{"of_call": each.call, "at": each.settled_at, "as": each.outcome} for each in settled]
        connection.execute(_SETTLE, rows)
    return settled
