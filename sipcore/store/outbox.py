"""The events table: written in the transaction of what the events tell, read by whoever passes them on.

So no event is told of what was not written, and none is missing of what was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypeVar

import sqlalchemy as sa

from sipcore.domain.errors import StoreInDoubtError
from sipcore.domain.public_events import PublicEvent, StoredEvent, first_id_at
from sipcore.store.failures import DATABASE_FAILURES, blames_the_database, reason_of
from sipcore.store.schema import events

EVENTS_LOCK = 0xC2C_0001
"""Key of the advisory lock under which events are stored."""
_LOCK_AND_NOTIFY = (
    f"SELECT pg_advisory_xact_lock({EVENTS_LOCK}),"
    " pg_notify('click2call', current_setting('application_name') || ' events ')"
)


class Expired(NamedTuple):
    """Events that need not be kept: at most `limit` of those before an id."""

    before: int
    limit: int


def _after(*, of_all: bool) -> sa.Select[Any]:
    page = sa.select(events.c.id, events.c.organisation, events.c.type, events.c.body)
    page = page.where(events.c.id > sa.bindparam("after", type_=events.c.id.type))
    if not of_all:
        page = page.where(events.c.organisation == sa.bindparam("organisation"))
    return page.order_by(events.c.id).limit(sa.bindparam("most", type_=sa.Integer))


# Each call's steps are read so, in the process that places the next leg: to make the statement anew takes as long as to
# run it.
_AFTER = {of_all: _after(of_all=of_all) for of_all in (False, True)}


class Connection(Protocol):
    """What events, and the first rows of a record, need of a connection.

    `sqlalchemy.Connection` has it, and so has one that does without what SQLAlchemy does around each statement.
    """

    @property
    def dialect(self) -> sa.Dialect:
        """Which SQL it speaks."""
        ...

    @property
    def info(self) -> dict[Any, Any]:
        """What is kept with it."""
        ...

    def begin(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction, which is rolled back when the block is left by an error."""
        ...

    def exec_driver_sql(self, statement: str, parameters: Any = None, /) -> object:
        """Run a statement in the driver's own words, once, or for each row of a list."""
        ...


class Transaction(Protocol):
    """What was begun."""

    def commit(self) -> None:
        """Make it last."""
        ...


ConnectionT = TypeVar("ConnectionT", bound=Connection)
R = TypeVar("R")


def put(connection: Connection, told: Iterable[PublicEvent]) -> None:
    """Have events inserted in their order at the end of the transaction (`in_transaction`)."""
    _gathered(connection).extend(told)


def in_transaction(connection: ConnectionT, work: Callable[[ConnectionT], R]) -> R:
    """Run a transaction, and insert what was put in it last, behind all events that are there.

    Nobody else stores events from then on until the commit: SQLite has one writer, and on PostgreSQL a lock is
    taken. So ids rise in the order of commits, and who has read as far as one id misses nothing that is committed
    later. As the lock is the last thing that a transaction waits for, two of them cannot wait for each other there.

    Returns:
        What `work` returned.

    Raises:
        StoreInDoubtError: the server was lost during the commit.
    """
    told = _gathered(connection)
    told.clear()
    with connection.begin() as running:
        result = work(connection)
        if told:
            _insert_all(connection, told)
        try:
            running.commit()
        except DATABASE_FAILURES as error:
            if connection.dialect.name == "postgresql" and blames_the_database(error):
                raise StoreInDoubtError(f"the database was lost during a commit: {reason_of(error)}") from error
            raise
    return result


def _gathered(connection: Connection) -> list[PublicEvent]:
    gathered: list[PublicEvent] = connection.info.setdefault("told", [])
    return gathered


def _insert_all(connection: Connection, told: Sequence[PublicEvent]) -> None:
    if connection.dialect.name == "postgresql":
        # Others learn of it at the commit.
        connection.exec_driver_sql(_LOCK_AND_NOTIFY)
    least = first_id_at(time.time())
    rows = [(least, event.organisation, str(event.type), event.body()) for event in told]
    connection.exec_driver_sql(_insert(connection.dialect), rows)


def put_all(connection: sa.Connection, groups: Sequence[Sequence[PublicEvent]]) -> None:
    """Insert the events of a group of writes."""
    put(connection, chain.from_iterable(groups))


def purge(connection: sa.Connection, expired: Sequence[Expired]) -> int:
    """Delete old events; return how many."""
    deleted = 0
    for before, limit in expired:
        oldest = sa.select(events.c.id).where(events.c.id < before).order_by(events.c.id).limit(limit)
        deleted += connection.execute(sa.delete(events).where(events.c.id.in_(oldest))).rowcount
    return deleted


def events_after(event_id: int, organisation: str | None, limit: int) -> sa.Select[Any]:
    """Select what was stored after an event, oldest first; of one organisation, or of all."""
    return _AFTER[organisation is None].params(after=event_id, organisation=organisation, most=limit)


def newest_id() -> sa.Select[Any]:
    """Select the id of the newest event; one row, NULL when there is none."""
    return sa.select(sa.func.max(events.c.id))


def to_events(rows: Iterable[Sequence[Any]]) -> tuple[StoredEvent, ...]:
    """Build events from the rows of `events_after`."""
    return tuple(StoredEvent(*row) for row in rows)


@lru_cache(maxsize=4)
def _insert(dialect: sa.Dialect) -> str:
    """Write the INSERT once: one is in the transaction that a call's first INVITE waits for.

    An id is the least one that it may have now, or the next after the newest: the clock may have been set back since.
    """
    columns = [events.c.organisation, events.c.type, events.c.body]
    next_id = sa.func.coalesce(sa.func.max(events.c.id), sa.literal_column("0")) + sa.literal_column("1")
    greater = sa.func.max if dialect.name == "sqlite" else sa.func.greatest
    first_of = greater(sa.bindparam("least", type_=events.c.id.type), sa.select(next_id).scalar_subquery())
    given = {column.name: sa.bindparam(f"of_{column.name}", type_=column.type) for column in columns}
    return str(sa.insert(events).values(id=first_of, **given).compile(dialect=dialect))
