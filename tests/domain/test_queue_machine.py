"""Whatever callers and agents do, in whatever order: nobody is lost, nobody is overtaken, and no agent is rung twice.

Two queues share an agent. Each caller is played by the rules that its party follows: ring whom it is offered, return
who does not answer, leave when one has.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sipcore.domain.commands import JoinQueue, LeaveQueue, ReturnAgent
from sipcore.domain.directory import HuntStrategy, Queue
from sipcore.domain.events import AgentsOffered, QueuePosition, WaitBegun, WaitRefused
from sipcore.domain.lines import LineBoard
from sipcore.domain.waiting_queue import AgentState, QueueNotice, WaitingQueue

WRAP_UP = 7.0
MOST_WAITING = 3
AGENTS = {"700": ("101", "102", "103"), "701": ("103", "104")}
EVERYBODY = ("101", "102", "103", "104")
NUMBERS = st.sampled_from(sorted(AGENTS))


@dataclass
class Caller:
    queue: str
    ringing: set[str] = field(default_factory=set)


class QueuesUnderDisorder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lines = LineBoard()
        self.lines.follow({("acme", agent): WRAP_UP for agent in EVERYBODY})
        self.callers: dict[str, Caller] = {}
        self.talking: list[str] = []
        self.last_talk: dict[str, float] = {}
        self.paused: set[tuple[str, str]] = set()
        self.joined = 0

    @initialize(strategy=st.sampled_from([*HuntStrategy]), limit=st.sampled_from([None, MOST_WAITING]))
    def open(self, strategy: HuntStrategy, limit: int | None) -> None:
        chance = Random(7)  # noqa: S311 - a story, not a secret
        self.limit = limit
        self.strategy = strategy
        self.queues = {
            number: WaitingQueue(
                "acme",
                Queue(number, agents, strategy, position_seconds=11.0, max_waiting=limit),
                self.lines,
                chance,
            )
            for number, agents in AGENTS.items()
        }

    @rule(number=NUMBERS, agent_first=st.booleans())
    def join(self, number: str, *, agent_first: bool) -> None:
        self.joined += 1
        ticket = f"t{self.joined}"
        self.callers[ticket] = Caller(number)
        before = self.without_agent(number)
        self.hear(self.queues[number].feed(JoinQueue(ticket, number, agent_first), self.now))
        if ticket not in self.callers:
            assert self.limit is not None
            assert len(before) > self.limit, "refused for being one too many"

    @precondition(lambda self: self.rung())
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.serve(*data.draw(st.sampled_from(self.rung())))

    @precondition(lambda self: self.rung())
    @rule(data=st.data(), reached=st.booleans())
    def do_not_answer(self, data: st.DataObject, *, reached: bool) -> None:
        ticket, agent = data.draw(st.sampled_from(self.rung()))
        caller = self.callers[ticket]
        caller.ringing.discard(agent)
        self.stop_ringing({agent})
        self.hear(self.queues[caller.queue].feed(ReturnAgent(ticket, caller.queue, agent, reached), self.now))

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.callers)))
        caller = self.callers.pop(ticket)
        notices = self.queues[caller.queue].feed(LeaveQueue(ticket, caller.queue), self.now)
        self.stop_ringing(caller.ringing)
        self.hear(notices)

    @rule(agent=st.sampled_from(EVERYBODY))
    def call_somebody(self, agent: str) -> None:
        self.lines.busy(("acme", agent), self.now)
        self.talking.append(agent)

    @precondition(lambda self: self.talking)
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        self.end_call(data.draw(st.sampled_from(self.talking)))

    @rule(number=NUMBERS, data=st.data())
    def pause(self, number: str, data: st.DataObject) -> None:
        agent = data.draw(st.sampled_from(AGENTS[number]))
        self.queues[number].pause(agent, self.now)
        self.paused.add((number, agent))

    @rule(number=NUMBERS, data=st.data())
    def resume(self, number: str, data: st.DataObject) -> None:
        agent = data.draw(st.sampled_from(AGENTS[number]))
        self.paused.discard((number, agent))
        self.hear(self.queues[number].resume(agent, self.now))

    @rule(number=NUMBERS, every=st.sampled_from([None, 5.0, 11.0]))
    def reload(self, number: str, every: float | None) -> None:
        queue = self.queues[number]
        self.hear(queue.configure(replace(queue.settings, position_seconds=every), self.now))

    @rule(seconds=st.floats(0, 30), late_by=st.floats(0, 2))
    def pass_time(self, seconds: float, late_by: float) -> None:
        self.wait(seconds, late_by)

    def wait(self, seconds: float, late_by: float = 0) -> None:
        until = self.now + seconds
        while (due := min(self.deadlines(), default=until)) < until:
            self.now = max(self.now, due) + late_by
            for queue in self.queues.values():
                self.hear(queue.on_deadline(self.now))
        self.now = max(self.now, until)
        for queue in self.queues.values():
            self.hear(queue.on_deadline(self.now))

    def hear(self, notices: list[QueueNotice]) -> None:
        """Act on notices as parties do, and have the other queues look at the lines again."""
        told = list(notices)
        for queue in self.queues.values():
            told += queue.offer(self.now)
        for notice in told:
            if isinstance(notice, QueuePosition):
                waiting = [ticket for ticket, caller in self.callers.items() if self.shares(notice.ticket, caller)]
                assert waiting[notice.position - 1] == notice.ticket
            elif isinstance(notice, WaitRefused):
                assert not self.callers.pop(notice.ticket).ringing
            elif isinstance(notice, WaitBegun):
                assert not self.callers[notice.ticket].ringing
            else:
                self.ring(notice)

    def ring(self, offer: AgentsOffered) -> None:
        caller = self.callers[offer.ticket]
        assert not caller.ringing, "one offer at a time"
        assert offer.agents
        if self.strategy is not HuntStrategy.RING_ALL:
            assert len(offer.agents) == 1
        elsewhere = {agent for _, agent in self.rung()}
        for agent in offer.agents:
            assert agent in AGENTS[caller.queue]
            assert agent not in elsewhere, "an agent is rung for one caller"
            assert agent not in self.talking, "an agent in a call is left alone"
            assert (caller.queue, agent) not in self.paused
            assert self.now >= self.last_talk.get(agent, -WRAP_UP) + WRAP_UP
            self.lines.busy(("acme", agent), self.now)
        earlier = [ticket for ticket in self.without_agent(caller.queue) if ticket != offer.ticket]
        assert self.order_of(offer.ticket) < min(map(self.order_of, earlier), default=self.joined + 1)
        caller.ringing.update(offer.agents)

    def serve(self, ticket: str, agent: str) -> None:
        caller = self.callers.pop(ticket)
        self.talking.append(agent)
        notices = self.queues[caller.queue].feed(LeaveQueue(ticket, caller.queue, agent), self.now)
        self.stop_ringing(caller.ringing - {agent})
        self.hear(notices)

    def end_call(self, agent: str) -> None:
        self.talking.remove(agent)
        self.last_talk[agent] = self.now
        self.lines.free(("acme", agent), self.now, talked=True)

    def stop_ringing(self, agents: set[str]) -> None:
        for agent in agents:
            self.lines.free(("acme", agent), self.now, talked=False)

    def rung(self) -> list[tuple[str, str]]:
        return [(ticket, agent) for ticket, caller in self.callers.items() for agent in sorted(caller.ringing)]

    def without_agent(self, number: str) -> list[str]:
        return [ticket for ticket, caller in self.callers.items() if caller.queue == number and not caller.ringing]

    def shares(self, ticket: str, caller: Caller) -> bool:
        return self.callers[ticket].queue == caller.queue

    def order_of(self, ticket: str) -> int:
        return int(ticket[1:])

    def deadlines(self) -> list[float]:
        return [end for queue in self.queues.values() if (end := queue.next_deadline()) is not None]

    @invariant()
    def nobody_is_lost(self) -> None:
        for number, queue in getattr(self, "queues", {}).items():
            assert queue.waiting == sum(1 for caller in self.callers.values() if caller.queue == number)

    @invariant()
    def an_agent_is_held_exactly_while_it_is_rung(self) -> None:
        rung = {agent for _, agent in self.rung()}
        assert {agent for agent in EVERYBODY if self.lines.is_held(("acme", agent))} == rung

    def teardown(self) -> None:
        """Let every agent come back: everybody who still waits is served in the end."""
        if not hasattr(self, "queues"):
            return
        for number, agent in sorted(self.paused):
            self.paused.discard((number, agent))
            self.hear(self.queues[number].resume(agent, self.now))
        for _ in range(len(self.callers) + 1):
            for agent in [*self.talking]:
                self.end_call(agent)
            self.wait(60)
            for number, queue in self.queues.items():
                free = [agent for agent in queue.status(self.now).agents if agent.state is AgentState.FREE]
                assert not (free and self.without_agent(number)), "a free agent and somebody who waits find each other"
            for ticket, agent in self.rung():
                if ticket in self.callers:
                    self.serve(ticket, agent)
        assert not self.callers


TestQueuesUnderDisorder = QueuesUnderDisorder.TestCase
TestQueuesUnderDisorder.settings = settings(max_examples=50, stateful_step_count=40)
