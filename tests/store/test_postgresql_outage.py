"""Calls while PostgreSQL goes away and comes back: none begins without its record, none in progress is lost."""

import asyncio
import contextlib
import os
import signal

import pytest
from node_site import NodeSite

from sipcore.domain.causes import Disposition
from sipcore.domain.errors import StoreInDoubtError, StoreUnavailableError
from sipcore.domain.record import RecordFilter
from sipcore.service import record_keeper


@contextlib.contextmanager
def standing_still(postgresql):
    """Stop the processes that serve our connections, as a machine that hangs would."""
    backends = postgresql.sql("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'click2call-%'")
    for (pid,) in backends:
        os.kill(int(pid), signal.SIGSTOP)
    os.kill(postgresql.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for (pid,) in backends:
            os.kill(int(pid), signal.SIGCONT)
        os.kill(postgresql.pid, signal.SIGCONT)


@contextlib.contextmanager
def commits_without_an_answer(postgresql):
    """Have each commit made, and its answer wait for a standby server that there is none of."""
    postgresql.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody';\nSELECT pg_reload_conf()")
    try:
        yield
    finally:
        postgresql.sql("ALTER SYSTEM RESET synchronous_standby_names;\nSELECT pg_reload_conf()")


async def test_a_server_that_stops_costs_no_call_in_progress_and_lets_none_begin(
    postgresql, postgresql_url, monkeypatch
):
    monkeypatch.setattr(record_keeper, "_RETRY_SECONDS", 0.02)
    async with NodeSite(postgresql_url) as site:
        ended_meanwhile, goes_on = await site.dial(), await site.dial()
        dialled = site.dialled
        postgresql.stop()
        with pytest.raises(StoreUnavailableError):
            await site.dial()
        assert site.dialled == dialled
        site.port.hang_up(ended_meanwhile.uid1)
        await site.port.settled()
        assert ended_meanwhile.over.done()
        assert site.engine.live_record("acme", goes_on.id).joined_at is not None
        postgresql.start()
        record = await site.written(ended_meanwhile.id)
        assert (record.disposition, record.ended_by) == (Disposition.ANSWERED, "dial1")
        afterwards = await site.dial()
        for call in (goes_on, afterwards):
            site.port.hang_up(call.uid1)
            assert (await site.written(call.id)).disposition is Disposition.ANSWERED
        assert len((await site.store.find("acme", RecordFilter())).items) == 3


async def test_the_first_request_after_a_restart_of_the_server_is_served(postgresql, postgresql_url):
    async with NodeSite(postgresql_url) as site:
        await site.dial()
        postgresql.stop()
        postgresql.start()
        call = await site.dial()
        assert (await site.store.get("acme", call.id)).id == call.id


async def test_a_server_that_does_not_answer_refuses_calls_until_it_does(postgresql, postgresql_url):
    async with NodeSite(postgresql_url, patience=0.3) as site:
        await site.dial()
        dialled = site.dialled
        with standing_still(postgresql):
            async with asyncio.timeout(20):
                for _ in range(2):
                    with pytest.raises(StoreUnavailableError):
                        await site.dial()
                with pytest.raises(StoreUnavailableError):
                    await site.store.ping()
        assert site.dialled == dialled
        await site.dial()


async def test_a_call_that_was_refused_while_its_record_was_written_is_ended_in_it(
    postgresql, postgresql_url, monkeypatch
):
    monkeypatch.setattr(record_keeper, "_RETRY_SECONDS", 0.02)
    async with NodeSite(postgresql_url, patience=0.3) as site:
        with commits_without_an_answer(postgresql), pytest.raises(StoreInDoubtError):
            await site.dial()
        (record,) = (await site.store.find("acme", RecordFilter())).items
        record = await site.written(record.id)
    assert (record.disposition, record.ended_by) == (Disposition.INTERRUPTED, "error")
    assert site.dialled == []
