"""Calls in progress that are changed, through the call engine over the fake SIP port."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from test_call_engine import CUSTOMER, Site, organisation

from sipcore.domain.call_options import CallOptions, LegOptions
from sipcore.domain.causes import Disposition
from sipcore.domain.commands import HangUpLeg, PlayAudio, PlayTone, SendDigit
from sipcore.domain.directory import Announcement, Extension, Inbound, Ivr, Queue, RingGroup, SipAddress, SipHost
from sipcore.domain.errors import CallStateError, NoLegCapacityError, NotAllowedError, ParameterError
from sipcore.domain.role import Role
from sipcore.domain.tones import ToneKind, tone
from sipcore.service.admission import EngineSettings
from sipcore.service.calls import FurtherLeg
from sipcore.sip.fake import RINGS, FakeSipPort, refuses

CALLED, OTHER = "+12025550100", "+12025550124"


class ControlSite(Site):
    """An engine whose organisation has a destination of each kind."""

    @property
    def control(self):
        return self.engine.control

    def leg_to(self, user):
        return self.port.leg_to(user)

    async def calm(self):
        for _ in range(8):
            await self.port.settled()
            await asyncio.sleep(0)

    async def joined(self):
        call = await self.settled_dial()
        assert self.hears(call.uid1) == {call.uid2}
        return call

    def hears(self, leg):
        """Whom a leg hears, each once."""
        heard = self.port.heard_by(leg)
        assert len(set(heard)) == len(heard), "twice would be an echo"
        return set(heard)

    async def transfer(self, call, destination, **options):
        record = await self.control.transfer("acme", call.id, FurtherLeg(destination, LegOptions(**options)))
        await self.calm()
        return record

    async def join_third(self, call, destination, **options):
        record = await self.control.join_third("acme", call.id, FurtherLeg(destination, LegOptions(**options)))
        await self.calm()
        return record


@contextlib.asynccontextmanager
async def running(*, workers=4, legs_per_worker=4, **scripts):
    at = SipHost("127.0.0.1", 25061)
    acme = organisation(
        extensions={number: Extension(number, SipAddress(number, at)) for number in ("101", "102", "103", "104")},
        ring_groups={"600": RingGroup("600", ("102", "103"))},
        queues={"700": Queue("700", ("104",))},
        announcements={"800": Announcement("800", "/notice.wav", key="1", then="103")},
        ivrs={"900": Ivr("900", "/menu.wav", {"1": "103"})},
        inbound=Inbound({CALLED: "101"}),
        allowed_prefixes=("+1",),
    )
    scripts = {user.replace("user_", ""): script for user, script in scripts.items()}
    port = FakeSipPort(workers=workers, legs_per_worker=legs_per_worker, scripts=scripts)
    site = ControlSite(port, [acme, replace(acme, name="other")], EngineSettings(3600.0, 60.0))
    await site.engine.queues.start()
    site.engine.start()
    try:
        yield site
    finally:
        await site.engine.stop(patience_seconds=0)
        assert port.free_legs == workers * legs_per_worker


@pytest.mark.parametrize(("destination", "user"), [("102", "102"), (OTHER, OTHER), ("600", "102"), ("700", "104")])
async def test_leg_2_is_transferred_to_whatever_has_a_phone(destination, user):
    async with running(user_103=RINGS) as site:
        call = await site.joined()
        await site.transfer(call, destination, headers=(("X-Order", "7"),))
        new = site.leg_to(user)
        assert ("X-Order", "7") in new.placed.plan.headers
        assert site.hears(call.uid1) == {new.uid}
        assert site.hears(new.uid) == {call.uid1}
        assert site.port.legs[call.uid2].ended
        record = await site.end(call)
    assert {leg.uid: leg.party for leg in record.legs if leg.disposition is Disposition.ANSWERED} == {
        call.uid1: "dial1", call.uid2: "dial2", new.uid: "dial2",
    }  # fmt: skip


@pytest.mark.parametrize(("destination", "file"), [("800", "/notice.wav"), ("900", "/menu.wav")])
async def test_leg_2_is_transferred_to_what_is_played_and_from_there_on(destination, file):
    async with running() as site:
        call = await site.joined()
        await site.transfer(call, destination)
        assert site.port.legs[call.uid1].playing.files == (file,)
        site.port.press(call.uid1, "1")
        await site.calm()
        assert site.hears(call.uid1) == {site.leg_to("103").uid}
        await site.transfer(call, "102")
        assert site.hears(call.uid1) == {site.leg_to("102").uid}
        await site.end(call)


async def test_leg_1_hears_ringback_meanwhile_and_why_it_failed():
    async with running(user_102=RINGS) as site:
        call = await site.joined()
        await site.transfer(call, "102")
        assert site.port.legs[call.uid1].playing == PlayTone(call.uid1, tone(ToneKind.RINGBACK, "US"))
        site.port.reject(site.leg_to("102").uid, 486)
        await site.calm()
        assert site.port.legs[call.uid1].playing == PlayTone(call.uid1, tone(ToneKind.BUSY, "US"))
        record = await site.end(call)
    assert [leg.disposition for leg in record.legs] == [*[Disposition.ANSWERED] * 2, Disposition.BUSY]
    assert record.disposition is Disposition.ANSWERED


async def test_whoever_is_rung_sees_what_the_first_leg_2_saw():
    async with running() as site:
        call = await site.joined()
        await site.transfer(call, OTHER)
        first, second = (site.port.legs[leg].placed.plan for leg in (call.uid2, site.leg_to(OTHER).uid))
        assert (first.from_uri, first.headers) == (second.from_uri, second.headers)
        await site.end(call)


async def test_a_caller_from_outside_is_transferred_and_shown():
    async with running() as site:
        leg = site.port.arrive(CALLED, CUSTOMER, "main")
        await site.calm()
        (record,) = site.engine.live_records("acme")
        await site.control.transfer("acme", record.id, FurtherLeg("102"))
        await site.calm()
        assert CUSTOMER in site.leg_to("102").placed.plan.from_uri
        assert site.hears(leg) == {site.leg_to("102").uid}
        site.port.hang_up(leg)
        await site.calm()


async def test_a_third_party_hears_both_and_both_hear_it():
    async with running() as site:
        call = await site.joined()
        await site.join_third(call, "102")
        third = site.leg_to("102").uid
        everybody = {call.uid1, call.uid2, third}
        assert {leg: site.hears(leg) for leg in everybody} == {leg: everybody - {leg} for leg in everybody}
        site.port.hang_up(third)
        await site.calm()
        assert site.hears(call.uid1) == {call.uid2}
        record = await site.end(call)
    assert [leg.party for leg in record.legs] == ["dial1", "dial2", "third"]


async def test_the_two_who_are_left_go_on_and_can_go_on_changing():
    async with running() as site:
        call = await site.joined()
        await site.join_third(call, "102")
        third = site.leg_to("102").uid
        site.port.hang_up(call.uid1)
        await site.calm()
        assert site.hears(third) == {call.uid2}
        await site.transfer(call, "103")
        assert site.hears(third) == {site.leg_to("103").uid}
        await site.join_third(call, OTHER)
        assert site.hears(third) == {site.leg_to("103").uid, site.leg_to(OTHER).uid}
        for uid in (third, site.leg_to(OTHER).uid):
            site.port.hang_up(uid)
        await site.calm()
        record = await site.store.record_of(call)
    assert record.ended_by == "third"


async def test_a_group_is_rung_as_the_third_wherever_there_is_room():
    async with running(user_103=RINGS, user_102=RINGS) as site:
        call = await site.joined()
        await site.join_third(call, "600")
        legs = [site.leg_to(user) for user in ("102", "103")]
        far = next(leg for leg in legs if leg.slots.worker == max(each.slots.worker for each in legs))
        site.port.answer(far.uid)
        await site.calm()
        assert site.hears(far.uid) == {call.uid1, call.uid2}
        assert site.hears(call.uid1) == {call.uid2, far.uid}
        assert site.engine.hang_up("acme", call.id)
        await site.store.record_of(call)


async def test_nothing_changes_when_there_is_no_room_for_another_leg():
    async with running(workers=1, legs_per_worker=2) as site:
        call = await site.joined()
        for change in (site.transfer, site.join_third):
            with pytest.raises(NoLegCapacityError):
                await change(call, "102")
        assert site.hears(call.uid1) == {call.uid2}
        await site.end(call)


async def test_a_call_that_kept_room_for_a_third_has_it_on_a_full_worker():
    async with running(workers=2) as site:
        call = await site.settled_dial(options=CallOptions(room_for_third=True))
        home = site.port.legs[call.uid1].slots.worker
        others = [await site.port.reserve(1) for _ in range(site.port.free_legs)]
        for slots in [slots for slots in others if slots.worker != home][:2]:
            site.port.release(slots)
        await site.join_third(call, "102")
        third = site.leg_to("102")
        assert third.slots.worker != home
        assert site.hears(third.uid) == {call.uid1, call.uid2}
        for slots in others:
            site.port.release(slots)
        assert site.engine.hang_up("acme", call.id)
        await site.store.record_of(call)


async def test_a_third_who_refuses_leaves_no_trace_but_in_the_record():
    async with running(user_102=refuses(486)) as site:
        call = await site.joined()
        await site.join_third(call, "102")
        assert site.hears(call.uid1) == {call.uid2}
        record = await site.end(call)
    assert (record.legs[2].party, record.legs[2].disposition) == ("third", Disposition.BUSY)


@pytest.mark.parametrize(
    ("destination", "options", "error"),
    [
        ("abc", {}, ParameterError),
        ("+442079460018", {}, NotAllowedError),
        ("102", {"headers": (("From", "me"),)}, ParameterError),
        ("102", {"digits": "x"}, ParameterError),
    ],
)
async def test_what_cannot_be_rung_changes_nothing(destination, options, error):
    async with running() as site:
        call = await site.joined()
        for change in (site.transfer, site.join_third):
            with pytest.raises(error):
                await change(call, destination, **options)
        assert site.hears(call.uid1) == {call.uid2}
        with pytest.raises(ParameterError):
            await site.join_third(call, "800")
        await site.end(call)


async def test_a_call_that_is_not_joined_is_not_changed():
    async with running(**{CUSTOMER: RINGS}) as site:
        call = await site.settled_dial()
        for change in (site.transfer, site.join_third):
            with pytest.raises(CallStateError):
                await change(call, "102")
        with pytest.raises(CallStateError):
            site.control.send_digits("acme", call.id, Role.SECOND, "1")
        await site.end(call)


async def test_another_organisations_calls_are_none():
    async with running() as site:
        call = await site.joined()
        assert site.control.send_digits("other", call.id, Role.FIRST, "1") is None
        assert await site.control.transfer("other", call.id, FurtherLeg("102")) is None
        assert await site.control.join_third("acme", "f" * 32, FurtherLeg("102")) is None
        await site.end(call)


async def test_digits_are_sent_to_the_leg_that_was_named():
    async with running() as site:
        call = await site.joined()
        site.control.send_digits("acme", call.id, Role.SECOND, "1,2")
        async with asyncio.timeout(5):
            await site.port.commanded(SendDigit(call.uid2, "2"))
        assert site.port.legs[call.uid2].digits == "12"
        with pytest.raises(ParameterError):
            site.control.send_digits("acme", call.id, Role.SECOND, "x")
        await site.end(call)


async def test_a_call_that_ends_while_room_is_made_is_left_alone():
    async with running() as site:
        call = await site.joined()
        extend, asked, free = site.port.extend, asyncio.Event(), asyncio.Event()

        async def slow(*args, **more):
            asked.set()
            await free.wait()
            return await extend(*args, **more)

        site.port.extend = slow
        waiting = asyncio.ensure_future(site.control.transfer("acme", call.id, FurtherLeg("102")))
        await asked.wait()
        await site.end(call)
        free.set()
        with pytest.raises(CallStateError):
            await waiting
    assert not [command for command in site.port.commands_for(call.uid1) if isinstance(command, HangUpLeg | PlayAudio)]
