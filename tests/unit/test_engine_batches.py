"""Batches over the call engine, the fake SIP port and a real database: what is dialled when, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from test_call_engine import directory_with, organisation

from sipcore.domain import call_limits
from sipcore.domain.batch import BatchState, NumberState
from sipcore.domain.causes import Disposition
from sipcore.domain.commands import PlaceLeg
from sipcore.domain.directory import Announcement, Queue
from sipcore.domain.errors import (
    LimitReachedError,
    NotAllowedError,
    ParameterError,
    ShuttingDownError,
    StoreUnavailableError,
)
from sipcore.domain.record import RecordFilter
from sipcore.service import batches as batches_module
from sipcore.service import live_batch
from sipcore.service.admission import EngineSettings
from sipcore.service.batches import Batches, BatchRequest
from sipcore.service.call_engine import CallEngine
from sipcore.service.calls import DialRequest, LiveDirectory
from sipcore.service.numbers import PhoneNumberPlan
from sipcore.sip.fake import RINGS, FakeSipPort, refuses
from sipcore.store.records import open_store

ONE, TWO, THREE, FOUR, FIVE = NUMBERS = tuple(f"+1202555012{digit}" for digit in range(5))
QUEUED, RINGING, ANSWERED = NumberState.QUEUED, NumberState.RINGING, NumberState.ANSWERED
FAILED, CANCELLED = NumberState.FAILED, NumberState.CANCELLED
NOTICE = Announcement("800", "/notice.wav")


class Site:
    """A running engine, batches over it, and a database in a file."""

    def __init__(self, port, store, acme):
        self.port, self.store = port, store
        self.directory = LiveDirectory(directory_with(acme, replace(acme, name="other")))
        numbers = PhoneNumberPlan()
        self.engine = CallEngine(port, store, self.directory, numbers, EngineSettings())
        self.batches = Batches(self.engine, store, self.directory, numbers, self.engine.queues)

    async def dial(self, *dial1, dial2="800", **more):
        return await self.batches.dial(BatchRequest("acme", "alice", dial1, dial2, **more))

    async def statuses(self, batch):
        report = await self.batches.get("acme", batch.id)
        return [result.status for result in report.results]

    async def stand(self, batch, *statuses):
        """Wait until the numbers stand so."""
        async with asyncio.timeout(5):
            while await self.statuses(batch) != [*statuses]:  # noqa: ASYNC110 - timers have no event for us
                await asyncio.sleep(0.001)

    async def written(self, batch):
        """Wait until the batch has ended and is in the database alone; return its report."""
        async with asyncio.timeout(5):
            await batch.ended
            while batch.id in self.batches._live:  # noqa: ASYNC110 - nobody outside is told
                await asyncio.sleep(0.001)
        return await self.batches.get("acme", batch.id)

    def leg_to(self, number):
        return self.port.leg_to(number).place.leg

    def dialled(self):
        return [command.plan.user for _, command in self.port.commands if isinstance(command, PlaceLeg)]

    async def stop(self):
        self.batches.stop()
        await self.engine.stop(patience_seconds=0.5)
        await self.batches.finish()


@contextlib.asynccontextmanager
async def running(folder, scripts=None, workers=6, **changes):
    acme = organisation(**{"calls_per_second": 1000.0, "announcements": {"800": NOTICE}, **changes})
    store = await open_store(f"sqlite:///{folder}/calls.db")
    site = Site(FakeSipPort(workers=workers, scripts=scripts or {}), store, acme)
    await site.engine.queues.start()
    site.engine.start()
    try:
        yield site
    finally:
        await site.stop()
        await store.close()


# -- what is dialled


async def test_each_number_is_a_call_of_its_own_with_its_record_and_uids(tmp_path):
    async with running(tmp_path, {ONE: refuses(486), TWO: RINGS}) as site:
        batch = await site.dial(ONE, TWO, THREE)
        assert await batch.first_stage is None
        await site.stand(batch, FAILED, RINGING, ANSWERED)
        assert batch.uids == (batch.report().results[2].uid1, batch.report().results[2].uid2)
        assert site.leg_to(THREE) == batch.uids[0]
        site.port.reject(site.leg_to(TWO), 404)
        site.port.hang_up(site.leg_to(THREE))
        report = await site.written(batch)
        page = await site.store.find("acme", RecordFilter(batch=batch.id))
    assert [(result.number, result.status, result.reason) for result in report.results] == [
        (ONE, FAILED, "Busy"),
        (TWO, FAILED, "Not connected"),
        (THREE, ANSWERED, None),
    ]
    assert (report.record.state, report.record.ended_at is None) == (BatchState.FINISHED, False)
    records = {record.id: record for record in page.items}
    assert len(records) == 3
    for result in report.results:
        record = records[result.record_id]
        assert (record.dial1, record.dial2, record.user) == (result.number, "800", "alice")
        assert [leg.uid for leg in record.legs] == [result.uid1, result.uid2]
    assert len({uid for result in report.results for uid in (result.uid1, result.uid2)}) == 6


async def test_no_more_calls_than_the_organisation_may_have_are_in_progress(tmp_path):
    async with running(tmp_path, dict.fromkeys(NUMBERS, RINGS), max_calls=2) as site:
        batch = await site.dial(*NUMBERS)
        await site.stand(batch, RINGING, RINGING, QUEUED, QUEUED, QUEUED)
        site.port.reject(site.leg_to(ONE), 486)
        await site.stand(batch, FAILED, RINGING, RINGING, QUEUED, QUEUED)
        site.port.answer(site.leg_to(TWO))
        await site.stand(batch, FAILED, ANSWERED, RINGING, QUEUED, QUEUED)
        assert len(site.port.living_legs) == 2
        assert site.dialled() == [ONE, TWO, THREE]


async def test_two_batches_share_what_the_organisation_may_have(tmp_path):
    async with running(tmp_path, dict.fromkeys(NUMBERS, RINGS), max_calls=3) as site:
        first = await site.dial(ONE, TWO, THREE, FOUR)
        await site.stand(first, RINGING, RINGING, RINGING, QUEUED)
        second = await site.dial(FIVE, "+12025550199")
        site.port.reject(site.leg_to(ONE), 486)
        await site.stand(second, RINGING, QUEUED)
        assert await site.statuses(first) == [FAILED, RINGING, RINGING, QUEUED]


async def test_a_number_that_is_given_twice_is_dialled_once_however_it_is_written(tmp_path):
    async with running(tmp_path) as site:
        batch = await site.dial(ONE, "2025550120", f"tel:{ONE}", TWO, "101", "ext:101")
        assert [result.number for result in batch.report().results] == [ONE, TWO, "101"]
        await site.stand(batch, ANSWERED, ANSWERED, ANSWERED)
        assert site.dialled() == [ONE, TWO, "101"]


async def test_one_number_that_is_given_twice_may_be_joined_with_a_phone(tmp_path):
    async with running(tmp_path) as site:
        batch = await site.dial(ONE, ONE, dial2="101")
        await site.stand(batch, ANSWERED)


async def test_a_number_waits_while_others_take_all_the_calls_of_the_organisation(tmp_path, monkeypatch):
    monkeypatch.setattr(call_limits, "_CALL_RETRY_SECONDS", 0.01)
    async with running(tmp_path, max_calls=1) as site:
        call = await site.engine.dial(DialRequest("acme", "alice", "101", FIVE))
        await site.port.settled()
        batch = await site.dial(ONE, TWO)
        await asyncio.sleep(0.05)  # some refusals
        assert await site.statuses(batch) == [QUEUED, QUEUED]
        site.port.hang_up(call.uid1)
        await site.stand(batch, ANSWERED, QUEUED)


async def test_a_number_waits_for_free_legs(tmp_path, monkeypatch):
    monkeypatch.setattr(live_batch, "_NO_ROOM_RETRY_SECONDS", 0.01)
    async with running(tmp_path, dict.fromkeys(NUMBERS, RINGS), workers=1) as site:
        batch = await site.dial(ONE, TWO, THREE)
        await site.stand(batch, RINGING, RINGING, QUEUED)
        site.port.reject(site.leg_to(TWO), 486)
        await site.stand(batch, RINGING, FAILED, RINGING)


async def test_numbers_are_dialled_only_as_the_queues_agents_become_free(tmp_path):
    queue = Queue("700", ("101", "102"), music="/music.wav")
    async with running(tmp_path, dict.fromkeys(NUMBERS, RINGS), queues={"700": queue}) as site:
        batch = await site.dial(*NUMBERS, dial2="700")
        other = await site.dial(*NUMBERS, dial2="700")
        await site.stand(batch, RINGING, RINGING, QUEUED, QUEUED, QUEUED)
        assert (await site.statuses(other), other.machine.outstanding) == ([QUEUED] * 5, 0)
        await site.batches.cancel("acme", other.id)
        site.port.answer(site.leg_to(ONE))
        await site.stand(batch, ANSWERED, RINGING, QUEUED, QUEUED, QUEUED)
        site.port.reject(site.leg_to(TWO), 486)
        # One agent talks, for the other one the next number is dialled.
        await site.stand(batch, ANSWERED, FAILED, RINGING, QUEUED, QUEUED)
        site.port.hang_up(site.leg_to("101"))
        await site.stand(batch, ANSWERED, FAILED, RINGING, RINGING, QUEUED)


async def test_numbers_that_are_nobodys_any_more_are_passed_over(tmp_path):
    async with running(tmp_path, dict.fromkeys(NUMBERS, RINGS), max_calls=1) as site:
        batch = await site.dial(ONE, "900")
        await site.stand(batch, RINGING, QUEUED)
        site.directory.current = directory_with()
        site.port.reject(site.leg_to(ONE), 486)
        report = await site.written(batch)
    assert [result.status for result in report.results] == [FAILED, CANCELLED]


async def test_what_goes_wrong_inside_ends_that_number_alone(tmp_path, monkeypatch):
    async with running(tmp_path) as site:
        real = site.engine.dial

        async def dial(request):
            if request.dial1 == ONE:
                raise RuntimeError("the inside")
            return await real(request)

        monkeypatch.setattr(site.engine, "dial", dial)
        batch = await site.dial(ONE, TWO)
        await site.stand(batch, CANCELLED, ANSWERED)


# -- what is refused


@pytest.mark.parametrize(
    ("dial1", "changed", "error", "words"),
    [
        ((ONE, "+1", TWO), {}, ParameterError, "dial1: entry 2: not a telephone number"),
        ((ONE, "queue:1"), {}, ParameterError, "dial1: entry 2: the organisation has no queue"),
        ((ONE, TWO, "+442079460018"), {}, NotAllowedError, "dial1: entry 3: the organisation may not dial"),
        ((ONE, TWO), {"dial2": "101"}, ParameterError, "dial2: several numbers need one that talks to many"),
        ((ONE, TWO), {"dial2": "+1"}, ParameterError, "dial2: not a telephone number"),
        ((ONE, TWO), {"set_cid": "+13035550177"}, NotAllowedError, "SetCID: "),
        ((ONE, "msg:800"), {}, ParameterError, "dial2: neither destination is a phone"),
    ],
)
async def test_one_bad_destination_refuses_the_whole_batch_and_nothing_is_dialled(
    tmp_path, dial1, changed, error, words
):
    async with running(tmp_path, allowed_prefixes=("+1",)) as site:
        with pytest.raises(ParameterError) as raised:
            await site.dial(*dial1, **changed)
        assert type(raised.value) is error
        assert str(raised.value).startswith(words)
        assert (await site.batches.find("acme")).items == ()
        await site.port.settled()
        assert site.port.commands == []


async def test_a_batch_that_the_database_does_not_take_is_not_dialled(tmp_path):
    async with running(tmp_path) as site:
        await site.store.close()
        with pytest.raises(StoreUnavailableError):
            await site.dial(ONE, TWO)
        await site.port.settled()
        assert site.port.commands == []


async def test_an_organisation_may_run_so_many_batches_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(batches_module, "MAX_RUNNING", 1)
    async with running(tmp_path, dict.fromkeys(NUMBERS, RINGS)) as site:
        first = await site.dial(ONE, TWO)
        with pytest.raises(LimitReachedError, match="running batches"):
            await site.dial(THREE, FOUR)
        await site.batches.cancel("acme", first.id)
        await site.written(first)
        await site.dial(THREE, FOUR)


# -- how it ends


async def test_a_cancelled_batch_hangs_up_what_rings_and_leaves_those_who_talk(tmp_path):
    async with running(tmp_path, {TWO: RINGS}, max_calls=2) as site:
        batch = await site.dial(ONE, TWO, THREE)
        await site.stand(batch, ANSWERED, RINGING, QUEUED)
        report = await site.batches.cancel("acme", batch.id)
        assert (report.record.state, report.record.cancelled_by) == (BatchState.CANCELLED, "request")
        await site.stand(batch, ANSWERED, CANCELLED, CANCELLED)
        assert site.port.living_legs == [site.leg_to(ONE)]
        site.port.hang_up(site.leg_to(ONE))
        live = batch.report()
        report = await site.written(batch)
        assert report.results == live.results
        assert (report.results[1].record_id is None, report.results[2].record_id) == (False, None)
        assert site.dialled() == [ONE, TWO]
        # A second time changes nothing.
        assert await site.batches.cancel("acme", batch.id) == report


async def test_whoever_answers_in_the_moment_of_the_cancellation_is_not_hung_up(tmp_path):
    async with running(tmp_path, {ONE: RINGS}) as site:
        batch = await site.dial(ONE, ONE)
        await site.stand(batch, RINGING)
        batch._under_way[0].first_stage.set_result(None)
        batch.cancel("request")
        await site.stand(batch, ANSWERED)
        assert site.port.living_legs == [site.leg_to(ONE)]


async def test_other_organisations_neither_see_nor_cancel_a_batch(tmp_path):
    async with running(tmp_path, dict.fromkeys(NUMBERS, RINGS)) as site:
        batch = await site.dial(ONE, TWO)
        await site.stand(batch, RINGING, RINGING)
        assert await site.batches.get("other", batch.id) is None
        assert await site.batches.cancel("other", batch.id) is None
        assert (await site.batches.find("other")).items == ()
        assert await site.statuses(batch) == [RINGING, RINGING]
        await site.batches.cancel("acme", batch.id)
        await site.written(batch)
        assert await site.batches.get("other", batch.id) is None


async def test_a_shutdown_cancels_what_was_not_dialled_and_says_so(tmp_path):
    async with running(tmp_path, {TWO: RINGS}, max_calls=2) as site:
        batch = await site.dial(ONE, TWO, THREE)
        await site.stand(batch, ANSWERED, RINGING, QUEUED)
        await site.stop()
        report = await site.batches.get("acme", batch.id)
        page = await site.store.find("acme", RecordFilter(batch=batch.id))
        with pytest.raises(ShuttingDownError):
            await site.dial(ONE, TWO)
    assert (report.record.cancelled_by, report.record.ended_at is None) == ("shutdown", False)
    assert [result.status for result in report.results] == [ANSWERED, CANCELLED, CANCELLED]
    assert {record.ended_by for record in page.items} == {"shutdown"}


async def test_after_a_crash_what_was_not_dialled_is_cancelled(tmp_path):
    async with running(tmp_path, {TWO: RINGS}, max_calls=2) as site:
        batch = await site.dial(ONE, TWO, THREE)
        await site.stand(batch, ANSWERED, RINGING, QUEUED)
        again = await open_store(f"sqlite:///{tmp_path}/calls.db")
        await again.nodes.settle(datetime.now(UTC))
        reader = Batches(site.engine, again, site.directory, PhoneNumberPlan(), site.engine.queues)
        report = await reader.get("acme", batch.id)
        await again.close()
    assert (report.record.state, report.record.cancelled_by) == (BatchState.CANCELLED, "restart")
    # The database does not know yet that the first one was answered.
    assert [(result.status, result.reason) for result in report.results] == [
        (FAILED, "Unreachable"),
        (FAILED, "Unreachable"),
        (CANCELLED, None),
    ]


async def test_one_is_cancelled_also_while_the_database_is_away(tmp_path, monkeypatch):
    async with running(tmp_path, {ONE: RINGS}, max_calls=1) as site:

        async def away(*_):
            raise StoreUnavailableError("away")

        batch = await site.dial(ONE, TWO)
        await site.stand(batch, RINGING, QUEUED)
        with monkeypatch.context() as patch:
            patch.setattr(site.store, "cancel_batch", away)
            report = await site.batches.cancel("acme", batch.id)
        assert report.record.state is BatchState.CANCELLED
        written = await site.written(batch)
    assert written.record.cancelled_by == "request"
    assert [result.status for result in written.results] == [CANCELLED, CANCELLED]


async def test_batches_are_listed_newest_first_as_they_stand_now(tmp_path):
    async with running(tmp_path, {THREE: RINGS, FOUR: RINGS}) as site:
        first = await site.dial(ONE, TWO)
        await site.stand(first, ANSWERED, ANSWERED)
        for number in (ONE, TWO):
            site.port.hang_up(site.leg_to(number))
        await site.written(first)
        second = await site.dial(THREE, FOUR)
        await site.batches.cancel("acme", second.id)
        page = await site.batches.find("acme")
    assert [(item.id, item.state) for item in page.items] == [
        (second.id, BatchState.CANCELLED),
        (first.id, BatchState.FINISHED),
    ]
    assert page.items[1].numbers == (ONE, TWO)


async def test_a_record_tells_answered_though_the_caller_left_before_dial2_was_there(tmp_path):
    queue = Queue("700", ("101",), music="/music.wav")
    async with running(tmp_path, {"101": RINGS}, queues={"700": queue}) as site:
        batch = await site.dial(ONE, ONE, dial2="700")
        await site.stand(batch, ANSWERED)
        site.port.hang_up(site.leg_to(ONE))
        report = await site.written(batch)
        record = await site.store.get("acme", report.results[0].record_id)
    assert record.disposition is Disposition.CANCELLED
    assert report.results[0].status is ANSWERED
