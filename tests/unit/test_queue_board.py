"""The queues in an event loop: who is told what and when, and what a restart finds again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sipcore.domain.commands import JoinQueue, LeaveQueue, ReturnAgent
from sipcore.domain.directory import Directory, HuntStrategy, Organisation, Queue, RingGroup
from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.events import AgentsOffered, QueuePosition, WaitBegun, WaitRefused
from sipcore.domain.lines import LineBoard
from sipcore.domain.waiting_queue import AgentMemory, AgentState, QueueNotice
from sipcore.service import agent_memory
from sipcore.service.calls import LiveDirectory
from sipcore.service.queue_board import QueueBoard

SALES = Queue("700", ("101", "102"), HuntStrategy.LINEAR)


class MemoryStore:
    """Keeps memories, or fails as often as a test says."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str], AgentMemory] = {}
        self.failures = 0
        self.written = asyncio.Event()

    async def agent_memories(self) -> tuple[AgentMemory, ...]:
        return tuple(self.kept.values())

    async def keep_agents(self, memories: Sequence[AgentMemory]) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("the disk is full")
        self.kept |= {(memory.organisation, memory.queue, memory.agent): memory for memory in memories}
        self.written.set()


class Site:
    """A board, its settings and what it has told."""

    def __init__(self, *queues: Queue, store: MemoryStore | None = None) -> None:
        self.directory = LiveDirectory(Directory())
        self.set(*queues)
        self.lines = LineBoard()
        self.store = store or MemoryStore()
        self.told: asyncio.Queue[QueueNotice] = asyncio.Queue()
        self.board = QueueBoard(self.directory, self.lines, self.store, self.told.put_nowait)

    def set(self, *queues: Queue, groups: tuple[RingGroup, ...] = ()) -> None:
        acme = Organisation(
            "acme",
            queues={queue.number: queue for queue in queues},
            ring_groups={group.number: group for group in groups},
        )
        self.directory.current = Directory({"acme": acme, "other": Organisation("other")})

    async def notice(self) -> QueueNotice:
        """Wait for what is told next, besides that somebody waits."""
        while isinstance(told := await asyncio.wait_for(self.told.get(), 5), WaitBegun):
            pass
        return told

    async def settled(self) -> None:
        """Wait until everything is told that is on its way."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def join(self, ticket: str, queue: str = "700") -> None:
        self.board.execute("acme", JoinQueue(ticket, queue))


@pytest.fixture
async def opened():
    sites: list[Site] = []

    async def open_site(*queues: Queue, store: MemoryStore | None = None) -> Site:
        site = Site(*queues, store=store)
        await site.board.start()
        sites.append(site)
        return site

    yield open_site
    for site in sites:
        await site.board.stop()


async def test_a_free_agent_is_offered_after_the_call_has_finished_its_step(opened) -> None:
    site = await opened(SALES)
    site.join("t1")
    assert site.told.empty()
    assert await site.notice() == AgentsOffered("t1", ("101",))


async def test_an_agent_whose_call_ends_is_offered_to_who_has_waited_longest_in_any_queue(opened) -> None:
    site = await opened(replace(SALES, agents=("101",)), Queue("701", ("101",)))
    site.board.line_busy("acme", "101")
    site.join("t1", "701")
    site.join("t2", "700")
    site.board.line_free("acme", "101", talked=True)
    assert await site.notice() == AgentsOffered("t1", ("101",))
    await site.settled()
    assert site.told.empty()


async def test_an_agent_given_back_in_one_queue_serves_another(opened) -> None:
    site = await opened(replace(SALES, agents=("101",)), Queue("701", ("101",)))
    site.join("t1", "700")
    site.join("t2", "701")
    assert await site.notice() == AgentsOffered("t1", ("101",))
    site.board.execute("acme", ReturnAgent("t1", "700", "101", reached=True))
    assert await site.notice() == AgentsOffered("t2", ("101",))


async def test_wrap_up_ends_by_itself(opened) -> None:
    site = await opened(replace(SALES, agents=("101",), wrap_up_seconds=0.02))
    site.board.line_busy("acme", "101")
    site.join("t1")
    site.board.line_free("acme", "101", talked=True)
    assert site.board.status("acme", "700").agents[0].state is AgentState.WRAP_UP
    assert await site.notice() == AgentsOffered("t1", ("101",))


async def test_positions_are_told_again_and_again(opened) -> None:
    site = await opened(replace(SALES, agents=("101",), position_seconds=0.01))
    site.board.line_busy("acme", "101")
    site.join("t1")
    assert [await site.notice() for _ in range(3)] == [QueuePosition("t1", 1)] * 3


async def test_whoever_has_left_is_told_nothing_any_more(opened) -> None:
    site = await opened(SALES)
    site.join("t1")
    site.board.execute("acme", LeaveQueue("t1", "700"))
    await site.settled()
    assert site.told.empty()


async def test_a_queue_that_is_taken_out_of_the_settings_turns_its_callers_away(opened) -> None:
    site = await opened(replace(SALES, agents=()))
    site.join("t1")
    site.set()
    site.board.configure()
    assert await site.notice() == WaitRefused("t1")
    assert site.board.status("acme", "700") is None
    site.join("t2")
    assert await site.notice() == WaitRefused("t2")
    site.board.execute("acme", LeaveQueue("t2", "700"))


async def test_new_settings_reach_those_who_wait(opened) -> None:
    site = await opened(replace(SALES, agents=()))
    site.join("t1")
    site.set(SALES)
    site.board.configure()
    assert await site.notice() == AgentsOffered("t1", ("101",))


async def test_the_lines_of_ring_groups_are_followed_too(opened) -> None:
    site = await opened()
    site.set(groups=(RingGroup("600", ("103",)),))
    site.board.configure()
    site.board.line_busy("acme", "103")
    site.board.line_free("acme", "103", talked=True)
    assert site.lines.idle_since(("acme", "103")) is not None


async def test_an_agent_that_pauses_and_comes_back_is_told(opened) -> None:
    site = await opened(SALES)
    told: list[tuple[str, str, str, bool]] = []
    site.board.on_agent = lambda *change: told.append(change)
    site.board.pause("acme", "700", "102")
    site.board.resume("acme", "700", "102")
    site.board.pause("acme", "700", "nobody")
    assert told == [("acme", "700", "102", True), ("acme", "700", "102", False)]


async def test_a_restart_finds_pauses_turns_and_idle_times_again(opened) -> None:
    queue = replace(SALES, strategy=HuntStrategy.ROUND_ROBIN, wrap_up_seconds=3600)
    before = await opened(queue)
    before.join("t1")
    assert await before.notice() == AgentsOffered("t1", ("101",))
    before.board.line_busy("acme", "101")
    before.board.execute("acme", LeaveQueue("t1", "700", "101"))
    before.board.line_free("acme", "101", talked=True)
    paused = before.board.pause("acme", "700", "102")
    idle = before.board.status("acme", "700").agents[0]
    await before.board.stop()

    after = await opened(queue, store=before.store)
    first, second = after.board.status("acme", "700").agents
    assert (first.state, second.state) == (AgentState.WRAP_UP, AgentState.PAUSED)
    assert after.board.at(first.since) == before.board.at(idle.since)
    assert after.board.at(second.since) == before.board.at(paused.since)


async def test_what_the_database_does_not_take_is_written_later(opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_memory, "_RETRY_SECONDS", 0.0)
    site = await opened(SALES)
    site.store.failures = 2
    site.board.pause("acme", "700", "102")
    await asyncio.wait_for(site.store.written.wait(), 5)
    assert site.store.kept["acme", "700", "102"].paused_at is not None


async def test_a_stop_is_not_held_up_by_a_database_that_takes_nothing(opened) -> None:
    site = await opened(SALES)
    site.store.failures = 1
    site.board.pause("acme", "700", "102")
    await asyncio.wait_for(site.board.stop(), 5)
    assert site.store.failures == 0


async def test_an_agent_who_comes_back_is_offered_to_who_waits(opened) -> None:
    site = await opened(replace(SALES, agents=("101",)))
    assert site.board.pause("acme", "700", "101").state is AgentState.PAUSED
    site.join("t1")
    resumed = site.board.resume("acme", "700", "101")
    assert resumed.state is AgentState.BUSY, "held for the one who waits"
    assert await site.notice() == AgentsOffered("t1", ("101",))


@pytest.mark.parametrize(
    ("organisation", "queue", "agent"), [("other", "700", "101"), ("acme", "701", "101"), ("acme", "700", "103")]
)
async def test_nobody_elses_agent_can_be_paused(opened, organisation: str, queue: str, agent: str) -> None:
    site = await opened(SALES)
    assert site.board.pause(organisation, queue, agent) is None
    assert site.board.resume(organisation, queue, agent) is None


async def test_calls_to_many_numbers_are_told_when_more_may_be_placed(opened) -> None:
    site = await opened(replace(SALES, agents=("101",)))
    site.board.line_busy("acme", "101")
    assert site.board.dials_allowed("acme", "700") == 0
    waits = [asyncio.ensure_future(site.board.changed("acme", "700")) for _ in range(2)]
    await site.settled()
    waits.pop().cancel()
    site.board.line_free("acme", "101", talked=True)
    await asyncio.wait_for(waits[0], 5)
    assert site.board.dials_allowed("acme", "700") == 1


async def test_the_calls_of_all_who_dial_for_a_queue_are_counted_and_each_is_counted_out_once(opened) -> None:
    site = await opened(SALES, replace(SALES, number="701"))
    overs = [site.board.count_dial("acme", "700") for _ in range(2)]
    assert [site.board.dials_allowed("acme", number) for number in ("700", "701")] == [0, 2]
    wait = asyncio.ensure_future(site.board.changed("acme", "700"))
    await site.settled()
    assert not wait.done()
    for _ in range(2):
        overs[0]()
    await asyncio.wait_for(wait, 5)
    assert site.board.dials_allowed("acme", "700") == 1


async def test_a_queue_that_is_gone_lets_calls_to_many_numbers_find_out_one_by_one(opened) -> None:
    site = await opened(replace(SALES, agents=()))
    wait = asyncio.ensure_future(site.board.changed("acme", "700"))
    await site.settled()
    site.set()
    site.board.configure()
    await asyncio.wait_for(wait, 5)
    assert site.board.dials_allowed("acme", "700") == 1
    dial_over = site.board.count_dial("acme", "700")
    assert site.board.dials_allowed("acme", "700") == 0
    dial_over()
    assert site.board.dials_allowed("acme", "700") == 1


async def test_statuses_come_by_number_and_of_ones_own_organisation_only(opened) -> None:
    site = await opened(replace(SALES, number="702"), SALES)
    assert [status.number for status in site.board.statuses("acme")] == ["700", "702"]
    assert site.board.statuses("other") == []
    assert site.board.status("other", "700") is None
