"""What the call engine tells of its calls, over the fake SIP port."""

import asyncio
import contextlib
from types import MappingProxyType

from test_call_engine import AGENT, MemoryStore, directory_with, organisation

from sipcore.domain.directory import Queue
from sipcore.service.admission import EngineSettings
from sipcore.service.call_engine import CallEngine
from sipcore.service.calls import DialRequest, LiveDirectory
from sipcore.service.numbers import PhoneNumberPlan
from sipcore.sip.fake import RINGS, FakeSipPort


class Sink:
    """Writes down what it is told, and what the store is asked, in one order."""

    def __init__(self):
        self.story = []

    def stepped(self, record):
        legs = "".join("A" if leg.answered_at else "R" if leg.ringing_at else "-" for leg in record.legs)
        self.story.append(f"{legs} {'joined' if record.joined_at else ''}".strip())

    def pressed(self, record, event):
        self.story.append(f"key {event.digit} of {record.id}")

    def queued(self, record, step):
        self.story.append(f"{type(step).__name__} of {record.id}")

    async def flush(self):
        self.story.append("flush")


class Store(MemoryStore):
    def __init__(self, port, story):
        super().__init__(port)
        self.story = story

    async def complete(self, record):
        self.story.append("complete")
        await super().complete(record)


@contextlib.asynccontextmanager
async def running(queues=MappingProxyType({}), **scripts):
    sink = Sink()
    port = FakeSipPort(workers=2, scripts=scripts)
    store = Store(port, sink.story)
    directory = LiveDirectory(directory_with(organisation(queues=queues)))
    engine = CallEngine(port, store, directory, PhoneNumberPlan(), EngineSettings(60.0, 60.0), steps=sink)
    await engine.queues.start()
    engine.start()
    try:
        yield engine, port, store, sink
    finally:
        await engine.stop(patience_seconds=0)


async def test_each_step_of_a_call_is_told_and_all_of_it_is_stored_before_its_end():
    async with running(**{AGENT: RINGS}) as (engine, port, store, sink):
        call = await engine.dial(DialRequest("acme", "alice", AGENT, "102"))
        await port.settled()
        port.answer(call.uid1)
        await port.settled()
        port.hang_up(call.uid1)
        await store.record_of(call)
        story = [told for n, told in enumerate(sink.story) if n == 0 or told != sink.story[n - 1]]
        assert story[:2] == ["--", "R-"]
        assert story[-3:] == ["AA joined", "flush", "complete"]
        assert "A-" in story


async def test_a_key_is_told():
    async with running() as (engine, port, _, sink):
        call = await engine.dial(DialRequest("acme", "alice", AGENT, "102"))
        await port.settled()
        port.press(call.uid1, "5")
        await port.settled()
        assert f"key 5 of {call.id}" in sink.story


async def test_a_database_that_is_away_delays_the_end_and_its_steps_together(monkeypatch):
    monkeypatch.setattr("sipcore.service.record_keeper._RETRY_SECONDS", 0.0)
    async with running() as (engine, port, store, sink):
        store.failures["complete"] = 1
        call = await engine.dial(DialRequest("acme", "alice", AGENT, "102"))
        await port.settled()
        port.hang_up(call.uid1)
        await store.record_of(call)
        assert sink.story[-4:] == ["flush", "complete", "flush", "complete"]


async def test_what_queues_do_with_a_call_is_told():
    queue = Queue("700", ("102",))
    async with running(queues={"700": queue}) as (engine, port, _, sink):
        call = await engine.dial(DialRequest("acme", "alice", AGENT, "700"))
        async with asyncio.timeout(5):
            while f"LeaveQueue of {call.id}" not in sink.story:
                await port.settled()
                await asyncio.sleep(0)
        told = [line.split()[0] for line in sink.story if line.endswith(call.id)]
        assert told == ["JoinQueue", "WaitBegun", "AgentsOffered", "LeaveQueue"]
