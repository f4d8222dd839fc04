"""Campaigns dialled: the dialler over the real engine and database, with a fake SIP port."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from node_site import NodeSite
from structlog.testing import capture_logs

from sipcore.domain.calling_hours import HoursByCountry
from sipcore.domain.campaign import (
    CampaignAction,
    CampaignNumberState,
    CampaignState,
    CampaignTerms,
    RetryRules,
)
from sipcore.domain.causes import Disposition
from sipcore.domain.directory import Announcement, Queue
from sipcore.domain.errors import NotAllowedError, ParameterError, StoreUnavailableError
from sipcore.domain.number_file import ListFormat
from sipcore.domain.retry import RetryPolicy
from sipcore.service import campaign_dialler
from sipcore.service.batches import Batches, BatchRequest
from sipcore.service.campaign_dialler import CampaignDialler
from sipcore.service.campaigns import Campaigns
from sipcore.service.numbers import PhoneNumberPlan
from sipcore.sip.fake import RINGS, refuses
from sipcore.store.notices import CAMPAIGNS_DUE

ANY_TIME = {"default": "mon-sun 00:00-24:00"}
WAITING, DIALLING, ANSWERED, FAILED, CANCELLED, DO_NOT_CALL, REFUSED = CampaignNumberState
START, PAUSE, RESUME, STOP = CampaignAction
BUSY = refuses(486)
RULES = RetryRules({Disposition.BUSY: RetryPolicy(1, 300)})
TERMS = CampaignTerms("spring", "800", None, 20, ANY_TIME, 10, 1000.0, RULES)
MORNING = datetime(2030, 1, 9, 14, 30, tzinfo=UTC)  # Wednesday, 09:30 in New York, 06:30 in Los Angeles
NEW_YORK, LOS_ANGELES = "+12125550123", "+12135550123"


class Clock:
    """The wall clock, which a test may set."""

    def __init__(self):
        self.ahead = timedelta()

    def __call__(self):
        return datetime.now(UTC) + self.ahead


class Site(NodeSite):
    """A node that dials campaigns. Attempts end by the real clock, so a test sets the clock only forward."""

    def __init__(self, url, scripts=None, *, clock=None, queues=None, **changes):
        super().__init__(url, announcements={"800": Announcement("800", "/notice.wav")}, queues=queues or {}, **changes)
        self.clock = clock or Clock()
        self.port.scripts.update(scripts or {})

    async def __aenter__(self):
        await super().__aenter__()
        store, numbers = self.store.campaigns, PhoneNumberPlan()
        await self.engine.queues.start()
        self.campaigns = Campaigns(store, self.directory, numbers, self.clock)
        self.dialler = CampaignDialler(
            store, self.engine, self.directory, numbers, self.engine.queues, self.store.nodes, self.clock
        )
        self.nodes.listen(CAMPAIGNS_DUE, lambda _text: self.dialler.wake())
        self.dialler.start()
        return self

    async def __aexit__(self, *raised):
        await self.dialler.stop()
        await super().__aexit__(*raised)

    async def started(self, *numbers, **terms):
        new = await self.campaigns.create("acme", "alice", replace(TERMS, **terms))
        report = await self.upload(new, *numbers)
        assert report.refused == 0
        return await self.act(new, START)

    async def upload(self, campaign, *lines):
        upload = await self.campaigns.upload("acme", campaign.id, ListFormat.CSV)
        await upload.feed("\n".join(lines).encode())
        return await upload.end()

    async def act(self, campaign, action):
        return await self.campaigns.act("acme", campaign.id, action)

    async def numbers(self, campaign):
        return await self.campaigns.numbers("acme", campaign.id, None, 0, 1000)

    async def eventually(self, campaign, right):
        """Wait until its numbers are right, and return them."""
        async with asyncio.timeout(10):
            while not right(await self.numbers(campaign)):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.01)
        return await self.numbers(campaign)

    async def until(self, campaign, *states):
        """Wait until the numbers stand so, and return them."""
        return await self.eventually(campaign, lambda found: [each.state for each in found] == [*states])

    def set_clock(self, **later):
        self.clock.ahead += timedelta(**later)
        self.store.campaigns.on_due()

    def calls_to(self, number):
        return [live.record() for live in self.engine._calls.values() if live.call.terms.dial1 == number]

    async def end_all(self):
        for live in list(self.engine._calls.values()):
            self.engine.hang_up("acme", live.call.terms.id)
        await self.port.settled()


@asynccontextmanager
async def site_at(moment, url, *scripts, **changes):
    clock = Clock()
    clock.ahead = moment - datetime.now(UTC)
    async with Site(url, *scripts, clock=clock, **changes) as site:
        yield site


async def wait_for(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody outside is told
            await asyncio.sleep(0.01)


def numbers(count):
    return [f"+1202555{index:04d}" for index in range(count)]


async def test_each_number_is_called_with_the_campaigns_identity_and_its_own_reference(database_url):
    async with Site(database_url) as site:
        new = await site.started("number,reference", "+12025550001,c-1", set_cid="+12025550100")
        (dialled,) = await site.until(new, DIALLING)
        record = await site.store.get("acme", dialled.attempts[0].record_id)
        assert (record.user, record.dial1, record.dial2) == ("alice", "+12025550001", "800")
        assert (record.set_cid, record.reference) == ("+12025550100", "c-1")
        await site.end_all()
        await site.until(new, ANSWERED)
        assert (await site.campaigns.get("acme", new.id)).state is CampaignState.FINISHED


async def test_no_more_calls_are_in_progress_than_the_campaign_allows(database_url):
    async with Site(database_url, dict.fromkeys(numbers(5), RINGS)) as site:
        new = await site.started(*numbers(5), concurrency=2)
        await site.until(new, DIALLING, DIALLING, WAITING, WAITING, WAITING)
        site.engine.hang_up("acme", site.calls_to(numbers(5)[0])[0].id)
        await site.until(new, CANCELLED, DIALLING, DIALLING, WAITING, WAITING)
        assert site.engine.calls_in_progress == 2


async def test_a_busy_number_is_tried_again_when_its_time_has_come(database_url):
    async with Site(database_url, {numbers(1)[0]: BUSY}) as site:
        new = await site.started(*numbers(1))
        await site.eventually(new, lambda found: found[0].outcome is Disposition.BUSY)
        assert [each.state for each in await site.numbers(new)] == [WAITING]
        site.port.scripts.clear()
        site.set_clock(seconds=301)
        await site.until(new, DIALLING)
        await site.end_all()
        (number,) = await site.until(new, ANSWERED)
        assert [made.outcome for made in number.attempts] == [Disposition.BUSY, Disposition.ANSWERED]


async def test_a_number_is_called_when_it_is_inside_the_hours_of_its_own_zone(database_url):
    async with site_at(MORNING, database_url) as site:
        new = await site.started(NEW_YORK, LOS_ANGELES, hours={"default": "mon-fri 09:00-20:00"})
        _, later = await site.until(new, DIALLING, WAITING)
        assert later.next_at == MORNING.replace(hour=17, minute=0)
        site.set_clock(hours=2.6)
        await site.until(new, DIALLING, DIALLING)


async def test_what_waits_when_its_hours_end_is_put_off_until_they_begin_again(database_url):
    async with site_at(MORNING, database_url) as site:
        new = await site.started(
            *[f"+1212555{index:04d}" for index in range(30)], hours={"default": "mon-fri 09:00-20:00"}, concurrency=1
        )
        await site.act(new, PAUSE)
        site.set_clock(hours=11)
        await site.act(new, RESUME)
        tomorrow = MORNING.replace(day=10, hour=14, minute=0)
        await site.eventually(
            new, lambda found: all(each.state is not WAITING or each.next_at == tomorrow for each in found)
        )


async def test_the_organisations_hours_count_for_a_campaign_without_its_own_by_country(database_url):
    hours = HoursByCountry.parse({"default": "mon-sun 00:00-24:00", "US": "mon-fri 12:00-13:00"}, "calling_hours")
    async with site_at(MORNING, database_url, calling_hours=hours) as site:
        new = await site.started(NEW_YORK, "+442079460018", hours=None)
        american, _ = await site.until(new, WAITING, DIALLING)
        assert american.next_at == MORNING.replace(hour=17, minute=0)


async def test_a_number_on_the_list_when_its_turn_comes_is_not_dialled(database_url):
    one, two = numbers(2)
    async with Site(database_url, dict.fromkeys(numbers(2), RINGS)) as site:
        new = await site.started(one, two, concurrency=1)
        await site.until(new, DIALLING, WAITING)
        assert await site.campaigns.bar("acme", "alice", [two]) == [two]
        await site.end_all()
        await site.until(new, CANCELLED, DO_NOT_CALL)
        assert len(site.dialled) == 1
        assert (await site.campaigns.get("acme", new.id)).state is CampaignState.FINISHED


async def test_nothing_is_dialled_between_pause_and_resume_and_calls_go_on(database_url):
    async with Site(database_url, dict.fromkeys(numbers(3), RINGS)) as site:
        new = await site.started(*numbers(3), concurrency=1)
        await site.until(new, DIALLING, WAITING, WAITING)
        await site.act(new, PAUSE)
        assert site.engine.calls_in_progress == 1
        await site.end_all()
        await site.until(new, CANCELLED, WAITING, WAITING)
        assert len(site.dialled) == 1
        await site.act(new, RESUME)
        await site.until(new, CANCELLED, DIALLING, WAITING)


async def test_a_stop_hangs_up_what_rings_and_leaves_those_who_talk(database_url):
    one, two, three = numbers(3)
    async with Site(database_url, {two: RINGS}) as site:
        new = await site.started(one, two, three, concurrency=2)
        await site.until(new, DIALLING, DIALLING, WAITING)
        await site.port.settled()
        assert site.calls_to(one)[0].legs[0].answered_at is not None
        await site.act(new, STOP)
        await site.until(new, DIALLING, CANCELLED, WAITING)
        assert site.calls_to(one)
        await site.end_all()
        await site.until(new, ANSWERED, CANCELLED, WAITING)
        assert (await site.campaigns.get("acme", new.id)).state is CampaignState.STOPPED


async def test_a_node_that_sleeps_is_woken_by_what_another_is_told_of_a_campaign(postgresql_url, monkeypatch):
    monkeypatch.setattr(campaign_dialler, "POLL_SECONDS", 3600.0)
    first, second = numbers(2)
    async with Site(postgresql_url, dict.fromkeys(numbers(2), RINGS)) as dials, Site(postgresql_url) as other:
        await other.dialler.stop()
        new = await other.started(first)
        await dials.until(new, DIALLING)
        await other.upload(new, second)
        await dials.until(new, DIALLING, DIALLING)
        await dials.port.settled()
        await other.act(new, STOP)
        await dials.until(new, CANCELLED, CANCELLED)
        assert dials.engine.calls_in_progress == 0


async def test_one_number_is_dialled_for_each_free_agent_of_a_queue(database_url):
    queue = Queue("700", ("101", "102"))
    scripts = dict.fromkeys(numbers(5), RINGS)
    async with Site(database_url, scripts, queues={"700": queue}) as site:
        new = await site.started(*numbers(5), dial2="700", concurrency=5)
        await site.until(new, DIALLING, DIALLING, WAITING, WAITING, WAITING)
        site.engine.hang_up("acme", site.calls_to(numbers(5)[0])[0].id)
        await site.until(new, CANCELLED, DIALLING, DIALLING, WAITING, WAITING)
        site.engine.queues.pause("acme", "700", "101")
        site.engine.hang_up("acme", site.calls_to(numbers(5)[1])[0].id)
        await site.until(new, CANCELLED, CANCELLED, DIALLING, WAITING, WAITING)
        site.engine.queues.resume("acme", "700", "101")
        await site.until(new, CANCELLED, CANCELLED, DIALLING, DIALLING, WAITING)


async def test_a_campaign_and_a_batch_dial_together_no_more_than_there_are_agents(database_url):
    queue = Queue("700", ("101", "102"))
    mine, other, another = numbers(3), "+12025559999", "+12025559998"
    async with Site(database_url, dict.fromkeys([*mine, other, another], RINGS), queues={"700": queue}) as site:
        batches = Batches(site.engine, site.store, site.directory, PhoneNumberPlan(), site.engine.queues)
        batch = await batches.dial(BatchRequest("acme", "alice", (other, another), "700"))
        await wait_for(lambda: site.calls_to(other) and site.calls_to(another))
        new = await site.started(*mine, dial2="700", concurrency=5)
        site.engine.hang_up("acme", site.calls_to(other)[0].id)
        await site.until(new, DIALLING, WAITING, WAITING)
        assert site.engine.calls_in_progress == 2
        # And the other way round: what the campaign dials keeps a batch waiting, until it has failed.
        batch.cancel("request")
        await site.until(new, DIALLING, DIALLING, WAITING)
        await site.act(new, PAUSE)
        late = await batches.dial(BatchRequest("acme", "alice", (other,), "700"))
        await site.port.settled()
        assert site.calls_to(other) == []
        site.engine.hang_up("acme", site.calls_to(mine[0])[0].id)
        await wait_for(lambda: site.calls_to(other))
        late.cancel("request")
        await asyncio.wait_for(asyncio.gather(batch.ended, late.ended), 10)
        await batches.finish()


async def test_campaigns_and_calls_by_hand_dial_together_no_more_than_there_are_agents(database_url):
    queue = Queue("700", ("101", "102"))
    (first, second, third, by_hand) = numbers(4)
    async with Site(database_url, dict.fromkeys(numbers(4), RINGS), queues={"700": queue}) as site:
        call = await site.dial(by_hand, "700")
        one = await site.started(first, second, dial2="700")
        await site.until(one, DIALLING, WAITING)
        other = await site.started(third, dial2="700")
        await site.port.settled()
        assert site.engine.calls_in_progress == 2
        assert [each.state for each in await site.numbers(other)] == [WAITING]
        # Whoever is first has the agent who is left; either way it is one of the two.
        site.port.reject(call.uid1, 486)
        await wait_for(lambda: site.engine.calls_in_progress == 2)
        site.port.reject(site.calls_to(first)[0].legs[0].uid, 404)
        await site.eventually(one, lambda found: found[0].state is FAILED)
        await wait_for(lambda: site.engine.calls_in_progress == 2)
        assert (len(site.calls_to(second)), len(site.calls_to(third))) == (1, 1)


async def test_who_takes_a_queue_over_leaves_those_agents_alone_whom_the_other_one_rings_for(
    postgresql_url, monkeypatch
):
    monkeypatch.setattr(campaign_dialler, "POLL_SECONDS", 0.1)
    scripts, queues = dict.fromkeys(numbers(4), RINGS), {"700": Queue("700", ("101", "102"))}
    async with Site(postgresql_url, scripts, queues=queues) as one:
        new = await one.started(*numbers(4), dial2="700")
        await one.until(new, DIALLING, DIALLING, WAITING, WAITING)
        async with Site(postgresql_url, scripts, queues=queues) as other, asyncio.timeout(20):
            # One of the two has the lock; it is to be the other one, as often as that takes.
            while not await other.store.nodes.hold("queue 700 of acme"):
                if one.nodes.joined:
                    one.store.nodes._life.terminate()
                await asyncio.sleep(0.01)
            await wait_for(lambda: other.dialler._following)
            assert (other.engine.calls_in_progress, one.engine.calls_in_progress) == (0, 2)
            one.port.reject(one.calls_to(numbers(1)[0])[0].legs[0].uid, 404)
            await other.until(new, FAILED, DIALLING, DIALLING, WAITING)
            assert (other.engine.calls_in_progress, one.engine.calls_in_progress) == (1, 1)
            await wait_for(lambda: one.nodes.joined)
        # What its end has cut off is tried again later; the agent is free for the next number.
        await one.until(new, FAILED, DIALLING, WAITING, DIALLING)
        assert (one.engine.calls_in_progress, len(one.calls_to(numbers(4)[3]))) == (2, 1)


async def test_a_number_that_is_refused_leaves_its_agent_to_the_next_one(database_url, monkeypatch):
    queue = Queue("700", ("101",))
    (gone, broken, good) = numbers(3)
    async with Site(database_url, {good: RINGS}, queues={"700": queue}) as site:
        dial = site.engine._accept

        async def failing(call, *rest):
            if call.terms.dial1 == gone:
                raise NotAllowedError("dial1", "gone")
            if call.terms.dial1 == broken:
                raise ZeroDivisionError
            return await dial(call, *rest)

        monkeypatch.setattr(site.engine, "_accept", failing)
        new = await site.started(gone, broken, good, dial2="700")
        await site.until(new, REFUSED, REFUSED, DIALLING)
        assert site.engine.queues.dials_allowed("acme", "700") == 0
        site.port.reject(site.calls_to(good)[0].legs[0].uid, 404)
        await site.until(new, REFUSED, REFUSED, FAILED)
        assert site.engine.queues.dials_allowed("acme", "700") == 1


async def test_limits_of_the_organisation_hold_numbers_back_and_spend_none_of_their_attempts(database_url):
    async with Site(database_url, dict.fromkeys(numbers(3), RINGS), max_calls=1) as site:
        new = await site.started(*numbers(3))
        for states in ((DIALLING, WAITING, WAITING), (CANCELLED, DIALLING, WAITING), (CANCELLED, CANCELLED, DIALLING)):
            await site.until(new, *states)
            await site.end_all()
        found = await site.until(new, CANCELLED, CANCELLED, CANCELLED)
        assert [len(each.attempts) for each in found] == [1, 1, 1]


async def test_what_the_settings_do_not_allow_any_more_is_refused_with_its_reason(database_url):
    async with Site(database_url) as site:
        new = await site.campaigns.create("acme", "alice", TERMS)
        await site.upload(new, *numbers(1))
        current = site.directory.current
        acme = replace(current.organisations["acme"], allowed_prefixes=("+44",))
        site.directory.current = replace(current, organisations={"acme": acme})
        await site.act(new, START)
        (refused,) = await site.until(new, REFUSED)
        assert refused.reason == "dial1: the organisation may not dial this number"


@pytest.mark.parametrize(
    ("terms", "gone"),
    [({}, {"apps": {}, "announcements": {}, "queues": {}}), ({"set_cid": "+12025550100"}, {"caller_id": None})],
)
async def test_a_campaign_waits_for_what_is_gone_from_the_settings_and_nobody_is_called(
    database_url, monkeypatch, terms, gone
):
    monkeypatch.setattr(campaign_dialler, "POLL_SECONDS", 0.05)
    async with Site(database_url) as site:
        new = await site.campaigns.create("acme", "alice", replace(TERMS, **terms))
        await site.upload(new, *numbers(1))
        settings = site.directory.current
        acme = replace(settings.organisations["acme"], **gone)
        site.directory.current = replace(settings, organisations={"acme": acme})
        looks = []
        running = site.store.campaigns.running

        async def counted():
            looks.append(1)
            return await running()

        monkeypatch.setattr(site.store.campaigns, "running", counted)
        with capture_logs() as logs:
            await site.act(new, START)
            await wait_for(lambda: len(looks) > 3)
        assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["campaign waits"]
        assert site.dialled == []
        site.directory.current = settings
        await site.until(new, DIALLING)


async def test_a_database_that_fails_once_costs_no_number(database_url, monkeypatch):
    monkeypatch.setattr(campaign_dialler, "NO_ROOM_SECONDS", 0.05)
    async with Site(database_url, dict.fromkeys(numbers(2), RINGS)) as site:
        accept, failures = site.store.accept, [StoreUnavailableError("gone"), StoreUnavailableError("gone")]

        async def fail_twice(*given):
            if failures:
                raise failures.pop()
            await accept(*given)

        give_back = site.store.campaigns.give_back

        async def fail_once(*_):
            if not failures:
                site.store.campaigns.give_back = give_back
            raise StoreUnavailableError("gone")

        site.store.accept = fail_twice
        site.store.campaigns.give_back = fail_once
        new = await site.started(*numbers(2))
        found = await site.until(new, DIALLING, DIALLING)
        assert [len(each.attempts) for each in found] == [1, 1]


async def test_each_line_of_a_list_is_taken_or_refused_with_its_reason(database_url):
    async with Site(database_url, allowed_prefixes=("+1",)) as site:
        new = await site.campaigns.create("acme", "alice", TERMS)
        await site.campaigns.bar("acme", "alice", ["2025550009"])
        report = await site.upload(
            new,
            "number,reference",
            "(202) 555-0001,c-1",
            "+12025550001,again",
            "101,an extension",
            "999,nobody",
            "800,an announcement",
            "+442079460018,not allowed",
            "+1202555000,too short",
            "+12025550009,barred",
            "sip:somebody,never",
        )
        assert (report.accepted, report.refused) == (2, 7)
        assert [(each.line, each.reason) for each in report.refusals] == [
            (3, "is in the campaign already"),
            (5, "is no telephone number and no extension"),
            (6, "is no telephone number and no extension"),
            (7, "the organisation may not dial this number"),
            (8, "not a telephone number: give + and digits, or the national digits"),
            (9, "is on the do-not-call list"),
            (10, "no SIP address of this name is configured"),
        ]
        assert [each.number for each in await site.numbers(new)] == ["+12025550001", "101"]
        assert [line for _, line in await site.campaigns.refusals("acme", new.id, 0, 100)] == report.refusals


async def test_a_number_whose_zones_share_no_hours_is_refused(database_url):
    async with Site(database_url) as site:
        new = await site.campaigns.create("acme", "alice", replace(TERMS, hours={"default": "mon-fri 09:00-10:00"}))
        report = await site.upload(new, "+18005550123", NEW_YORK)
        assert report.accepted == 1
        assert report.refusals[0].reason == "may be in time zones whose calling hours never meet"


@pytest.mark.parametrize(
    ("terms", "error", "parameter"),
    [
        ({"dial2": "101"}, ParameterError, "dial2"),
        ({"dial2": "701"}, ParameterError, "dial2"),
        ({"set_cid": "+12025550555"}, NotAllowedError, "SetCID"),
        ({"hours": {"default": "always"}}, ParameterError, "hours.default"),
        ({"hours": {"us": "mon 09:00-10:00"}}, ParameterError, "hours"),
        ({"hours": {"UK": "mon 09:00-10:00"}}, ParameterError, "hours"),
        ({"concurrency": 0}, ParameterError, "concurrency"),
    ],
)
async def test_a_campaign_that_could_not_be_dialled_is_not_made(tmp_path, terms, error, parameter):
    async with Site(f"sqlite:///{tmp_path}/calls.db") as site:
        with pytest.raises(error) as refused:
            await site.campaigns.create("acme", "alice", replace(TERMS, **terms))
        assert refused.value.parameter == parameter
        assert (await site.campaigns.find("acme")).items == ()


async def test_a_do_not_call_list_is_read_from_a_file(database_url):
    async with Site(database_url) as site:
        upload = site.campaigns.bar_list("acme", "alice", ListFormat.JSON_LINES)
        await upload.feed(b'"202-555-0002"\n{"number": "+12025550001"}\n"101"\n')
        report = await upload.end()
        assert (report.accepted, report.refused, report.refusals[0].line) == (2, 1, 3)
        assert [each.number for each in await site.campaigns.barred("acme", "", 9)] == ["+12025550001", "+12025550002"]
        assert await site.campaigns.allow("acme", "2025550001")
        assert not await site.campaigns.allow("acme", "2025550001")


async def test_another_organisations_campaign_is_nobodys(database_url):
    async with Site(database_url) as site:
        new = await site.campaigns.create("acme", "alice", TERMS)
        assert await site.campaigns.get("other", new.id) is None
        assert await site.campaigns.act("other", new.id, START) is None
        assert await site.campaigns.upload("other", new.id, ListFormat.CSV) is None
        assert await site.campaigns.numbers("other", new.id, None, 0, 9) is None
        assert await site.campaigns.refusals("other", new.id, 0, 9) is None
