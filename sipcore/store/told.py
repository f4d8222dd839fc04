"""How far each webhook has been told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from sipcore.store.schema import webhook_cursors
from sipcore.store.upsert import overwriting

_OVERWRITE = overwriting(webhook_cursors)
_BEGIN = {
    "sqlite": sqlite.insert(webhook_cursors).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(webhook_cursors).on_conflict_do_nothing(),
}


class Cursor(NamedTuple):
    """The last event that a webhook needs not be told any more."""

    organisation: str
    webhook: str
    event_id: int


def save(connection: sa.Connection, cursors: Sequence[Cursor]) -> None:
    """Insert cursors, over those that are there."""
    connection.execute(_OVERWRITE[connection.dialect.name], [cursor._asdict() for cursor in cursors])


def begin(connection: sa.Connection, cursors: Sequence[Cursor]) -> None:
    """Insert cursors, but for those that are there."""
    connection.execute(_BEGIN[connection.dialect.name], [cursor._asdict() for cursor in cursors])


def drop(connection: sa.Connection, keys: Sequence[tuple[str, str]]) -> None:
    """Delete the cursors of webhooks (organisation, name)."""
    columns = sa.tuple_(webhook_cursors.c.organisation, webhook_cursors.c.webhook)
    connection.execute(sa.delete(webhook_cursors).where(columns.in_(list(keys))))


def all_cursors() -> sa.Select[Any]:
    """Select every cursor."""
    return sa.select(webhook_cursors.c.organisation, webhook_cursors.c.webhook, webhook_cursors.c.event_id)
