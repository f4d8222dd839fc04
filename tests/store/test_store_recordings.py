"""What is kept of recordings, in a real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sipcore.domain.record import CallRecord, LegRecord, RecordFilter
from sipcore.domain.recording import Flaw, Recording, RecordingFormat
from sipcore.store.records import open_store

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CALL = CallRecord("c" * 32, "acme", "alice", "101", "102", None, NOON, (LegRecord("1", "101"), LegRecord("2", "102")))
KEPT = Recording("a" * 32, CALL.id, "acme", "101", RecordingFormat.FLAC, NOON, 61.5, 400_000)


@pytest.fixture
async def store(database_url):
    store = await open_store(database_url)
    await store.accept(CALL)
    yield store
    await store.close()


@pytest.mark.parametrize("kept", [KEPT, replace(KEPT, owner=None, flaw=Flaw.DISK_FULL, format=RecordingFormat.OPUS)])
async def test_a_recording_comes_back_as_it_was_added(store, kept: Recording) -> None:
    await store.add_recording(kept)
    await store.add_recording(kept)
    assert await store.recording("acme", kept.id) == kept


async def test_another_organisations_recording_is_not_there(store) -> None:
    await store.add_recording(KEPT)
    assert await store.recording("other", KEPT.id) is None
    assert await store.recording("acme", "b" * 32) is None


async def test_a_record_tells_where_its_recording_stands(store) -> None:
    async def state() -> str | None:
        found = await store.get("acme", CALL.id)
        page = await store.find("acme", RecordFilter(number="101"))
        assert page.items[0].recording_state == found.recording_state
        return found.recording_state

    assert await state() is None
    await store.complete(replace(CALL, recording_id=KEPT.id, ended_at=NOON))
    assert await state() == "pending"
    await store.add_recording(KEPT)
    assert await state() == "complete"
    await store.add_recording(replace(KEPT, flaw=Flaw.WORKER_LOST))
    assert await state() == "incomplete"
    await store.recording_deleted(KEPT.id, NOON)
    assert await state() == "deleted"


async def test_a_call_whose_server_died_is_told_of_its_recording(store, next_store) -> None:
    await next_store.nodes.settle(NOON)
    await store.add_recording(KEPT)
    assert (await store.get("acme", CALL.id)).recording_id == KEPT.id
    other = replace(KEPT, id="b" * 32)
    await store.add_recording(other)
    assert (await store.get("acme", CALL.id)).recording_id == KEPT.id, "a record that names one keeps it"


async def test_the_oldest_that_are_not_deleted_are_found(store) -> None:
    days = [replace(KEPT, id=f"{day:032x}", started_at=NOON - timedelta(days=day)) for day in range(5)]
    for recording in (*days, replace(days[4], id="f" * 32, organisation="other")):
        await store.add_recording(recording)
    await store.recording_deleted(days[3].id, NOON)
    assert await store.recordings_before("acme", NOON - timedelta(days=1), 10) == (days[4], days[2])
    assert await store.recordings_before("acme", NOON, 1) == (days[4],)
    assert (await store.recording("acme", days[3].id)).deleted_at == NOON
