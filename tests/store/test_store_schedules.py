"""Future calls in a real database: accepted, claimed when due, tried, retried, missed, changed, cancelled."""

import asyncio
import json
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio
from test_store import NOON, SECOND, accepted, completed

from sipcore.domain.attempt import Attempt, AttemptSource
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import AttemptWithdrawnError, ParameterError, ScheduleRunningError
from sipcore.domain.record import RecordFilter
from sipcore.domain.retry import RetryPolicy
from sipcore.domain.schedule import NewSchedule, NumberStatus, ScheduleState, ScheduleTerms
from sipcore.store.records import open_store

NODE, OTHER = "n" * 32, "o" * 32
MINUTE = timedelta(minutes=1)
GRACE = 5 * MINUTE
TERMS = ScheduleTerms(("101",), "+12025550123", "+12025550100", 25, NOON, RetryPolicy(2, 30))


def schedule(*numbers, date=NOON, retries=2, seconds=30, at=NOON - MINUTE, organisation="acme"):
    terms = replace(TERMS, numbers=numbers or ("101",), date=date, retry=RetryPolicy(retries, seconds))
    return NewSchedule(uuid.uuid4().hex, organisation, "alice", at, terms)


class Nodes:
    """What nodes do with a store, one step at a time."""

    def __init__(self, store):
        self.store = store

    async def accept(self, *numbers, **changes):
        await self.store.schedules.accept(new := schedule(*numbers, **changes))
        return new

    async def claim(self, now=NOON, *, node=NODE, limit=50, without=()):
        return await self.store.schedules.claim(node, now, limit, without)

    async def begin(self, due, now=NOON, node=NODE):
        attempt = Attempt(AttemptSource.SCHEDULE, due.id, due.attempts + 1, node)
        record = accepted(organisation=due.organisation, dial1=due.dial1, attempt=attempt, accepted_at=now)
        await self.store.accept(record)
        return record

    async def settle(self, record, disposition=Disposition.BUSY, *, by="dial1", now=NOON):
        await self.store.complete(replace(record, ended_at=now, disposition=disposition, ended_by=by))

    async def attempt(self, now=NOON, disposition=Disposition.BUSY):
        (due,) = await self.claim(now)
        await self.settle(await self.begin(due, now), disposition, now=now)

    async def statuses(self, of):
        report = await self.store.schedules.get(of.organisation, of.id)
        return [number.status for number in report.results]

    async def events(self):
        stored = await self.store.events.after(0, None, 1000)
        told = [json.loads(event.json()) for event in stored]
        return [(event["type"], event["data"]) for event in told if event["type"].startswith("schedule-")]


@pytest_asyncio.fixture
async def nodes(store):
    return Nodes(store)


async def test_one_comes_back_as_it_was_accepted_to_its_organisation_alone(store, nodes):
    new = await nodes.accept("101", "102")
    found = (await store.schedules.get("acme", new.id)).schedule
    assert (found.id, found.user, found.accepted_at) == (new.id, "alice", new.accepted_at)
    assert (found.dial1, found.numbers, found.dial2) == ("101", 2, "+12025550123")
    assert (found.set_cid, found.ring_seconds, found.retry) == ("+12025550100", 25, RetryPolicy(2, 30))
    assert (found.date, found.next_at, found.state) == (NOON, NOON, ScheduleState.PENDING)
    assert await nodes.statuses(new) == [NumberStatus.WAITING] * 2
    assert await store.schedules.get("other", new.id) is None
    assert await store.schedules.get("acme", "0" * 32) is None


async def test_pages_go_from_the_newest_to_the_oldest_and_each_is_on_one(store, nodes):
    of_all = [await nodes.accept(at=NOON - (9 - number) * MINUTE) for number in range(5)]
    await nodes.accept(organisation="other")
    first = await store.schedules.find("acme", limit=3)
    second = await store.schedules.find("acme", cursor=first.next, limit=3)
    assert [each.id for each in (*first.items, *second.items)] == [each.id for each in of_all[::-1]]
    assert second.next is None
    with pytest.raises(ParameterError, match="cursor"):
        await store.schedules.find("acme", cursor="x")


async def test_what_is_due_is_claimed_once_the_longest_due_first(store, nodes):
    late, soon = await nodes.accept("102"), await nodes.accept("101", date=NOON - SECOND)
    await nodes.accept("103", date=NOON + SECOND)
    assert await store.schedules.next_due() == NOON - SECOND
    claimed = await nodes.claim()
    assert [(due.dial1, due.attempts, due.id) for due in claimed] == [
        ("101", 0, f"{soon.id}.0"),
        ("102", 0, f"{late.id}.0"),
    ]
    assert (claimed[0].organisation, claimed[0].user) == ("acme", "alice")
    assert (claimed[0].dial2, claimed[0].set_cid, claimed[0].ring_seconds) == ("+12025550123", "+12025550100", 25)
    assert await nodes.claim(node=OTHER) == []
    assert await store.schedules.next_due() == NOON + SECOND


async def test_a_claim_takes_a_block_and_leaves_out_organisations_that_are_over_their_limits(store, nodes):
    await nodes.accept("101", "102", "103")
    await nodes.accept("201", organisation="other")
    assert [due.dial1 for due in await nodes.claim(without=["acme"])] == ["201"]
    assert len(await nodes.claim(limit=2)) == 2
    assert await store.schedules.next_due(["acme"]) is None
    assert len(await nodes.claim(limit=2)) == 1


async def test_two_nodes_that_claim_at_once_get_different_numbers(store, nodes, database_url):
    await nodes.accept(*(str(number) for number in range(100, 300)))
    beside = await open_store(database_url)
    ids = []
    try:
        while await store.schedules.next_due() is not None:
            both = [nodes.claim(limit=10), Nodes(beside).claim(node=OTHER, limit=10)]
            ids += [due.id for claimed in await asyncio.gather(*both) for due in claimed]
    finally:
        await beside.close()
    assert len(ids) == len(set(ids)) == 200


async def test_what_was_not_dialled_is_given_back_and_due_as_before(store, nodes):
    await nodes.accept()
    (due,) = await nodes.claim()
    await store.schedules.release(OTHER)
    assert await nodes.claim() == []
    await store.schedules.release(NODE)
    assert await nodes.claim() == [due]


async def test_an_attempt_is_written_with_the_first_row_of_its_call(store, nodes):
    new = await nodes.accept()
    (due,) = await nodes.claim()
    record = await nodes.begin(due)
    report = await store.schedules.get("acme", new.id)
    assert report.schedule.state is ScheduleState.RUNNING
    (number,) = report.results
    (made,) = number.attempts
    assert (number.status, number.due_at) == (NumberStatus.DIALLING, None)
    assert (made.number, made.record_id, made.outcome) == (1, record.id, None)


async def test_a_number_that_did_not_answer_is_due_again_after_its_seconds_until_the_budget_is_spent(store, nodes):
    new = await nodes.accept(retries=2, seconds=30)
    for n, outcome in enumerate([Disposition.BUSY, Disposition.NO_ANSWER, Disposition.UNREACHABLE]):
        now = NOON + n * 30 * SECOND
        assert await nodes.claim(now - SECOND) == []
        await nodes.attempt(now, outcome)
    assert await store.schedules.next_due() is None
    report = await store.schedules.get("acme", new.id)
    assert [made.outcome for made in report.results[0].attempts] == ["busy", "no_answer", "unreachable"]
    assert report.results[0].status is NumberStatus.FAILED
    assert (report.schedule.state, report.schedule.ended_at) == (ScheduleState.FINISHED, NOON + MINUTE)
    told = await nodes.events()
    assert [kind for kind, _ in told] == ["schedule-accepted", *["schedule-attempt"] * 3, "schedule-ended"]
    assert [data["next_at"] for kind, data in told if kind == "schedule-attempt"] == [
        "2025-03-01T12:00:30.000Z",
        "2025-03-01T12:01:00.000Z",
        None,
    ]
    assert told[-1][1] == {"schedule_id": new.id, "cancelled_by": None, "counts": {"failed": 1}}


async def test_an_answered_leg_1_ends_it_though_leg_2_was_busy(store, nodes):
    new = await nodes.accept()
    (due,) = await nodes.claim()
    record = await nodes.begin(due)
    await store.complete(
        replace(completed(record), attempt=record.attempt, disposition=Disposition.BUSY, ended_by="dial2")
    )
    assert await nodes.statuses(new) == [NumberStatus.ANSWERED]
    assert await store.schedules.next_due() is None


async def test_a_call_that_somebody_hung_up_is_not_tried_again(nodes):
    new = await nodes.accept()
    (due,) = await nodes.claim()
    await nodes.settle(await nodes.begin(due), Disposition.CANCELLED, by="request")
    assert await nodes.statuses(new) == [NumberStatus.CANCELLED]


async def test_numbers_are_retried_each_by_itself_and_the_last_ends_the_whole(store, nodes):
    new = await nodes.accept("101", "102", retries=1)
    first, second = await nodes.claim()
    one, two = await nodes.begin(first), await nodes.begin(second)
    await nodes.settle(one)
    await store.complete(replace(completed(two), attempt=two.attempt))
    assert await nodes.statuses(new) == [NumberStatus.WAITING, NumberStatus.ANSWERED]
    assert (await store.schedules.get("acme", new.id)).schedule.ended_at is None
    await nodes.attempt(NOON + MINUTE)
    assert await nodes.statuses(new) == [NumberStatus.FAILED, NumberStatus.ANSWERED]
    assert (await nodes.events())[-1][1]["counts"] == {"answered": 1, "failed": 1}


async def test_calls_accepted_together_begin_their_numbers_together(nodes):
    new = await nodes.accept(*(str(number) for number in range(100, 120)))
    await asyncio.gather(*(nodes.begin(due) for due in await nodes.claim()))
    assert set(await nodes.statuses(new)) == {NumberStatus.DIALLING}


async def test_a_crash_while_claimed_loses_nothing_and_spends_nothing(nodes, next_store):
    await nodes.accept()
    (due,) = await nodes.claim()
    await next_store.nodes.settle(NOON + MINUTE)
    assert await nodes.claim(NOON + MINUTE, node=OTHER) == [due]


async def test_a_crash_while_ringing_spends_the_attempt_and_the_next_has_the_next_number(store, nodes, next_store):
    new = await nodes.accept(retries=1)
    (due,) = await nodes.claim()
    await nodes.begin(due)
    await next_store.nodes.settle(NOON + MINUTE)
    after = Nodes(next_store)
    assert await after.claim(NOON + MINUTE + 29 * SECOND, node=OTHER) == []
    (again,) = await after.claim(NOON + MINUTE + 30 * SECOND, node=OTHER)
    assert (again.id, again.attempts) == (due.id, 1)
    await after.begin(again, node=OTHER)
    await store.nodes.settle(NOON + 3 * MINUTE)
    assert await nodes.statuses(new) == [NumberStatus.FAILED]


async def test_nobody_else_begins_what_a_node_has_claimed_and_nobody_begins_it_twice(store, nodes):
    await nodes.accept()
    (due,) = await nodes.claim()
    with pytest.raises(AttemptWithdrawnError):
        await nodes.begin(due, node=OTHER)
    await nodes.begin(due)
    with pytest.raises(AttemptWithdrawnError):
        await nodes.begin(replace(due, attempts=1))
    assert len((await store.find("acme", RecordFilter())).items) == 1


async def test_one_that_was_withdrawn_does_not_keep_the_others_from_beginning(store, nodes):
    cancelled, kept = await nodes.accept("101"), await nodes.accept("102")
    first, second = await nodes.claim()
    if first.dial1 == "102":
        first, second = second, first
    await store.schedules.cancel("acme", cancelled.id, NOON)
    results = await asyncio.gather(nodes.begin(first), nodes.begin(second), return_exceptions=True)
    assert isinstance(results[0], AttemptWithdrawnError)
    assert await nodes.statuses(kept) == [NumberStatus.DIALLING]
    assert await store.get("acme", results[1].id) is not None


async def test_what_was_due_while_nobody_looked_is_missed_when_it_is_too_late(store, nodes):
    assert await store.schedules.miss(NOON - MINUTE, GRACE, 10) == 0
    lost = await nodes.accept("101")
    await nodes.accept("102", date=NOON + 6 * MINUTE)
    back = NOON + 10 * MINUTE
    assert await store.schedules.miss(back, GRACE, 10) == 1
    assert await nodes.statuses(lost) == [NumberStatus.MISSED]
    assert [due.dial1 for due in await nodes.claim(back)] == ["102"]
    assert [kind for kind, _ in await nodes.events()][-2:] == ["schedule-missed", "schedule-ended"]
    assert (await nodes.events())[-2][1] == {
        "schedule_id": lost.id,
        "number": "101",
        "due_at": "2025-03-01T12:00:00.000Z",
    }


async def test_what_limits_hold_back_while_somebody_looks_is_never_missed(store, nodes):
    await store.schedules.miss(NOON, GRACE, 10)
    new = await nodes.accept()
    for minute in range(1, 12):
        assert await store.schedules.miss(NOON + minute * MINUTE, GRACE, 10) == 0
    # A short restart after that does not make it late either.
    assert await store.schedules.miss(NOON + 15 * MINUTE, GRACE, 10) == 0
    assert await nodes.statuses(new) == [NumberStatus.WAITING]


async def test_many_that_are_missed_are_taken_out_a_block_at_a_time(store, nodes):
    await store.schedules.miss(NOON - MINUTE, GRACE, 2)
    await nodes.accept("101", "102", "103")
    back = NOON + 10 * MINUTE
    assert [await store.schedules.miss(back, GRACE, 2) for _ in range(3)] == [2, 1, 0]


async def test_clocks_that_jump_dial_nothing_twice_and_lose_nothing(store, nodes):
    await store.schedules.miss(NOON, GRACE, 10)
    await nodes.accept("101", date=NOON + MINUTE, retries=0)
    soon = await nodes.accept("102", date=NOON + 58 * MINUTE)
    await nodes.attempt(NOON + MINUTE)
    forward = NOON + 60 * MINUTE
    assert await store.schedules.miss(forward, GRACE, 10) == 0
    (due,) = await nodes.claim(forward)
    await nodes.settle(await nodes.begin(due, forward), now=forward)
    back = NOON + 2 * MINUTE
    assert await store.schedules.miss(back, GRACE, 10) == 0
    assert await nodes.claim(back) == []
    assert await nodes.statuses(soon) == [NumberStatus.WAITING]
    assert [due.attempts for due in await nodes.claim(forward + 30 * SECOND)] == [1]


async def test_a_pending_one_is_changed_as_a_whole(store, nodes):
    new = await nodes.accept("101", "102")
    terms = ScheduleTerms(("103",), "800", None, 9, NOON + MINUTE, RetryPolicy(0, 10))
    await store.schedules.change("acme", new.id, terms)
    report = await store.schedules.get("acme", new.id)
    assert [(number.number, number.due_at) for number in report.results] == [("103", NOON + MINUTE)]
    assert (report.schedule.dial2, report.schedule.set_cid, report.schedule.ring_seconds) == ("800", None, 9)
    assert (report.schedule.date, report.schedule.retry) == (NOON + MINUTE, RetryPolicy(0, 10))
    assert await nodes.claim() == []


async def test_one_that_is_claimed_running_or_over_is_not_changed(store, nodes):
    new = await nodes.accept(retries=0)
    (due,) = await nodes.claim()
    record = await nodes.begin(due)
    for _ in ("running", "over"):
        with pytest.raises(ScheduleRunningError):
            await store.schedules.change("acme", new.id, replace(TERMS, numbers=("999",)))
        await nodes.settle(record)
    claimed = await nodes.accept("102")
    await nodes.claim()
    with pytest.raises(ScheduleRunningError):
        await store.schedules.change("acme", claimed.id, replace(TERMS, numbers=("999",)))
    found = (await store.schedules.get("acme", claimed.id)).results
    assert [number.number for number in found] == ["102"]


async def test_a_cancelled_one_is_not_dialled_and_says_so_once(store, nodes):
    new = await nodes.accept("101", "102")
    await store.schedules.cancel("other", new.id, NOON)
    assert await nodes.statuses(new) == [NumberStatus.WAITING] * 2
    for _ in range(2):
        await store.schedules.cancel("acme", new.id, NOON)
    assert await nodes.claim() == []
    report = await store.schedules.get("acme", new.id)
    assert (report.schedule.state, report.schedule.ended_at) == (ScheduleState.CANCELLED, NOON)
    assert [kind for kind, _ in await nodes.events()] == ["schedule-accepted", "schedule-ended"]


async def test_a_call_that_rings_when_it_is_cancelled_is_named_and_not_tried_again(store, nodes):
    new = await nodes.accept("101", "102")
    first, _ = await nodes.claim()
    record = await nodes.begin(first)
    await store.schedules.release(NODE)
    assert await store.schedules.cancelled([record.id]) == ()
    await store.schedules.cancel("acme", new.id, NOON)
    assert await store.schedules.cancelled([record.id, "c" * 32]) == (("acme", record.id),)
    assert await nodes.statuses(new) == [NumberStatus.DIALLING, NumberStatus.CANCELLED]
    await nodes.settle(record, Disposition.NO_ANSWER)
    assert await nodes.statuses(new) == [NumberStatus.CANCELLED] * 2
    assert await store.schedules.next_due() is None


async def test_one_that_is_over_stays_as_it_is_when_it_is_cancelled(store, nodes):
    new = await nodes.accept(retries=0)
    await nodes.attempt()
    await store.schedules.cancel("acme", new.id, NOON + MINUTE)
    assert (await store.schedules.get("acme", new.id)).schedule.state is ScheduleState.FINISHED


async def test_a_number_that_can_not_be_dialled_any_more_is_refused_with_its_reason(store, nodes):
    new = await nodes.accept("101", "102")
    first, second = await nodes.claim()
    await store.schedules.refuse(first.id, OTHER, "not mine", NOON)
    await store.schedules.refuse(first.id, NODE, "dial1: there is no such extension", NOON)
    assert await nodes.statuses(new) == [NumberStatus.REFUSED, NumberStatus.WAITING]
    await store.schedules.refuse(second.id, NODE, "dial1: no", NOON)
    report = await store.schedules.get("acme", new.id)
    assert [number.reason for number in report.results] == ["dial1: there is no such extension", "dial1: no"]
    assert report.schedule.state is ScheduleState.FINISHED
