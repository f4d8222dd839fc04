"""Stories of queues: who waits, who is offered whom, and what is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from sipcore.domain.commands import JoinQueue, LeaveQueue, ReturnAgent
from sipcore.domain.directory import HuntStrategy, Queue
from sipcore.domain.events import AgentsOffered, QueuePosition, WaitBegun, WaitRefused
from sipcore.domain.lines import LineBoard
from sipcore.domain.waiting_queue import (
    NO_ANSWER_REST_SECONDS,
    NOT_REACHED_REST_SECONDS,
    AgentState,
    QueueNotice,
    WaitingQueue,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Floor:
    """One or more queues over the same lines, with agents who take calls and hang up."""

    def __init__(self, *settings: Queue) -> None:
        self.lines = LineBoard()
        wrap_up: dict[tuple[str, str], float] = {}
        for queue in settings:
            for agent in queue.agents:
                line = ("acme", agent)
                wrap_up[line] = max(wrap_up.get(line, 0.0), queue.wrap_up_seconds)
        self.lines.follow(wrap_up)
        self.queues = [WaitingQueue("acme", queue, self.lines, Random(7)) for queue in settings]  # noqa: S311
        self.queue = self.queues[0]
        self.number = self.queue.settings.number

    def join(self, ticket: str, now: float, *, agent_first: bool = False) -> list[QueueNotice]:
        """Let a caller come; return what is told besides that it waits."""
        told = self.queue.feed(JoinQueue(ticket, self.number, agent_first), now)
        return [notice for notice in told if not isinstance(notice, WaitBegun)]

    def take(self, ticket: str, agent: str, now: float) -> list[QueueNotice]:
        """An offered agent answers."""
        self.lines.busy(("acme", agent), now)
        return self.queue.feed(LeaveQueue(ticket, self.number, agent), now)

    def give_back(self, ticket: str, agent: str, now: float, *, reached: bool = True) -> list[QueueNotice]:
        return self.queue.feed(ReturnAgent(ticket, self.number, agent, reached), now)

    def hang_up(self, agent: str, now: float) -> list[QueueNotice]:
        """A call of the agent ends, in which it talked."""
        self.lines.free(("acme", agent), now, talked=True)
        return [notice for queue in self.queues for notice in queue.offer(now)]

    def serve(self, ticket: str, now: float) -> tuple[str, ...]:
        """Bring a caller whom an agent serves from `now` on for one second; return whom it was offered."""
        (offer,) = self.join(ticket, now)
        assert isinstance(offer, AgentsOffered)
        self.take(ticket, offer.agents[0], now)
        self.hang_up(offer.agents[0], now + 1)
        return offer.agents

    def states(self, now: float) -> dict[str, AgentState]:
        return {agent.number: agent.state for agent in self.queue.status(now).agents}

    def ticks(self, until: float) -> Iterator[tuple[float, QueueNotice]]:
        """Let time pass, and act on every deadline."""
        while (deadline := self.queue.next_deadline()) is not None and deadline <= until:
            for notice in self.queue.on_deadline(deadline):
                yield deadline, notice


def queue(*agents: str, **settings: object) -> Queue:
    return replace(Queue("700", agents or ("101", "102", "103"), HuntStrategy.LINEAR), **settings)


def busy_floor(**settings: object) -> Floor:
    """One agent, in a call since second 0."""
    floor = Floor(queue("101", **settings))
    floor.lines.busy(("acme", "101"), 0)
    return floor


def test_a_caller_is_offered_a_free_agent_at_once() -> None:
    floor = Floor(queue())
    assert floor.join("t1", 1) == [AgentsOffered("t1", ("101",))]
    assert floor.join("t2", 1) == [AgentsOffered("t2", ("102",))]


def test_callers_are_served_in_the_order_in_which_they_came() -> None:
    floor = busy_floor()
    assert [floor.join(ticket, now) for now, ticket in enumerate(("t1", "t2", "t3"))] == [[], [], []]
    assert floor.hang_up("101", 10) == [AgentsOffered("t1", ("101",))]
    assert floor.take("t1", "101", 12) == []
    floor.queue.feed(LeaveQueue("t2", "700"), 15)
    assert floor.hang_up("101", 20) == [AgentsOffered("t3", ("101",))]


def test_a_request_that_rings_an_agent_first_waits_in_the_same_line() -> None:
    floor = busy_floor(position_seconds=30)
    floor.join("click", 0, agent_first=True)
    floor.join("caller", 1)
    assert list(floor.ticks(31)) == [(31, QueuePosition("caller", 2))]
    assert floor.hang_up("101", 40) == [AgentsOffered("click", ("101",))]


def test_an_agent_in_any_call_is_busy() -> None:
    floor = busy_floor()
    assert floor.join("t1", 0) == []
    assert floor.states(1) == {"101": AgentState.BUSY}
    floor.lines.busy(("acme", "101"), 2)
    assert floor.hang_up("101", 3) == [], "one of two calls goes on"
    assert floor.hang_up("101", 4) == [AgentsOffered("t1", ("101",))]


def test_ring_all_offers_everybody_who_is_free_and_frees_the_others_when_one_answers() -> None:
    floor = Floor(queue(strategy=HuntStrategy.RING_ALL))
    floor.lines.busy(("acme", "102"), 0)
    assert floor.join("t1", 1) == [AgentsOffered("t1", ("101", "103"))]
    assert floor.join("t2", 2) == []
    assert floor.take("t1", "103", 5) == [AgentsOffered("t2", ("101",))]


def test_ring_all_goes_on_with_the_others_when_one_is_returned() -> None:
    floor = Floor(queue("101", "102", strategy=HuntStrategy.RING_ALL))
    floor.join("t1", 0)
    assert floor.give_back("t1", "101", 1, reached=False) == []
    assert floor.give_back("t1", "102", 20) == []
    assert list(floor.ticks(30)) == [
        (1 + NOT_REACHED_REST_SECONDS, AgentsOffered("t1", ("101",))),
    ]


def test_linear_takes_the_first_who_is_free() -> None:
    floor = Floor(queue(strategy=HuntStrategy.LINEAR))
    assert [floor.serve(f"t{n}", n * 10) for n in range(3)] == [("101",)] * 3


def test_round_robin_takes_one_after_the_other() -> None:
    floor = Floor(queue(strategy=HuntStrategy.ROUND_ROBIN))
    assert [floor.serve(f"t{n}", n * 10) for n in range(4)] == [("101",), ("102",), ("103",), ("101",)]


def test_round_robin_counts_two_offers_of_the_same_moment() -> None:
    floor = Floor(queue(strategy=HuntStrategy.ROUND_ROBIN))
    assert floor.join("t1", 0) == [AgentsOffered("t1", ("101",))]
    assert floor.join("t2", 0) == [AgentsOffered("t2", ("102",))]
    floor.queue.feed(LeaveQueue("t1", "700"), 0)
    assert floor.join("t3", 0) == [AgentsOffered("t3", ("103",))]


def test_longest_idle_takes_who_has_been_without_a_call_for_longest() -> None:
    floor = Floor(queue(strategy=HuntStrategy.LONGEST_IDLE))
    assert [floor.serve(f"t{n}", n * 10) for n in range(3)] == [("101",), ("102",), ("103",)]
    floor.lines.busy(("acme", "101"), 40)  # a call of its own
    floor.hang_up("101", 50)
    assert floor.serve("t4", 60) == ("102",)


def test_random_gives_everybody_work() -> None:
    floor = Floor(queue(strategy=HuntStrategy.RANDOM))
    assert {floor.serve(f"t{n}", n * 10) for n in range(40)} == {("101",), ("102",), ("103",)}


def test_the_first_caller_gets_another_agent_when_one_does_not_answer() -> None:
    floor = Floor(queue("101", "102"))
    floor.join("t1", 0)
    assert floor.give_back("t1", "101", 20) == [AgentsOffered("t1", ("102",))]
    assert floor.states(21) == {"101": AgentState.RESTING, "102": AgentState.BUSY}


@pytest.mark.parametrize(("reached", "rest"), [(True, NO_ANSWER_REST_SECONDS), (False, NOT_REACHED_REST_SECONDS)])
def test_an_agent_who_did_not_take_a_call_is_rung_again_after_a_rest(*, reached: bool, rest: float) -> None:
    floor = Floor(queue("101"))
    floor.join("t1", 0)
    assert floor.give_back("t1", "101", 20, reached=reached) == []
    assert floor.join("t2", 21) == [], "nor for another caller"
    assert list(floor.ticks(60)) == [(20 + rest, AgentsOffered("t1", ("101",)))]


def test_a_caller_whose_agent_did_not_answer_keeps_its_place() -> None:
    floor = Floor(queue("101"))
    floor.join("t1", 0)
    floor.join("t2", 1)
    floor.give_back("t1", "101", 20)
    assert [notice for _, notice in floor.ticks(30)] == [AgentsOffered("t1", ("101",))]


def test_wrap_up_keeps_calls_away_for_a_while() -> None:
    floor = busy_floor(wrap_up_seconds=15)
    floor.join("t1", 1)
    assert floor.hang_up("101", 10) == []
    (agent,) = floor.queue.status(11).agents
    assert (agent.state, agent.since) == (AgentState.WRAP_UP, 10)
    assert list(floor.ticks(60)) == [(25, AgentsOffered("t1", ("101",)))]


def test_no_wrap_up_follows_a_leg_that_only_rang() -> None:
    floor = busy_floor(wrap_up_seconds=15)
    floor.join("t1", 1)
    floor.lines.free(("acme", "101"), 10, talked=False)
    assert floor.queue.offer(10) == [AgentsOffered("t1", ("101",))]


def test_each_caller_hears_its_position_every_so_often() -> None:
    floor = busy_floor(position_seconds=30)
    floor.join("t1", 0)
    floor.join("t2", 10)
    assert list(floor.ticks(70)) == [
        (30, QueuePosition("t1", 1)),
        (40, QueuePosition("t2", 2)),
        (60, QueuePosition("t1", 1)),
        (70, QueuePosition("t2", 2)),
    ]
    floor.queue.feed(LeaveQueue("t1", "700"), 80)
    assert list(floor.ticks(100)) == [(100, QueuePosition("t2", 1))]


def test_nobody_is_told_a_position_unless_the_settings_say_so() -> None:
    floor = busy_floor()
    floor.join("t1", 0)
    assert floor.queue.next_deadline() is None


def test_a_full_queue_refuses() -> None:
    floor = busy_floor(max_waiting=2)
    floor.join("t1", 0)
    floor.join("t2", 0)
    assert floor.join("t3", 1) == [WaitRefused("t3")]
    assert floor.queue.waiting == 2
    floor.queue.feed(LeaveQueue("t1", "700"), 2)
    assert floor.join("t4", 3) == []


def test_whoever_need_not_wait_is_not_refused() -> None:
    floor = Floor(queue("101", "102", max_waiting=0))
    assert floor.join("t1", 0) == [AgentsOffered("t1", ("101",))]
    assert floor.join("t2", 0) == [AgentsOffered("t2", ("102",))]
    assert floor.join("t3", 0) == [WaitRefused("t3")]


def test_leaving_after_a_refusal_changes_nothing() -> None:
    floor = busy_floor(max_waiting=0)
    assert floor.join("t1", 0) == [WaitRefused("t1")]
    assert floor.queue.feed(LeaveQueue("t1", "700"), 1) == []
    assert floor.queue.feed(ReturnAgent("t1", "700", "101"), 1) == []


def test_a_caller_who_hangs_up_frees_the_agent_who_is_being_rung_for_the_next_one() -> None:
    floor = Floor(queue("101"))
    floor.join("t1", 0)
    floor.join("t2", 1)
    assert floor.queue.feed(LeaveQueue("t1", "700"), 2) == [AgentsOffered("t2", ("101",))]


def test_a_paused_agent_is_offered_no_calls_until_it_resumes() -> None:
    floor = Floor(queue("101"))
    floor.queue.pause("101", 5)
    assert floor.join("t1", 6) == []
    (agent,) = floor.queue.status(7).agents
    assert (agent.state, agent.since) == (AgentState.PAUSED, 5)
    floor.queue.pause("101", 8)
    assert floor.queue.status(9).agents[0].since == 5, "pausing again changes nothing"
    assert floor.queue.resume("101", 10) == [AgentsOffered("t1", ("101",))]


def test_resuming_ends_the_rest_after_a_call_not_taken() -> None:
    floor = Floor(queue("101"))
    floor.join("t1", 0)
    floor.give_back("t1", "101", 20)
    assert floor.queue.resume("101", 21) == [AgentsOffered("t1", ("101",))]


def test_only_its_own_agents_can_pause() -> None:
    floor = Floor(queue("101"))
    with pytest.raises(KeyError):
        floor.queue.pause("102", 0)
    with pytest.raises(KeyError):
        floor.queue.resume("102", 0)


def test_an_agent_of_two_queues_is_rung_for_one_of_them() -> None:
    floor = Floor(queue("101", wrap_up_seconds=5), replace(queue("101"), number="701"))
    sales, support = floor.queues
    assert sales.feed(JoinQueue("t1", "700"), 0) == [WaitBegun("t1"), AgentsOffered("t1", ("101",))]
    assert support.feed(JoinQueue("t2", "701"), 1) == [WaitBegun("t2")]
    assert support.status(1).agents[0].state is AgentState.BUSY
    floor.take("t1", "101", 3)
    assert support.offer(3) == []
    assert floor.hang_up("101", 10) == [], "wrap-up is the agent's, whichever queue it is for"
    assert support.next_deadline() == 15
    assert support.on_deadline(15) == [AgentsOffered("t2", ("101",))]
    assert sales.feed(JoinQueue("t3", "700"), 16) == [WaitBegun("t3")]


def test_an_agent_is_paused_in_one_queue_only() -> None:
    floor = Floor(queue("101"), replace(queue("101"), number="701"))
    floor.queues[0].pause("101", 0)
    assert floor.queues[1].feed(JoinQueue("t1", "701"), 1)[1:] == [AgentsOffered("t1", ("101",))]


def test_new_settings_bring_new_agents_to_those_who_wait() -> None:
    floor = busy_floor(position_seconds=30)
    floor.join("t1", 0)
    assert floor.queue.configure(queue("101", "102"), 5) == [AgentsOffered("t1", ("102",))]
    assert floor.queue.next_deadline() is None, "positions are not told any more"
    floor.queue.configure(queue("101", position_seconds=20), 10)
    assert list(floor.ticks(30)) == [(30, QueuePosition("t1", 1))]


def test_an_agent_who_is_taken_out_of_the_settings_may_still_answer() -> None:
    floor = Floor(queue("101", "102"))
    floor.join("t1", 0)
    floor.queue.configure(queue("102"), 1)
    floor.take("t1", "101", 2)
    assert not floor.lines.is_held(("acme", "101"))
    assert floor.queue.waiting == 0


def test_a_queue_that_is_gone_turns_everybody_away_and_lets_its_agents_go() -> None:
    floor = Floor(queue("101"))
    floor.join("t1", 0)
    floor.join("t2", 0)
    assert floor.queue.close() == [WaitRefused("t1"), WaitRefused("t2")]
    assert floor.queue.waiting == 0
    assert not floor.lines.is_held(("acme", "101"))


@pytest.mark.parametrize(
    ("pacing", "free", "outstanding", "allowed"),
    [
        (1.0, 3, 0, 3),
        (1.0, 3, 2, 1),
        (1.0, 3, 5, 0),
        (1.5, 3, 0, 4),
        (1.1, 10, 0, 11),
        (0.5, 3, 0, 1),
        (0.5, 1, 0, 1),
        (3.0, 0, 0, 0),
    ],
)
def test_calls_to_many_numbers_are_placed_as_agents_become_free(
    pacing: float, free: int, outstanding: int, allowed: int
) -> None:
    agents = tuple(str(number) for number in range(100, 110))
    floor = Floor(queue(*agents, pacing=pacing))
    for agent in agents[free:]:
        floor.lines.busy(("acme", agent), 0)
    assert floor.queue.free_agents(1) == free
    assert floor.queue.dials_allowed(1, outstanding) == allowed


def test_an_agent_who_is_being_rung_is_worth_no_further_call() -> None:
    floor = Floor(queue("101", "102"))
    floor.join("t1", 0)
    assert floor.queue.dials_allowed(1, 0) == 1


def test_a_restart_forgets_neither_pauses_nor_whose_turn_it_is() -> None:
    settings = queue(strategy=HuntStrategy.ROUND_ROBIN, wrap_up_seconds=60)
    before = Floor(settings)
    before.serve("t1", 10)
    before.serve("t2", 20)
    before.queue.pause("103", 30)
    memories = before.queue.memories(lambda moment: NOON + timedelta(seconds=moment))

    after = Floor(settings)
    restarted_at = 40  # in the time of before, and the zero of after
    after.queue.restore(
        reversed(memories), lambda moment: (moment - NOON - timedelta(seconds=restarted_at)).total_seconds()
    )
    status = {agent.number: (agent.state, agent.since) for agent in after.queue.status(0).agents}
    assert status == {
        "101": (AgentState.WRAP_UP, -29),
        "102": (AgentState.WRAP_UP, -19),
        "103": (AgentState.PAUSED, -10),
    }
    assert after.join("t3", 0) == []
    assert list(after.ticks(31)) == [(31, AgentsOffered("t3", ("101",)))]
    after.queue.resume("103", 32)
    assert after.join("t4", 50) == [AgentsOffered("t4", ("102",))], "behind 101, who was last"


def test_a_status_tells_since_when() -> None:
    floor = Floor(queue("101", "102"))
    floor.lines.busy(("acme", "102"), 3)
    floor.hang_up("102", 8)
    floor.lines.busy(("acme", "101"), 9)
    floor.join("t1", 10)
    status = floor.queue.status(11)
    assert (status.number, status.waiting, status.longest_since) == ("700", 1, 10)
    assert [(agent.number, agent.state, agent.since) for agent in status.agents] == [
        ("101", AgentState.BUSY, 9),
        ("102", AgentState.BUSY, None),  # held, and not yet rung
    ]
    floor.queue.feed(LeaveQueue("t1", "700"), 12)
    assert floor.queue.status(13).agents[1].since == 8
