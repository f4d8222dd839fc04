"""Events with several nodes: each is read by all, and each webhook is told by one of them."""

import asyncio
from datetime import UTC, datetime

import pytest

from sipcore.domain.directory import Directory, Organisation
from sipcore.domain.public_events import EventType, PublicEvent
from sipcore.domain.webhook import Delivery, Webhook
from sipcore.service import event_log, nodes, webhooks
from sipcore.service.calls import LiveDirectory
from sipcore.service.eventing import Eventing
from sipcore.service.nodes import Nodes
from sipcore.store.records import open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEBHOOK = Webhook("crm", "https://crm.example/", "s" * 32)
DIRECTORY = Directory({"acme": Organisation("acme", webhooks={"crm": WEBHOOK})})


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(webhooks, "HOLD_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(webhooks, "DATABASE_RETRY_SECONDS", 0.05)


class Receiver:
    """What receives the deliveries of all nodes; a test waits until it has so many."""

    def __init__(self):
        self.received = []
        self._more = asyncio.Event()

    async def send(self, _webhook, event):
        self.received.append((event.id, self.node))
        self._more.set()
        return Delivery(200)

    def of(self, node):
        sender = Receiver()
        sender.received, sender._more, sender.node = self.received, self._more, node
        return sender

    async def has(self, count):
        async with asyncio.timeout(20):
            while len(self.received) < count:
                self._more.clear()
                await self._more.wait()


class Node:
    def __init__(self, url, receiver):
        self._url, self._receiver = url, receiver

    async def __aenter__(self):
        self.store = await open_store(self._url)
        self.events = Eventing(
            self.store.events, self._receiver.of(self), LiveDirectory(DIRECTORY), kept_days=7, nodes=self.store.nodes
        )
        self.nodes = Nodes(self.store.nodes)
        self.nodes.listen("events", lambda _text: self.events.log.on_stored())
        self.nodes.when_lost(self.events.webhooks.start_over)
        await self.nodes.start()
        await self.events.start()
        return self

    async def __aexit__(self, *_):
        await self.events.stop()
        await self.nodes.stop()
        await self.store.close()

    async def happens(self, count=1):
        await self.store.events.put([PublicEvent(EventType.JOINED, NOON, "acme", "c1") for _ in range(count)])


async def test_an_event_that_one_node_stores_is_read_on_the_other_without_waiting_for_its_next_look(
    postgresql_url, monkeypatch
):
    monkeypatch.setattr(event_log, "LOOK_SECONDS", 3600.0)
    receiver = Receiver()
    async with Node(postgresql_url, receiver) as one, Node(postgresql_url, receiver) as other:
        begin = other.events.log.newest
        await one.happens()
        assert len(await other.events.log.after("acme", begin, 20.0)) == 1


async def test_an_event_of_which_nobody_was_told_is_found_at_the_next_look(postgresql_url, monkeypatch):
    monkeypatch.setattr(event_log, "LOOK_SECONDS", 0.05)
    receiver = Receiver()
    async with Node(postgresql_url, receiver) as one, Node(postgresql_url, receiver) as other:
        other.nodes._heard.clear()
        begin = other.events.log.newest
        await one.happens()
        assert len(await other.events.log.after("acme", begin, 20.0)) == 1


async def test_each_event_is_delivered_by_one_node_and_another_goes_on_when_that_one_is_gone(postgresql_url):
    receiver = Receiver()
    async with Node(postgresql_url, receiver) as living:
        async with Node(postgresql_url, receiver) as other:
            for node in (living, other, living, other):
                await node.happens(5)
            await receiver.has(20)
            tellers = {node for _, node in receiver.received}
            assert len(tellers) == 1
        # Whoever told them, from here on only one is there.
        await living.happens(5)
        await receiver.has(25)
    ids = [event_id for event_id, _ in receiver.received]
    assert ids == sorted(set(ids))


async def test_a_node_that_loses_its_session_lets_another_deliver(postgresql_url):
    receiver = Receiver()
    async with Node(postgresql_url, receiver) as first:
        await first.happens()
        await receiver.has(1)
        async with Node(postgresql_url, receiver) as second:
            taken = asyncio.create_task(second.store.nodes.hold(webhooks._lock_of(("acme", "crm"))))
            assert not await taken
            # For as long as it cannot join again.
            first.nodes._task.cancel()
            first.store.nodes._life.terminate()
            await second.happens()
            await receiver.has(2)
            assert [node for _, node in receiver.received] == [first, second]
            first.nodes._task = None
