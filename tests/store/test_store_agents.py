"""What is kept of queues' agents, in a real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sipcore.domain.waiting_queue import AgentMemory
from sipcore.store.records import open_store

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AGENT = AgentMemory("acme", "700", "101", paused_at=NOON, offered_at=None, idle_since=NOON - timedelta(seconds=9))


async def test_memories_come_back_as_they_were_written(store) -> None:
    others = replace(AGENT, queue="701", paused_at=None), replace(AGENT, organisation="other", offered_at=NOON)
    await store.keep_agents([AGENT, *others])
    assert sorted(await store.agent_memories(), key=str) == sorted([AGENT, *others], key=str)


async def test_the_last_memory_of_an_agent_counts(store) -> None:
    await store.keep_agents([AGENT])
    resumed = replace(AGENT, paused_at=None)
    await store.keep_agents([replace(AGENT, offered_at=NOON), resumed])
    assert await store.agent_memories() == (resumed,)


async def test_a_store_that_is_opened_again_remembers(store, database_url) -> None:
    await store.keep_agents([AGENT])
    await store.close()
    again = await open_store(database_url)
    assert await again.agent_memories() == (AGENT,)
    await again.close()
