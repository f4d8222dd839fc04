"""This node among the others: its sign of life, and what becomes of the calls of those that have died."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

import structlog

from sipcore.domain.errors import StoreUnavailableError

_log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""How often a node looks for the signs of life of the others."""
SILENCE_SECONDS = 5.0
"""A node that gave no sign for so long is dead. Less would take those for dead that come back after a restart of
PostgreSQL, which frees all locks, a little later than others."""

Hear = Callable[[str], None]
"""Takes the text that another node told."""


class NodeStore(Protocol):
    """What the database knows of nodes. Every method raises `StoreUnavailableError` when it does not answer.

    Attributes:
        id: of this node, 32 hex digits, new at each start.
        shared: whether other nodes may use the database too.
    """

    id: str
    shared: bool

    async def join(self, told: Callable[[str, str], None], lost: Callable[[], None]) -> None:
        """Give the sign of life, from now until `leave`, or until `lost` is called."""
        ...

    async def leave(self) -> None:
        """Give no sign of life any more, and be forgotten."""
        ...

    async def silent(self) -> set[str]:
        """Return the nodes that something is left of and that give no sign of life now."""
        ...

    async def settle(self, now: datetime, dead: Sequence[str] | None = None) -> int:
        """Complete what nodes left, if they are dead; None: all others are. Return how many calls."""
        ...

    async def tell(self, topic: str, text: str = "") -> None:
        """Tell all other nodes something."""
        ...

    async def hold(self, what: str) -> bool:
        """Try to be the only node that does something, until `release` or until the sign of life is lost."""
        ...

    async def release(self, what: str) -> None:
        """Let another node do it."""
        ...


class Nodes:
    """Keeps this node alive in the eyes of the others, and settles those that have died.

    Args:
        store: what the database knows of nodes.
    """

    def __init__(self, store: NodeStore) -> None:
        self._store = store
        self._when_lost: list[Callable[[], None]] = []
        self._heard: dict[str, list[Hear]] = defaultdict(list)
        self._silent_since: dict[str, float] = {}
        self._joined = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """Of this node."""
        return self._store.id

    @property
    def joined(self) -> bool:
        """Whether the others see this node alive."""
        return self._joined.is_set()

    def listen(self, topic: str, hear: Hear) -> None:
        """Have a function called when another node tells something on a topic."""
        self._heard[topic].append(hear)

    def when_lost(self, act: Callable[[], None]) -> None:
        """Have a function called when the others may have taken over what this node held."""
        self._when_lost.append(act)

    async def tell(self, topic: str, text: str = "") -> None:
        """Tell the other nodes; it wakes them, and may be lost.

        Raises:
            StoreUnavailableError: nobody was told.
        """
        await self._store.tell(topic, text)

    async def start(self) -> None:
        """Give the sign of life, and settle what an earlier run left; what other nodes leave is settled as they die.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        await self._join()
        if self._store.shared:
            self._task = asyncio.get_running_loop().create_task(self._watch())
        else:
            self._tell_settled(await self._store.settle(datetime.now(UTC)))

    async def stop(self) -> None:
        """Leave; called when everything of this node is written."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._store.leave()

    async def _join(self) -> None:
        await self._store.join(self._take, self._lost)
        self._joined.set()

    def _take(self, topic: str, text: str) -> None:
        for hear in self._heard[topic]:
            hear(text)

    def _lost(self) -> None:
        self._joined.clear()
        self._silent_since.clear()
        for act in self._when_lost:
            act()
        _log.error("no sign of life of this node until the database is back", node=self.id)

    async def _watch(self) -> None:
        while True:
            try:
                if not self.joined:
                    await self._join()
                    _log.info("the other nodes see this one again", node=self.id)
                await self._look()
            except StoreUnavailableError as error:
                _log.warning("other nodes not seen", error=str(error))
            except Exception:  # noqa: BLE001 - whatever it was, without this task nobody's calls would be settled
                _log.exception("other nodes not seen")
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        silent = await self._store.silent()
        now = time.monotonic()
        self._silent_since = {node: self._silent_since.get(node, now) for node in silent}
        dead = [node for node, since in self._silent_since.items() if now - since >= SILENCE_SECONDS]
        if dead:
            self._tell_settled(await self._store.settle(datetime.now(UTC), dead))

    def _tell_settled(self, calls: int) -> None:
        if calls:
            _log.warning("unfinished calls settled as interrupted", calls=calls)
