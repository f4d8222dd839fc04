"""INSERT over what is there, which each dialect writes in its own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def overwriting(table: sa.Table) -> dict[str, sa.Insert]:
    """Insert a row, or write over the one with the same key; each dialect has an insert of its own that can."""

    def upsert(insert: Callable[[sa.Table], Any]) -> Any:
        statement = insert(table)
        written = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
        return statement.on_conflict_do_update(index_elements=[*table.primary_key.columns], set_=written)

    return {"sqlite": upsert(sqlite.insert), "postgresql": upsert(postgresql.insert)}
