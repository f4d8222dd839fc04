"""`/api/v1/queues`: who waits in the organisation's queues, and how its agents stand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from api.models import Agent, Queue, QueuePage
from api.operations import Asked, Operation
from sipcore.domain.directory import Scope
from sipcore.domain.public_events import written_time
from sipcore.domain.waiting_queue import AgentStatus, QueueStatus
from sipcore.service.queue_board import QueueBoard

_ACTIONS = {"pause": "Offer an agent of a queue no more callers", "resume": "Offer a paused agent callers again"}


class QueuesResource:
    """The organisation's queues.

    Args:
        queues: where callers wait.
    """

    def __init__(self, queues: QueueBoard) -> None:
        self._queues = queues

    def operations(self) -> list[Operation]:
        """Return what can be done."""
        return [
            Operation(
                name="listQueues", method="GET", path="/api/v1/queues", tag="queues", scope=Scope.READ,
                summary="All queues, by number", answer=QueuePage, act=self.list,
            ),
            Operation(
                name="getQueue", method="GET", path="/api/v1/queues/{number}", tag="queues", scope=Scope.READ,
                summary="A queue now", answer=Queue, act=self.get,
            ),
            *(
                Operation(
                    name=f"{action}Agent", method="POST", tag="queues", scope=Scope.CALL,
                    path=f"/api/v1/queues/{{number}}/agents/{{agent}}/{action}",
                    summary=f"{summary}; doing it again changes nothing", answer=Agent, act=self._acts(action),
                )
                for action, summary in _ACTIONS.items()
            ),
        ]  # fmt: skip

    async def list(self, asked: Asked[None, None]) -> object:
        """Return the queues, by number."""
        return {"items": [self._queue_as_json(status) for status in self._queues.statuses(asked.organisation)]}

    async def get(self, asked: Asked[None, None]) -> object:
        """Return the queue."""
        status = self._queues.status(asked.organisation, asked.path["number"])
        return None if status is None else self._queue_as_json(status)

    def _acts(self, action: str) -> Callable[[Asked[None, None]], Awaitable[object]]:
        act: Callable[[str, str, str], AgentStatus | None] = getattr(self._queues, action)

        async def change(asked: Asked[None, None]) -> object:
            status = act(asked.organisation, asked.path["number"], asked.path["agent"])
            return None if status is None else self._agent_as_json(status)

        return change

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
