"""Ring groups in the call engine, over the fake SIP port: whom they ring when, where, and what becomes of the slots."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from test_call_engine import CUSTOMER, Site, organisation

from sipcore.domain.causes import Disposition
from sipcore.domain.commands import BridgeLegs, HangUpLeg, PlaceLeg, PlayTone
from sipcore.domain.directory import Announcement, Extension, HuntStrategy, RingGroup, SipAddress, SipHost
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.first_taken import COMPLETED_ELSEWHERE
from sipcore.domain.tones import ToneKind, tone
from sipcore.service.admission import EngineSettings
from sipcore.sip.fake import ANSWERS, ANSWERS_LATE, RINGS, SILENT, FakeSipPort, refuses

MEMBERS = ("101", "102", "103")
OTHER = "+12025550124"


class PatientPort(FakeSipPort):
    """Finds further slots only when a test lets it, and not at all when a test says so."""

    def __init__(self, **more):
        super().__init__(**more)
        self.asked, self.may_find = asyncio.Event(), asyncio.Event()
        self.may_find.set()
        self.full = False

    async def extend(self, home, legs, *, staying=False):
        self.asked.set()
        await self.may_find.wait()
        if self.full:
            raise NoLegCapacityError("all leg slots are taken")
        return await super().extend(home, legs, staying=staying)


class GroupSite(Site):
    """An engine with a ring group, 600."""

    def leg_to(self, user):
        """The newest leg that was placed to a number."""
        return self.port.leg_to(user).uid

    @property
    def placed(self):
        return [command.plan.user for _, command in self.port.commands if isinstance(command, PlaceLeg)]

    async def calm(self):
        """Wait until what was told has been acted on, and what came of that has been told."""
        for _ in range(10):
            await self.port.settled()
            await asyncio.sleep(0)

    async def settled_dial(self, *args, **more):
        call = await self.dial(*args, **more)
        await self.calm()
        return call


@contextlib.asynccontextmanager
async def running(strategy=HuntStrategy.RING_ALL, *, workers=4, legs_per_worker=4, ring_seconds=20.0, **scripts):
    at = SipHost("127.0.0.1", 25061)
    acme = organisation(
        extensions={number: Extension(number, SipAddress(number, at)) for number in MEMBERS},
        ring_groups={"600": RingGroup("600", MEMBERS, strategy, ring_seconds=ring_seconds)},
        announcements={"800": Announcement("800", "/notice.wav", key="1", then="600")},
    )
    port = PatientPort(
        workers=workers,
        legs_per_worker=legs_per_worker,
        scripts={user[1:]: script for user, script in scripts.items()},
    )
    site = GroupSite(port, [acme], EngineSettings(3600.0, 60.0))
    await site.engine.queues.start()
    site.engine.start()
    try:
        yield site
    finally:
        await site.engine.stop(patience_seconds=0)


ALL_RING = {"_101": RINGS, "_102": RINGS, "_103": RINGS}


class TestAllAtOnce:
    async def test_the_first_who_answers_is_joined_and_the_others_are_let_go_with_a_reason(self):
        async with running(**ALL_RING) as site:
            call = await site.settled_dial(CUSTOMER, "600")
            assert site.placed == [CUSTOMER, "101", "102", "103"]
            assert site.leg_to("101") == call.uid2
            winner = site.leg_to("102")
            site.port.answer(winner)
            await site.calm()
            assert site.port.heard_by(call.uid1) == [winner]
            assert site.port.heard_by(winner) == [call.uid1]
            for loser in ("101", "103"):
                leg = site.leg_to(loser)
                assert HangUpLeg(leg, COMPLETED_ELSEWHERE) in site.port.commands_for(leg)
            record = await site.end(call)
            assert site.port.free_legs == 16
        assert [(leg.number, leg.party, leg.disposition) for leg in record.legs] == [
            (CUSTOMER, "dial1", Disposition.ANSWERED),
            ("101", "dial2", Disposition.CANCELLED),
            ("102", "dial2", Disposition.ANSWERED),
            ("103", "dial2", Disposition.CANCELLED),
        ]

    async def test_members_are_rung_from_other_workers_when_home_is_full(self):
        async with running(workers=3, **ALL_RING) as site:
            call = await site.settled_dial(CUSTOMER, "600")
            workers = {site.port.leg_to(number).slots.worker for number in MEMBERS}
            assert len(workers | {site.port.legs[call.uid1].slots.worker}) > 1
            winner = site.leg_to("103")
            site.port.answer(winner)
            await site.calm()
            assert site.port.heard_by(call.uid1) == [winner]

    async def test_two_who_answer_at_once_are_told_apart(self):
        async with running(_101=ANSWERS, _102=ANSWERS, _103=ANSWERS_LATE) as site:
            call = await site.settled_dial(CUSTOMER, "600")
            winner = site.leg_to("101")
            assert site.port.living_legs == [call.uid1, winner]
            bridges = [command for _, command in site.port.commands if isinstance(command, BridgeLegs)]
            assert bridges == [BridgeLegs(call.uid1, winner)]
            await site.end(call)
            assert site.port.free_legs == 16

    async def test_as_dial1_its_answer_is_the_first_stage(self):
        async with running(**ALL_RING) as site:
            call = await site.settled_dial("600", CUSTOMER)
            assert not call.first_stage.done()
            site.port.answer(site.leg_to("103"))
            await site.calm()
            assert call.first_stage.result() is None
            assert site.placed[-1] == CUSTOMER

    async def test_without_room_for_all_nothing_is_dialled(self):
        async with running(workers=1) as site:
            with pytest.raises(NoLegCapacityError):
                await site.dial(CUSTOMER, "600")
            assert (site.placed, site.store.accepted, site.port.free_legs) == ([], [], 4)

    async def test_a_loser_that_never_answers_our_cancel_keeps_the_call_alone(self):
        async with running(_101=SILENT, _102=ANSWERS, _103=refuses(486)) as site:
            call = await site.settled_dial(CUSTOMER, "600")
            silent = site.leg_to("101")
            site.port.hang_up(call.uid1)
            await site.calm()
            assert site.port.living_legs == [silent]
            site.port.time_out(silent)
            record = await site.store.record_of(call)
            assert site.port.free_legs == 16
        assert (record.disposition, record.ended_by) == (Disposition.ANSWERED, "dial1")


class TestOneByOne:
    async def test_those_who_are_busy_are_passed_over(self):
        async with running(HuntStrategy.LINEAR, _101=refuses(486), _102=refuses(404)) as site:
            call = await site.settled_dial(CUSTOMER, "600")
            assert site.placed == [CUSTOMER, "101", "102", "103"]
            assert site.port.heard_by(call.uid1) == [site.leg_to("103")]
            await site.end(call)

    async def test_one_call_after_the_other_begins_with_the_next_member(self):
        async with running(HuntStrategy.ROUND_ROBIN, workers=6) as site:
            rung = []
            for _ in range(4):
                call = await site.settled_dial(CUSTOMER, "600")
                rung.append(site.placed[-1])
                await site.end(call)
        assert rung == ["101", "102", "103", "101"]

    async def test_who_has_had_no_call_for_the_longest_time_is_rung_first(self):
        async with running(HuntStrategy.LONGEST_IDLE, workers=6) as site:
            for number in ("103", "101"):
                await site.end(await site.settled_dial(number, OTHER))
            for expected in ("102", "103", "101"):
                call = await site.settled_dial(CUSTOMER, "600")
                assert site.placed[-1] == expected
                await site.end(call)

    async def test_a_worker_that_is_lost_costs_one_ring(self):
        async with running(HuntStrategy.LINEAR, workers=5, legs_per_worker=2, **ALL_RING) as site:
            call = await site.settled_dial(CUSTOMER, "600")
            for lost, following in (("101", "102"), ("102", "103")):
                worker = site.port.leg_to(lost).slots.worker
                assert worker != site.port.legs[call.uid1].slots.worker
                site.port.lose_worker(worker)
                await site.calm()
                assert site.placed[-1] == following
            winner = site.leg_to("103")
            site.port.answer(winner)
            await site.calm()
            assert site.port.heard_by(call.uid1) == [winner]
            record = await site.end(call)
            assert site.port.free_legs == 10
        assert [leg.disposition for leg in record.legs[1:]] == ["interrupted", "interrupted", "answered"]
        assert record.disposition is Disposition.ANSWERED


class TestLegsThatNobodyCountedOn:
    """An announcement leads on to a group, for which nothing was reserved."""

    @contextlib.asynccontextmanager
    async def leading_on(self, **more):
        async with running(**more) as site:
            call = await site.settled_dial(CUSTOMER, "800")
            site.port.asked.clear()
            yield site, call

    async def test_slots_are_found_for_them(self):
        async with self.leading_on(**ALL_RING) as (site, call):
            site.port.press(call.uid1, "1")
            await site.calm()
            assert site.placed[1:] == list(MEMBERS)
            winner = site.leg_to("103")
            site.port.answer(winner)
            await site.calm()
            assert site.port.heard_by(call.uid1) == [winner]
            await site.end(call)
            assert site.port.free_legs == 16

    async def test_without_slots_they_are_unreachable(self):
        async with self.leading_on(**ALL_RING) as (site, call):
            site.port.full = True
            site.port.press(call.uid1, "1")
            await site.calm()
            assert site.placed == [CUSTOMER]
            record = await site.end(call)
        assert {leg.disposition for leg in record.legs if leg.number in MEMBERS} == {Disposition.UNREACHABLE}
        assert {leg.sip_code for leg in record.legs if leg.number in MEMBERS} == {503}

    async def test_a_caller_that_hangs_up_while_slots_are_looked_for_rings_nobody(self):
        async with self.leading_on(**ALL_RING) as (site, call):
            site.port.may_find.clear()
            site.port.press(call.uid1, "1")
            await site.port.asked.wait()
            record = await site.end(call)
            assert site.engine.calls_in_progress == 0
            site.port.may_find.set()
            await site.calm()
            assert (site.placed, site.port.free_legs) == ([CUSTOMER], 16)
        assert {leg.disposition for leg in record.legs if leg.number in MEMBERS} == {Disposition.CANCELLED}

    async def test_a_hang_up_of_the_group_alone_gives_the_slots_to_the_call(self):
        async with self.leading_on(ring_seconds=0.02, **ALL_RING) as (site, call), asyncio.timeout(5):
            site.port.may_find.clear()
            site.port.press(call.uid1, "1")
            await site.port.asked.wait()
            await site.port.commanded(PlayTone(call.uid1, tone(ToneKind.CONGESTION, "US")))
            site.port.may_find.set()
            await site.calm()
            assert site.placed == [CUSTOMER]
            await site.end(call)
            assert site.port.free_legs == 16
