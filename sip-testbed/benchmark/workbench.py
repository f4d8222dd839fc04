"""What the measurements share: how much is measured, servers and peers to measure, and waiting for what was begun."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benchmark.clicks import Clicks
from benchmark.peer import Peer
from benchmark.server import Server

NS_PER_MS = 1e6
LATENCY_HOLD_SECONDS = 0.05
_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.05
_SHOWN = 3


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
        listed, listed_pending: numbers in one campaign's file, and numbers that wait in all.
        databases: in which of them, future calls and campaigns.
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
    listed: int = 100_000
    listed_pending: int = 1_000_000
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    kills: int = 50


class Bench:
    """What every measurement has: a server and a peer of its own, and numbers for its calls.

    Args:
        program: the compiled peer.
        folder: for settings, records and logs.
        plan: how much is measured.

    Attributes:
        calls: gives each call its number.
    """

    def __init__(self, program: Path, folder: Path, plan: Plan) -> None:
        self.program = program
        self.folder = folder
        self.plan = plan
        self.calls = count(1)

    @contextmanager
    def server(self) -> Iterator[Server]:
        """Run a server."""
        with Server(self.new_folder()) as server:
            yield server

    def peer(self, server: Server, *, hold_seconds: float | None, media: bool = False) -> Peer:
        """Make the peer of a server (see `Peer`)."""
        return Peer(self.program, *server.peer, server.folder, hold_seconds=hold_seconds, media=media)

    def new_folder(self) -> Path:
        """Make a folder of its own for a measurement."""
        return Path(tempfile.mkdtemp(dir=self.folder))


def counted(where: str, lines: list[str]) -> list[str]:
    """Tell the lines that came most often, and how often."""
    return [f"{where}, {times} times: {line}" for line, times in Counter(lines).most_common(_SHOWN)]


async def all_over(clicks: Clicks, peer: Peer) -> None:
    """Wait until every request is answered and every leg is over, or will not be any more."""
    await clicks.answered()
    await wait_for(lambda: is_over(peer.counters()))


def is_over(counters: dict[str, Any]) -> bool:
    """Tell whether every leg that the peer has seen is over."""
    return bool(counters["invites"] <= counters["byes_answered"] + counters["byes_received"])


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for a while: what is missing then shows in the figures."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - the peer is asked, it does not call
        await asyncio.sleep(_POLL_SECONDS)
