"""Future calls dialled at their time: the scheduler over the real engine and database, with a fake SIP port."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from node_site import CUSTOMER, NodeSite

from sipcore.domain.errors import NoLegCapacityError, StoreUnavailableError
from sipcore.domain.schedule import NumberStatus, ScheduleState
from sipcore.service import nodes as node_service
from sipcore.service import scheduler as scheduling
from sipcore.service.numbers import PhoneNumberPlan
from sipcore.service.scheduler import Scheduler, up_seconds
from sipcore.service.schedules import ScheduleChanges, ScheduleRequest, Schedules
from sipcore.sip.fake import RINGS, refuses
from sipcore.store.notices import SCHEDULES_DUE

SECOND = timedelta(seconds=1)
MINUTE = 60 * SECOND
BUSY = refuses(486)


class Clock:
    """The wall clock, which a test may set."""

    def __init__(self):
        self.ahead = timedelta()

    def __call__(self):
        return datetime.now(UTC) + self.ahead


class Site(NodeSite):
    """A node that dials future calls. Attempts end by the real clock, so a test sets the clock only forward."""

    def __init__(self, url, clock=None, *, grace=5 * MINUTE, scripts=None, **changes):
        super().__init__(url, **changes)
        self.clock = clock or Clock()
        self._grace = grace
        self.port.scripts.update(scripts or {})

    async def __aenter__(self):
        await super().__aenter__()
        self.suspended = 0.0
        self.scheduler = Scheduler(
            self.store.schedules,
            self.engine,
            self.store.nodes.id,
            self._grace,
            self.clock,
            lambda: up_seconds() + self.suspended,
        )
        self.schedules = Schedules(self.store.schedules, self.directory, PhoneNumberPlan(), self.clock)
        self.nodes.listen(SCHEDULES_DUE, lambda _text: self.scheduler.wake())
        self.scheduler.start()
        async with asyncio.timeout(10):
            while self.scheduler._looked_up is None:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *raised):
        await self.scheduler.stop()
        await super().__aexit__(*raised)

    async def later(self, seconds=3600.0, dial1="101", *, retries=0, retry_seconds=10):
        date = (self.clock() + timedelta(seconds=seconds)).isoformat()
        return await self.schedules.accept(
            ScheduleRequest("acme", "alice", (dial1,), CUSTOMER, date, retries, retry_seconds)
        )

    def restrict(self, **changes):
        """Change the organisation's settings."""
        current = self.directory.current
        acme = replace(current.organisations["acme"], **changes)
        self.directory.current = replace(current, organisations={"acme": acme})

    def set_clock(self, **later):
        """Set it, and let the scheduler notice."""
        self.clock.ahead += timedelta(**later)
        self.store.schedules.on_due()

    async def report(self, of):
        return await self.schedules.get("acme", of.id)

    async def until(self, of, status, *, over=0):
        """Wait until a future call's one number has a status, and so many attempts are over."""
        async with asyncio.timeout(10):
            while True:
                report = await self.report(of)
                (number,) = report.results
                if number.status is status and sum(each.outcome is not None for each in number.attempts) >= over:
                    return report
                await asyncio.sleep(0.01)

    async def until_dialled(self, of):
        """Wait until a future call's one number is being dialled here: it is written first, then the call begins."""
        report = await self.until(of, NumberStatus.DIALLING)
        async with asyncio.timeout(10):
            while self.engine.live_record("acme", report.results[0].attempts[-1].record_id) is None:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)
        return report


@asynccontextmanager
async def served_by(*sites):
    """Several nodes or runs, one inside the other."""
    for site in sites:
        await site.__aenter__()
    try:
        yield sites
    finally:
        for site in reversed(sites):
            await site.__aexit__()


def numbers(count):
    return [f"+120255501{position:02}" for position in range(count)]


async def test_a_call_is_dialled_when_it_is_due_and_not_before(database_url):
    async with Site(database_url) as site:
        new = await site.later(seconds=3600)
        site.set_clock(minutes=59)
        assert (await site.report(new)).schedule.state is ScheduleState.PENDING
        assert site.dialled == []
        site.set_clock(minutes=1)
        report = await site.until_dialled(new)
        record = await site.store.get("acme", report.results[0].attempts[0].record_id)
        assert (record.user, record.dial1, record.dial2) == ("alice", "101", CUSTOMER)
        assert site.dialled[0] == record.legs[0].uid


async def test_how_late_a_call_was_dialled_is_told(database_url):
    async with Site(database_url) as site:
        late = []
        site.scheduler.on_dialled = late.append
        new = await site.later(seconds=3600)
        site.set_clock(seconds=3620)
        await site.until_dialled(new)
        assert [20 <= seconds < 60 for seconds in late] == [True]


async def test_it_wakes_by_itself_at_the_time(database_url, monkeypatch):
    monkeypatch.setattr(scheduling, "POLL_SECONDS", 3600.0)
    async with Site(database_url, scripts={"101": BUSY}) as site:
        await site.later(seconds=3600)
        due_at = site.clock() + 0.3 * SECOND
        new = await site.later(seconds=0.3)
        report = await site.until(new, NumberStatus.FAILED)
        assert report.results[0].attempts[0].begun_at >= due_at


async def test_a_busy_number_is_tried_again_and_the_answer_ends_it(database_url):
    async with Site(database_url, scripts={"101": BUSY}) as site:
        new = await site.later(seconds=0, retries=3, retry_seconds=60)
        await site.until(new, NumberStatus.WAITING, over=1)
        site.port.scripts.clear()
        site.set_clock(seconds=61)
        report = await site.until_dialled(new)
        await site.port.settled()
        site.engine.hang_up("acme", report.results[0].attempts[1].record_id)
        report = await site.until(new, NumberStatus.ANSWERED)
        assert [attempt.outcome for attempt in report.results[0].attempts] == ["busy", "answered"]
        assert report.schedule.state is ScheduleState.FINISHED


async def test_limits_hold_calls_back_and_spend_nothing_of_their_budget(database_url):
    scripts = dict.fromkeys(numbers(3), RINGS)
    async with Site(database_url, scripts=scripts, max_calls=1) as site:
        of_all = [await site.later(0, number) for number in numbers(3)]
        for expected in of_all:
            report = await site.until_dialled(expected)
            assert len(site.engine._calls) == 1
            site.engine.hang_up("acme", report.results[0].attempts[0].record_id)
            await site.until(expected, NumberStatus.CANCELLED)
        assert [len((await site.report(each)).results[0].attempts) for each in of_all] == [1, 1, 1]


async def test_an_organisation_at_its_limit_holds_nobody_else_back(database_url):
    async with Site(database_url, scripts={"101": RINGS, "102": RINGS}, max_calls=1) as site:
        await site.until(await site.later(0, "101"), NumberStatus.DIALLING)
        held = await site.later(0, "102")
        async with asyncio.timeout(5):
            while not site.scheduler._held:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        assert await site.store.schedules.next_due() is not None
        assert await site.store.schedules.next_due(site.scheduler._held) is None
        await site.until(held, NumberStatus.WAITING)


@pytest.mark.parametrize("error", [NoLegCapacityError("full"), StoreUnavailableError("away")])
async def test_what_finds_no_room_is_dialled_when_there_is_some(database_url, monkeypatch, error):
    monkeypatch.setattr(scheduling, "NO_ROOM_SECONDS", 0.05)
    async with Site(database_url, scripts={"101": BUSY}) as site:
        dial, failures = site.engine.dial, [error, error]

        async def no_room_at_first(request):
            if failures:
                raise failures.pop()
            return await dial(request)

        monkeypatch.setattr(site.engine, "dial", no_room_at_first)
        new = await site.later(0)
        report = await site.until(new, NumberStatus.FAILED)
        assert len(report.results[0].attempts) == 1


@pytest.mark.parametrize("made", [True, False])
async def test_a_claim_whose_answer_was_lost_is_made_again(database_url, monkeypatch, made):
    monkeypatch.setattr(scheduling, "NO_ROOM_SECONDS", 0.05)
    async with Site(database_url, scripts={"101": BUSY}) as site:
        claim, failures = site.store.schedules.claim, [StoreUnavailableError("away")]

        async def lost_at_first(*wanted):
            if not failures:
                return await claim(*wanted)
            if made:
                await claim(*wanted)
            raise failures.pop()

        monkeypatch.setattr(site.store.schedules, "claim", lost_at_first)
        report = await site.until(await site.later(0), NumberStatus.FAILED)
        assert len(report.results[0].attempts) == 1


async def test_destinations_are_checked_again_when_they_are_dialled(database_url):
    async with Site(database_url) as site:
        new = await site.later(60, "+12025550123")
        site.restrict(allowed_prefixes=("+4930",))
        site.set_clock(seconds=61)
        report = await site.until(new, NumberStatus.REFUSED)
        assert "dial1" in report.results[0].reason
        assert report.results[0].attempts == ()
        assert site.dialled == []


async def test_an_organisation_that_comes_back_into_the_settings_in_time_has_lost_nothing(database_url, monkeypatch):
    monkeypatch.setattr(scheduling, "POLL_SECONDS", 0.05)
    async with Site(database_url) as site:
        settings = site.directory.current
        soon, never = await site.later(seconds=600), await site.later(seconds=60)
        site.directory.current = replace(settings, organisations={})
        site.set_clock(seconds=600)
        # What is as late as the grace is not waited for.
        refused = await site.until(never, NumberStatus.REFUSED)
        assert refused.results[0].reason == "the organisation is gone from the settings"
        assert (await site.report(soon)).results[0].status is NumberStatus.WAITING
        site.directory.current = settings
        await site.until(soon, NumberStatus.DIALLING)


async def test_a_number_is_left_to_a_node_that_knows_its_organisation(postgresql_url, monkeypatch):
    monkeypatch.setattr(scheduling, "POLL_SECONDS", 0.05)
    async with served_by(Site(postgresql_url), Site(postgresql_url)) as (behind, site):
        new = await site.later(seconds=0)
        behind.directory.current = replace(behind.directory.current, organisations={})
        soon = [await site.later(seconds=1) for _ in range(10)]
        for each in (new, *soon):
            await site.until(each, NumberStatus.DIALLING)


async def test_a_cancelled_one_is_hung_up_while_it_rings(database_url):
    async with Site(database_url, scripts={"101": RINGS}) as site:
        new = await site.later(0, retries=5)
        await site.until_dialled(new)
        await site.port.settled()
        await site.schedules.cancel("acme", new.id)
        report = await site.until(new, NumberStatus.CANCELLED)
        assert report.schedule.state is ScheduleState.CANCELLED
        assert report.schedule.ended_at is not None


async def test_a_call_that_was_answered_goes_on_when_it_is_cancelled(database_url):
    async with Site(database_url) as site:
        new = await site.later(0)
        await site.until_dialled(new)
        await site.port.settled()
        await site.schedules.cancel("acme", new.id)
        assert len(site.engine._calls) == 1


async def test_one_that_rings_is_hung_up_by_the_node_that_dials_it_whichever_is_asked(postgresql_url, monkeypatch):
    monkeypatch.setattr(scheduling, "POLL_SECONDS", 3600.0)
    dials, other = Site(postgresql_url, scripts={"101": RINGS}), Site(postgresql_url)
    async with served_by(dials, other):
        await other.scheduler.stop()
        new = await dials.later(0, retries=5)
        await dials.until_dialled(new)
        await dials.port.settled()
        await other.schedules.cancel("acme", new.id)
        report = await other.until(new, NumberStatus.CANCELLED)
        assert report.schedule.state is ScheduleState.CANCELLED
        assert dials.engine.calls_in_progress == 0


async def test_one_that_is_cancelled_while_its_call_begins_is_hung_up(postgresql_url, monkeypatch):
    monkeypatch.setattr(scheduling, "POLL_SECONDS", 3600.0)
    dials, other = Site(postgresql_url, scripts={"101": RINGS}), Site(postgresql_url)
    async with served_by(dials, other):
        await other.scheduler.stop()
        dial, begun, cancelled = dials.engine.dial, asyncio.Event(), asyncio.Event()

        async def slowly(request):
            accepted = await dial(request)
            begun.set()
            await cancelled.wait()
            return accepted

        monkeypatch.setattr(dials.engine, "dial", slowly)
        new = await dials.later(0, retries=5)
        async with asyncio.timeout(10):
            await begun.wait()
            heard = asyncio.Event()
            dials.nodes.listen("heard", lambda _text: heard.set())
            await other.schedules.cancel("acme", new.id)
            await other.nodes.tell("heard")
            await heard.wait()
        cancelled.set()
        await other.until(new, NumberStatus.CANCELLED)


async def test_one_that_was_cancelled_while_its_node_heard_nothing_is_hung_up(postgresql_url, monkeypatch):
    monkeypatch.setattr(scheduling, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(node_service, "LOOK_SECONDS", 3600.0)
    dials, other = Site(postgresql_url, scripts={"101": RINGS}), Site(postgresql_url)
    async with served_by(dials, other):
        await other.scheduler.stop()
        new = await dials.later(0, retries=5)
        await dials.until_dialled(new)
        await dials.port.settled()
        dials.store.nodes._life.terminate()
        await other.schedules.cancel("acme", new.id)
        await other.until(new, NumberStatus.CANCELLED)


async def test_one_that_talks_goes_on_whichever_node_is_asked(postgresql_url):
    dials, other = Site(postgresql_url), Site(postgresql_url)
    async with served_by(dials, other):
        await other.scheduler.stop()
        talks = await dials.later(0)
        await dials.until_dialled(talks)
        await dials.port.settled()
        dials.port.scripts["101"] = RINGS
        rings = await dials.later(0)
        await dials.until_dialled(rings)
        await other.schedules.cancel("acme", talks.id)
        # Whoever finds this one cancelled has looked at all of them.
        await other.schedules.cancel("acme", rings.id)
        await other.until(rings, NumberStatus.CANCELLED)
        assert dials.engine.calls_in_progress == 1


@pytest.mark.parametrize("how", ["accepted", "changed"])
async def test_a_node_that_sleeps_is_woken_by_what_another_takes(postgresql_url, how, monkeypatch):
    monkeypatch.setattr(scheduling, "POLL_SECONDS", 3600.0)
    dials, other = Site(postgresql_url), Site(postgresql_url)
    async with served_by(dials, other):
        await other.scheduler.stop()
        if how == "accepted":
            new = await other.later(0)
        else:
            new = await other.later(3600)
            now = ScheduleChanges(date=other.clock().isoformat())
            await other.schedules.change("acme", new.id, now)
        await dials.until(new, NumberStatus.DIALLING)
        assert other.dialled == []


async def test_clocks_that_jump_dial_nothing_twice_and_lose_nothing(database_url):
    scripts = dict.fromkeys(numbers(3), BUSY)
    async with Site(database_url, scripts=scripts) as site:
        first = await site.later(1, numbers(3)[0])
        second = await site.later(1800, numbers(3)[1])
        third = await site.later(7200, numbers(3)[2])
        site.set_clock(hours=1)
        for dialled in (first, second):
            await site.until(dialled, NumberStatus.FAILED)
        site.set_clock(hours=-1)
        await site.until(third, NumberStatus.WAITING)
        site.set_clock(hours=1)
        await site.until(third, NumberStatus.WAITING)
        site.set_clock(hours=1)
        await site.until(third, NumberStatus.FAILED)
        assert len(site.dialled) == 3


async def test_what_was_due_while_the_machine_was_suspended_is_missed(database_url):
    async with Site(database_url) as site:
        new = await site.later(60)
        site.suspended = 3600.0
        site.set_clock(hours=1)
        await site.until(new, NumberStatus.MISSED)
        assert site.dialled == []


@pytest.mark.parametrize(("minutes", "status"), [(4, NumberStatus.FAILED), (10, NumberStatus.MISSED)])
async def test_what_was_due_while_no_server_ran_is_dialled_if_it_is_not_too_late(database_url, minutes, status):
    clock = Clock()
    async with Site(database_url, clock, scripts={"101": BUSY}) as before:
        new = await before.later(0, retries=1, retry_seconds=60)
        await before.until(new, NumberStatus.WAITING, over=1)
    clock.ahead += (minutes + 1) * MINUTE
    async with Site(database_url, clock, scripts={"101": BUSY}) as after:
        report = await after.until(new, status)
        assert len(after.dialled) == len(report.results[0].attempts) - 1 == (status is NumberStatus.FAILED)


async def test_two_nodes_dial_each_number_once(postgresql_url):
    one, other = Site(postgresql_url), Site(postgresql_url)
    async with served_by(one, other):
        for site in (one, other):
            site.port.default = BUSY
        of_all = [await one.later(1, number) for number in numbers(60)]
        one.set_clock(seconds=2)
        other.set_clock(seconds=2)
        for each in of_all:
            await one.until(each, NumberStatus.FAILED)
        assert len(one.dialled) + len(other.dialled) == 60


async def test_a_server_that_stops_leaves_to_the_next_what_it_has_not_dialled(database_url):
    clock = Clock()
    async with Site(database_url, clock, scripts={"101": RINGS}) as before:
        rings = await before.later(0, retries=1, retry_seconds=10)
        waits = await before.later(3600, "102")
        await before.until_dialled(rings)
        await before.port.settled()
    clock.ahead += MINUTE
    async with Site(database_url, clock, scripts={"101": BUSY}) as after:
        report = await after.until(rings, NumberStatus.FAILED)
        assert [attempt.outcome for attempt in report.results[0].attempts] == ["interrupted", "busy"]
        await after.until(waits, NumberStatus.WAITING)
