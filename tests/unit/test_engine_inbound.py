"""Calls that come in, in the call engine over the fake SIP port: taken, refused, given up, and their records."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
import structlog
from test_call_engine import AGENT, CUSTOMER, MemoryStore, Site, organisation

from sipcore.domain.causes import Disposition
from sipcore.domain.commands import AnswerLeg, BridgeLegs, HangUpLeg, PlaceLeg, PlayAudio
from sipcore.domain.directory import Announcement, Directory, Inbound, Queue, RingGroup
from sipcore.domain.errors import StoreUnavailableError
from sipcore.service.admission import EngineSettings
from sipcore.sip.fake import RINGS, SILENT, FakeSipPort, FarEnd, refuses

OURS = "+12025550100"
GROUP = RingGroup("600", ("101", "102"))


class StoreThatKnows(MemoryStore):
    """Knows who called last; a test may hold it back, or make it fail."""

    def __init__(self, port):
        super().__init__(port)
        self.last = None
        self.looked_up = asyncio.Event()
        self.tell = asyncio.Event()
        self.tell.set()

    async def last_agent(self, _organisation, _number):
        self.looked_up.set()
        await self.tell.wait()
        if isinstance(self.last, Exception):
            raise self.last
        return self.last

    async def only_record(self):
        """The one completed record, once it is there."""
        async with asyncio.timeout(5):
            while not self.completed:
                self._news.clear()
                await self._news.wait()
        (record,) = self.completed
        return record


class Reception(Site):
    """An engine whose organisation is called from outside."""

    def __init__(self, port, organisations, settings):
        super().__init__(port, organisations, settings, store=StoreThatKnows(port))
        self.refused = []
        self.engine.on_refused = self.refused.append

    async def arrive(self, number=OURS, caller=CUSTOMER):
        leg = self.port.arrive(number, caller, "main")
        await self.calm()
        return leg

    async def calm(self):
        """Wait until what was told has been acted on, and what came of that has been told."""
        for _ in range(10):
            await self.port.settled()
            await asyncio.sleep(0)

    def answers(self, leg):
        """The statuses that a caller has got so far."""
        return self.port.legs[leg].answers


@contextlib.asynccontextmanager
async def called(route=AGENT, *, workers=2, ring_seconds=60.0, last_agent=False, changes=None, **scripts):
    names = {"agent": AGENT, "colleague": "102"}
    port = FakeSipPort(workers=workers, scripts={names[who]: script for who, script in scripts.items()})
    acme = organisation(
        inbound=Inbound({OURS: route}, last_agent=last_agent), ring_groups={"600": GROUP}, **(changes or {})
    )
    site = Reception(port, [acme], EngineSettings(3600.0, ring_seconds))
    site.engine.start()
    try:
        yield site
    finally:
        await site.engine.stop(patience_seconds=0)


def placed(site):
    return [command.plan.user for _, command in site.port.commands if isinstance(command, PlaceLeg)]


async def test_a_call_rings_whom_its_route_names_and_is_answered_when_they_are():
    async with called(agent=RINGS) as site:
        leg = await site.arrive()
        assert site.answers(leg) == [180]
        agent = site.port.leg_to(AGENT)
        assert agent.slots == site.port.legs[leg].slots
        site.port.answer(agent.uid)
        await site.calm()
        assert site.answers(leg) == [180, 200]
        assert BridgeLegs(leg, agent.uid) in site.port.commands_for(leg)
        site.port.press(leg, "5")
        site.port.press(agent.uid, "6")
        await site.calm()
        assert (agent.digits, site.port.legs[leg].digits) == ("5", "6")
        site.port.hang_up(leg)
        record = await site.store.only_record()
        assert (site.port.living_legs, site.port.free_legs, site.engine.calls_in_progress) == ([], 8, 0)
    assert (record.direction, record.user, record.dial1, record.dial2) == ("inbound", "main", CUSTOMER, OURS)
    assert (record.disposition, record.ended_by) == (Disposition.ANSWERED, "dial1")
    assert [(entry.uid, entry.party) for entry in record.legs] == [(leg, "dial1"), (agent.uid, "dial2")]


async def test_its_record_is_written_before_anybody_is_rung():
    async with called() as site:
        await site.arrive()
        (record,) = site.store.accepted
    assert site.store.commands_when_accepted == [0]
    assert (record.direction, record.dial1, record.ended_at) == ("inbound", CUSTOMER, None)


async def test_it_can_be_read_and_hung_up_like_any_other():
    async with called() as site:
        leg = await site.arrive()
        record = site.engine.live_record("acme", leg)
        assert record.legs[0].answered_at is not None
        assert site.engine.hang_up("acme", record.id)
        await site.calm()
        assert site.port.living_legs == []


@pytest.mark.parametrize(
    ("script", "status"),
    [(refuses(486), 486), (refuses(404), 404), (refuses(480, rings=(180,)), 480), (refuses(500), 503)],
)
async def test_whoever_is_not_reached_is_told_by_the_status(script, status):
    async with called(agent=script) as site:
        leg = await site.arrive()
        assert site.answers(leg) == [180, status]
        record = await site.store.only_record()
        assert (site.port.living_legs, site.port.free_legs) == ([], 8)
    assert (record.legs[0].sip_code, record.ended_by) == (status, "dial2")


async def test_nobody_rings_for_ever():
    async with called(agent=RINGS, ring_seconds=0.02) as site, asyncio.timeout(5):
        leg = await site.arrive()
        await site.port.commanded(AnswerLeg(leg, 480))
        record = await site.store.only_record()
    assert record.disposition is Disposition.NO_ANSWER
    assert site.port.living_legs == []


async def test_a_caller_that_gives_up_stops_the_ringing():
    async with called(agent=RINGS) as site:
        leg = await site.arrive()
        site.port.hang_up(leg)
        record = await site.store.only_record()
        assert site.port.living_legs == []
    assert (record.disposition, record.ended_by, record.legs[0].sip_code) == (Disposition.CANCELLED, "dial1", 487)


async def test_a_ring_group_is_rung_on_slots_of_its_own():
    async with called("600", agent=RINGS, colleague=RINGS) as site:
        leg = await site.arrive()
        assert placed(site) == ["101", "102"]
        home = site.port.legs[leg].slots
        assert home not in [site.port.leg_to(number).slots for number in ("101", "102")]
        winner = site.port.leg_to("102").uid
        site.port.answer(winner)
        await site.calm()
        assert site.port.living_legs == [leg, winner]
        site.port.hang_up(winner)
        record = await site.store.only_record()
        assert site.port.free_legs == 8
    assert [entry.disposition for entry in record.legs] == ["answered", "cancelled", "answered"]


async def test_an_announcement_answers_by_itself():
    notice = {"announcements": {"800": Announcement("800", "/notice.wav")}}
    async with called("800", changes=notice) as site, asyncio.timeout(5):
        leg = await site.arrive()
        assert site.answers(leg) == [180, 200]
        assert isinstance(site.port.legs[leg].playing, PlayAudio)
        site.port.finish_playback(leg)
        await site.port.commanded(HangUpLeg(leg))
        await site.store.only_record()
    assert site.port.living_legs == []


async def test_a_queue_answers_those_whom_it_takes_and_is_busy_to_others():
    queues = {"queues": {"700": Queue("700", ("101",), music="/music.wav", max_waiting=1)}}
    async with called("700", workers=6, changes=queues, agent=RINGS) as site:
        await site.engine.queues.start()
        served, waiting, refused = [await site.arrive() for _ in range(3)]
        assert [site.answers(leg) for leg in (served, waiting, refused)] == [[180, 200], [180, 200], [180, 486]]
        assert site.port.legs[waiting].playing.files == ("/music.wav",)
        record = await site.store.only_record()
    assert (record.disposition, record.legs[0].sip_code) == (Disposition.BUSY, 486)
    # It has a record, which tells why.
    assert site.refused == []


class TestRefusals:
    @pytest.mark.parametrize("number", ["+12025550101", "101", ""])
    async def test_a_number_without_a_route_gets_404_and_leaves_nothing_behind(self, number):
        async with called() as site:
            leg = await site.arrive(number)
            assert site.answers(leg) == [404]
            assert (site.store.accepted, placed(site), site.port.free_legs) == ([], [], 8)
            assert site.refused == ["no_route"]

    async def test_an_organisation_over_its_limit_is_busy(self):
        async with called(changes={"max_calls": 1}) as site:
            first = await site.arrive()
            second = await site.arrive()
            assert site.answers(second) == [486]
            assert site.refused == ["limit"]
            site.port.hang_up(first)
            await site.calm()
            third = await site.arrive()
            assert site.answers(third) == [180, 200]

    async def test_a_caller_without_a_free_slot_gets_503(self):
        async with called(workers=1) as site:
            for _ in range(2):
                await site.arrive()
            third = await site.arrive()
            assert site.answers(third) == [503]
            assert len(site.store.accepted) == 2

    async def test_a_group_without_free_slots_gets_503_and_does_not_count_against_the_limit(self):
        async with called("600", workers=1, changes={"max_calls": 1}) as site:
            await site.port.reserve(1)
            leg = await site.arrive()
            assert site.answers(leg) == [503]
            assert (site.store.accepted, placed(site), site.port.free_legs) == ([], [], 3)
            assert site.refused == ["no_room"]
            site.directory.current = replace(
                site.directory.current,
                organisations={"acme": organisation(inbound=Inbound({OURS: AGENT}), max_calls=1)},
            )
            assert site.answers(await site.arrive()) == [180, 200]

    async def test_without_a_database_it_gets_503_and_nobody_is_rung(self):
        async with called(changes={"max_calls": 1}) as site:
            site.store.failures["accept"] = 1
            leg = await site.arrive()
            assert site.answers(leg) == [503]
            assert (placed(site), site.port.free_legs) == ([], 8)
            assert site.answers(await site.arrive()) == [180, 200]
            assert site.refused == ["no_database"]

    async def test_the_slots_that_a_group_was_to_have_are_given_back_with_it(self):
        async with called("600") as site:
            site.store.failures["accept"] = 1
            assert site.answers(await site.arrive()) == [503]
            assert (placed(site), site.port.free_legs) == ([], 8)

    async def test_without_knowing_who_called_last_it_gets_503(self):
        async with called(last_agent=True) as site:
            site.store.last = StoreUnavailableError("away")
            assert site.answers(await site.arrive()) == [503]
            assert site.refused == ["no_database"]

    async def test_a_failure_that_nobody_foresaw_is_answered_too(self):
        async with called(last_agent=True) as site:
            site.store.last = ZeroDivisionError("a bug")
            with structlog.testing.capture_logs() as logged:
                leg = await site.arrive()
            assert site.answers(leg) == [503]
            assert site.port.free_legs == 8
            assert [line["event"] for line in logged if line["log_level"] == "error"] == ["incoming call not taken"]
            assert site.refused == ["error"]

    async def test_an_organisation_that_a_reload_removes_meanwhile_is_not_found(self):
        async with called(last_agent=True) as site:
            site.store.tell.clear()
            leg = site.port.arrive(OURS, CUSTOMER, "main")
            await site.store.looked_up.wait()
            site.directory.current = Directory(trunks=site.directory.current.trunks)
            site.store.tell.set()
            await site.calm()
            assert site.answers(leg) == [404]
            assert site.port.free_legs == 8
            assert site.refused == ["no_route"]

    async def test_a_server_that_is_being_stopped_takes_no_call(self):
        async with called() as site:
            talking = await site.arrive()
            site.store.free.clear()
            stopping = asyncio.create_task(site.engine.stop())
            await asyncio.sleep(0)
            leg = await site.arrive()
            assert site.answers(leg) == [503]
            assert site.refused == ["stopping"]
            site.store.free.set()
            await stopping
        assert site.port.legs[talking].ended


class TestWhoCalledLast:
    async def test_is_rung_first_and_the_route_follows_with_a_slot_that_is_found_for_it(self):
        async with called("600", last_agent=True, colleague=RINGS, agent=RINGS) as site:
            site.store.last = "102"
            leg = await site.arrive()
            first = site.port.leg_to("102").uid
            assert placed(site) == ["102"]
            site.port.reject(first, 486)
            await site.calm()
            assert placed(site) == ["102", "101", "102"]
            site.port.answer(site.port.leg_to("101").uid)
            await site.calm()
            assert site.answers(leg) == [180, 200]
            site.port.hang_up(leg)
            record = await site.store.only_record()
            assert site.port.free_legs == 8
        assert [entry.number for entry in record.legs] == [CUSTOMER, "102", "101", "102"]

    async def test_is_followed_on_another_slot_while_it_is_still_being_let_go(self, monkeypatch):
        monkeypatch.setattr("sipcore.service.inbound.LAST_AGENT_SECONDS", 0.02)
        async with called(last_agent=True, colleague=SILENT, agent=RINGS) as site, asyncio.timeout(5):
            site.store.last = "102"
            leg = await site.arrive()
            first = site.port.leg_to("102")
            await site.port.commanded(HangUpLeg(first.uid))
            await site.calm()
            assert placed(site) == ["102", AGENT]
            assert first.slots == site.port.legs[leg].slots != site.port.leg_to(AGENT).slots
            site.port.hang_up(leg)
            await site.calm()
            site.port.time_out(first.uid)
            await site.store.only_record()
            assert site.port.free_legs == 8


class TestWhatHappensBeforeTheCallBegins:
    @contextlib.asynccontextmanager
    async def looking_up(self, **more):
        """A caller has arrived, and it is not known yet whom they reach."""
        async with called(last_agent=True, agent=RINGS, **more) as site:
            site.store.tell.clear()
            leg = site.port.arrive(OURS, CUSTOMER, "main")
            await site.store.looked_up.wait()
            yield site, leg

    async def test_a_caller_that_gives_up_rings_nobody_and_has_a_record(self):
        async with self.looking_up() as (site, leg):
            site.port.hang_up(leg)
            await site.port.settled()
            site.store.tell.set()
            record = await site.store.only_record()
            assert (placed(site), site.port.free_legs, site.engine.calls_in_progress) == ([], 8, 0)
        assert (record.disposition, record.ended_by) == (Disposition.CANCELLED, "dial1")
        assert record.legs[0].uid == leg

    async def test_a_caller_that_gives_up_while_the_record_is_written_rings_nobody(self):
        async with called(agent=RINGS) as site:
            site.store.free.clear()
            leg = site.port.arrive(OURS, CUSTOMER, "main")
            await site.store.asked.wait()
            site.port.hang_up(leg)
            await site.port.settled()
            site.store.free.set()
            record = await site.store.only_record()
            assert (placed(site), site.port.free_legs) == ([], 8)
        assert record.disposition is Disposition.CANCELLED

    async def test_a_worker_that_dies_takes_the_caller_with_it(self):
        async with self.looking_up() as (site, leg):
            site.port.lose_worker(site.port.legs[leg].slots.worker)
            await site.port.settled()
            site.store.tell.set()
            record = await site.store.only_record()
            assert (placed(site), site.port.free_legs) == ([], 8)
        assert (record.disposition, record.ended_by) == (Disposition.INTERRUPTED, "worker")

    async def test_a_caller_that_gives_up_and_has_no_route_leaves_nothing_behind(self):
        async with called() as site:
            leg = site.port.arrive("+12025550101", CUSTOMER, "main")
            site.port.hang_up(leg)
            await site.calm()
            assert (site.store.accepted, site.port.free_legs) == ([], 8)


async def test_a_lost_worker_interrupts_a_call_that_came_in():
    async with called() as site:
        leg = await site.arrive()
        site.port.lose_worker(site.port.legs[leg].slots.worker)
        record = await site.store.only_record()
        assert (site.port.free_legs, site.engine.calls_in_progress) == (8, 0)
    assert (record.disposition, record.ended_by) == (Disposition.INTERRUPTED, "worker")


async def test_a_shutdown_turns_a_waiting_caller_away_and_hangs_a_talking_one_up():
    async with called(agent=RINGS) as site:
        waiting = await site.arrive()
        site.port.scripts = {}
        talking = await site.arrive()
        await site.engine.stop()
        assert site.answers(waiting) == [180, 503]
        assert HangUpLeg(talking) in site.port.commands_for(talking)
        assert site.port.legs[talking].far_end is FarEnd.OVER
    assert {record.ended_by for record in site.store.completed} == {"shutdown"}
