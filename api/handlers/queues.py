"""`/api/v1/queues`: who waits in the organisation's queues, and how its agents stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from api.handlers.resource import ResourceHandler
from sipcore.domain.public_events import written_time
from sipcore.domain.waiting_queue import AgentStatus, QueueStatus
from sipcore.service.authentication import Authenticator
from sipcore.service.queue_board import QueueBoard


class _QueueResource(ResourceHandler):
    def initialize(self, authenticator: Authenticator, queues: QueueBoard) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._queues = queues

    def _written(self, moment: float | None) -> str | None:
        return written_time(None if moment is None else self._queues.at(moment))

    def _queue_as_json(self, status: QueueStatus) -> dict[str, object]:
        return {
            "number": status.number,
            "strategy": status.strategy,
            "waiting": status.waiting,
            "waiting_since": self._written(status.longest_since),
            "agents": [self._agent_as_json(agent) for agent in status.agents],
        }

    def _agent_as_json(self, status: AgentStatus) -> dict[str, object]:
        return {"number": status.number, "state": status.state, "since": self._written(status.since)}


class QueuesHandler(_QueueResource):
    """All queues of the caller's organisation."""

    async def answer(self, organisation: str) -> object:
        """Return the queues, by number."""
        return {"items": [self._queue_as_json(status) for status in self._queues.statuses(organisation)]}


class QueueHandler(_QueueResource):
    """One queue of the caller's organisation."""

    async def answer(self, organisation: str) -> object:
        """Return the queue, or None when the organisation has none of this number."""
        status = self._queues.status(organisation, self.path_args[0])
        return None if status is None else self._queue_as_json(status)


class QueueAgentHandler(_QueueResource):
    """Pauses or resumes an agent of a queue; doing it again changes nothing."""

    allowed: ClassVar[tuple[str, ...]] = ("POST",)

    async def post(self, *_path: str) -> None:
        """Do it, and answer."""
        await self.respond()

    async def answer(self, organisation: str) -> object:
        """Return how the agent stands now, or None when the organisation has no such queue, or agent in it."""
        queue, agent, action = self.path_args
        act: Callable[[str, str, str], AgentStatus | None] = getattr(self._queues, action)
        status = act(organisation, queue, agent)
        return None if status is None else self._agent_as_json(status)
