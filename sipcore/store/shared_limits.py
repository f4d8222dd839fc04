"""Limits of organisations over all nodes: counted in the transaction that accepts a call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import sqlalchemy as sa

from sipcore.domain.call_limits import CallLimits
from sipcore.domain.errors import LimitReachedError
from sipcore.domain.record import CallRecord
from sipcore.store import operations
from sipcore.store.lock_keys import lock_key
from sipcore.store.schema import calls

_IN_PROGRESS = sa.select(sa.func.count()).where(calls.c.ended_at.is_(None), calls.c.organisation == sa.bindparam("of"))
_BEGUN = (
    sa.select(calls.c.accepted_at)
    .where(calls.c.organisation == sa.bindparam("of"), calls.c.accepted_at > sa.bindparam("since"))
    .order_by(calls.c.accepted_at)
)


class Limited(NamedTuple):
    """A call that is to be accepted within its organisation's limits."""

    record: CallRecord
    limits: CallLimits

    @property
    def organisation(self) -> str:
        """Whose call it is."""
        return self.record.organisation


def accept_within(connection: sa.Connection, asked: Sequence[Limited]) -> dict[str, LimitReachedError]:
    """Insert calls as `operations.accept` does, but for those that would be too many; return why, by id.

    Until the commit no other node accepts a call of the same organisations. They come in the order of their names, so
    that two nodes never wait for each other.
    """
    refused: dict[str, LimitReachedError] = {}
    by_name = attrgetter("organisation")
    for organisation, several in groupby(sorted(asked, key=by_name), key=by_name):
        key = lock_key(f"limits {organisation}")
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
        refused |= _refused(connection, organisation, list(several))
    accepted = [each.record for each in asked if each.record.id not in refused]
    if accepted:
        operations.accept(connection, accepted)
    return refused


def _refused(connection: sa.Connection, organisation: str, asked: Sequence[Limited]) -> dict[str, LimitReachedError]:
    in_progress = connection.execute(_IN_PROGRESS, {"of": organisation}).scalar_one()
    longest = timedelta(seconds=max(each.limits.window for each in asked))
    since = min(each.record.accepted_at for each in asked) - longest
    begun: list[datetime] = list(connection.execute(_BEGUN, {"of": organisation, "since": since}).scalars())
    refused = {}
    for record, limits in asked:
        now = record.accepted_at.timestamp()
        recent = [moment for each in begun if (moment := each.timestamp()) > now - limits.window]
        try:
            limits.check(in_progress, recent, now)
        except LimitReachedError as error:
            refused[record.id] = error
        else:
            in_progress += 1
            begun.append(record.accepted_at)
    return refused
