"""From what calls and trunks do to stored events."""

import contextlib
import json
from dataclasses import replace

import pytest
from event_stories import NOON, MemoryEvents, step

from sipcore.domain.directory import Directory, Organisation
from sipcore.domain.events import DigitPressed
from sipcore.domain.record import CallRecord, LegRecord
from sipcore.domain.registration import RegistrationState, TrunkState
from sipcore.service import event_recorder
from sipcore.service.calls import LiveDirectory
from sipcore.service.event_recorder import EventRecorder

CALL = CallRecord("c1", "acme", "alice", "101", "102", None, NOON, (LegRecord("uid-1", "101"),))


@contextlib.asynccontextmanager
async def running(**acme):
    store = MemoryEvents()
    organisations = {"acme": Organisation("acme", **acme), "other": Organisation("other")}
    recorder = EventRecorder(store, LiveDirectory(Directory(organisations)))
    recorder.start()
    try:
        yield store, recorder
    finally:
        await recorder.stop()


def told(store):
    return [event.type for event in store.stored]


async def test_each_step_is_stored_once():
    async with running() as (store, recorder):
        leg = replace(CALL.legs[0], ringing_at=NOON)
        for record in (CALL, replace(CALL, legs=(leg,)), replace(CALL, legs=(replace(leg, answered_at=NOON),))):
            recorder.stepped(record)
            recorder.stepped(record)
        await recorder.flush()
        assert told(store) == ["leg-1-ringing", "leg-1-answered"]


async def test_nothing_is_remembered_of_a_call_that_is_over():
    async with running() as (_, recorder):
        recorder.stepped(CALL)
        recorder.stepped(replace(CALL, ended_at=NOON))
        assert not recorder._before


async def test_what_the_database_did_not_take_is_stored_later_and_in_order(monkeypatch):
    monkeypatch.setattr(event_recorder, "RETRY_SECONDS", 0)
    async with running() as (store, recorder):
        store.failures = 1
        recorder.tell(step(call="a"))
        await recorder.flush()
        recorder.tell(step(call="b"))
        assert store.stored == []
    assert [json.loads(event.body)["call"] for event in store.stored] == ["a", "b"]


async def test_what_is_told_while_others_are_stored_is_stored_next(monkeypatch):
    monkeypatch.setattr(event_recorder, "RETRY_SECONDS", 3600)
    async with running() as (store, recorder):
        put = store.put

        async def put_while_more_is_told(events):
            if not store.stored:
                recorder.tell(step(call="b"))
            await put(events)
            store.changed.set()

        store.put = put_while_more_is_told
        recorder.tell(step(call="a"))
        await store.until(lambda: len(store.stored) == 2)


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_key_is_told_where_the_settings_allow_it(allowed):
    async with running(event_digits=allowed) as (store, recorder):
        recorder.pressed(CALL, DigitPressed("uid-1", "7"))
        await recorder.flush()
        assert json.loads(store.stored[0].body)["data"]["digit"] == ("7" if allowed else None)


async def test_a_trunk_is_told_to_those_who_use_it():
    async with running(trunk="main") as (store, recorder):
        recorder.trunk_changed(TrunkState("main", RegistrationState.REGISTERED, 200, "OK"))
        recorder.trunk_changed(TrunkState("spare", RegistrationState.FAILED, 403, "Forbidden"))
        await recorder.flush()
        assert [(event.organisation, event.type) for event in store.stored] == [("acme", "trunk-registered")]
