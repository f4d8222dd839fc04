"""The call engine over the fake SIP port: what is asked of it, what is commanded, and what the records say."""

import asyncio
import contextlib
import time
from dataclasses import replace

import pytest
import structlog

from sipcore.domain.causes import Disposition
from sipcore.domain.commands import BridgeLegs, HangUpLeg, PlaceLeg, PlayTone, SendDigit, StopPlaying
from sipcore.domain.directory import Directory, Extension, Organisation, SipAddress, SipHost, Trunk
from sipcore.domain.errors import (
    AuthenticationError,
    LimitReachedError,
    NoLegCapacityError,
    NotAllowedError,
    ParameterError,
    ShuttingDownError,
    StoreUnavailableError,
)
from sipcore.domain.events import LegAnswered, LegEnded, LegRang, MessagesSeen, WorkerLost
from sipcore.domain.ladder import Rung
from sipcore.service.admission import EngineSettings
from sipcore.service.call_engine import CallEngine
from sipcore.service.calls import DialRequest, LiveDirectory
from sipcore.service.numbers import PhoneNumberPlan
from sipcore.sip.fake import ANSWERS_LATE, EARLY_MEDIA, RINGS, SILENT, FakeSipPort, FarEnd, refuses

AGENT, CUSTOMER = "101", "+12025550123"


def organisation(**changes):
    at = SipHost("127.0.0.1", 25061)
    extensions = {number: Extension(number, SipAddress(number, at)) for number in ("101", "102")}
    acme = Organisation("acme", trunk="main", caller_id="+12025550100", extensions=extensions)
    return replace(acme, **changes)


def directory_with(*organisations):
    trunk = Trunk("main", SipHost("127.0.0.1", 25070))
    return Directory({each.name: each for each in organisations}, {"main": trunk})


class MemoryStore:
    """Keeps what it is given; a test may hold it back or make it fail."""

    def __init__(self, port):
        self.accepted, self.completed = [], []
        self.commands_when_accepted = []
        self.failures = {"accept": 0, "complete": 0}
        self.asked = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self._port = port
        self._news = asyncio.Event()

    async def accept(self, record, limits=None):  # noqa: ARG002 - it has one node
        self.commands_when_accepted.append(len(self._port.commands))
        self.asked.set()
        await self.free.wait()
        self._fail("accept")
        self.accepted.append(record)

    async def complete(self, record):
        self._news.set()
        self._fail("complete")
        self.completed.append(record)

    async def agent_memories(self):
        return ()

    async def keep_agents(self, memories):
        self.memories = memories

    def _fail(self, what):
        if self.failures[what]:
            self.failures[what] -= 1
            raise StoreUnavailableError("the database is away")

    async def record_of(self, call):
        """The completed record of a call, once it is there."""
        async with asyncio.timeout(5):
            while not (found := [record for record in self.completed if record.id == call.id]):
                self._news.clear()
                await self._news.wait()
        (record,) = found
        return record


class Site:
    """A running engine and what is around it."""

    def __init__(self, port, organisations, settings, recorder=None, *, store=None):
        self.port, self.store = port, store or MemoryStore(port)
        self.directory = LiveDirectory(directory_with(*organisations))
        self.engine = CallEngine(port, self.store, self.directory, PhoneNumberPlan(), settings, recorder)

    async def dial(self, dial1=AGENT, dial2=CUSTOMER, **more):
        return await self.engine.dial(DialRequest("acme", "alice", dial1, dial2, **more))

    async def settled_dial(self, *args, **more):
        call = await self.dial(*args, **more)
        await self.port.settled()
        return call

    async def end(self, call):
        """Let dial1 hang up; return the record."""
        self.port.hang_up(call.uid1)
        return await self.store.record_of(call)


@contextlib.asynccontextmanager
async def running(*organisations, workers=2, ring_seconds=60.0, max_call_seconds=3600.0, **scripts):
    names = {"agent": AGENT, "customer": CUSTOMER, "colleague": "102"}
    port = FakeSipPort(workers=workers, scripts={names[who]: script for who, script in scripts.items()})
    settings = EngineSettings(max_call_seconds, ring_seconds)
    site = Site(port, organisations or [organisation()], settings)
    site.engine.start()
    try:
        yield site
    finally:
        await site.engine.stop(patience_seconds=0)


def kinds(commands):
    return [type(command) for command in commands]


# -- the first stage


async def test_the_first_stage_is_ok_when_dial1_answers():
    async with running(customer=RINGS) as site:
        call = await site.settled_dial()
        assert call.first_stage.result() is None


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (refuses(486), "Busy"),
        (refuses(603), "Busy"),
        (refuses(404), "Not connected"),
        (refuses(480), "Not connected"),
        (refuses(480, rings=(180,)), "No answer"),
        (refuses(503), "Unreachable"),
        (refuses(403), "Unreachable"),
    ],
)
async def test_the_first_stage_fails_with_the_contracts_word(script, reason):
    async with running(agent=script) as site:
        call = await site.settled_dial()
        assert call.first_stage.result() == reason
        assert kinds(site.port.commands_for(call.uid2)) == []


async def test_the_first_stage_is_open_while_dial1_rings():
    async with running(agent=RINGS) as site:
        call = await site.settled_dial()
        assert not call.first_stage.done()
        site.port.answer(call.uid1)
        await site.port.settled()
        assert call.first_stage.result() is None


async def test_the_first_stage_fails_when_the_timeout_of_the_request_is_over():
    async with running(agent=RINGS) as site, asyncio.timeout(5):
        call = await site.dial(ring_seconds=0.01)
        assert await call.first_stage == "No answer"
        record = await site.store.record_of(call)
    assert (record.disposition, record.ended_by) == (Disposition.NO_ANSWER, "dial1")
    assert record.legs[0].sip_code == 487
    assert site.port.living_legs == []


async def test_a_caller_that_goes_away_does_not_disturb_the_call():
    async with running(customer=RINGS) as site:
        call = await site.dial()
        waiting = asyncio.ensure_future(asyncio.shield(call.first_stage))
        waiting.cancel()
        await site.port.settled()
        assert call.first_stage.result() is None


async def test_an_unknown_extension_fails_without_a_packet():
    async with running() as site:
        call = await site.settled_dial("199")
        assert call.first_stage.result() == "Not connected"
        record = await site.store.record_of(call)
    assert site.port.commands == []
    assert (record.disposition, record.ended_by) == (Disposition.NOT_CONNECTED, "dial1")
    assert site.port.free_legs == 8


# -- the call


async def test_both_legs_are_joined_when_both_have_answered():
    async with running() as site:
        call = await site.settled_dial()
        commands = [command for _, command in site.port.commands]
        assert kinds(commands) == [PlaceLeg, PlaceLeg, PlayTone, StopPlaying, BridgeLegs]
        assert [command.leg for command in commands[:2]] == [call.uid1, call.uid2]
        assert commands[-1] == BridgeLegs(call.uid1, call.uid2)


async def test_both_legs_are_on_the_slots_that_were_reserved():
    async with running() as site:
        await site.settled_dial()
        (slots,) = {slots for slots, _ in site.port.commands}
        assert slots.legs == 2


@pytest.mark.parametrize("leaves_first", ["uid1", "uid2"])
async def test_when_one_side_hangs_up_the_other_is_hung_up(leaves_first):
    async with running() as site:
        call = await site.settled_dial()
        site.port.hang_up(getattr(call, leaves_first))
        await site.port.settled()
        assert site.port.living_legs == []
        assert {leg.far_end for leg in site.port.legs.values()} == {FarEnd.OVER}
        assert site.engine.calls_in_progress == 0
        assert site.port.free_legs == 8


async def test_digits_cross_the_call():
    async with running() as site:
        call = await site.settled_dial()
        site.port.press(call.uid1, "1#", duration_ms=120)
        site.port.press(call.uid2, "9")
        await site.port.settled()
        assert SendDigit(call.uid2, "1", 120) in site.port.commands_for(call.uid2)
        assert (site.port.legs[call.uid2].digits, site.port.legs[call.uid1].digits) == ("1#", "9")


async def test_early_media_of_dial2_is_heard_by_dial1():
    async with running(customer=EARLY_MEDIA) as site:
        call = await site.settled_dial()
        commands = [type(command).__name__ for _, command in site.port.commands]
        assert commands == ["PlaceLeg", "PlaceLeg", "PlayTone", "StopPlaying", "PassAudio"]
        assert site.engine.calls_in_progress == 1
        await site.end(call)


async def test_an_answer_that_comes_with_our_cancel_leaves_no_leg():
    async with running(agent=ANSWERS_LATE) as site:
        call = await site.settled_dial()
        assert site.engine.hang_up("acme", call.id)
        record = await site.store.record_of(call)
        assert call.first_stage.result() == "Unreachable"
    assert site.port.living_legs == []
    assert record.disposition is Disposition.CANCELLED


async def test_a_call_that_goes_on_for_ever_is_ended_by_its_limit():
    async with running(max_call_seconds=0.02) as site:
        call = await site.settled_dial()
        record = await site.store.record_of(call)
    assert (record.disposition, record.ended_by) == (Disposition.ANSWERED, "limit")
    assert site.port.living_legs == []


async def test_dial2_rings_no_longer_than_the_settings_say():
    async with running(customer=RINGS, ring_seconds=0.02) as site, asyncio.timeout(5):
        call = await site.settled_dial()
        await site.port.commanded(HangUpLeg(call.uid2))
        await site.port.settled()
        assert site.port.living_legs == [call.uid1]
        record = await site.end(call)
    assert (record.disposition, record.legs[1].disposition) == (Disposition.NO_ANSWER, Disposition.NO_ANSWER)


async def test_the_messages_of_its_legs_go_along_with_the_end_of_a_calls_record():
    async with running() as site:
        call = await site.settled_dial()
        now = time.monotonic()
        invite = Rung(now + 1, sent=True, method="INVITE", code=None, cseq=7)
        site.port.report(MessagesSeen(call.uid1, (invite,)))
        site.port.report(MessagesSeen("unknown", (invite,)))
        site.port.report(MessagesSeen(call.uid1, (replace(invite, at=now + 2, sent=False, code=200),)))
        await site.port.settled()
        assert [len(leg.rungs) for leg in site.engine.live_record("acme", call.id).ladder] == [2]
        (leg,) = (await site.end(call)).ladder
    assert leg.uid == call.uid1
    assert [(rung.sent, rung.method, rung.code, rung.cseq) for rung in leg.rungs] == [
        (True, "INVITE", None, 7), (False, "INVITE", 200, 7)
    ]  # fmt: skip
    # Since the call was accepted, just before.
    assert [round(rung.at) for rung in leg.rungs] == [1, 2]


async def test_calls_do_not_touch_each_other():
    async with running(customer=RINGS, workers=3) as site:
        one = await site.settled_dial()
        two = await site.settled_dial("102")
        record = await site.end(one)
        assert record.dial1 == "101"
        assert site.engine.calls_in_progress == 1
        assert site.port.living_legs == [two.uid1, two.uid2]


# -- refusals


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"dial1": "1@evil.example"}, ParameterError),
        ({"dial2": "sip:nobody"}, ParameterError),
        ({"set_cid": "+12025559999"}, NotAllowedError),
        ({"set_cid": "x"}, ParameterError),
    ],
)
async def test_a_refused_request_leaves_nothing_behind(changes, error):
    async with running() as site:
        with pytest.raises(error):
            await site.dial(**{"dial1": AGENT, "dial2": CUSTOMER} | changes)
        assert (site.port.commands, site.store.accepted) == ([], [])
        assert (site.port.free_legs, site.engine.calls_in_progress) == (8, 0)


async def test_an_organisation_that_a_reload_removed_cannot_dial():
    async with running() as site:
        site.directory.current = Directory()
        with pytest.raises(AuthenticationError):
            await site.dial()


async def test_a_reload_counts_for_the_next_call():
    async with running() as site:
        first = await site.settled_dial()
        site.directory.current = directory_with(organisation(caller_id="+12025550177"))
        second = await site.settled_dial()
        froms = [site.port.legs[call.uid2].place.plan.from_uri for call in (first, second)]
    assert froms == ["<sip:+12025550100@127.0.0.1>", "<sip:+12025550177@127.0.0.1>"]


async def test_without_free_legs_nothing_is_dialled_or_written():
    async with running(workers=1) as site:
        calls = [await site.settled_dial() for _ in range(2)]
        commands = len(site.port.commands)
        with pytest.raises(NoLegCapacityError):
            await site.dial()
        assert len(site.port.commands) == commands
        assert len(site.store.accepted) == 2
        await site.end(calls[0])
        await site.settled_dial()


async def test_a_call_without_free_legs_does_not_count_against_max_calls():
    async with running(organisation(max_calls=1), organisation(name="other"), workers=1) as site:
        for _ in range(2):
            await site.engine.dial(DialRequest("other", "bob", AGENT, CUSTOMER))
        await site.port.settled()
        with pytest.raises(NoLegCapacityError):
            await site.dial()
        for uid in site.port.living_legs[::2]:
            site.port.hang_up(uid)
        await site.port.settled()
        await site.dial()


async def test_max_calls_holds_until_a_call_has_ended():
    async with running(organisation(max_calls=1)) as site:
        call = await site.settled_dial()
        with pytest.raises(LimitReachedError) as refused:
            await site.dial()
        assert refused.value.limit == "max_calls"
        assert len(site.store.accepted) == 1
        await site.end(call)
        await site.dial()


async def test_calls_per_second_holds():
    async with running(organisation(calls_per_second=0.01)) as site:
        await site.settled_dial()
        with pytest.raises(LimitReachedError) as refused:
            await site.dial()
        assert refused.value.limit == "calls_per_second"
        assert 90 < refused.value.retry_after <= 100


# -- records


async def test_the_record_is_written_before_anything_is_dialled():
    async with running() as site:
        call = await site.settled_dial()
        (record,) = site.store.accepted
    assert site.store.commands_when_accepted == [0]
    assert (record.id, record.organisation, record.user) == (call.id, "acme", "alice")
    assert (record.dial1, record.dial2, record.set_cid) == (AGENT, CUSTOMER, None)
    assert [leg.uid for leg in record.legs] == [call.uid1, call.uid2]
    assert (record.ended_at, record.disposition) == (None, None)


async def test_when_the_record_cannot_be_written_nothing_is_dialled():
    async with running(organisation(max_calls=1)) as site:
        site.store.failures["accept"] = 1
        with pytest.raises(StoreUnavailableError):
            await site.dial()
        assert site.port.commands == []
        assert (site.port.free_legs, site.engine.calls_in_progress) == (8, 0)
        await site.dial()


async def test_a_request_that_is_cancelled_while_its_record_is_written_leaves_nothing_behind():
    async with running(organisation(max_calls=1)) as site:
        site.store.free.clear()
        dialling = asyncio.ensure_future(site.dial())
        await site.store.asked.wait()
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        assert (site.port.commands, site.port.free_legs) == ([], 8)
        site.store.free.set()
        await site.dial()


async def test_a_record_is_completed_once_with_all_that_happened():
    async with running() as site:
        call = await site.settled_dial(set_cid="101")
        record = await site.end(call)
    assert site.store.completed == [record]
    assert (record.disposition, record.ended_by, record.set_cid) == (Disposition.ANSWERED, "dial1", "101")
    first, second = record.legs
    assert (first.uid, first.number) == (call.uid1, "101")
    assert (second.uid, second.number) == (call.uid2, "+12025550123")
    assert (first.disposition, first.sip_code, first.cause) == (Disposition.ANSWERED, 200, 16)
    assert (first.ended_by, second.ended_by) == ("remote", "local")
    steps = [first.placed_at, first.ringing_at, first.answered_at, second.placed_at, second.ringing_at]
    steps += [second.answered_at, record.joined_at, first.ended_at, second.ended_at, record.ended_at]
    assert [record.accepted_at, *steps] == sorted([record.accepted_at, *steps])
    assert {step.utcoffset().total_seconds() for step in steps} == {0}


async def test_the_record_of_a_busy_customer_says_busy():
    async with running(customer=refuses(486, q850_cause=17)) as site:
        call = await site.settled_dial()
        assert isinstance(site.port.commands_for(call.uid1)[-1], PlayTone)
        record = await site.end(call)
    assert (record.disposition, record.ended_by, record.joined_at) == (Disposition.BUSY, "dial2", None)
    assert (record.legs[1].disposition, record.legs[1].sip_code, record.legs[1].cause) == (Disposition.BUSY, 486, 17)


async def test_writing_the_end_of_a_call_is_tried_until_the_database_is_back(monkeypatch):
    monkeypatch.setattr("sipcore.service.record_keeper._RETRY_SECONDS", 0.0)
    async with running() as site:
        call = await site.settled_dial()
        site.store.failures["complete"] = 7
        record = await site.end(call)
    assert record.disposition is Disposition.ANSWERED
    assert site.store.failures["complete"] == 0
    assert site.store.completed == [record]


async def test_a_database_that_is_away_holds_no_leg_back(monkeypatch):
    monkeypatch.setattr("sipcore.service.record_keeper._RETRY_SECONDS", 0.0)
    async with running(organisation(max_calls=1), workers=1) as site:
        call = await site.settled_dial()
        site.store.failures["complete"] = 1
        site.port.hang_up(call.uid1)
        await site.port.settled()
        assert (site.port.free_legs, site.engine.calls_in_progress) == (4, 0)
        await site.dial()


async def test_a_live_record_is_found_by_call_and_by_leg_of_the_own_organisation_only():
    async with running(customer=RINGS) as site:
        call = await site.settled_dial()
        for key in (call.id, call.uid1, call.uid2):
            record = site.engine.live_record("acme", key)
            assert (record.id, record.ended_at) == (call.id, None)
            assert record.legs[0].answered_at is not None
            assert site.engine.live_record("other", key) is None
        assert site.engine.live_record("acme", "unknown") is None
        await site.end(call)
        assert site.engine.live_record("acme", call.id) is None
        assert site.engine.live_record("acme", call.uid1) is None


# -- hanging up from outside, and shutdown


async def test_a_call_can_be_hung_up_by_its_organisation_only():
    async with running() as site:
        call = await site.settled_dial()
        assert not site.engine.hang_up("other", call.id)
        assert not site.engine.hang_up("acme", "unknown")
        assert site.engine.hang_up("acme", call.id)
        record = await site.store.record_of(call)
        assert not site.engine.hang_up("acme", call.id)
    assert (record.disposition, record.ended_by) == (Disposition.ANSWERED, "request")
    assert site.port.living_legs == []


async def test_shutdown_ends_every_call_and_writes_its_record():
    async with running(customer=RINGS) as site:
        ringing, joined = await site.settled_dial(), await site.settled_dial("101", "102")
        await site.engine.stop()
        assert site.port.living_legs == []
        assert site.engine.calls_in_progress == 0
        by_id = {record.id: record for record in site.store.completed}
    assert len(site.store.completed) == 2
    assert (by_id[ringing.id].disposition, by_id[ringing.id].ended_by) == (Disposition.CANCELLED, "shutdown")
    assert (by_id[joined.id].disposition, by_id[joined.id].ended_by) == (Disposition.ANSWERED, "shutdown")


async def test_after_shutdown_nothing_is_dialled():
    async with running() as site:
        await site.engine.stop()
        with pytest.raises(ShuttingDownError):
            await site.dial()
        assert (site.port.commands, site.store.accepted) == ([], [])


async def test_a_request_that_is_being_accepted_at_shutdown_places_no_leg():
    async with running() as site:
        site.store.free.clear()
        dialling = asyncio.ensure_future(site.dial())
        await site.store.asked.wait()
        await site.engine.stop()
        site.store.free.set()
        call = await dialling
        assert call.first_stage.result() is not None
        record = await site.store.record_of(call)
    assert site.port.commands == []
    assert (record.disposition, record.ended_by) == (Disposition.CANCELLED, "shutdown")
    assert site.port.free_legs == 8


async def test_shutdown_does_not_wait_for_a_far_end_that_says_nothing():
    async with running(agent=SILENT) as site, asyncio.timeout(5):
        call = await site.settled_dial()
        await site.engine.stop(patience_seconds=0)
        (record,) = site.store.completed
    assert record.id == call.id
    assert record.legs[0].disposition is Disposition.CANCELLED


async def test_shutdown_does_not_wait_for_a_database_that_stays_away(monkeypatch):
    monkeypatch.setattr("sipcore.service.record_keeper._RETRY_SECONDS", 0.0)
    async with running() as site, asyncio.timeout(5):
        await site.settled_dial()
        site.store.failures["complete"] = 1_000_000
        await site.engine.stop()
        assert site.store.completed == []
        site.store.failures["complete"] = 0


# -- lost workers and odd events


@pytest.mark.parametrize(
    ("scripts", "disposition", "first_stage"),
    [
        ({"agent": RINGS}, Disposition.INTERRUPTED, "Unreachable"),
        ({"customer": RINGS}, Disposition.INTERRUPTED, None),
        ({}, Disposition.INTERRUPTED, None),
    ],
    ids=["dial1 rings", "dial2 rings", "joined"],
)
async def test_a_lost_worker_interrupts_its_calls_and_their_records_are_written(scripts, disposition, first_stage):
    async with running(**scripts) as site:
        call = await site.settled_dial()
        site.port.lose_worker(site.port.legs[call.uid1].slots.worker)
        record = await site.store.record_of(call)
        assert call.first_stage.result() == first_stage
        assert (site.engine.calls_in_progress, site.port.free_legs) == (0, 8)
    assert (record.disposition, record.ended_by) == (disposition, "worker")
    assert all(leg.ended_by in {"network", None} for leg in record.legs)


async def test_a_lost_worker_interrupts_all_its_calls_and_no_other():
    async with running(workers=2) as site:
        calls = [await site.settled_dial() for _ in range(4)]
        worker = site.port.legs[calls[0].uid1].slots.worker
        hit = {call.id for call in calls if site.port.legs[call.uid1].slots.worker == worker}
        site.port.lose_worker(worker)
        await site.port.settled()
        assert {call.id for call in calls if site.engine.live_record("acme", call.id) is None} == hit
        assert len(hit) == 2
        assert all(site.port.legs[call.uid1].far_end is FarEnd.UP for call in calls if call.id not in hit)


async def test_a_call_whose_worker_is_gone_before_its_first_invite_fails():
    async with running() as site:
        site.store.free.clear()
        dialling = asyncio.ensure_future(site.dial())
        await site.store.asked.wait()
        for worker in (1, 2):
            site.port.lose_worker(worker)
        site.store.free.set()
        call = await dialling
        record = await site.store.record_of(call)
    assert call.first_stage.result() == "Unreachable"
    assert record.disposition is Disposition.UNREACHABLE


async def test_events_of_unknown_legs_are_passed_over():
    async with running(customer=RINGS) as site:
        with structlog.testing.capture_logs() as logged:
            for event in (LegRang("unknown", 180), LegEnded("unknown", 486), WorkerLost(("unknown",)), WorkerLost(())):
                site.port.report(event)
            await site.port.settled()
        assert logged == []
        call = await site.settled_dial()
        assert call.first_stage.result() is None


async def test_an_event_that_cannot_happen_ends_its_call_and_no_other():
    async with running(agent=RINGS, colleague=RINGS) as site:
        broken, other = await site.settled_dial(), await site.settled_dial("102")
        # Leg 2 was not placed yet: no port can report an answer of it.
        with structlog.testing.capture_logs() as logged:
            site.port.report(LegAnswered(broken.uid2))
            record = await site.store.record_of(broken)
        assert any(line["log_level"] == "error" for line in logged)
        assert broken.first_stage.result() == "Unreachable"
        assert record.ended_at is not None
        assert site.port.living_legs == [other.uid1]
        site.port.answer(other.uid1)
        await site.port.settled()
        assert other.first_stage.result() is None


async def test_events_go_on_when_one_of_them_cannot_be_taken(monkeypatch):
    async with running(agent=RINGS) as site:
        call = await site.settled_dial()
        with structlog.testing.capture_logs() as logged, monkeypatch.context() as patched:
            patched.setattr(site.engine, "_take", lambda _event: 1 / 0)
            site.port.ring(call.uid1)
            await site.port.settled()
        assert [line["event"] for line in logged] == ["event not taken"]
        site.port.answer(call.uid1)
        await site.port.settled()
        assert call.first_stage.result() is None


async def test_each_step_of_a_call_is_one_log_line_with_its_uniqueid():
    with structlog.testing.capture_logs() as logged:
        async with running() as site:
            call = await site.settled_dial()
            site.port.press(call.uid1, "7")
            await site.end(call)
    steps = [(line["event"], line["leg"], line["uid"]) for line in logged if "leg" in line]
    assert steps[:3] == [(step, 1, call.uid1) for step in ("leg placed", "leg ringing", "leg answered")]
    assert ("digit", 1, call.uid1) in steps
    assert steps[-2:] == [("leg ended", 1, call.uid1), ("leg ended", 2, call.uid2)]
    assert not any("7" in str(line.get("digit", "")) for line in logged)
