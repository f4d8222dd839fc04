"""Bearer keys in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from sipcore.domain.directory import Scope
from sipcore.domain.issued_key import IssuedKey
from sipcore.store.events import Read
from sipcore.store.schema import api_keys
from sipcore.store.writer import Writer


class _Revocation(NamedTuple):
    organisation: str
    key_id: str
    at: datetime


class SqlKeyStore:
    """The keys, beside the records in the same database.

    Args:
        writer: of the database.
        read: reads from it.
    """

    def __init__(self, writer: Writer, read: Read) -> None:
        self._writer = writer
        self._read = read

    async def add(self, key: IssuedKey) -> None:
        """Keep a new key.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        await self._writer.write(_add, key)

    async def revoke(self, organisation: str, key_id: str, at: datetime) -> None:
        """Note since when a key of the organisation is good for nothing; the first time counts.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        await self._writer.write(_revoke, _Revocation(organisation, key_id, at))

    async def find(self, digest: str) -> IssuedKey | None:
        """Read the key with a digest, or None.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        found = await self._read(sa.select(api_keys).where(api_keys.c.digest == digest))
        return _to_key(found[0]) if found else None

    async def of_organisation(self, organisation: str) -> tuple[IssuedKey, ...]:
        """Read all keys of an organisation, newest first.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        statement = (
            sa.select(api_keys)
            .where(api_keys.c.organisation == organisation)
            .order_by(api_keys.c.created_at.desc(), api_keys.c.id)
        )
        return tuple(_to_key(row) for row in await self._read(statement))


def _add(connection: sa.Connection, keys: Sequence[IssuedKey]) -> None:
    rows = [
        {
            "id": key.id,
            "organisation": key.organisation,
            "name": key.name,
            "digest": key.digest,
            "scopes": " ".join(sorted(key.scopes)),
            "created_at": key.created_at,
        }
        for key in keys
    ]
    connection.execute(sa.insert(api_keys), rows)


def _revoke(connection: sa.Connection, revocations: Sequence[_Revocation]) -> None:
    for organisation, key_id, at in revocations:
        mine = (api_keys.c.organisation == organisation) & (api_keys.c.id == key_id)
        statement = sa.update(api_keys).where(mine, api_keys.c.revoked_at.is_(None)).values(revoked_at=at)
        connection.execute(statement)


def _to_key(row: sa.Row[Any]) -> IssuedKey:
    scopes = frozenset(Scope(word) for word in row.scopes.split())
    return IssuedKey(row.id, row.organisation, row.name, row.digest, scopes, row.created_at, row.revoked_at)
