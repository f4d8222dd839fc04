"""Campaigns in a real database: filled, claimed when due, tried, retried, paused, stopped, over; do-not-call lists."""

import asyncio
import json
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio
from test_store import NOON, SECOND, accepted

from sipcore.domain import campaign as campaign_module
from sipcore.domain.attempt import Attempt, AttemptSource
from sipcore.domain.campaign import (
    Campaign,
    CampaignAction,
    CampaignNumberState,
    CampaignState,
    CampaignTerms,
    ListedNumber,
    RefusedLine,
    RetryRules,
)
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import (
    AttemptWithdrawnError,
    CampaignStateError,
    DoNotCallError,
    ParameterError,
    StoreUnavailableError,
)
from sipcore.domain.retry import RetryPolicy
from sipcore.store import campaign_requests
from sipcore.store.records import open_store

NODE, OTHER = "n" * 32, "o" * 32
MINUTE = timedelta(minutes=1)
RULES = RetryRules({Disposition.BUSY: RetryPolicy(1, 300)}, max_attempts=5)
TERMS = CampaignTerms("spring", "800", "+12025550100", 25, {"default": "mon-fri 09:00-20:00"}, 10, 100.0, RULES)
WAITING, DIALLING, ANSWERED, FAILED, CANCELLED, DO_NOT_CALL, REFUSED = CampaignNumberState
START, PAUSE, RESUME, STOP = CampaignAction
BUSY = Disposition.BUSY


def number(index):
    return f"+1202555{index:04d}"


def listed(*numbers, at=NOON):
    return [ListedNumber(line, text, f"c-{line}", at) for line, text in enumerate(numbers, start=1)]


class Site:
    """What a node does with the campaigns of a store, one step at a time."""

    def __init__(self, store):
        self.store, self.campaigns = store, store.campaigns

    async def create(self, *, organisation="acme", at=NOON, **terms):
        new = Campaign(uuid.uuid4().hex, organisation, "alice", at, replace(TERMS, **terms))
        await self.campaigns.create(new)
        return new

    async def started(self, *numbers, **more):
        new = await self.create(**more)
        await self.campaigns.add(new, listed(*(numbers or (number(1), number(2)))), [])
        await self.act(new, START)
        return new

    async def act(self, campaign, action, now=NOON):
        await self.campaigns.act(campaign.organisation, campaign.id, action, now)

    async def claim(self, campaign, now=NOON, *, node=NODE, limit=50):
        claimed, _ = await self.campaigns.claim(campaign.id, node, now, limit)
        return claimed

    async def begin(self, claimed, now=NOON, node=NODE):
        attempt = Attempt(AttemptSource.CAMPAIGN, claimed.source_id, claimed.attempts + 1, node)
        record = accepted(dial1=claimed.number, attempt=attempt, accepted_at=now)
        await self.store.accept(record)
        return record

    async def settle(self, record, disposition=BUSY, *, by="dial1", now=NOON):
        await self.store.complete(replace(record, ended_at=now, disposition=disposition, ended_by=by))

    async def attempt(self, campaign, disposition=BUSY, now=NOON, *, by="dial1"):
        (claimed,) = await self.claim(campaign, now, limit=1)
        await self.settle(await self.begin(claimed, now), disposition, by=by, now=now)

    async def read(self, campaign):
        return await self.campaigns.get(campaign.organisation, campaign.id)

    async def numbers(self, campaign, state=None):
        return await self.campaigns.numbers(campaign.id, state, 0, 100)

    async def states(self, campaign):
        """How the numbers stand, one by one; the counts must say the same."""
        states = [each.state for each in await self.numbers(campaign)]
        counts = (await self.read(campaign)).counts
        assert {state: count for state, count in counts.items() if count} == {one: states.count(one) for one in states}
        return states

    async def events(self):
        stored = await self.store.events.after(0, None, 1000)
        told = [json.loads(event.json()) for event in stored]
        return [(event["type"], event["data"]) for event in told if event["type"].startswith("campaign-")]


@pytest_asyncio.fixture
async def site(store):
    return Site(store)


async def test_a_campaign_comes_back_as_it_was_made_to_its_organisation_alone(site):
    new = await site.create()
    found = await site.read(new)
    assert replace(found, counts={}) == new
    assert set(found.counts.values()) == {0}
    assert await site.campaigns.get("other", new.id) is None
    assert await site.campaigns.get("acme", "0" * 32) is None


async def test_pages_go_from_the_newest_to_the_oldest_and_each_campaign_is_on_one(site):
    of_all = [await site.create(at=NOON - minutes * MINUTE) for minutes in range(5)]
    await site.create(organisation="other")
    first = await site.campaigns.find("acme", limit=3)
    second = await site.campaigns.find("acme", cursor=first.next, limit=3)
    assert [each.id for each in (*first.items, *second.items)] == [each.id for each in of_all]
    assert second.next is None
    with pytest.raises(ParameterError):
        await site.campaigns.find("acme", cursor="x")


async def test_numbers_are_kept_once_and_what_is_refused_is_kept_with_its_line(site):
    new = await site.create()
    await site.campaigns.bar("acme", [number(3)], "alice", NOON)
    await site.campaigns.bar("other", [number(1)], "alice", NOON)
    bad = RefusedLine(5, "x", "is no number")
    lines = listed(number(1), number(2), number(3), number(1))
    twice = RefusedLine(4, number(1), "is in the campaign already")
    barred = RefusedLine(3, number(3), "is on the do-not-call list")
    assert await site.campaigns.add(new, lines, [bad]) == (2, (barred, twice, bad))
    again = RefusedLine(1, number(2), "is in the campaign already")
    assert await site.campaigns.add(new, listed(number(2), number(4)), []) == (1, (again,))
    assert [(each.position, each.number, each.reference) for each in await site.numbers(new)] == [
        (1, number(1), "c-1"),
        (2, number(2), "c-2"),
        (4, number(4), "c-2"),
    ]
    assert await site.campaigns.refusals(new.id, 0, 2) == ((1, barred), (2, twice))
    assert await site.campaigns.refusals(new.id, 2, 9) == ((3, bad), (4, again))
    assert (await site.read(new)).refused == 4
    assert await site.states(new) == [WAITING] * 3


async def test_a_campaign_takes_no_more_numbers_than_the_most(site, monkeypatch):
    monkeypatch.setattr(campaign_requests, "MAX_NUMBERS", 2)
    new = await site.create()
    accepted_numbers, (refused,) = await site.campaigns.add(new, listed(number(1), number(2), number(3)), [])
    assert (accepted_numbers, refused.line) == (2, 3)
    assert campaign_module.MAX_NUMBERS == 1_000_000


async def test_numbers_are_read_page_by_page_and_by_state(site):
    new = await site.started(*(number(index) for index in range(5)))
    await site.attempt(new, Disposition.ANSWERED, by="dial2")
    first = await site.campaigns.numbers(new.id, WAITING, 0, 3)
    second = await site.campaigns.numbers(new.id, WAITING, first[-1].position, 3)
    assert [each.position for each in (*first, *second)] == [2, 3, 4, 5]
    (answered,) = await site.numbers(new, ANSWERED)
    assert (answered.position, answered.outcome) == (1, Disposition.ANSWERED)


async def test_an_empty_campaign_does_not_start_and_one_that_is_over_takes_no_numbers(site):
    new = await site.create()
    with pytest.raises(CampaignStateError, match="without numbers"):
        await site.act(new, START)
    await site.act(new, STOP)
    with pytest.raises(CampaignStateError, match="stopped takes no numbers"):
        await site.campaigns.add(new, listed(number(1)), [])


async def test_a_draft_is_not_dialled_and_a_running_campaign_is(site):
    new = await site.create()
    await site.campaigns.add(new, listed(number(1)), [])
    assert await site.claim(new) == []
    assert await site.campaigns.running() == ()
    await site.act(new, START)
    (running,) = await site.campaigns.running()
    assert (running.id, running.started_at, running.terms) == (new.id, NOON, TERMS)
    (claimed,) = await site.claim(new)
    assert (claimed.campaign, claimed.position, claimed.number) == (new.id, 1, number(1))
    assert (claimed.reference, claimed.attempts) == ("c-1", 0)
    assert await site.claim(new, node=OTHER, now=NOON + MINUTE) == []


async def test_numbers_are_claimed_when_they_are_due_those_that_wait_longest_first(site):
    new = await site.create()
    lines = [ListedNumber(1, number(1), None, NOON), ListedNumber(2, number(2), None, NOON - SECOND)]
    await site.campaigns.add(new, [*lines, ListedNumber(3, number(3), None, NOON + MINUTE)], [])
    await site.act(new, START)
    assert [each.number for each in await site.claim(new)] == [number(2), number(1)]
    assert [each.number for each in await site.campaigns.due(new.id, 9)] == [number(3)]


async def test_no_more_calls_are_in_progress_than_the_campaign_has_at_once_on_all_nodes(site):
    new = await site.started(*(number(index) for index in range(5)), concurrency=2)
    (first,) = await site.claim(new, limit=1)
    (second,) = await site.claim(new, NOON + SECOND, node=OTHER)
    assert await site.claim(new, NOON + 2 * SECOND) == []
    record = await site.begin(first)
    assert await site.claim(new, NOON + 2 * SECOND) == []
    await site.settle(record)
    assert len(await site.claim(new, NOON + 2 * SECOND)) == 1
    await site.campaigns.give_back(second, OTHER, NOON)
    assert len(await site.claim(new, NOON + 4 * SECOND)) == 1


async def test_numbers_are_claimed_at_the_campaigns_pace_on_all_nodes_together(site):
    new = await site.started(*(number(index) for index in range(4)), calls_per_second=0.5)
    claimed, again = await site.campaigns.claim(new.id, NODE, NOON, 1)
    assert (len(claimed), again) == (1, NOON + 2 * SECOND)
    assert await site.campaigns.claim(new.id, OTHER, NOON + SECOND, 1) == ([], again)
    assert len(await site.claim(new, NOON + 2 * SECOND, node=OTHER, limit=1)) == 1


async def test_two_nodes_that_claim_at_once_share_the_numbers(postgresql_url):
    first, second = await open_store(postgresql_url), await open_store(postgresql_url)
    site = Site(first)
    new = await site.started(*(number(index) for index in range(8)), calls_per_second=1000.0)
    now = [NOON + index * SECOND for index in range(4)]
    claims = await asyncio.gather(
        *(site.claim(new, at, limit=2) for at in now),
        *(Site(second).claim(new, at + SECOND / 2, node=OTHER, limit=2) for at in now),
    )
    await first.close()
    await second.close()
    positions = [each.position for claimed in claims for each in claimed]
    assert len(positions) == len(set(positions)) >= 2


async def test_an_attempt_is_written_with_the_record_and_a_busy_number_is_tried_again_later(site):
    new = await site.started(number(1))
    (claimed,) = await site.claim(new)
    record = await site.begin(claimed)
    (dialled,) = await site.numbers(new)
    assert (dialled.state, dialled.next_at, dialled.outcome) == (DIALLING, None, None)
    assert [(made.number, made.record_id) for made in dialled.attempts] == [(1, record.id)]
    await site.settle(record, now=NOON + MINUTE)
    (waiting,) = await site.numbers(new)
    assert (waiting.state, waiting.next_at, waiting.outcome) == (WAITING, NOON + 6 * MINUTE, BUSY)
    assert await site.claim(new, NOON + 5 * MINUTE) == []
    await site.attempt(new, now=NOON + 6 * MINUTE)
    (failed,) = await site.numbers(new)
    assert (failed.state, [made.outcome for made in failed.attempts]) == (FAILED, [BUSY, BUSY])
    assert await site.states(new) == [FAILED]


async def test_each_reason_has_its_own_budget_of_retries(site):
    rules = RetryRules({BUSY: RetryPolicy(1, 60), Disposition.NO_ANSWER: RetryPolicy(1, 60)})
    new = await site.started(number(1), retry=rules)
    for minute, outcome in enumerate((BUSY, Disposition.NO_ANSWER, BUSY)):
        await site.attempt(new, outcome, NOON + minute * MINUTE)
    (failed,) = await site.numbers(new)
    assert (failed.state, len(failed.attempts)) == (FAILED, 3)


async def test_what_was_answered_or_hung_up_is_not_tried_again_and_the_campaign_ends(site):
    new = await site.started(number(1), number(2))
    await site.attempt(new, Disposition.ANSWERED, by="dial2")
    assert (await site.read(new)).state is CampaignState.RUNNING
    await site.attempt(new, Disposition.CANCELLED, NOON + MINUTE, by="request")
    assert await site.states(new) == [ANSWERED, CANCELLED]
    over = await site.read(new)
    assert (over.state, over.ended_at) == (CampaignState.FINISHED, NOON + MINUTE)


async def test_nothing_begins_after_a_pause_and_what_was_claimed_goes_on_after_it(site):
    new = await site.started(number(1))
    (claimed,) = await site.claim(new)
    await site.act(new, PAUSE)
    with pytest.raises(AttemptWithdrawnError):
        await site.begin(claimed)
    await site.campaigns.give_back(claimed, NODE, NOON)
    assert await site.claim(new, NOON + MINUTE) == []
    await site.act(new, RESUME)
    (claimed,) = await site.claim(new, NOON + MINUTE)
    await site.begin(claimed)
    assert await site.states(new) == [DIALLING]


async def test_a_stopped_campaign_ends_with_its_last_call_and_leaves_what_waits(site):
    new = await site.started(number(1), number(2))
    (claimed,) = await site.claim(new, limit=1)
    record = await site.begin(claimed)
    await site.act(new, STOP)
    assert (await site.read(new)).ended_at is None
    await site.settle(record, Disposition.ANSWERED, by="dial2", now=NOON + MINUTE)
    over = await site.read(new)
    assert (over.state, over.ended_at) == (CampaignState.STOPPED, NOON + MINUTE)
    assert await site.states(new) == [ANSWERED, WAITING]


async def test_a_number_that_comes_onto_the_list_is_not_dialled_and_others_beside_it_are(site):
    new = await site.started(number(1), number(2))
    first, second = await site.claim(new)
    await site.campaigns.bar("acme", [number(1)], "alice", NOON)
    results = await asyncio.gather(site.begin(first), site.begin(second), return_exceptions=True)
    assert isinstance(results[0], DoNotCallError)
    assert results[1].dial1 == number(2)
    assert await site.store.get("acme", results[1].id) is not None
    await site.campaigns.refuse(first, NODE, DO_NOT_CALL, "is on the do-not-call list", NOON)
    assert await site.states(new) == [DO_NOT_CALL, DIALLING]
    assert (await site.numbers(new))[0].reason == "is on the do-not-call list"


async def test_a_campaign_whose_last_number_is_refused_is_over(site):
    new = await site.started(number(1))
    (claimed,) = await site.claim(new)
    await site.campaigns.refuse(claimed, NODE, REFUSED, "not allowed any more", NOON + MINUTE)
    assert await site.states(new) == [REFUSED]
    assert (await site.read(new)).state is CampaignState.FINISHED


async def test_a_number_that_another_node_has_is_not_begun(site):
    new = await site.started(number(1))
    (claimed,) = await site.claim(new)
    with pytest.raises(AttemptWithdrawnError):
        await site.begin(claimed, node=OTHER)
    await site.begin(claimed)
    with pytest.raises(StoreUnavailableError):
        await site.begin(claimed)
    assert await site.states(new) == [DIALLING]


async def test_numbers_are_put_off_unless_somebody_has_claimed_them(site):
    new = await site.started(number(1), number(2))
    (claimed,) = await site.claim(new, limit=1)
    await site.campaigns.defer(new.id, {1: NOON + MINUTE, 2: NOON + MINUTE})
    assert await site.claim(new, NOON + 30 * SECOND) == []
    assert [each.position for each in await site.claim(new, NOON + MINUTE)] == [2]
    assert claimed.position == 1


async def test_after_a_crash_what_was_claimed_is_given_back_and_what_was_dialled_is_interrupted(site, next_store):
    new = await site.started(number(1), number(2), number(3))
    first, second = await site.claim(new, limit=2)
    await site.begin(first)
    await next_store.nodes.settle(NOON + MINUTE)
    after = Site(next_store)
    interrupted, given_back, untouched = await after.numbers(new)
    assert (interrupted.state, interrupted.next_at) == (WAITING, NOON + 2 * MINUTE)
    assert [made.outcome for made in interrupted.attempts] == [Disposition.INTERRUPTED]
    assert (given_back.state, given_back.attempts, untouched.state) == (WAITING, (), WAITING)
    assert await after.states(new) == [WAITING] * 3
    claimed = await after.claim(new, NOON + 2 * MINUTE, node=OTHER)
    assert sorted((each.position, each.attempts) for each in claimed) == [(1, 1), (2, 0), (3, 0)]
    assert second.position == 2


async def test_a_campaign_tells_of_its_life_and_of_each_attempt(site):
    new = await site.started(number(1))
    await site.act(new, PAUSE)
    await site.act(new, PAUSE)
    await site.act(new, RESUME)
    await site.attempt(new)
    await site.attempt(new, now=NOON + 6 * MINUTE)
    told = await site.events()
    assert [kind for kind, _ in told] == [
        "campaign-created",
        "campaign-started",
        "campaign-paused",
        "campaign-started",
        "campaign-attempt",
        "campaign-attempt",
        "campaign-ended",
    ]
    assert told[0][1] == {"campaign_id": new.id, "name": "spring", "user": "alice"}
    assert told[4][1] == {
        "campaign_id": new.id,
        "number": number(1),
        "attempt": 1,
        "outcome": "busy",
        "state": "waiting",
        "next_at": "2025-03-01T12:05:00.000Z",
    }
    assert told[6][1]["state"] == "finished"
    assert told[6][1]["counts"]["failed"] == 1


async def test_a_do_not_call_list_is_added_to_read_page_by_page_and_taken_from(site):
    await site.campaigns.bar("acme", [number(3), number(1)], "alice", NOON)
    await site.campaigns.bar("acme", [number(2), number(1)], "bob", NOON + MINUTE)
    first, second = await site.campaigns.barred("acme", "", 2)
    assert (first.number, first.added_at, first.added_by) == (number(1), NOON, "alice")
    assert (second.number, second.added_by) == (number(2), "bob")
    assert [each.number for each in await site.campaigns.barred("acme", second.number, 2)] == [number(3)]
    assert await site.campaigns.barred("other", "", 2) == ()
    assert await site.campaigns.allow("acme", number(1))
    assert not await site.campaigns.allow("acme", number(1))
    assert not await site.campaigns.allow("other", number(2))
    assert [each.number for each in await site.campaigns.barred("acme", "", 9)] == [number(2), number(3)]
