"""Writing behind what is to be remembered of queues' agents, and giving it back at a start."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable

import structlog

from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.waiting_queue import AgentMemory
from sipcore.service.store import AgentStore

_log = structlog.get_logger(__name__)

_RETRY_SECONDS = 5.0

QueueKey = tuple[str, str]
"""Name of an organisation, and number of a queue of it."""


class AgentMemories:
    """What is kept of all agents. No call waits for it to be written.

    Args:
        store: keeps it.
        current: tells what is to be remembered of a queue now.
    """

    def __init__(self, store: AgentStore, current: Callable[[QueueKey], Iterable[AgentMemory]]) -> None:
        self._store = store
        self._current = current
        self._kept: defaultdict[QueueKey, dict[str, AgentMemory]] = defaultdict(dict)
        self._unwritten: set[QueueKey] = set()
        self._changed = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read what an earlier run has kept, and begin to write.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        self._keep(await self._store.agent_memories())
        self._task = asyncio.get_running_loop().create_task(self._write_behind())

    async def stop(self) -> None:
        """Write what is not yet written; given up when the database does not take it now."""
        self._stopping = True
        self._changed.set()
        if self._task is not None:
            await self._task

    def of_queue(self, queue: QueueKey) -> Iterable[AgentMemory]:
        """Tell what is kept of the agents of a queue."""
        return self._kept[queue].values()

    def changed(self, queues: Iterable[QueueKey]) -> None:
        """Have written what is different in these queues by now."""
        self._unwritten.update(queues)
        self._changed.set()

    async def _write_behind(self) -> None:
        while not self._stopping:
            await self._changed.wait()
            self._changed.clear()
            queues, self._unwritten = self._unwritten, set()
            different = [
                memory
                for queue in queues
                for memory in self._current(queue)
                if self._kept[queue].get(memory.agent) != memory
            ]
            if not different:
                continue
            try:
                await self._store.keep_agents(different)
            except StoreUnavailableError as error:
                _log.warning("queue agents not written", agents=len(different), error=str(error))
                if not self._stopping:
                    asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.changed, queues)
            else:
                self._keep(different)

    def _keep(self, memories: Iterable[AgentMemory]) -> None:
        for memory in memories:
            self._kept[memory.organisation, memory.queue][memory.agent] = memory
