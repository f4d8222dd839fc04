"""What is asked of call records beside their pages: the calls of a batch, and who called a number last."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sipcore.domain.causes import Disposition
from sipcore.domain.record import CallRecord, LegRecord, RecordFilter

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CUSTOMER = "+12025550123"


def call(dial1="101", dial2="2025550123", *, accepted_at=NOON, number=CUSTOMER, rang=True, **changes):
    """A call to a customer; `number` is what was dialled, `rang` whether the INVITE left."""
    call_id = uuid.uuid4().hex
    legs = (
        LegRecord(f"{call_id[:8]}-1", dial1, party="dial1", placed_at=accepted_at),
        LegRecord(f"{call_id[:8]}-2", number, party="dial2", placed_at=accepted_at if rang else None),
    )
    record = CallRecord(call_id, "acme", "alice", dial1, dial2, None, accepted_at, legs)
    return replace(record, **changes)


def called_us(number=CUSTOMER, *, accepted_at=NOON):
    """A call that came in from a number, and was led on to that very number."""
    return call(number, "+12025550100", accepted_at=accepted_at, direction="inbound", user="main")


class TestWhoCalledLast:
    async def test_is_dial1_of_the_newest_call_to_the_number(self, store) -> None:
        for record in (call("101"), call("102", accepted_at=NOON + MINUTE), call("103", accepted_at=NOON - MINUTE)):
            await store.complete(record)
        assert await store.last_agent("acme", CUSTOMER) == "102"

    async def test_is_told_as_it_was_given_and_by_the_number_as_it_was_dialled(self, store) -> None:
        await store.complete(call("ext:101", number="12025550123"))
        assert await store.last_agent("acme", "12025550123") == "ext:101"
        assert await store.last_agent("acme", CUSTOMER) is None

    async def test_is_nobody_when_the_number_was_never_called(self, store) -> None:
        await store.complete(call(number="+12025550124"))
        await store.complete(call(organisation="other"))
        assert await store.last_agent("acme", CUSTOMER) is None

    async def test_is_nobody_who_was_called_from_the_number_or_whose_own_number_it_is(self, store) -> None:
        await store.complete(called_us())
        await store.complete(call(CUSTOMER, "101", number="101"))
        assert await store.last_agent("acme", CUSTOMER) is None

    async def test_is_not_who_asked_for_the_number_and_was_not_there_to_talk_to_it(self, store) -> None:
        await store.complete(call("101"))
        await store.complete(call("102", accepted_at=NOON + MINUTE, rang=False))
        assert await store.last_agent("acme", CUSTOMER) == "101"

    async def test_is_found_among_many_others_also_while_the_call_goes_on(self, store) -> None:
        for minutes in range(20):
            await store.complete(called_us(accepted_at=NOON + minutes * MINUTE))
        await store.accept(call("101"))
        assert await store.last_agent("acme", CUSTOMER) == "101"


class TestTheCallsOfABatch:
    async def test_are_found_by_its_id_newest_first(self, store) -> None:
        batch, other = "b" * 32, "c" * 32
        ours = [call(accepted_at=NOON + minutes * MINUTE, batch_id=batch) for minutes in range(3)]
        for record in (*ours, call(batch_id=other), call(), call(organisation="other", batch_id=batch)):
            await store.complete(record)
        page = await store.find("acme", RecordFilter(batch=batch))
        assert page.items == tuple(reversed(ours))
        assert (await store.find("acme", RecordFilter(batch="d" * 32))).items == ()

    @pytest.mark.parametrize("wanted", [{"disposition": Disposition.BUSY}, {"number": CUSTOMER}, {"uid": "uid"}])
    async def test_are_found_with_the_other_filters(self, store, wanted) -> None:
        batch = "b" * 32
        busy = call(batch_id=batch, disposition=Disposition.BUSY)
        busy = replace(busy, legs=(replace(busy.legs[0], uid="uid"), busy.legs[1]))
        for record in (
            busy,
            replace(busy, id="e" * 32, batch_id=None, accepted_at=NOON + MINUTE),
            call(batch_id=batch, number="+12025550124", accepted_at=NOON + MINUTE),
        ):
            await store.complete(record)
        assert (await store.find("acme", RecordFilter(batch=batch, **wanted))).items == (busy,)

    async def test_are_paged(self, store) -> None:
        ours = [call(accepted_at=NOON + minutes * MINUTE, batch_id="b" * 32) for minutes in range(5)]
        for record in ours:
            await store.complete(record)
            await store.complete(call(accepted_at=record.accepted_at))
        found, cursor = [], None
        for _ in range(3):
            page = await store.find("acme", RecordFilter(batch="b" * 32), cursor=cursor, limit=2)
            found += page.items
            cursor = page.next
        assert found == list(reversed(ours))
        assert cursor is None


async def test_a_call_is_found_by_the_clients_own_name_for_it(store) -> None:
    ours = call(reference="order 7")
    for record in (ours, call(reference="order 8"), call(), call(organisation="other", reference="order 7")):
        await store.complete(record)
    assert (await store.find("acme", RecordFilter(reference="order 7"))).items == (ours,)
    assert (await store.find("acme", RecordFilter(reference="order 7", number=CUSTOMER))).items == (ours,)
