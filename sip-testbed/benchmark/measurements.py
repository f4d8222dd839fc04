"""The measurements: what is done to the server, and which figures come of it."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from testbed.process import TestbedError

from benchmark import future_calls
from benchmark.accounting import Meter, pss_mb
from benchmark.clicks import Clicks
from benchmark.kills import kill_nodes
from benchmark.listeners import Listeners, event_server
from benchmark.peer import LegTimes, Peer, member_of
from benchmark.records import filled_store, page_times, searches
from benchmark.report import Figure, Measurement, from_histogram, single, spread
from benchmark.server import GROUPS, ORGANISATION, QUEUE, Server

_NS_PER_MS = 1e6
_WARM_GAP_SECONDS = 0.1
_GAP_JITTER_SECONDS = 0.02
_LATENCY_HOLD_SECONDS = 0.05
_RAMP_PER_SECOND = 15.0
_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.05
_SHOWN = 3
_WORKERS_SECONDS = 60.0
_SCHEDULED_AHEAD_SECONDS = 3.0
_SPARE_WORKERS = 10
_CLAIMED = 2000
_NO_LEG = LegTimes({})


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        latency_calls, latency_gap_seconds: how many calls one after the other, and how far apart.
        warm_calls: calls before them that do not count.
        settle_seconds: pause before something is measured.
        workers: how many are started.
        idle_seconds: how long the idle server is watched.
        media_calls: how many joined calls, for each measurement.
        media_seconds: how long they are watched.
        waiting_calls: how many callers wait in a queue.
        waiting_seconds: how long they are watched.
        groups, group_gap_seconds: how many ring groups are rung one after the other, and how far apart.
        rates: clicks per second, for each measurement.
        rate_seconds: for how long.
        rate_hold_seconds: how long each of these calls is held.
        event_rate, event_seconds, event_clients: events a second, for how long, to how many clients.
        records, page_reads: over how many records pages are read, and how often for each search.
        pending, due: future calls that wait, and how many more are due at once.
        databases: in which of them.
        kills: how often one of two nodes is killed.
    """

    latency_calls: int = 300
    latency_gap_seconds: float = 0.15
    warm_calls: int = 10
    settle_seconds: float = 3.0
    workers: int = 20
    idle_seconds: float = 20.0
    media_calls: tuple[int, ...] = (50, 100)
    media_seconds: float = 12.0
    waiting_calls: int = 200
    waiting_seconds: float = 30.0
    groups: int = 10
    group_gap_seconds: float = 2.0
    rates: tuple[int, ...] = (20, 50)
    rate_seconds: float = 20.0
    rate_hold_seconds: float = 2.0
    event_rate: float = 1000.0
    event_seconds: float = 15.0
    event_clients: int = 50
    records: int = 1_000_000
    page_reads: int = 100
    pending: int = 100_000
    due: int = 100
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    kills: int = 50


class Bench:
    """Runs measurements, each against a server and a peer of its own.

    Args:
        program: the compiled peer.
        folder: for settings, records and logs.
        plan: how much is measured.
    """

    def __init__(self, program: Path, folder: Path, plan: Plan) -> None:
        self._program = program
        self._folder = folder
        self._plan = plan
        self._calls = count(1)

    async def latency(self) -> AsyncIterator[Measurement]:
        """Calls one after the other: how soon each INVITE leaves."""
        plan = self._plan
        with self._server() as server, self._peer(server, hold_seconds=_LATENCY_HOLD_SECONDS) as peer:
            clicks = Clicks(server)
            for _ in range(plan.warm_calls):
                clicks.click(next(self._calls))
                await asyncio.sleep(_WARM_GAP_SECONDS)
            await asyncio.sleep(min(plan.settle_seconds, 1.0))
            meter, measured = Meter(server.pid, peer.pid), []
            for _ in range(plan.latency_calls):
                measured.append(call := next(self._calls))
                clicks.click(call)
                jitter = random.uniform(-_GAP_JITTER_SECONDS, _GAP_JITTER_SECONDS)  # noqa: S311 - no secret
                await asyncio.sleep(max(plan.latency_gap_seconds + jitter, 0.0))
            await _all_over(clicks, peer)
            load = meter.read()
            figures = _call_figures(clicks, peer, measured)
            yield Measurement("latency", figures, load, remarks=_remarks(clicks, peer, server))

    async def workers(self) -> AsyncIterator[Measurement]:
        """Workers started one after the other: how soon each is ready, and its memory while all run."""
        settings = Server(self._new_folder()).write_settings()
        meter = Meter()
        command = [sys.executable, "-m", "benchmark.workers", str(settings), str(self._plan.workers)]
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

    async def idle(self) -> AsyncIterator[Measurement]:
        """A server with its warm workers and nothing to do."""
        with self._server() as server:
            await asyncio.sleep(self._plan.settle_seconds)
            meter = Meter(server.pid)
            await asyncio.sleep(self._plan.idle_seconds)
            load = meter.read()
            figures = [single("CPU of the idle server and its workers", "% core", load.server * 100, below=1.0)]
            weights = [round(pss_mb(pid), 2) for pid in server.worker_pids()]
            yield Measurement("idle", figures, load, {"workers": len(weights), "pss_mb": weights})

    async def media(self) -> AsyncIterator[Measurement]:
        """Joined calls with audio from both sides."""
        for calls in self._plan.media_calls:
            yield await self._media(calls)

    async def recording(self) -> AsyncIterator[Measurement]:
        """The same, recorded: what that adds."""
        for calls in self._plan.media_calls:
            plain, recorded = await self._media(calls), await self._media(calls, recorded=True)
            both = (recorded.load.server - plain.load.server) * 100 / calls
            added = single("CPU that recording adds to a call", "% core", both, below=0.25)
            yield replace(recorded, figures=[added, *recorded.figures])

    async def queue(self) -> AsyncIterator[Measurement]:
        """Callers who wait in a queue, hear music, and are told their positions."""
        calls = self._plan.waiting_calls
        with self._server() as server, self._peer(server, hold_seconds=None) as peer:
            server.pause_agent()
            clicks = Clicks(server)
            for _ in range(calls):
                clicks.click(next(self._calls), QUEUE)
                await asyncio.sleep(1 / _RAMP_PER_SECOND)
            await clicks.answered()
            await _wait_for(lambda: peer.counters()["legs_up"] == calls)
            await asyncio.sleep(self._plan.settle_seconds)
            before, meter = peer.counters(), Meter(server.pid, peer.pid)
            await asyncio.sleep(self._plan.waiting_seconds)
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

    async def group(self) -> AsyncIterator[Measurement]:
        """Ring groups of twenty: how soon all of them ring once leg 1 has answered."""
        plan = self._plan
        with self._server() as server, self._peer(server, hold_seconds=_LATENCY_HOLD_SECONDS) as peer:
            clicks, meter = Clicks(server), Meter(server.pid, peer.pid)
            calls = {next(self._calls): number for number in list(GROUPS)[: plan.groups]}
            for call, number in calls.items():
                clicks.click(call, number)
                await clicks.answered()
                await asyncio.sleep(plan.group_gap_seconds)
            await _wait_for(lambda: len(peer.messages()) == len(calls) * (1 + len(GROUPS["600"])))
            load = meter.read()
            times, sent, late = peer.messages(), 0, []
            for call, number in calls.items():
                members = [times.get(member_of(each), _NO_LEG) for each in GROUPS[number]]
                invites = [member.of["invite"] for member in members if member.has("invite")]
                sent += len(invites)
                if invites:
                    late.append((max(invites) - times[call, 1].of["answer"]) / _NS_PER_MS)
            remarks = _remarks(clicks, peer, server)
        figures = [
            single("leg 1's 200 to the last of 20 INVITEs, slowest", "ms", max(late, default=math.inf), below=60.0),
            single("phones that did not ring", "", 20 * len(calls) - sent, below=0),
        ]
        details = {"groups": len(calls), "ms": [round(each, 1) for each in late]}
        yield Measurement("group, 20 at once", figures, load, details, remarks)

    async def rate(self) -> AsyncIterator[Measurement]:
        """Clicks at an even rate, each call held for a while."""
        for per_second in self._plan.rates:
            yield await self._rate(per_second)

    async def events(self) -> AsyncIterator[Measurement]:
        """Events without calls, from being told through the database to clients on WebSockets."""
        plan = self._plan
        async with event_server(self._new_folder()) as server:
            listeners = Listeners(server.port, plan.event_clients)
            await listeners.start()
            meter = Meter(server.pid)
            told, cpu = await server.feed(plan.event_rate, plan.event_seconds)
            load = meter.read()
            await _wait_for(lambda: min(listeners.received) >= told)
            await listeners.stop()
        missed = sum(abs(told - received) for received in listeners.received)
        figures = [
            single("CPU of the server's process", "% core", 100 * cpu / plan.event_seconds, below=25.0),
            single("events that clients missed, or got twice", "", missed, below=0),
            spread("event told to event read", "ms", listeners.delays_ms),
        ]
        details = {"events": told, "clients": plan.event_clients, "per_second": round(told / plan.event_seconds)}
        yield Measurement("events", figures, load, details)

    async def lateness(self) -> AsyncIterator[Measurement]:
        """Future calls that are due at once: how late their INVITEs leave, and what it costs to claim them."""
        for kind in self._plan.databases:
            yield await self._lateness(kind)

    async def _lateness(self, kind: str) -> Measurement:
        plan, folder, tomorrow = self._plan, self._new_folder(), datetime.now(UTC) + timedelta(days=1)
        with future_calls.database(kind, folder) as url:
            await future_calls.fill(url, ORGANISATION, plan.pending, tomorrow)
            warm = plan.due // 2 + _SPARE_WORKERS
            with (
                Server(folder, database=url, warm_workers=warm) as server,
                self._peer(server, hold_seconds=_LATENCY_HOLD_SECONDS) as peer,
            ):
                await _wait_for(lambda: len(server.worker_pids()) >= warm)
                await asyncio.sleep(plan.settle_seconds)
                calls = [next(self._calls) for _ in range(plan.due)]
                before = pss_mb(server.pid)
                due = datetime.now(UTC) + timedelta(seconds=_SCHEDULED_AHEAD_SECONDS)
                for call in calls:
                    server.schedule(call, due)
                meter = Meter(server.pid, peer.pid)
                await _wait_for(lambda: peer.counters()["invites"] >= 2 * len(calls))
                await _wait_for(lambda: _is_over(peer.counters()))
                load, legs = meter.read(), peer.messages()
                grown = pss_mb(server.pid) - before
                complaints = _counted("the server's log", server.complaints())
            claim_ms = await future_calls.claim_ms(url, tomorrow + timedelta(seconds=_CLAIMED))
        sent = [legs[call, 1].of["invite"] for call in calls if (call, 1) in legs and legs[call, 1].has("invite")]
        late = spread("due to first INVITE", "ms", [(each - due.timestamp() * 1e9) / _NS_PER_MS for each in sent])
        figures = [
            replace(late, targets={"p99": 500.0}),
            single(f"calls of {len(calls)} that did not begin", "", len(calls) - len(sent), below=0),
            single("claiming a number", "ms", claim_ms, below=2.0),
        ]
        details = {"pending": plan.pending, "grown_mb": round(grown, 1)}
        return Measurement(f"lateness, {plan.due} at once, {kind}", figures, load, details, complaints)

    async def _media(self, calls: int, *, recorded: bool = False) -> Measurement:
        with self._server() as server, self._peer(server, hold_seconds=None, media=True) as peer:
            clicks = Clicks(server, recorded=recorded)
            for _ in range(calls):
                clicks.click(next(self._calls))
                await asyncio.sleep(1 / _RAMP_PER_SECOND)
            await clicks.answered()
            await _wait_for(lambda: peer.counters()["legs_up"] == 2 * calls)
            await asyncio.sleep(self._plan.settle_seconds)
            peer.reset()
            before, meter = peer.counters(), Meter(server.pid, peer.pid)
            await asyncio.sleep(self._plan.media_seconds)
            load, after = meter.read(), peer.counters()
            weights = [pss_mb(pid) for pid in server.worker_pids()]
            recordings = len(list((server.folder / "recordings").glob(".open/*.json")))
            peer.hang_up()
            await _all_over(clicks, peer)
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

    async def records(self) -> AsyncIterator[Measurement]:
        """Pages of 50 out of many records, for each search that somebody may want."""
        plan = self._plan
        begun = time.perf_counter()
        store = await filled_store(self._new_folder(), plan.records)
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

    async def _rate(self, per_second: int) -> Measurement:
        with self._server() as server, self._peer(server, hold_seconds=self._plan.rate_hold_seconds) as peer:
            clicks = Clicks(server)
            await asyncio.sleep(min(self._plan.settle_seconds, 1.0))
            calls = [next(self._calls) for _ in range(round(per_second * self._plan.rate_seconds))]
            meter = Meter(server.pid, peer.pid)
            begun, latest = time.perf_counter(), 0.0
            for number, call in enumerate(calls):
                early = begun + number / per_second - time.perf_counter()
                latest = max(latest, -early)
                await asyncio.sleep(max(early, 0.0))
                clicks.click(call)
            await _all_over(clicks, peer)
            load = meter.read()
            cpu_ms = load.server * load.seconds * 1000 / len(calls)
            figures = [*_call_figures(clicks, peer, calls, targets=False), single("CPU of a call", "ms", cpu_ms)]
            details = {"workers": len(server.worker_pids()), "latest_click_ms": round(latest * 1000, 1)}
            remarks = _remarks(clicks, peer, server)
        return Measurement(f"rate, {per_second} a second", figures, load, details, remarks)

    async def kills(self) -> AsyncIterator[Measurement]:
        """Two nodes dial future calls, and one or the other is killed: nothing is lost, nothing dialled twice."""
        meter = Meter()
        found = await kill_nodes(self._program, self._new_folder(), self._plan.kills)
        figures = [
            single("numbers that were never answered", "", found.lost, below=0),
            single("calls at the peer beyond the attempts of their number", "", found.twice, below=0),
            single("calls left up at the peer", "", found.left_up, below=0),
            single("attempts that were interrupted", "", found.interrupted),
        ]
        details = {"kills": found.killed, "numbers": found.numbers, "attempts": found.attempts, "calls": found.dialled}
        yield Measurement("kills", figures, meter.read(), details)

    @contextmanager
    def _server(self) -> Iterator[Server]:
        with Server(self._new_folder()) as server:
            yield server

    def _peer(self, server: Server, *, hold_seconds: float | None, media: bool = False) -> Peer:
        return Peer(self._program, *server.peer, server.folder, hold_seconds=hold_seconds, media=media)

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder))


MEASUREMENTS: dict[str, Callable[[Bench], AsyncIterator[Measurement]]] = {
    "latency": Bench.latency,
    "workers": Bench.workers,
    "idle": Bench.idle,
    "media": Bench.media,
    "recording": Bench.recording,
    "queue": Bench.queue,
    "group": Bench.group,
    "rate": Bench.rate,
    "events": Bench.events,
    "records": Bench.records,
    "lateness": Bench.lateness,
    "kills": Bench.kills,
}


def _call_figures(clicks: Clicks, peer: Peer, calls: list[int], *, targets: bool = True) -> list[Figure]:
    legs = peer.messages()
    to_first, to_second, complete = [], [], 0
    for call in calls:
        first, second = legs.get((call, 1), _NO_LEG), legs.get((call, 2), _NO_LEG)
        if "invite" in first.of:
            to_first.append((first.of["invite"] - clicks.begun[call]) / _NS_PER_MS)
        if "answer" in first.of and "invite" in second.of:
            to_second.append((second.of["invite"] - first.of["answer"]) / _NS_PER_MS)
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
        *_counted("the API said", clicks.refused),
        *_counted("the server's log", server.complaints()),
    ]


def _counted(where: str, lines: list[str]) -> list[str]:
    return [f"{where}, {times} times: {line}" for line, times in Counter(lines).most_common(_SHOWN)]


async def _all_over(clicks: Clicks, peer: Peer) -> None:
    """Wait until every request is answered and every leg is over, or will not be any more."""
    await clicks.answered()
    await _wait_for(lambda: _is_over(peer.counters()))


def _is_over(counters: dict[str, Any]) -> bool:
    return bool(counters["invites"] <= counters["byes_answered"] + counters["byes_received"])


async def _wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for a while: what is missing then shows in the figures."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - the peer is asked, it does not call
        await asyncio.sleep(_POLL_SECONDS)
