"""Keys of requests in the database: one row each, written before anything is dialled."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from sipcore.domain.idempotency import KEPT, KeptAnswer, KeyClaim, Standing
from sipcore.store.schema import idempotency_keys as keys
from sipcore.store.schema import nodes
from sipcore.store.writer import Writer

_FORGOTTEN_AT_ONCE = 100
_INSERT_NEW = {
    "sqlite": sqlite.insert(keys).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(keys).on_conflict_do_nothing(),
}


class _Claiming(NamedTuple):
    organisation: str
    key: str
    fingerprint: str
    now: datetime
    node: str


class SqlIdempotencyStore:
    """Keys and answers beside the records, in the same database.

    Args:
        writer: of the database.
        node: id of this node.
    """

    def __init__(self, writer: Writer, node: str) -> None:
        self._writer = writer
        self._node = node

    async def claim(self, organisation: str, key: str, fingerprint: str, now: datetime) -> KeyClaim:
        """Tell how a request stands; when nobody is at it, this node is from now on.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        claims = await self._writer.write(_claim, _Claiming(organisation, key, fingerprint, now, self._node))
        return claims[organisation, key]

    async def keep_answer(self, organisation: str, claim_id: str, key: str, answer: KeptAnswer) -> None:
        """Keep the first answer.

        Raises:
            StoreUnavailableError: it was not kept.
        """
        values = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        await self._writer.write(_keep, (organisation, key, claim_id, values))

    async def drop_key(self, organisation: str, claim_id: str, key: str) -> None:
        """Forget a request that made nothing.

        Raises:
            StoreUnavailableError: it is remembered.
        """
        await self._writer.write(_drop, (organisation, key, claim_id))


def _claim(connection: sa.Connection, asked: Sequence[_Claiming]) -> dict[tuple[str, str], KeyClaim]:
    """Answer a group of claims; they come in the order of their keys, so that two nodes never wait for each other."""
    _forget_old(connection, max(claiming.now for claiming in asked))
    return {
        (claiming.organisation, claiming.key): _claim_one(connection, claiming)
        for claiming in sorted(asked, key=lambda each: each[:2])
    }


def _claim_one(connection: sa.Connection, asked: _Claiming) -> KeyClaim:
    ours = _of(asked.organisation, asked.key)
    connection.execute(sa.delete(keys).where(ours, keys.c.begun_at <= asked.now - KEPT))
    claim_id = uuid.uuid4().hex
    row = {
        "organisation": asked.organisation, "key": asked.key, "id": claim_id, "fingerprint": asked.fingerprint,
        "node": asked.node, "begun_at": asked.now,
    }  # fmt: skip
    if connection.execute(_INSERT_NEW[connection.dialect.name], row).rowcount:
        return KeyClaim(claim_id, asked.fingerprint, Standing.FIRST)
    there = connection.execute(sa.select(keys).where(ours).with_for_update()).one()
    if there.status is not None:
        answer = KeptAnswer(there.status, there.headers, there.body)
        return KeyClaim(there.id, there.fingerprint, Standing.ANSWERED, answer)
    if there.fingerprint != asked.fingerprint or not _is_given_up(connection, there.node, asked):
        return KeyClaim(there.id, there.fingerprint, Standing.RUNNING)
    connection.execute(sa.update(keys).where(ours).values(node=asked.node))
    return KeyClaim(there.id, there.fingerprint, Standing.RESUMED)


def _is_given_up(connection: sa.Connection, node: str, asked: _Claiming) -> bool:
    # This node gives one request at a time its turn. A file has one node at a time. On PostgreSQL the dead are in the
    # table until their calls are settled.
    living = sa.select(sa.literal(1)).where(nodes.c.id == node)
    return node == asked.node or connection.dialect.name == "sqlite" or connection.execute(living).first() is None


def _forget_old(connection: sa.Connection, now: datetime) -> None:
    old = (
        sa.select(keys.c.organisation, keys.c.key)
        .where(keys.c.begun_at <= now - KEPT)
        .order_by(keys.c.begun_at)
        .limit(_FORGOTTEN_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    connection.execute(sa.delete(keys).where(sa.tuple_(keys.c.organisation, keys.c.key).in_(old)))


def _keep(connection: sa.Connection, answers: Sequence[tuple[str, str, str, dict[str, Any]]]) -> None:
    for organisation, key, claim_id, values in answers:
        connection.execute(sa.update(keys).where(_of(organisation, key), keys.c.id == claim_id).values(values))


def _drop(connection: sa.Connection, dropped: Sequence[tuple[str, str, str]]) -> None:
    for organisation, key, claim_id in dropped:
        connection.execute(sa.delete(keys).where(_of(organisation, key), keys.c.id == claim_id))


def _of(organisation: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(keys.c.organisation == organisation, keys.c.key == key)
