"""Measurements of what is kept: records that are searched, future calls that wait, nodes that are killed."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from benchmark import campaign_list, future_calls
from benchmark.accounting import Meter, pss_mb
from benchmark.kills import kill_nodes
from benchmark.records import filled_store, page_times, searches
from benchmark.report import Measurement, single, spread
from benchmark.server import ORGANISATION, Server
from benchmark.workbench import LATENCY_HOLD_SECONDS, NS_PER_MS, Bench, counted, is_over, wait_for
from sipcore.store.opening import migrate

_SCHEDULED_AHEAD_SECONDS = 3.0
_SPARE_WORKERS = 10
_CLAIMED = 2000


async def records(bench: Bench) -> AsyncIterator[Measurement]:
    """Pages of 50 out of many records, for each search that somebody may want."""
    plan = bench.plan
    begun = time.perf_counter()
    store = await filled_store(bench.new_folder(), plan.records)
    filled_seconds = time.perf_counter() - begun
    try:
        meter, figures = Meter(), []
        for search in searches(plan.records):
            milliseconds = [taken async for taken in page_times(store, search, plan.page_reads)]
            figures.append(spread(search.name, "ms", milliseconds, below=(20.0, 20.0)))
        load = meter.read()
    finally:
        await store.close()
    details = {"records": plan.records, "filled_seconds": round(filled_seconds, 1)}
    yield Measurement("records", figures, load, details)


async def _lateness(bench: Bench, kind: str) -> Measurement:
    plan, folder, tomorrow = bench.plan, bench.new_folder(), datetime.now(UTC) + timedelta(days=1)
    with future_calls.database(kind, folder) as url:
        await future_calls.fill(url, ORGANISATION, plan.pending, tomorrow)
        warm = plan.due // 2 + _SPARE_WORKERS
        with (
            Server(folder, database=url, warm_workers=warm) as server,
            bench.peer(server, hold_seconds=LATENCY_HOLD_SECONDS) as peer,
        ):
            await wait_for(lambda: len(server.worker_pids()) >= warm)
            await asyncio.sleep(plan.settle_seconds)
            calls = [next(bench.calls) for _ in range(plan.due)]
            before = pss_mb(server.pid)
            due = datetime.now(UTC) + timedelta(seconds=_SCHEDULED_AHEAD_SECONDS)
            for call in calls:
                server.schedule(call, due)
            meter = Meter(server.pid, peer.pid)
            await wait_for(lambda: peer.counters()["invites"] >= 2 * len(calls))
            await wait_for(lambda: is_over(peer.counters()))
            load, legs = meter.read(), peer.messages()
            grown = pss_mb(server.pid) - before
            complaints = counted("the server's log", server.complaints())
        claim_ms = await future_calls.claim_ms(url, tomorrow + timedelta(seconds=_CLAIMED))
    sent = [legs[call, 1].of["invite"] for call in calls if (call, 1) in legs and legs[call, 1].has("invite")]
    late = spread("due to first INVITE", "ms", [(each - due.timestamp() * 1e9) / NS_PER_MS for each in sent])
    figures = [
        replace(late, targets={"p99": 500.0}),
        single(f"calls of {len(calls)} that did not begin", "", len(calls) - len(sent), below=0),
        single("claiming a number", "ms", claim_ms, below=2.0),
    ]
    details = {"pending": plan.pending, "grown_mb": round(grown, 1)}
    return Measurement(f"lateness, {plan.due} at once, {kind}", figures, load, details, complaints)


async def lateness(bench: Bench) -> AsyncIterator[Measurement]:
    """Future calls that are due at once: how late their INVITEs leave, and what it costs to claim them."""
    for kind in bench.plan.databases:
        yield await _lateness(bench, kind)


async def _campaign(bench: Bench, kind: str) -> Measurement:
    plan, folder = bench.plan, bench.new_folder()
    with future_calls.database(kind, folder) as url:
        await migrate(url)
        with Server(folder, database=url) as server:
            server.pause_agent()
            campaign = campaign_list.make(server)
            await asyncio.sleep(plan.settle_seconds)
            before, meter, begun = pss_mb(server.pid), Meter(server.pid), time.perf_counter()
            accepted = await campaign_list.send(server, campaign, plan.listed)
            seconds, load = time.perf_counter() - begun, meter.read()
            await campaign_list.fill(url, campaign, plan.listed, plan.listed_pending)
            server.ask(f"campaigns/{campaign}/start", b"")
            await asyncio.sleep(plan.settle_seconds)
            grown = pss_mb(server.pid) - before
            complaints = counted("the server's log", server.complaints())
    figures = [
        single(f"{plan.listed} numbers in one file", "s", seconds, below=10.0),
        single("lines that were not accepted", "", plan.listed - accepted, below=0),
        single(f"memory with {plan.listed_pending} pending", "MB", grown, below=30.0),
    ]
    details = {"lines_a_second": round(plan.listed / seconds)}
    return Measurement(f"campaign, {kind}", figures, load, details, complaints)


async def campaign(bench: Bench) -> AsyncIterator[Measurement]:
    """A campaign's file: how soon it is accepted, and what numbers that wait cost the server in memory."""
    for kind in bench.plan.databases:
        yield await _campaign(bench, kind)


async def kills(bench: Bench) -> AsyncIterator[Measurement]:
    """Two nodes dial future calls and campaigns, and one or the other is killed: nothing is lost, or dialled twice."""
    meter = Meter()
    found = await kill_nodes(bench.program, bench.new_folder(), bench.plan.kills)
    figures, details = [], {"kills": found.killed}
    for name, dialled in (("future calls", found.future_calls), ("campaigns", found.campaigns)):
        figures += [
            single(f"{name}: numbers that were never answered", "", dialled.lost, below=0),
            single(f"{name}: calls at the peer beyond the attempts", "", dialled.twice, below=0),
            single(f"{name}: attempts that were interrupted", "", dialled.interrupted),
        ]
        details[name] = {"numbers": dialled.numbers, "attempts": dialled.attempts, "calls": dialled.dialled}
    figures.append(single("calls left up at the peer", "", found.left_up, below=0))
    yield Measurement("kills", figures, meter.read(), details)
