"""SIP ladders in a real database: there with a record's end, for its organisation only, and gone when they are old."""

from __future__ import annotations

from dataclasses import replace

from test_store import NOON, SECOND, accepted, completed

from sipcore.domain.ladder import LegLadder, Rung

LADDER = (
    LegLadder("u1", (Rung(0.001234, True, "INVITE", None, 31000), Rung(-0.5, False, "INVITE", 200, 31000))),
    LegLadder("u2", ()),
)


def ended(**changes):
    return replace(completed(accepted()), ladder=LADDER, **changes)


async def test_a_ladder_is_written_with_its_record_and_read_by_its_organisation_only(store):
    record = ended()
    await store.accept(replace(record, ended_at=None))
    assert await store.ladders.of("acme", record.id) == ()
    await store.complete(record)
    assert await store.ladders.of("acme", record.id) == LADDER
    assert await store.ladders.of("umbrella", record.id) == ()
    assert (await store.get("acme", record.id)).ladder == ()


async def test_completing_again_writes_over_the_ladder_and_without_one_leaves_it(store):
    record = ended()
    await store.complete(replace(record, ladder=LADDER[:1]))
    await store.complete(record)
    await store.complete(replace(record, ladder=()))
    assert await store.ladders.of("acme", record.id) == LADDER


async def test_a_record_whose_call_had_no_message_has_no_ladder(store, sql):
    await store.complete(replace(ended(), ladder=()))
    assert await sql("SELECT * FROM ladders") == []


async def test_the_oldest_ladders_are_deleted_and_their_records_stay(store):
    records = [ended(ended_at=NOON + n * SECOND) for n in range(5)]
    for record in records:
        await store.complete(record)
    assert [await store.ladders.purge(NOON + 3 * SECOND, 2) for _ in range(3)] == [2, 1, 0]
    assert [bool(await store.ladders.of("acme", record.id)) for record in records] == [False] * 3 + [True] * 2
    assert await store.get("acme", records[0].id) == records[0]
