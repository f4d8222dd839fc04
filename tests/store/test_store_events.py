"""Events in the database: with the records, in order, and for a while."""

import asyncio
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import time_machine

from sipcore.domain.batch_record import BatchRecord
from sipcore.domain.causes import Disposition
from sipcore.domain.public_events import EventType, PublicEvent, first_id_at
from sipcore.domain.record import CallRecord, LegRecord
from sipcore.domain.recording import Recording, RecordingFormat
from sipcore.store.records import open_store

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def call(**changes):
    legs = (LegRecord("uid-1", "101"), LegRecord("uid-2", "102", party="dial2"))
    return replace(CallRecord(uuid.uuid4().hex, "acme", "alice", "101", "102", None, NOON, legs), **changes)


def over(record, **changes):
    later = NOON + timedelta(seconds=9)
    return replace(record, ended_at=later, disposition=Disposition.ANSWERED, ended_by="dial1", **changes)


def step(organisation="acme", kind=EventType.JOINED):
    return PublicEvent(kind, NOON, organisation, "c1")


async def told(store, organisation=None):
    return [(event.type, json.loads(event.body)["call"]) for event in await store.events.after(0, organisation, 1000)]


async def test_a_call_and_that_it_was_accepted_and_ended_are_stored_together(store):
    record = call()
    await store.accept(record)
    assert await told(store) == [("accepted", record.id)]
    await store.complete(over(record))
    assert await told(store) == [("accepted", record.id), ("ended", record.id)]


async def test_a_call_that_is_completed_again_has_ended_once(store):
    record = call()
    await store.accept(record)
    await store.complete(over(record))
    await store.complete(over(record, recording_id="r1"))
    assert [kind for kind, _ in await told(store)] == ["accepted", "ended"]


async def test_a_record_that_is_refused_is_not_told(store, sql):
    record = call()
    await store.accept(record)
    await asyncio.gather(store.accept(record), store.accept(call()), return_exceptions=True)
    assert [kind for kind, _ in await told(store)] == ["accepted", "accepted"]
    assert await sql("SELECT count(*) FROM calls") == [(2,)]


async def test_what_a_dead_run_left_is_told_as_ended(store, next_store):
    left, done = call(), call()
    await store.accept(left)
    await store.accept(done)
    await store.complete(over(done))
    assert await next_store.nodes.settle(NOON + timedelta(minutes=5)) == 1
    assert await next_store.nodes.settle(NOON + timedelta(minutes=6)) == 0
    events = await store.events.after(0, "acme", 1000)
    assert [event.type for event in events].count("ended") == 2
    last = json.loads(events[-1].body)
    assert (last["call"], last["time"]) == (left.id, "2026-03-01T12:05:00.000Z")
    assert (last["data"]["disposition"], last["data"]["ended_by"]) == ("interrupted", "restart")
    assert [leg["disposition"] for leg in last["data"]["legs"]] == ["interrupted", "interrupted"]


async def test_ids_rise_in_the_order_of_storing_also_when_the_clock_is_set_back(store):
    with time_machine.travel(NOON, tick=False):
        await store.events.put([step(), step()])
    with time_machine.travel(NOON - timedelta(hours=1), tick=False):
        await store.events.put([step()])
        await store.accept(call())
    ids = [event.id for event in await store.events.after(0, None, 10)]
    assert ids == list(range(first_id_at(NOON.timestamp()), first_id_at(NOON.timestamp()) + 4))


async def test_an_organisation_reads_its_own_events_behind_one_it_knows(store):
    await store.events.put([step(), step("other"), step(kind=EventType.DIGIT), step()])
    first, *rest = await store.events.after(0, "acme", 10)
    assert [event.type for event in await store.events.after(first.id, "acme", 1)] == ["digit"]
    assert await store.events.after(first.id, "acme", 10) == tuple(rest)
    assert await store.events.newest() == rest[-1].id
    assert {event.organisation for event in await store.events.after(0, None, 10)} == {"acme", "other"}


async def test_an_empty_database_has_no_newest_event(store):
    assert await store.events.newest() == 0


async def test_everybody_who_stores_events_says_so(store):
    said = []
    store.events.on_stored = lambda: said.append(len(said))
    record = call()
    await store.accept(record)
    await store.events.put([step()])
    await store.complete(over(record))
    assert len(said) == 3


async def test_old_events_are_deleted_oldest_first_and_so_many_at_a_time(store):
    with time_machine.travel(NOON - timedelta(days=8), tick=False):
        await store.events.put([step() for _ in range(5)])
    await store.events.put([step()])
    cutoff = first_id_at((NOON - timedelta(days=7)).timestamp())
    assert [await store.events.purge(cutoff, 3) for _ in range(3)] == [3, 2, 0]
    assert len(await store.events.after(0, None, 10)) == 1


async def test_a_webhooks_place_is_kept_over_a_restart(store, database_url):
    await store.events.save_cursor("acme", "crm", 5)
    await store.events.save_cursor("acme", "crm", 7)
    await store.events.save_cursor("other", "crm", 1)
    await store.events.drop_cursor("other", "crm")
    await store.close()
    again = await open_store(database_url)
    assert await again.events.cursors() == {("acme", "crm"): 7}
    await again.close()


async def test_a_recording_is_told_once_with_its_call(store):
    record = call()
    recording = Recording("r" * 32, record.id, "acme", "101", RecordingFormat.WAV, NOON, 7.5, 120_000)
    await store.accept(record)
    await store.add_recording(recording)
    await store.add_recording(recording)
    assert await told(store) == [("accepted", record.id), ("recording-ready", record.id)]
    event = json.loads((await store.events.after(0, "acme", 10))[1].body)
    assert event["uids"] == {"dial1": "uid-1", "dial2": "uid-2"}
    assert event["data"]["recording_id"] == recording.id


async def test_a_batch_is_told_when_it_is_accepted_and_when_it_has_ended_once_each(store, next_store):
    batch = BatchRecord(uuid.uuid4().hex, "acme", "alice", ("101", "102"), "700", None, NOON)
    over = replace(batch, cancelled_by="request", ended_at=NOON + timedelta(minutes=1))
    for record in (batch, batch, over, over):
        await store.keep_batch(record)
    await store.keep_batch(left := replace(batch, id=uuid.uuid4().hex))
    await next_store.nodes.settle(NOON + timedelta(minutes=5))
    events = [json.loads(event.body) for event in await store.events.after(0, "acme", 10)]
    assert [(event["type"], event["data"]["batch_id"]) for event in events] == [
        ("batch-accepted", batch.id),
        ("batch-ended", batch.id),
        ("batch-accepted", left.id),
        ("batch-ended", left.id),
    ]
    assert [event["data"].get("cancelled_by") for event in events] == [None, "request", None, "restart"]
    assert events[0]["data"]["numbers"] == 2
