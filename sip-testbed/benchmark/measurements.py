"""The measurements: what is done to the server, and which figures come of it."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from testbed.process import TestbedError

from benchmark import keeping
from benchmark.accounting import Meter, pss_mb
from benchmark.clicks import Clicks
from benchmark.listeners import Listeners, event_server
from benchmark.peer import LegTimes, Peer, member_of
from benchmark.report import Figure, Measurement, from_histogram, single, spread
from benchmark.server import GROUPS, QUEUE, Server
from benchmark.workbench import LATENCY_HOLD_SECONDS, NS_PER_MS, Bench, all_over, counted, wait_for

_WARM_GAP_SECONDS = 0.1
_GAP_JITTER_SECONDS = 0.02
_RAMP_PER_SECOND = 15.0
_WORKERS_SECONDS = 60.0
_NO_LEG = LegTimes({})


async def latency(bench: Bench) -> AsyncIterator[Measurement]:
    """Calls one after the other: how soon each INVITE leaves."""
    plan = bench.plan
    with bench.server() as server, bench.peer(server, hold_seconds=LATENCY_HOLD_SECONDS) as peer:
        clicks = Clicks(server)
        for _ in range(plan.warm_calls):
            clicks.click(next(bench.calls))
            await asyncio.sleep(_WARM_GAP_SECONDS)
        await asyncio.sleep(min(plan.settle_seconds, 1.0))
        meter, measured = Meter(server.pid, peer.pid), []
        for _ in range(plan.latency_calls):
            measured.append(call := next(bench.calls))
            clicks.click(call)
            jitter = random.uniform(-_GAP_JITTER_SECONDS, _GAP_JITTER_SECONDS)  # noqa: S311 - no secret
            await asyncio.sleep(max(plan.latency_gap_seconds + jitter, 0.0))
        await all_over(clicks, peer)
        load = meter.read()
        figures = _call_figures(clicks, peer, measured)
        yield Measurement("latency", figures, load, remarks=_remarks(clicks, peer, server))


async def workers(bench: Bench) -> AsyncIterator[Measurement]:
    """Workers started one after the other: how soon each is ready, and its memory while all run."""
    settings = Server(bench.new_folder()).write_settings()
    meter = Meter()
    command = [sys.executable, "-m", "benchmark.workers", str(settings), str(bench.plan.workers)]
    tool = await asyncio.create_subprocess_exec(
        *command, cwd=Path(__file__).parent.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, errors = await asyncio.wait_for(tool.communicate(), _WORKERS_SECONDS)
    except TimeoutError:
        raise TestbedError(f"the workers did not start and end within {_WORKERS_SECONDS:.0f} s") from None
    finally:
        if tool.returncode is None:
            tool.kill()
            await tool.wait()
    if tool.returncode:
        raise TestbedError(f"no worker started: {errors.decode().strip()}")
    found = json.loads(output)
    weights = found["pss_mb"]
    figures = [
        spread("worker ready", "ms", found["ready_ms"], below=(50.0, 50.0)),
        single(f"PSS of a worker, {len(weights)} running", "MB", sum(weights) / len(weights), below=10.0),
    ]
    details = {"first_ms": round(found["first_ms"], 1), "largest_pss_mb": round(max(weights), 2)}
    yield Measurement("workers", figures, meter.read(), details)


async def idle(bench: Bench) -> AsyncIterator[Measurement]:
    """A server with its warm workers and nothing to do."""
    with bench.server() as server:
        await asyncio.sleep(bench.plan.settle_seconds)
        meter = Meter(server.pid)
        await asyncio.sleep(bench.plan.idle_seconds)
        load = meter.read()
        figures = [single("CPU of the idle server and its workers", "% core", load.server * 100, below=1.0)]
        weights = [round(pss_mb(pid), 2) for pid in server.worker_pids()]
        yield Measurement("idle", figures, load, {"workers": len(weights), "pss_mb": weights})


async def media(bench: Bench) -> AsyncIterator[Measurement]:
    """Joined calls with audio from both sides."""
    for calls in bench.plan.media_calls:
        yield await _media(bench, calls)


async def recording(bench: Bench) -> AsyncIterator[Measurement]:
    """The same, recorded: what that adds."""
    for calls in bench.plan.media_calls:
        plain, recorded = await _media(bench, calls), await _media(bench, calls, recorded=True)
        both = (recorded.load.server - plain.load.server) * 100 / calls
        added = single("CPU that recording adds to a call", "% core", both, below=0.25)
        yield replace(recorded, figures=[added, *recorded.figures])


async def queue(bench: Bench) -> AsyncIterator[Measurement]:
    """Callers who wait in a queue, hear music, and are told their positions."""
    calls = bench.plan.waiting_calls
    with bench.server() as server, bench.peer(server, hold_seconds=None) as peer:
        server.pause_agent()
        clicks = Clicks(server)
        for _ in range(calls):
            clicks.click(next(bench.calls), QUEUE)
            await asyncio.sleep(1 / _RAMP_PER_SECOND)
        await clicks.answered()
        await wait_for(lambda: peer.counters()["legs_up"] == calls)
        await asyncio.sleep(bench.plan.settle_seconds)
        before, meter = peer.counters(), Meter(server.pid, peer.pid)
        await asyncio.sleep(bench.plan.waiting_seconds)
        load, after = meter.read(), peer.counters()
        figures = [
            single("calls not waiting", "", calls - after["legs_up"], below=0),
            single("CPU of the main process", "% core", load.main * 100, below=5.0),
            single("CPU of a waiting call, with its worker", "% core", load.server * 100 / calls),
        ]
        details = {
            "workers": len(server.worker_pids()),
            "rtp_received": after["rtp_received"] - before["rtp_received"],
        }
        remarks = _remarks(clicks, peer, server)
    yield Measurement(f"queue, {calls} waiting", figures, load, details, remarks)


async def group(bench: Bench) -> AsyncIterator[Measurement]:
    """Ring groups of twenty: how soon all of them ring once leg 1 has answered."""
    plan = bench.plan
    with bench.server() as server, bench.peer(server, hold_seconds=LATENCY_HOLD_SECONDS) as peer:
        clicks, meter = Clicks(server), Meter(server.pid, peer.pid)
        calls = {next(bench.calls): number for number in list(GROUPS)[: plan.groups]}
        for call, number in calls.items():
            clicks.click(call, number)
            await clicks.answered()
            await asyncio.sleep(plan.group_gap_seconds)
        await wait_for(lambda: len(peer.messages()) == len(calls) * (1 + len(GROUPS["600"])))
        load = meter.read()
        times, sent, late = peer.messages(), 0, []
        for call, number in calls.items():
            members = [times.get(member_of(each), _NO_LEG) for each in GROUPS[number]]
            invites = [member.of["invite"] for member in members if member.has("invite")]
            sent += len(invites)
            if invites:
                late.append((max(invites) - times[call, 1].of["answer"]) / NS_PER_MS)
        remarks = _remarks(clicks, peer, server)
    figures = [
        single("leg 1's 200 to the last of 20 INVITEs, slowest", "ms", max(late, default=math.inf), below=60.0),
        single("phones that did not ring", "", 20 * len(calls) - sent, below=0),
    ]
    details = {"groups": len(calls), "ms": [round(each, 1) for each in late]}
    yield Measurement("group, 20 at once", figures, load, details, remarks)


async def rate(bench: Bench) -> AsyncIterator[Measurement]:
    """Clicks at an even rate, each call held for a while."""
    for per_second in bench.plan.rates:
        yield await _rate(bench, per_second)


async def events(bench: Bench) -> AsyncIterator[Measurement]:
    """Events without calls, from being told through the database to clients on WebSockets."""
    plan = bench.plan
    async with event_server(bench.new_folder()) as server:
        listeners = Listeners(server.port, plan.event_clients)
        await listeners.start()
        meter = Meter(server.pid)
        told, cpu = await server.feed(plan.event_rate, plan.event_seconds)
        load = meter.read()
        await wait_for(lambda: min(listeners.received) >= told)
        await listeners.stop()
    missed = sum(abs(told - received) for received in listeners.received)
    figures = [
        single("CPU of the server's process", "% core", 100 * cpu / plan.event_seconds, below=25.0),
        single("events that clients missed, or got twice", "", missed, below=0),
        spread("event told to event read", "ms", listeners.delays_ms),
    ]
    details = {"events": told, "clients": plan.event_clients, "per_second": round(told / plan.event_seconds)}
    yield Measurement("events", figures, load, details)


async def _media(bench: Bench, calls: int, *, recorded: bool = False) -> Measurement:
    with bench.server() as server, bench.peer(server, hold_seconds=None, media=True) as peer:
        clicks = Clicks(server, recorded=recorded)
        for _ in range(calls):
            clicks.click(next(bench.calls))
            await asyncio.sleep(1 / _RAMP_PER_SECOND)
        await clicks.answered()
        await wait_for(lambda: peer.counters()["legs_up"] == 2 * calls)
        await asyncio.sleep(bench.plan.settle_seconds)
        peer.reset()
        before, meter = peer.counters(), Meter(server.pid, peer.pid)
        await asyncio.sleep(bench.plan.media_seconds)
        load, after = meter.read(), peer.counters()
        weights = [pss_mb(pid) for pid in server.worker_pids()]
        recordings = len(list((server.folder / "recordings").glob(".open/*.json")))
        peer.hang_up()
        await all_over(clicks, peer)
        remarks = _remarks(clicks, peer, server)
    figures = [
        single("calls not joined", "", calls - after["legs_up"] // 2, below=0),
        single("CPU of a joined call", "% core", load.server * 100 / calls, below=0.8),
        *_media_figures(before, after),
        single("PSS of a worker, with its calls", "MB", sum(weights) / max(len(weights), 1)),
    ]
    counted = ("rtp_sent", "rtp_received", "rtp_duplicates")
    details = {"workers": len(weights), "legs_reported": after["legs_reported"], "recordings": recordings}
    details |= {name: after[name] - before[name] for name in counted}
    name = "recording" if recorded else "media"
    return Measurement(f"{name}, {calls} calls", figures, load, details, remarks)


async def _rate(bench: Bench, per_second: int) -> Measurement:
    with bench.server() as server, bench.peer(server, hold_seconds=bench.plan.rate_hold_seconds) as peer:
        clicks = Clicks(server)
        await asyncio.sleep(min(bench.plan.settle_seconds, 1.0))
        calls = [next(bench.calls) for _ in range(round(per_second * bench.plan.rate_seconds))]
        meter = Meter(server.pid, peer.pid)
        begun, latest = time.perf_counter(), 0.0
        for number, call in enumerate(calls):
            early = begun + number / per_second - time.perf_counter()
            latest = max(latest, -early)
            await asyncio.sleep(max(early, 0.0))
            clicks.click(call)
        await all_over(clicks, peer)
        load = meter.read()
        cpu_ms = load.server * load.seconds * 1000 / len(calls)
        figures = [*_call_figures(clicks, peer, calls, targets=False), single("CPU of a call", "ms", cpu_ms)]
        details = {"workers": len(server.worker_pids()), "latest_click_ms": round(latest * 1000, 1)}
        remarks = _remarks(clicks, peer, server)
    return Measurement(f"rate, {per_second} a second", figures, load, details, remarks)


MEASUREMENTS: dict[str, Callable[[Bench], AsyncIterator[Measurement]]] = {
    "latency": latency,
    "workers": workers,
    "idle": idle,
    "media": media,
    "recording": recording,
    "queue": queue,
    "group": group,
    "rate": rate,
    "events": events,
    "records": keeping.records,
    "lateness": keeping.lateness,
    "campaign": keeping.campaign,
    "kills": keeping.kills,
}


def _call_figures(clicks: Clicks, peer: Peer, calls: list[int], *, targets: bool = True) -> list[Figure]:
    legs = peer.messages()
    to_first, to_second, complete = [], [], 0
    for call in calls:
        first, second = legs.get((call, 1), _NO_LEG), legs.get((call, 2), _NO_LEG)
        if "invite" in first.of:
            to_first.append((first.of["invite"] - clicks.begun[call]) / NS_PER_MS)
        if "answer" in first.of and "invite" in second.of:
            to_second.append((second.of["invite"] - first.of["answer"]) / NS_PER_MS)
        # Leg 2 hangs up, never the server: a call that it ends by itself has failed.
        complete += (
            clicks.answers.get(call) == "ok"
            and first.has("invite", "answer", "ack", "bye")
            and second.has("invite", "answer", "ack", "bye-answered")
        )
    return [
        spread("request to first INVITE", "ms", to_first, below=(2.5, 8.0) if targets else None),
        spread("leg 1's 200 to leg 2's INVITE", "ms", to_second, below=(1.5, 6.0) if targets else None),
        single(f"calls of {len(calls)} that failed", "", len(calls) - complete, below=0),
    ]


def _media_figures(before: dict[str, Any], after: dict[str, Any]) -> list[Figure]:
    def more(name: str) -> int:
        return int(after[name] - before[name])

    legs = max(after["legs_up"], 1)
    reported = after["reported_lost"] if after["legs_reported"] == after["legs_up"] else None
    return [
        single("RTP packets lost from the server (sequence)", "", more("rtp_lost"), below=0),
        single("RTP packets lost to the server (its RTCP)", "", reported, below=0),
        # The edges of the time watched cut at most one packet of each leg.
        single("RTP sent less received, per leg", "", abs(more("rtp_sent") - more("rtp_received")) / legs, below=1.0),
        from_histogram("RTP jitter", after["jitter"]),
        from_histogram("added delay", after["delay"]),
    ]


def _remarks(clicks: Clicks, peer: Peer, server: Server) -> list[str]:
    """Say what went wrong, and what had to be sent twice."""
    counters = peer.counters()
    again = [f"{name}: {counters[name]}" for name in ("invites_again", "answers_again", "byes_again") if counters[name]]
    return [
        *again,
        *counted("the API said", clicks.refused),
        *counted("the server's log", server.complaints()),
    ]
