"""The nodes that share the database: who lives, what the dead left, and what nodes tell each other.

On PostgreSQL a node holds an advisory lock in a session of its own for as long as it lives. The server itself frees it
when the node's process or machine is gone. A node on SQLite is alone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import asyncpg
import sqlalchemy as sa

from sipcore.domain.errors import StoreUnavailableError
from sipcore.store.failures import unavailable
from sipcore.store.lock_keys import lock_key
from sipcore.store.notices import CHANNEL, notify
from sipcore.store.postgresql import DatabaseServer
from sipcore.store.schema import nodes
from sipcore.store.settlement import settle
from sipcore.store.writer import Writer

_LIFE_PATIENCE_SECONDS = 2.0
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What asyncpg raises when it does not get its answer."""

Told = Callable[[str, str], None]
"""Takes a topic and a text that another node told."""


class Settling(NamedTuple):
    """What is to be settled.

    Attributes:
        now: when that is.
        own: id of the node that does it.
        dead: ids of the nodes that are thought dead; None: all others are.
    """

    now: datetime
    own: str
    dead: tuple[str, ...] | None


class SqlNodeStore:
    """This node among the others.

    Args:
        node: its id.
        writer: of the database.
        server: where the database is, or None: in a file.

    Attributes:
        id: of this node.
        shared: whether other nodes may use the database too.
    """

    def __init__(self, node: str, writer: Writer, server: DatabaseServer | None) -> None:
        self.id = node
        self.shared = server is not None
        self._writer = writer
        self._server = server
        self._life: asyncpg.Connection | None = None
        self._asking = asyncio.Lock()
        self._held: set[str] = set()

    async def join(self, told: Told, lost: Callable[[], None]) -> None:
        """Give the sign of life, from now until `leave` or until the session is lost.

        Args:
            told: is called with what other nodes tell.
            lost: is called when the session ends before `leave`; the node may join again.

        Raises:
            StoreUnavailableError: the database does not answer, or still holds an earlier session for alive.
        """
        if self._server is None:
            return
        sender = self._server.application

        def heard(_connection: object, _pid: int, _channel: str, payload: str) -> None:
            teller, topic, text = payload.split(" ", 2)
            if teller != sender:
                told(topic, text)

        def ended(life: asyncpg.Connection) -> None:
            if self._life is life:
                self._life = None
                self._held.clear()
                lost()

        try:
            life = await self._server.connect(_LIFE_PATIENCE_SECONDS)
        except OSError as error:
            raise unavailable(error) from error
        try:
            await life.add_listener(CHANNEL, heard)
            alive = await life.fetchval("SELECT pg_try_advisory_lock($1)", life_key(self.id))
            await life.execute(_REGISTER_SQL, self.id, socket.gethostname(), datetime.now(UTC))
        except BaseException as error:
            # Whoever is stopped meanwhile must not leave a session that nobody knows.
            life.terminate()
            if isinstance(error, _LOST):
                raise unavailable(error) from error
            raise
        if not alive:
            life.terminate()
            raise StoreUnavailableError("the database has not noticed yet that this node's last session is gone")
        self._life = life
        life.add_termination_listener(ended)

    async def leave(self) -> None:
        """Give no sign of life any more, and be forgotten; nothing of this node may be unfinished."""
        if self._life is None:
            return
        life, self._life = self._life, None
        with suppress(StoreUnavailableError):
            await self._writer.write(_forget, self.id)
        with suppress(*_LOST):
            await life.close(timeout=_LIFE_PATIENCE_SECONDS)

    async def silent(self) -> set[str]:
        """Return the nodes that something is left of and that give no sign of life now.

        Raises:
            StoreUnavailableError: the database does not answer, or this node has not joined.
        """
        rows = await self._ask(_SILENT_SQL)
        living = {row["key"] for row in rows if row["key"] is not None}
        return {row["id"] for row in rows if row["id"] is not None and life_key(row["id"]) not in living} - {self.id}

    async def settle(self, now: datetime, dead: Sequence[str] | None = None) -> int:
        """Complete what dead nodes left unfinished: calls as `interrupted`, batches as cancelled by `restart`.

        Args:
            now: when that is.
            dead: the nodes; one that gives a sign of life is left alone. None: all others, which a file cannot have.

        Returns:
            How many calls.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        return await self._writer.write(_settle, Settling(now, self.id, None if dead is None else tuple(dead)))

    async def tell(self, topic: str, text: str = "") -> None:
        """Tell all other nodes something; one that does not listen now never learns of it.

        Args:
            topic: a word.
            text: at most 7,000 octets.

        Raises:
            StoreUnavailableError: nobody was told.
        """
        if self.shared:
            await self._writer.write(_notify, (topic, text))

    async def hold(self, what: str) -> bool:
        """Try to be the only node that does something, until `release` or until the session is lost.

        Raises:
            StoreUnavailableError: the database does not answer, or this node has not joined.
        """
        if not self.shared or what in self._held:
            return True
        (row,) = await self._ask("SELECT pg_try_advisory_lock($1) AS held", lock_key(what))
        if row["held"]:
            # The server counts how often a lock was taken; once is enough.
            self._held.add(what)
        return what in self._held

    async def release(self, what: str) -> None:
        """Let another node do what this one held, if it did."""
        if what in self._held:
            self._held.discard(what)
            with suppress(StoreUnavailableError):
                await self._ask("SELECT pg_advisory_unlock($1)", lock_key(what))

    async def _ask(self, question: str, *arguments: object) -> list[Any]:
        async with self._asking:
            life = self._life
            if life is None:
                raise StoreUnavailableError("this node has no session with the database")
            try:
                rows: list[Any] = await life.fetch(question, *arguments)
            except _LOST as error:
                # Whoever does not answer may have freed the locks long ago.
                life.terminate()
                raise unavailable(error) from error
            return rows


def life_key(node: str) -> int:
    """Return the key of a node's lock."""
    return lock_key(f"node {node}")


_REGISTER_SQL = "INSERT INTO nodes (id, host, started_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_SILENT_SQL = """
SELECT (classid::bigint << 32) | objid::bigint AS key, NULL AS id FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT NULL, id FROM nodes
UNION ALL SELECT NULL, node FROM calls WHERE ended_at IS NULL
UNION ALL SELECT NULL, node FROM batches WHERE ended_at IS NULL
UNION ALL SELECT NULL, claimed_by FROM schedule_numbers WHERE claimed_by IS NOT NULL
UNION ALL SELECT NULL, claimed_by FROM campaign_numbers WHERE claimed_by IS NOT NULL
"""


def _forget(connection: sa.Connection, leaving: Sequence[str]) -> None:
    connection.execute(sa.delete(nodes).where(nodes.c.id.in_(leaving)))


def _settle(connection: sa.Connection, asked: Sequence[Settling]) -> int:
    """Settle what the dead left; with the lock of each, so that no two nodes do it and the dead cannot come back."""
    count = 0
    for now, own, suspects in asked:
        if suspects is None:
            count += settle(connection, now, partial(_of_another, own))
            continue
        take = sa.text("SELECT pg_try_advisory_xact_lock(:key)")
        dead = [node for node in suspects if connection.execute(take, {"key": life_key(node)}).scalar()]
        count += settle(connection, now, partial(_of_one_among, dead))
        _forget(connection, dead)
    return count


def _of_another(own: str, node: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    return sa.or_(node != own, node.is_(None))


def _of_one_among(dead: Sequence[str], node: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    return node.in_(dead)


def _notify(connection: sa.Connection, told: Sequence[tuple[str, str]]) -> None:
    for topic, text in told:
        notify(connection, topic, text)
