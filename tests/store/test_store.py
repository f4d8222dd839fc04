"""Call records in a real database: written, read back, found, paged, settled."""

import asyncio
import inspect
import itertools
import random
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipcore.domain.causes import Disposition
from sipcore.domain.errors import ParameterError, StoreUnavailableError
from sipcore.domain.quality import LegQuality, StreamQuality
from sipcore.domain.record import CallRecord, LegRecord, RecordFilter
from sipcore.service.store import RecordStore
from sipcore.store.records import SqlRecordStore, open_store

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def accepted(**changes):
    """A call as it is when it has just been accepted."""
    call_id = changes.pop("id", uuid.uuid4().hex)
    legs = (LegRecord(uid=f"{call_id[:8]}-1", number="101"), LegRecord(uid=f"{call_id[:8]}-2", number="+12025550123"))
    record = CallRecord(call_id, "acme", "alice", "101", "2025550123", None, NOON, legs)
    return replace(record, **changes)


def completed(record):
    """The same call after both parties have talked."""
    over = {
        "cause": 16,
        "sip_code": 200,
        "placed_at": NOON,
        "answered_at": NOON + SECOND,
        "ended_at": NOON + 9 * SECOND,
    }
    legs = tuple(
        replace(leg, disposition=Disposition.ANSWERED, ended_by=by, **over)
        for leg, by in zip(record.legs, ("remote", "local"), strict=True)
    )
    return replace(
        record,
        legs=legs,
        joined_at=NOON + 2 * SECOND,
        ended_at=NOON + 9 * SECOND,
        disposition=Disposition.ANSWERED,
        ended_by="dial1",
        recording_id="r1",
    )


async def all_pages(store, wanted=None, *, limit, between=None):
    pages, cursor = [], None
    while True:
        page = await store.find("acme", wanted or RecordFilter(), cursor=cursor, limit=limit)
        pages.append(page.items)
        if page.next is None:
            return pages
        cursor = page.next
        if between is not None:
            await between()


# PostgreSQL has no U+0000 in its texts, and none of ours has it.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
moments = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=5, minutes=30))]),
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - as above
)
streams_of_any_kind = st.builds(
    StreamQuality,
    packets=st.integers(0, 10**9),
    lost=st.none() | st.integers(0, 10**9),
    jitter_ms=st.none() | st.floats(0, 1000),
    mos=st.none() | st.floats(1, 4.5),
)
legs_of_any_kind = st.builds(
    LegRecord,
    uid=texts,
    number=texts,
    disposition=st.none() | st.sampled_from(Disposition),
    sip_code=st.none() | st.integers(100, 699),
    cause=st.none() | st.integers(1, 127),
    ended_by=st.none() | st.sampled_from(["remote", "local", "network"]),
    placed_at=st.none() | moments,
    ringing_at=st.none() | moments,
    answered_at=st.none() | moments,
    ended_at=st.none() | moments,
    party=st.sampled_from(["dial1", "dial2"]),
    extension=st.none() | texts,
    answered_by=st.none() | st.sampled_from(["human", "machine", "unknown"]),
    quality=st.none()
    | st.builds(
        LegQuality,
        codec=st.sampled_from(["PCMU", "G722"]),
        round_trip_ms=st.none() | st.floats(0, 1000),
        received=streams_of_any_kind,
        sent=streams_of_any_kind,
    ),
)
records_of_any_kind = st.builds(
    CallRecord,
    id=st.just(""),
    organisation=st.just("acme"),
    user=texts,
    dial1=texts,
    dial2=texts,
    set_cid=st.none() | texts,
    accepted_at=moments,
    legs=st.lists(legs_of_any_kind, max_size=3).map(tuple),
    joined_at=st.none() | moments,
    ended_at=st.none() | moments,
    disposition=st.none() | st.sampled_from(Disposition),
    ended_by=st.none() | texts.map(lambda text: text[:16]),
    recording_id=st.none() | texts,
    batch_id=st.none() | texts.map(lambda text: text[:32]),
    direction=st.sampled_from(["outbound", "inbound"]),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=records_of_any_kind, last=records_of_any_kind)
async def test_any_record_is_read_back_as_it_was_accepted_and_as_it_was_completed(store, first, last):
    call_id = uuid.uuid4().hex
    first, last = replace(first, id=call_id), replace(last, id=call_id)
    await store.accept(first)
    assert await store.get("acme", call_id) == first
    await store.complete(last)
    assert await store.get("acme", call_id) == last


async def test_times_come_back_in_utc_and_to_the_microsecond(store):
    given_time = datetime(2025, 3, 1, 7, 0, 0, 123457, tzinfo=timezone(timedelta(hours=-5)))
    record = accepted(accepted_at=given_time)
    await store.accept(record)
    found = await store.get("acme", record.id)
    assert found.accepted_at.tzinfo is UTC
    assert found.accepted_at.isoformat() == "2025-03-01T12:00:00.123457+00:00"


async def test_a_time_without_zone_is_refused(store):
    with pytest.raises(StoreUnavailableError, match="no time zone"):
        await store.accept(accepted(accepted_at=NOON.replace(tzinfo=None)))


async def test_completing_twice_leaves_one_record(store):
    record = completed(accepted())
    await store.accept(accepted(id=record.id))
    await store.complete(record)
    await store.complete(record)
    assert await all_pages(store, limit=10) == [(record,)]


async def test_completing_a_call_whose_first_row_was_lost_inserts_it(store):
    record = completed(accepted())
    await store.complete(record)
    assert await store.get("acme", record.id) == record


async def test_accepting_the_same_id_again_changes_nothing(store):
    record = accepted()
    await store.accept(record)
    with pytest.raises(StoreUnavailableError) as caught:
        await store.accept(replace(record, dial1="666"))
    assert isinstance(caught.value.__cause__, sa.exc.IntegrityError)
    assert await store.get("acme", record.id) == record


async def test_a_record_of_another_organisation_is_not_seen(store):
    theirs = accepted(organisation="umbrella")
    await store.accept(theirs)
    assert await store.get("acme", theirs.id) is None
    for wanted in (
        RecordFilter(),
        RecordFilter(uid=theirs.legs[0].uid),
        RecordFilter(number="101"),
        RecordFilter(number="+12025550123"),
    ):
        assert (await store.find("acme", wanted)).items == ()
    assert (await store.find("umbrella", RecordFilter(number="101"))).items == (theirs,)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (RecordFilter(), "cba"),
        (RecordFilter(uid="a2"), "a"),
        (RecordFilter(uid="b1"), "b"),
        (RecordFilter(uid="none"), ""),
        (RecordFilter(number="101"), "ca"),  # dial1 of one, leg of the other
        (RecordFilter(number="2025550123"), "b"),  # dial2 as given
        (RecordFilter(number="+12025550123"), "b"),  # as dialled
        (RecordFilter(disposition=Disposition.BUSY), "b"),
        (RecordFilter(since=NOON + SECOND), "cb"),
        (RecordFilter(until=NOON + SECOND), "a"),
        (RecordFilter(since=NOON + SECOND, until=NOON + 2 * SECOND), "b"),
        (RecordFilter(number="101", disposition=Disposition.BUSY), ""),
        (RecordFilter(number="101", until=NOON + SECOND, uid="a1"), "a"),
    ],
)
async def test_a_filter_finds_what_it_says(store, wanted, found):
    def call(name, after, dial1, dial2, numbers, disposition=None):
        legs = tuple(LegRecord(uid=f"{name}{n}", number=number) for n, number in enumerate(numbers, 1))
        return accepted(
            user=name, accepted_at=NOON + after * SECOND, dial1=dial1, dial2=dial2, legs=legs, disposition=disposition
        )

    await store.accept(call("a", 0, "101", "102", ("101", "102")))
    await store.accept(call("b", 1, "103", "2025550123", ("103", "+12025550123"), Disposition.BUSY))
    await store.accept(call("c", 2, "600", "104", ("101", "104")))
    page = await store.find("acme", wanted)
    assert "".join(record.user for record in page.items) == found
    assert page.next is None


def matches(record, wanted):
    """What a filter means, in plain words."""
    numbers = {record.dial1, record.dial2, *(leg.number for leg in record.legs)}
    return (
        record.organisation == "acme"
        and (wanted.uid is None or wanted.uid in {leg.uid for leg in record.legs})
        and (wanted.number is None or wanted.number in numbers)
        and wanted.disposition in {None, record.disposition}
        and (wanted.extension is None or wanted.extension in {leg.extension for leg in record.legs})
        and (wanted.since is None or record.accepted_at >= wanted.since)
        and (wanted.until is None or record.accepted_at < wanted.until)
    )


async def test_any_combination_of_filters_gives_just_its_records_on_pages_of_any_size(store):
    choice = random.Random(7)  # noqa: S311 - the same calls at every run

    def call():
        numbers = [choice.choice(["101", "102", "103"]) for _ in range(4)]
        return accepted(
            organisation=choice.choice(["acme", "acme", "umbrella"]),
            accepted_at=NOON + choice.randrange(6) * SECOND,
            dial1=numbers[0],
            dial2=numbers[1],
            legs=tuple(
                LegRecord(uid=choice.choice("uvw"), number=number, extension=choice.choice(["101", "102", None]))
                for number in numbers[2:]
            ),
            disposition=choice.choice([None, Disposition.BUSY, Disposition.ANSWERED]),
        )

    records = [call() for _ in range(150)]
    await asyncio.gather(*map(store.accept, records))
    newest_first = sorted(records, key=lambda record: (record.accepted_at, record.id), reverse=True)
    for uid, number, disposition, extension, (since, until) in itertools.product(
        (None, "u"),
        (None, "101"),
        (None, Disposition.BUSY),
        (None, "102"),
        ((None, None), (NOON + SECOND, NOON + 4 * SECOND)),
    ):
        wanted = RecordFilter(uid, number, disposition, since, until, extension=extension)
        expected = [record for record in newest_first if matches(record, wanted)]
        assert expected
        for limit in (3, 100):
            pages = await all_pages(store, wanted, limit=limit)
            assert [record for page in pages for record in page] == expected


async def test_records_of_a_program_that_knew_no_outcome_of_legs_are_found_by_it_too(store, sql):
    records = [accepted(disposition=disposition) for disposition in (Disposition.BUSY, Disposition.ANSWERED, None)]
    for record in records:
        await store.complete(record)
    await sql("UPDATE legs SET outcome = NULL")
    page = await store.find("acme", RecordFilter(number="+12025550123", disposition=Disposition.BUSY))
    assert page.items == (records[0],)


async def test_pages_lose_and_repeat_nothing_while_calls_come_in(store):
    # Several in the same microsecond: the id decides then.
    before = [accepted(accepted_at=NOON + (n // 4) * SECOND) for n in range(23)]
    for record in before:
        await store.accept(record)

    async def a_call_comes_in():
        await store.accept(accepted(accepted_at=NOON + 99 * SECOND))

    pages = await all_pages(store, limit=5, between=a_call_comes_in)
    assert [len(page) for page in pages] == [5, 5, 5, 5, 3]
    newest_first = sorted(before, key=lambda record: (record.accepted_at, record.id), reverse=True)
    assert [record for page in pages for record in page] == newest_first


async def test_a_full_last_page_has_no_next(store):
    for _ in range(4):
        await store.accept(accepted())
    assert [len(page) for page in await all_pages(store, limit=2)] == [2, 2]


@pytest.mark.parametrize(
    "cursor", ["", "x", "!!!!", "é", "MjAyNQ", "A" * 10_000, "\n", "MjAyNS0wMy0wMVQxMjowMDowMC4wMDAwMDArMDA6MDAg"]
)
async def test_a_cursor_that_is_none_of_ours_is_named(store, cursor):
    with pytest.raises(ParameterError) as caught:
        await store.find("acme", RecordFilter(), cursor=cursor)
    assert caught.value.parameter == "cursor"


async def test_a_page_of_no_records_is_refused(store):
    with pytest.raises(ParameterError, match="limit"):
        await store.find("acme", RecordFilter(), limit=0)


async def test_what_a_crash_left_is_settled_and_nothing_else(store, next_store):
    over = completed(accepted())
    left = accepted()
    half = accepted()
    half = replace(half, legs=(completed(half).legs[0], half.legs[1]))
    for record in (over, left, half):
        await store.complete(record)
    now = NOON + timedelta(minutes=5)
    assert await next_store.nodes.settle(now) == 2
    settled = await store.get("acme", left.id)
    assert (settled.disposition, settled.ended_by, settled.ended_at) == (Disposition.INTERRUPTED, "restart", now)
    assert {(leg.disposition, leg.ended_by, leg.ended_at) for leg in settled.legs} == {
        (Disposition.INTERRUPTED, "local", now)
    }
    settled_half = await store.get("acme", half.id)
    assert settled_half.legs[0] == half.legs[0]
    assert settled_half.legs[1].disposition is Disposition.INTERRUPTED
    assert await store.get("acme", over.id) == over
    assert await next_store.nodes.settle(now) == 0


async def test_two_hundred_calls_at_once_are_all_written(store, sql):
    records = [accepted() for _ in range(200)]
    await asyncio.gather(*map(store.accept, records))
    await asyncio.gather(*(store.complete(completed(record)) for record in records))
    found = [record for page in await all_pages(store, limit=50) for record in page]
    assert sorted(found, key=lambda record: record.id) == sorted(map(completed, records), key=lambda record: record.id)
    assert await sql("SELECT count(*) FROM legs") == [(400,)]


async def test_writes_that_wait_share_one_commit(store):
    await store.accept(accepted())
    commits = []
    engine = store._database._writes
    sa.event.listen(getattr(engine, "sync_engine", engine), "commit", commits.append)
    await asyncio.gather(*(store.complete(accepted()) for _ in range(50)))
    assert len(commits) == 1


async def test_one_bad_row_does_not_take_its_group_with_it(store):
    there = accepted()
    await store.accept(there)
    good = [accepted() for _ in range(4)]
    bad = [replace(there, dial1="666"), accepted(user="\ud800"), accepted(dial2=None)]
    outcomes = await asyncio.gather(
        *map(store.accept, [good[0], bad[0], good[1], bad[1], good[2], bad[2], good[3]]), return_exceptions=True
    )
    assert [outcome is None for outcome in outcomes] == [True, False, True, False, True, False, True]
    assert [await store.get("acme", record.id) for record in (there, *good)] == [there, *good]


async def test_an_accept_whose_request_was_given_up_before_its_turn_is_not_written(store):
    first, given_up, kept = accepted(), accepted(), accepted()
    await store.accept(accepted())
    # What is being written already makes the others wait their turn.
    writing = asyncio.create_task(store.complete(first))
    await asyncio.sleep(0)
    task = asyncio.create_task(store.accept(given_up))
    await asyncio.sleep(0)
    task.cancel()
    await store.accept(kept)
    await writing
    assert await store.get("acme", given_up.id) is None
    assert await store.get("acme", kept.id) == kept


async def test_a_long_read_does_not_delay_a_write(store):
    counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT max(i) FROM n"

    async def long_read():
        async with store._database.reads.connect() as connection:
            return (await connection.exec_driver_sql(counting)).scalar()

    reading = asyncio.create_task(long_read())
    await store.ping()
    await store.accept(accepted())
    assert not reading.done()
    assert await reading == 1_000_000


async def test_closing_finishes_what_is_queued_and_takes_no_more(store, database_url):
    record = accepted()
    writing = asyncio.create_task(store.accept(record))
    await asyncio.sleep(0)
    await store.close()
    await writing
    for late in (store.accept(accepted()), store.get("acme", record.id), store.ping()):
        with pytest.raises(StoreUnavailableError, match="closed"):
            await late
    again = await open_store(database_url)
    assert await again.get("acme", record.id) == record
    await again.close()


@pytest.mark.parametrize("name", [name for name in vars(RecordStore) if not name.startswith("_")])
def test_the_store_has_the_methods_that_the_service_asks_for(name):
    asked = inspect.signature(getattr(RecordStore, name))
    assert inspect.signature(getattr(SqlRecordStore, name)) == asked
