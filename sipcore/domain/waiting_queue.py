"""The queue: who waits for an agent, in which order, and which free agent is offered to whom.

A sans-IO machine that lives as long as the program. Parties wait in it under a ticket, their UniqueID. They send it
commands and are told notices; an offered agent is held until the party says what became of it, so that no agent is
rung for two callers, be it in one queue or in two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import floor
from random import Random

from sipcore.domain.commands import JoinQueue, LeaveQueue, QueueCommand, ReturnAgent
from sipcore.domain.directory import HuntStrategy, Queue
from sipcore.domain.events import AgentsOffered, QueuePosition, WaitBegun, WaitRefused
from sipcore.domain.hunt_order import HuntHistory, hunt_order
from sipcore.domain.lines import Line, LineBoard
from sipcore.domain.party import Clock

NO_ANSWER_REST_SECONDS = 5.0
"""How long an agent who did not answer is left alone, so that others get their turn and the phone a pause."""
NOT_REACHED_REST_SECONDS = 20.0
"""The same for one who was busy or not there: trying again costs an INVITE each time, and rarely changes anything."""
_ROUNDING = 1e-9

QueueNotice = AgentsOffered | QueuePosition | WaitBegun | WaitRefused
"""What a waiting party is told."""

_TABLE: dict[type[QueueCommand], str] = {
    JoinQueue: "_join",
    LeaveQueue: "_leave",
    ReturnAgent: "_give_back",
}


class AgentState(StrEnum):
    """Whether an agent can be offered."""

    FREE = "free"
    BUSY = "busy"
    WRAP_UP = "wrap_up"
    RESTING = "resting"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """How an agent stands in one queue.

    Attributes:
        number: of the agent.
        state: PAUSED whatever its line does; BUSY when the line is in a call, or is being rung; WRAP_UP after a call;
            RESTING when it did not take the last call that it was offered.
        since: since when, in the machine's time; None: since the program started, or that is not known.
    """

    number: str
    state: AgentState
    since: float | None


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """How a queue stands.

    Attributes:
        number, strategy: as in the settings.
        waiting: how many wait, those whose agent is being rung included.
        longest_since: since when the first of them waits, in the machine's time; None: nobody waits.
        agents: in the settings' order.
    """

    number: str
    strategy: HuntStrategy
    waiting: int
    longest_since: float | None
    agents: tuple[AgentStatus, ...]


@dataclass(frozen=True, slots=True)
class AgentMemory:
    """What outlives the program, of one agent in one queue.

    Attributes:
        organisation, queue, agent: name and numbers.
        paused_at: since when it pauses, or None: it does not.
        offered_at: when it was last offered, for `round_robin`, or None.
        idle_since: when its last call ended, or None.
    """

    organisation: str
    queue: str
    agent: str
    paused_at: datetime | None = None
    offered_at: datetime | None = None
    idle_since: datetime | None = None


@dataclass(slots=True)
class _Ticket:
    id: str
    joined_at: float
    tell_at: float | None
    offered: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Rest:
    since: float
    until: float


class WaitingQueue:
    """One queue of an organisation.

    Args:
        organisation: its name.
        settings: of the queue.
        lines: the lines of all organisations; others change it, and say so by `offer`.
        random: for the strategy of that name.
    """

    def __init__(self, organisation: str, settings: Queue, lines: LineBoard, random: Random) -> None:
        self._organisation = organisation
        self._settings = settings
        self._lines = lines
        self._random = random
        self._tickets: dict[str, _Ticket] = {}
        self._paused: dict[str, float] = {}
        self._offered_at: dict[str, float] = {}
        self._rests: dict[str, _Rest] = {}
        self._seen = float("-inf")

    @property
    def settings(self) -> Queue:
        """The settings in force."""
        return self._settings

    @property
    def waiting(self) -> int:
        """How many wait, those whose agent is being rung included."""
        return len(self._tickets)

    @property
    def waiting_since(self) -> float | None:
        """Since when the first one waits for whom no agent is being rung, or None."""
        return next((ticket.joined_at for ticket in self._tickets.values() if not ticket.offered), None)

    def has(self, ticket: str) -> bool:
        """Tell whether a party waits here."""
        return ticket in self._tickets

    def feed(self, command: QueueCommand, now: float) -> list[QueueNotice]:
        """Carry a party's command out, and tell whoever it changes something for."""
        notices: list[QueueNotice] = getattr(self, _TABLE[type(command)])(command, now)
        return notices

    def offer(self, now: float) -> list[QueueNotice]:
        """Offer agents who are free to those who wait, in their order; to be called after a line has changed."""
        self._seen = now
        notices: list[QueueNotice] = []
        free = self._free(now)
        for ticket in self._tickets.values():
            if not free:
                break
            if ticket.offered:
                continue
            chosen = self._chosen(free)
            for agent in chosen:
                self._lines.hold(self._line(agent), ticket.id)
                # Last in the order of the dictionary is who was offered last.
                self._offered_at.pop(agent, None)
                self._offered_at[agent] = now
            ticket.offered.update(chosen)
            free = [agent for agent in free if agent not in chosen]
            notices.append(AgentsOffered(ticket.id, chosen))
        return notices

    def pause(self, agent: str, now: float) -> None:
        """Offer an agent no more calls; one that it is being rung for, or is in, goes on.

        Raises:
            KeyError: the queue has no such agent.
        """
        self._check(agent)
        self._paused.setdefault(agent, now)

    def resume(self, agent: str, now: float) -> list[QueueNotice]:
        """Offer an agent calls again.

        Raises:
            KeyError: the queue has no such agent.
        """
        self._check(agent)
        self._paused.pop(agent, None)
        self._rests.pop(agent, None)
        return self.offer(now)

    def configure(self, settings: Queue, now: float) -> list[QueueNotice]:
        """Take over new settings; everybody keeps their place, and agents who are being rung go on ringing."""
        every = settings.position_seconds
        if every != self._settings.position_seconds:
            for ticket in self._tickets.values():
                ticket.tell_at = None if every is None else now + every
        self._settings = settings
        return self.offer(now)

    def close(self) -> list[QueueNotice]:
        """Turn everybody away, as the queue is gone from the settings."""
        notices: list[QueueNotice] = [WaitRefused(ticket) for ticket in self._tickets]
        for ticket in self._tickets.values():
            self._let_go(ticket, ticket.offered)
        self._tickets.clear()
        return notices

    def next_deadline(self) -> float | None:
        """When the next agent has rested, or the next one who waits is to be told a position; None: never."""
        ends = [*(self._lines.free_at(self._line(agent)) for agent in self._settings.agents)]
        ends += [rest.until for rest in self._rests.values()]
        deadlines = [end for end in ends if end is not None and end > self._seen]
        deadlines += [ticket.tell_at for ticket in self._tickets.values() if ticket.tell_at is not None]
        return min(deadlines, default=None)

    def on_deadline(self, now: float) -> list[QueueNotice]:
        """Tell positions, and offer agents who have rested."""
        notices: list[QueueNotice] = []
        every = self._settings.position_seconds
        for position, ticket in enumerate(self._tickets.values(), start=1):
            if every is not None and ticket.tell_at is not None and ticket.tell_at <= now:
                ticket.tell_at = now + every
                notices.append(QueuePosition(ticket.id, position))
        return [*notices, *self.offer(now)]

    def status(self, now: float) -> QueueStatus:
        """Tell how the queue stands."""
        return QueueStatus(
            number=self._settings.number,
            strategy=self._settings.strategy,
            waiting=self.waiting,
            longest_since=next((ticket.joined_at for ticket in self._tickets.values()), None),
            agents=tuple(self._status(agent, now) for agent in self._settings.agents),
        )

    def free_agents(self, now: float) -> int:
        """Count the agents who can be offered."""
        return len(self._free(now))

    def dials_allowed(self, now: float, outstanding: int) -> int:
        """Tell how many more calls may be placed whose answered party is to be put into the queue.

        Args:
            now: the machine's time.
            outstanding: how many such calls are being placed and are not in the queue yet.
        """
        free = self.free_agents(now)
        if free == 0:
            return 0
        # A single free agent is worth a call also when one call is placed for two of them.
        wanted = max(floor(self._settings.pacing * free + _ROUNDING), 1)
        without_agent = sum(1 for ticket in self._tickets.values() if not ticket.offered)
        return max(wanted - without_agent - outstanding, 0)

    def memories(self, at: Clock) -> tuple[AgentMemory, ...]:
        """Tell what a later run needs to know of the agents, those of earlier settings included."""

        def moment(seconds: float | None) -> datetime | None:
            return None if seconds is None else at(seconds)

        known = dict.fromkeys([*self._settings.agents, *self._paused, *self._offered_at])
        return tuple(
            AgentMemory(
                self._organisation,
                self._settings.number,
                agent,
                paused_at=moment(self._paused.get(agent)),
                offered_at=moment(self._offered_at.get(agent)),
                idle_since=moment(self._lines.idle_since(self._line(agent))),
            )
            for agent in known
        )

    def restore(self, memories: Iterable[AgentMemory], moment_of: Callable[[datetime], float]) -> None:
        """Take over what an earlier run knew of its agents.

        Args:
            memories: of this queue.
            moment_of: from aware UTC to the machine's time, which is negative for what was before its beginning.
        """
        offered: dict[str, float] = {}
        for memory in memories:
            if memory.paused_at is not None:
                self._paused[memory.agent] = moment_of(memory.paused_at)
            if memory.offered_at is not None:
                offered[memory.agent] = moment_of(memory.offered_at)
            if memory.idle_since is not None:
                self._lines.remember(self._line(memory.agent), moment_of(memory.idle_since))
        self._offered_at = dict(sorted(offered.items(), key=lambda item: item[1]))

    def _join(self, command: JoinQueue, now: float) -> list[QueueNotice]:
        every = self._settings.position_seconds
        tell_at = None if every is None or command.agent_first else now + every
        ticket = _Ticket(command.ticket, now, tell_at)
        self._tickets[ticket.id] = ticket
        notices = self.offer(now)
        limit = self._settings.max_waiting
        if ticket.offered or limit is None or sum(1 for other in self._tickets.values() if not other.offered) <= limit:
            return [WaitBegun(ticket.id), *notices]
        del self._tickets[ticket.id]
        return [*notices, WaitRefused(ticket.id)]

    def _leave(self, command: LeaveQueue, now: float) -> list[QueueNotice]:
        # A party may go while it is being refused.
        ticket = self._tickets.pop(command.ticket, None)
        if ticket is None:
            return []
        self._let_go(ticket, ticket.offered)
        return self.offer(now)

    def _give_back(self, command: ReturnAgent, now: float) -> list[QueueNotice]:
        ticket = self._tickets.get(command.ticket)
        if ticket is None or command.agent not in ticket.offered:
            return []
        self._let_go(ticket, [command.agent])
        ticket.offered.discard(command.agent)
        seconds = NO_ANSWER_REST_SECONDS if command.reached else NOT_REACHED_REST_SECONDS
        self._rests[command.agent] = _Rest(now, now + seconds)
        return self.offer(now)

    def _let_go(self, ticket: _Ticket, agents: Iterable[str]) -> None:
        for agent in agents:
            self._lines.release(self._line(agent), ticket.id)

    def _chosen(self, free: list[str]) -> tuple[str, ...]:
        """Choose whom to offer next, out of those who are free."""
        history = HuntHistory(
            idle_since=lambda agent: self._lines.idle_since(self._line(agent)),
            last=next(reversed(self._offered_at), None),
            random=self._random,
        )
        order = hunt_order(self._settings.strategy, self._settings.agents, free, history)
        return order if self._settings.strategy is HuntStrategy.RING_ALL else order[:1]

    def _free(self, now: float) -> list[str]:
        return [agent for agent in self._settings.agents if self._status(agent, now).state is AgentState.FREE]

    def _status(self, agent: str, now: float) -> AgentStatus:
        line = self._line(agent)
        if agent in self._paused:
            return AgentStatus(agent, AgentState.PAUSED, self._paused[agent])
        if self._lines.is_busy(line) or self._lines.is_held(line):
            return AgentStatus(agent, AgentState.BUSY, self._lines.busy_since(line))
        free_at = self._lines.free_at(line)
        if free_at is not None and free_at > now:
            return AgentStatus(agent, AgentState.WRAP_UP, self._lines.idle_since(line))
        rest = self._rests.get(agent)
        if rest is not None and rest.until > now:
            return AgentStatus(agent, AgentState.RESTING, rest.since)
        ends = [end for end in (free_at, None if rest is None else rest.until) if end is not None]
        return AgentStatus(agent, AgentState.FREE, max(ends, default=None))

    def _line(self, agent: str) -> Line:
        return self._organisation, agent

    def _check(self, agent: str) -> None:
        if agent not in self._settings.agents:
            raise KeyError(agent)
