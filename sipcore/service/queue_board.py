"""The queues of all organisations: their timers, what calls want of them, and what calls are told."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from math import inf
from random import SystemRandom

from sipcore.domain.commands import JoinQueue, QueueCommand
from sipcore.domain.directory import Directory
from sipcore.domain.events import WaitRefused
from sipcore.domain.lines import Line, LineBoard
from sipcore.domain.waiting_queue import AgentMemory, AgentStatus, QueueNotice, QueueStatus, WaitingQueue
from sipcore.service.agent_memory import AgentMemories, QueueKey
from sipcore.service.calls import LiveDirectory
from sipcore.service.store import AgentStore

Tell = Callable[[QueueNotice], None]
"""Takes a notice to the call whose party has its ticket."""


class _LiveQueue:
    """A queue and its timer."""

    def __init__(self, key: QueueKey, queue: WaitingQueue) -> None:
        self.key = key
        self.queue = queue
        self.due: float | None = None
        self.timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        self.due = None
        if self.timer is not None:
            self.timer.cancel()


class QueueBoard:
    """Runs the queues. Everything happens in one event loop, and nothing is told before the caller has returned.

    Args:
        directory: organisations in force; `configure` takes a new one over.
        lines: shared with whoever else hunts; `line_busy` and `line_free` keep it.
        store: keeps pauses, turns and idle times.
        tell: takes notices to calls.

    Attributes:
        on_agent: told when an agent pauses or is back: organisation, queue, agent, and whether it pauses.
    """

    def __init__(self, directory: LiveDirectory, lines: LineBoard, store: AgentStore, tell: Tell) -> None:
        self._directory = directory
        self._lines = lines
        self._tell = tell
        self.on_agent: Callable[[str, str, str, bool], None] = lambda *_: None
        self._random = SystemRandom()
        self._queues: dict[QueueKey, _LiveQueue] = {}
        self._changes: dict[QueueKey, asyncio.Future[None]] = {}
        self._dials: defaultdict[QueueKey, set[object]] = defaultdict(set)
        # Fixed, so that a moment is the same time whenever it is told.
        self._epoch = datetime.now(UTC) - timedelta(seconds=time.monotonic())
        self._memories = AgentMemories(store, self._memories_now)

    async def start(self) -> None:
        """Open the queues as an earlier run left them.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        await self._memories.start()
        self.configure()

    async def stop(self) -> None:
        """Stop all timers and write what is to be remembered."""
        for live in self._queues.values():
            live.stop()
        await self._memories.stop()

    def at(self, moment: float) -> datetime:
        """Turn a moment of the monotonic clock into UTC."""
        return self._epoch + timedelta(seconds=moment)

    def configure(self) -> None:
        """Take over the queues of the directory in force; those who wait in one that is gone are turned away."""
        now = time.monotonic()
        directory = self._directory.current
        self._lines.follow(_hunted(directory))
        wanted = {
            (organisation.name, number): settings
            for organisation in directory.organisations.values()
            for number, settings in organisation.queues.items()
        }
        notices: list[tuple[_LiveQueue, QueueNotice]] = []
        for key in self._queues.keys() - wanted.keys():
            live = self._queues.pop(key)
            live.stop()
            self._tell_change(key)
            notices += [(live, notice) for notice in live.queue.close()]
        for key, settings in wanted.items():
            if key in self._queues:
                live = self._queues[key]
                notices += [(live, notice) for notice in live.queue.configure(settings, now)]
            else:
                queue = WaitingQueue(key[0], settings, self._lines, self._random)
                queue.restore(self._memories.of_queue(key), self._moment_of)
                self._queues[key] = _LiveQueue(key, queue)
        for live, notice in notices:
            self._tell_soon(live, notice)
        for name in directory.organisations:
            self._look_again(name, now)

    def execute(self, organisation: str, command: QueueCommand) -> None:
        """Carry a command of a call's party out; what comes of it is told later."""
        now = time.monotonic()
        live = self._queues.get((organisation, command.queue))
        if live is None:
            # Gone from the settings since the call was accepted, or since it began to wait.
            if isinstance(command, JoinQueue):
                asyncio.get_running_loop().call_soon(self._tell, WaitRefused(command.ticket))
            return
        self._after(live, live.queue.feed(command, now), now)

    def busy_since(self, organisation: str, line: str) -> float | None:
        """When a line got into a call that it is still in, or None."""
        return self._lines.busy_since((organisation, line))

    def line_busy(self, organisation: str, number: str) -> None:
        """Count a leg that is being placed to a number, or came from it."""
        self._lines.busy((organisation, number), time.monotonic())

    def line_free(self, organisation: str, number: str, *, talked: bool) -> None:
        """Count a leg out that `line_busy` counted.

        Args:
            organisation: whose.
            number: of the line.
            talked: whether the leg was answered.
        """
        now = time.monotonic()
        line = organisation, number
        self._lines.free(line, now, talked=talked)
        if self._lines.follows(line):
            self._look_again(organisation, now)

    def pause(self, organisation: str, number: str, agent: str) -> AgentStatus | None:
        """Offer an agent of a queue no more calls; None: there is no such queue, or agent in it."""
        live = self._queue_of(organisation, number, agent)
        if live is None:
            return None
        live.queue.pause(agent, time.monotonic())
        self.on_agent(organisation, number, agent, True)
        self._memories.changed([(organisation, number)])
        return self._agent(live, agent)

    def resume(self, organisation: str, number: str, agent: str) -> AgentStatus | None:
        """Offer an agent of a queue calls again; None: there is no such queue, or agent in it."""
        live = self._queue_of(organisation, number, agent)
        if live is None:
            return None
        now = time.monotonic()
        self._after(live, live.queue.resume(agent, now), now)
        self.on_agent(organisation, number, agent, False)
        return self._agent(live, agent)

    def statuses(self, organisation: str) -> list[QueueStatus]:
        """Tell how the organisation's queues stand, by number."""
        now = time.monotonic()
        return sorted((live.queue.status(now) for live in self._of(organisation)), key=lambda queue: queue.number)

    def status(self, organisation: str, number: str) -> QueueStatus | None:
        """Tell how a queue stands; None: the organisation has no such queue."""
        live = self._queues.get((organisation, number))
        return None if live is None else live.queue.status(time.monotonic())

    def count_dial(self, organisation: str, number: str) -> Callable[[], None]:
        """Count a call whose answered party is put into the queue, from the decision to place it.

        Returns:
            What counts it out, once, however often it is called: for when the party is in the queue, or will not be.
        """
        key, dial = (organisation, number), object()
        self._dials[key].add(dial)

        def dial_over() -> None:
            if dial in self._dials[key]:
                self._dials[key].discard(dial)
                self._tell_change(key)

        return dial_over

    def dials_allowed(self, organisation: str, number: str) -> int:
        """Tell how many more calls may be placed whose answered party is put into the queue, all who dial counted.

        Args:
            organisation: whose queue.
            number: of the queue; one that is gone allows one at a time, which finds that out for itself.
        """
        outstanding = len(self._dials[organisation, number])
        live = self._queues.get((organisation, number))
        return max(1 - outstanding, 0) if live is None else live.queue.dials_allowed(time.monotonic(), outstanding)

    async def changed(self, organisation: str, number: str) -> None:
        """Wait until more calls may be allowed than before: an agent is free, or somebody left or will not come."""
        key = organisation, number
        if key not in self._changes:
            self._changes[key] = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changes[key])

    def _after(self, live: _LiveQueue, notices: Iterable[QueueNotice], now: float) -> None:
        for notice in notices:
            self._tell_soon(live, notice)
        self._look_again(live.key[0], now)

    def _look_again(self, organisation: str, now: float) -> None:
        """Let every queue of the organisation see which agents are free, the one with the longest wait first."""
        for live in sorted(self._of(organisation), key=_longest_wait):
            self._settle(live, live.queue.offer(now))

    def _settle(self, live: _LiveQueue, notices: Iterable[QueueNotice]) -> None:
        for notice in notices:
            self._tell_soon(live, notice)
        self._set_timer(live)
        self._tell_change(live.key)
        self._memories.changed([live.key])

    def _tell_change(self, key: QueueKey) -> None:
        change = self._changes.pop(key, None)
        if change is not None:
            change.set_result(None)

    def _tell_soon(self, live: _LiveQueue, notice: QueueNotice) -> None:
        asyncio.get_running_loop().call_soon(self._tell_now, live, notice)

    def _tell_now(self, live: _LiveQueue, notice: QueueNotice) -> None:
        # Whoever has left in between may wait elsewhere by now, with the same ticket.
        if isinstance(notice, WaitRefused) or live.queue.has(notice.ticket):
            self._tell(notice)

    def _set_timer(self, live: _LiveQueue) -> None:
        due = live.queue.next_deadline()
        if due == live.due:
            return
        live.stop()
        if due is not None:
            delay = max(due - time.monotonic(), 0.0)
            live.due = due
            live.timer = asyncio.get_running_loop().call_later(delay, self._on_timer, live)

    def _on_timer(self, live: _LiveQueue) -> None:
        live.due = None
        self._settle(live, live.queue.on_deadline(time.monotonic()))

    def _of(self, organisation: str) -> Iterator[_LiveQueue]:
        return (live for key, live in self._queues.items() if key[0] == organisation)

    def _queue_of(self, organisation: str, number: str, agent: str) -> _LiveQueue | None:
        live = self._queues.get((organisation, number))
        return live if live is not None and agent in live.queue.settings.agents else None

    def _agent(self, live: _LiveQueue, number: str) -> AgentStatus:
        agents = live.queue.status(time.monotonic()).agents
        return next(agent for agent in agents if agent.number == number)

    def _memories_now(self, key: QueueKey) -> Iterable[AgentMemory]:
        return self._queues[key].queue.memories(self.at) if key in self._queues else ()

    def _moment_of(self, at: datetime) -> float:
        return (at - self._epoch).total_seconds()


def _longest_wait(live: _LiveQueue) -> float:
    since = live.queue.waiting_since
    return inf if since is None else since


def _hunted(directory: Directory) -> dict[Line, float]:
    """List the lines that are chosen by what they did before, and how long each is left alone after a call.

    An agent of several queues has wrapped up after the longest of their times: which queue a call was of is not asked.
    """
    wrap_up: dict[Line, float] = {}
    for organisation in directory.organisations.values():
        for group in organisation.ring_groups.values():
            wrap_up |= {(organisation.name, member): 0.0 for member in group.members}
    for organisation in directory.organisations.values():
        for queue in organisation.queues.values():
            for agent in queue.agents:
                line = organisation.name, agent
                wrap_up[line] = max(wrap_up.get(line, 0.0), queue.wrap_up_seconds)
    return wrap_up
