"""Nodes that share PostgreSQL: who is alive, whose calls are settled, and what they tell each other."""

import asyncio
import json
import uuid
from datetime import UTC, datetime

import asyncpg
import pytest
from node_site import CUSTOMER, NodeSite

from sipcore.domain.batch import BatchState, NumberState
from sipcore.domain.batch_record import BatchRecord
from sipcore.domain.causes import Disposition
from sipcore.domain.directory import Announcement
from sipcore.domain.errors import StoreUnavailableError
from sipcore.service import batches, nodes
from sipcore.service.batches import Batches, BatchRequest
from sipcore.service.errand import Errand
from sipcore.service.numbers import PhoneNumberPlan
from sipcore.sip.fake import RINGS
from sipcore.store.notices import BATCHES_CANCELLED
from sipcore.store.records import open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(nodes, "SILENCE_SECONDS", 0.3)


@pytest.fixture
def rows(postgresql, postgresql_url):
    return lambda statement: postgresql.sql(statement, postgresql_url.rpartition("/")[2])


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.02)


async def test_what_a_dead_node_leaves_is_settled_by_another_and_nothing_else(postgresql_url, rows):
    async with NodeSite(postgresql_url) as living:
        dead = await NodeSite(postgresql_url).__aenter__()
        lost, kept = await dead.dial(), await living.dial()
        batch = BatchRecord(uuid.uuid4().hex, "acme", "alice", ("101",), "102", None, NOON)
        await dead.store.keep_batch(batch)
        await dead.die()
        record = await living.written(lost.id)
        assert (record.disposition, record.ended_by) == (Disposition.INTERRUPTED, "restart")
        assert (await living.store.get_batch("acme", batch.id)).cancelled_by == "restart"
        assert (await living.store.get("acme", kept.id)).ended_at is None
        assert rows("SELECT id FROM nodes") == [[living.nodes.id]]
        ended = rows("SELECT body FROM events WHERE type = 'ended'")
        assert [json.loads(body)["call"] for (body,) in ended] == [lost.id]


async def test_a_node_that_lives_is_left_alone_whatever_another_thinks(postgresql_url):
    async with NodeSite(postgresql_url) as one, NodeSite(postgresql_url) as other:
        call = await one.dial()
        assert await other.store.nodes.settle(NOON, [one.nodes.id]) == 0
        assert (await other.store.get("acme", call.id)).ended_at is None


async def test_of_two_who_settle_at_once_each_call_is_settled_by_one(postgresql_url, rows):
    dead = await NodeSite(postgresql_url).__aenter__()
    calls = [await dead.dial() for _ in range(5)]
    await dead.die()
    stores = [await open_store(postgresql_url) for _ in range(2)]
    settled = await asyncio.gather(*(store.nodes.settle(NOON, [dead.nodes.id]) for store in stores))
    assert sorted(settled) == [0, len(calls)]
    assert rows("SELECT count(*) FROM events WHERE type = 'ended'") == [[str(len(calls))]]
    for store in stores:
        await store.close()


async def test_a_node_whose_session_is_lost_gives_its_sign_again(postgresql_url, rows):
    async with NodeSite(postgresql_url) as site:
        call, lost = await site.dial(), site.store.nodes._life
        rows("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        await until(lambda: site.nodes.joined and site.store.nodes._life is not lost)
        assert rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [["1"]]
        assert (await site.store.get("acme", call.id)).ended_at is None


async def test_a_restart_of_postgresql_makes_no_node_take_another_for_dead(postgresql, postgresql_url):
    async with NodeSite(postgresql_url) as one, NodeSite(postgresql_url) as other:
        calls = [await one.dial(), await other.dial()]
        lost = [site.store.nodes._life for site in (one, other)]
        postgresql.stop()
        await until(lambda: not one.nodes.joined and not other.nodes.joined)
        postgresql.start()
        await until(lambda: one.nodes.joined and other.nodes.joined)
        assert one.store.nodes._life is not lost[0]
        await one.nodes._look()
        await asyncio.sleep(2 * nodes.SILENCE_SECONDS)
        assert [(await one.store.get("acme", call.id)).ended_at for call in calls] == [None, None]


async def test_a_node_that_is_stopped_while_it_joins_leaves_no_session(postgresql_url, rows, monkeypatch):
    sessions = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'click2call-%' AND query LIKE 'LISTEN%'"
    )
    store, listens = await open_store(postgresql_url), asyncio.Event()
    add_listener = asyncpg.Connection.add_listener

    async def listen_for_ever(*arguments):
        await add_listener(*arguments)
        listens.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncpg.Connection, "add_listener", listen_for_ever)
    joining = asyncio.create_task(store.nodes.join(lambda *_: None, lambda: None))
    await listens.wait()
    assert rows(sessions) == [["1"]]
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    await until(lambda: rows(sessions) == [["0"]])
    await store.close()


async def test_a_node_that_leaves_is_forgotten(postgresql_url, rows):
    async with NodeSite(postgresql_url):
        assert rows("SELECT count(*) FROM nodes") == [["1"]]
    assert rows("SELECT count(*) FROM nodes") == [["0"]]


async def test_what_a_node_tells_is_heard_by_the_others_and_not_by_itself(postgresql_url):
    async with NodeSite(postgresql_url) as one, NodeSite(postgresql_url) as other:
        heard = []
        for site in (one, other):
            site.nodes.listen("due", lambda text, site=site: heard.append((site, text)))
        await one.nodes.tell("due", "in a minute")
        await other.nodes.tell("other topic")
        await other.nodes.tell("due")
        await until(lambda: len(heard) == 2)
    assert sorted(heard, key=lambda entry: entry[1]) == [(one, ""), (other, "in a minute")]


async def test_only_one_node_holds_what_there_is_one_of_until_it_lets_go_or_dies(postgresql_url):
    async with NodeSite(postgresql_url) as one:
        other = await NodeSite(postgresql_url).__aenter__()
        hold, release = one.store.nodes.hold, one.store.nodes.release
        assert await other.store.nodes.hold("webhook")
        assert not await hold("webhook")
        assert await hold("another webhook")
        await other.store.nodes.release("webhook")
        assert await hold("webhook")
        await release("webhook")
        assert await other.store.nodes.hold("webhook")
        await other.die()
        async with asyncio.timeout(10):
            while not await hold("webhook"):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.02)
        with pytest.raises(StoreUnavailableError):
            await other.store.nodes.hold("webhook")


async def test_a_node_on_a_file_is_alone(tmp_path):
    async with NodeSite(f"sqlite:///{tmp_path}/calls.db") as first:
        call = await first.dial()
        await first.nodes.tell("due")
        assert await first.store.nodes.hold("webhook")
        # The next run of the program.
        async with NodeSite(f"sqlite:///{tmp_path}/calls.db") as second:
            record = await second.store.get("acme", call.id)
            assert (record.disposition, record.ended_by) == (Disposition.INTERRUPTED, "restart")


async def test_a_call_is_hung_up_by_the_node_that_carries_it_whichever_is_asked(postgresql_url):
    async with NodeSite(postgresql_url) as one, NodeSite(postgresql_url) as other:
        call, kept = await one.dial(), await one.dial()
        Errand(one.nodes, "hang-up", one.engine.hang_up)
        asked = Errand(other.nodes, "hang-up", other.engine.hang_up)
        await asked.pass_on("another", kept.id)
        await asked.pass_on("acme", call.id)
        assert (await other.written(call.id)).ended_by == "request"
        assert not kept.over.done()


async def test_a_batch_is_cancelled_by_the_node_that_dials_it_whichever_is_asked(postgresql_url, monkeypatch):
    monkeypatch.setattr(batches, "POLL_SECONDS", 3600.0)
    async with BatchSite(postgresql_url) as one, BatchSite(postgresql_url) as other:
        one.port.scripts[CUSTOMER] = RINGS
        batch = await one.batches.dial(BatchRequest("acme", "alice", (CUSTOMER, "+12025550124"), "800"))
        await until(lambda: one.port.living_legs)
        asked = await other.batches.get("acme", batch.id)
        assert [result.status for result in asked.results] == [NumberState.RINGING, NumberState.QUEUED]
        assert await other.batches.cancel("another", batch.id) is None
        told = await other.batches.cancel("acme", batch.id)
        assert (told.record.state, told.record.cancelled_by) == (BatchState.CANCELLED, "request")
        await asyncio.wait_for(batch.ended, 10)
        assert one.port.living_legs == []
        assert [result.status for result in batch.report().results] == [NumberState.CANCELLED, NumberState.CANCELLED]


async def test_a_batch_that_is_cancelled_stands_so_on_every_node_while_somebody_talks(postgresql_url):
    talks = "+12025550124"
    async with BatchSite(postgresql_url, max_calls=2) as one, BatchSite(postgresql_url) as other:
        one.port.scripts[CUSTOMER] = RINGS
        batch = await one.batches.dial(BatchRequest("acme", "alice", (talks, CUSTOMER, "+12025550125"), "800"))
        await until(lambda: one.statuses(batch) == [NumberState.ANSWERED, NumberState.RINGING, NumberState.QUEUED])
        told = await other.batches.cancel("acme", batch.id)
        assert told.results[2].status is NumberState.CANCELLED
        await until(lambda: one.statuses(batch)[1:] == [NumberState.CANCELLED, NumberState.CANCELLED])
        assert not batch.ended.done()
        for site in (one, other):
            assert (await site.batches.get("acme", batch.id)).record.state is BatchState.CANCELLED
            assert [item.state for item in (await site.batches.find("acme")).items] == [BatchState.CANCELLED]


async def test_a_batch_cancelled_by_the_node_that_dials_it_stands_so_on_the_others(postgresql_url):
    async with BatchSite(postgresql_url) as one, BatchSite(postgresql_url) as other:
        batch = await one.batches.dial(BatchRequest("acme", "alice", (CUSTOMER, "+12025550124"), "800"))
        await until(lambda: one.statuses(batch)[0] is NumberState.ANSWERED)
        await one.batches.cancel("acme", batch.id)
        seen = await other.batches.get("acme", batch.id)
        assert (seen.record.cancelled_by, seen.results[1].status) == ("request", NumberState.CANCELLED)


async def test_a_batch_that_was_cancelled_while_its_node_heard_nothing_is_dialled_no_more(postgresql_url, monkeypatch):
    monkeypatch.setattr(batches, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 3600.0)
    async with BatchSite(postgresql_url) as one, BatchSite(postgresql_url) as other:
        one.port.scripts[CUSTOMER] = RINGS
        batch = await one.batches.dial(BatchRequest("acme", "alice", (CUSTOMER, "+12025550124"), "800"))
        await until(lambda: one.statuses(batch)[0] is NumberState.RINGING)
        one.store.nodes._life.terminate()
        await other.batches.cancel("acme", batch.id)
        await asyncio.wait_for(batch.ended, 10)
        assert one.statuses(batch) == [NumberState.CANCELLED, NumberState.CANCELLED]


class BatchSite(NodeSite):
    """A node that dials many numbers, one at a time unless it is told otherwise."""

    def __init__(self, url, max_calls=1):
        notice = Announcement("800", "/notice.wav")
        super().__init__(url, announcements={"800": notice}, max_calls=max_calls, calls_per_second=1000.0)

    @staticmethod
    def statuses(batch):
        return [result.status for result in batch.report().results]

    async def __aenter__(self):
        await super().__aenter__()
        self.batches = Batches(self.engine, self.store, self.directory, PhoneNumberPlan(), self.engine.queues)
        self.nodes.listen(BATCHES_CANCELLED, lambda _text: self.batches.wake())
        self.batches.start()
        return self

    async def __aexit__(self, *raised):
        self.batches.stop()
        await super().__aexit__(*raised)
        await self.batches.finish()
