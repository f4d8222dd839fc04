"""Two nodes that share PostgreSQL dial future calls and campaigns, and one or the other is killed again and again."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testbed.audio import sine, write_wav
from testbed.process import TestbedError

from benchmark.future_calls import database
from benchmark.peer import Peer, member_of, number_of
from benchmark.server import Server
from sipcore.store.opening import migrate

MESSAGE = "800"
_RATE = 8000
_RETRIES = 50
_RETRY_SECONDS = 10
_CALLS_PER_SECOND = 20
_BEHIND_SECONDS = 6
"""So many seconds of calls are due at once, so that there is always something to dial."""
_FEWER = 30
"""So many calls are due after every second kill."""
_BETWEEN_KILLS = (0.2, 2.5)
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 180.0
_ORGANISATION = f"calls_per_second = {_CALLS_PER_SECOND}\n"
_TABLES = """
[schedule]
grace_minutes = 60
[orgs.bench.messages.{message}]
audio = "{audio}"
"""


@dataclass
class Dialled:
    """What came of numbers that were dialled the same way.

    Attributes:
        numbers: how many were to be dialled.
        attempts: how many attempts the database knows.
        dialled: how many calls reached the peer.
        lost: numbers that never reached the peer, or were not dialled until they answered.
        twice: calls that reached the peer beyond the attempts of their number.
        interrupted: attempts that a killed node left.
    """

    numbers: int = 0
    attempts: int = 0
    dialled: int = 0
    lost: int = 0
    twice: int = 0
    interrupted: int = 0

    def count(self, attempts: list[dict[str, Any]], dialled: int) -> None:
        """Count a number.

        Args:
            attempts: that the API tells of it.
            dialled: how many calls to it reached the peer.
        """
        outcomes = [attempt["outcome"] for attempt in attempts]
        self.numbers += 1
        self.attempts += len(attempts)
        self.dialled += dialled
        self.lost += dialled == 0 or "answered" not in outcomes
        self.twice += max(dialled - len(attempts), 0)
        self.interrupted += outcomes.count("interrupted")


@dataclass
class Kills:
    """What came of it.

    Attributes:
        killed: how often a node was killed.
        future_calls, campaigns: what came of their numbers.
        left_up: calls that are still up at the peer at the end.
        complaints: what the nodes' logs say.
    """

    killed: int = 0
    future_calls: Dialled = field(default_factory=Dialled)
    campaigns: Dialled = field(default_factory=Dialled)
    left_up: int = 0
    complaints: list[str] = field(default_factory=list)


async def kill_nodes(program: Path, folder: Path, kills: int) -> Kills:
    """Let two nodes dial, kill one of them at `kills` random moments, and count.

    Args:
        program: the compiled peer.
        folder: for settings and logs.
        kills: how often.

    Raises:
        TestbedError: a node did not come back, or the calls did not come to an end.
    """
    async with _nodes(program, folder) as (nodes, peer):
        found, made, numbers = Kills(), _Made(), iter(range(1, 10**8))
        for kill in range(kills):
            victim, other = nodes[kill % 2], nodes[1 - kill % 2]
            # No number goes unused: the peer tells calls apart only while their numbers are less than 4096 apart.
            behind = _CALLS_PER_SECOND * _BEHIND_SECONDS if kill % 2 == 0 else _FEWER
            wanted = [number_of(next(numbers), 1) for _ in range(behind)]
            await asyncio.to_thread(made.add, other, wanted)
            await asyncio.sleep(random.uniform(*_BETWEEN_KILLS))  # noqa: S311 - no secret
            os.kill(victim.pid, signal.SIGKILL)
            found.killed += 1
            await asyncio.to_thread(victim.restart)
        await made.over(nodes[0])
        await asyncio.to_thread(made.count, nodes[0], peer, found)
        found.complaints = [line for node in nodes for line in node.complaints()]
        found.left_up = peer.counters()["legs_up"]
        return found


class _Made:
    """Future calls and campaigns that were made."""

    def __init__(self) -> None:
        self._schedules: dict[str, list[str]] = {}
        self._campaigns: dict[str, list[str]] = {}

    def add(self, node: Server, numbers: list[str]) -> None:
        """Make a future call of one half of these numbers, due now, and a campaign of the other, which is started."""
        by_date, listed = numbers[::2], numbers[1::2]
        body = {
            "dial1": by_date,
            "dial2": MESSAGE,
            "date": datetime.now(UTC).replace(microsecond=0).isoformat(),
            "retries": _RETRIES,
            "retry_seconds": _RETRY_SECONDS,
        }
        self._schedules[node.ask("schedules", json.dumps(body).encode())["id"]] = by_date
        again = {"retries": _RETRIES, "after": _RETRY_SECONDS}
        terms = {
            "name": "kills",
            "dial2": MESSAGE,
            "hours": "mon-sun 00:00-24:00",
            "concurrency": _CALLS_PER_SECOND,
            "calls_per_second": _CALLS_PER_SECOND,
            "retries": dict.fromkeys(("interrupted", "unreachable", "not_connected", "no_answer"), again),
            "max_attempts": _RETRIES,
        }
        campaign = node.ask("campaigns", json.dumps(terms).encode())["id"]
        lines = "\n".join(["number", *listed]).encode()
        node.ask(f"campaigns/{campaign}/numbers", lines, media="text/csv")
        node.ask(f"campaigns/{campaign}/start", b"")
        self._campaigns[campaign] = listed

    async def over(self, node: Server) -> None:
        """Wait until nothing more is dialled.

        Raises:
            TestbedError: it takes too long.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for path in [f"schedules/{each}" for each in self._schedules] + [
            f"campaigns/{each}" for each in self._campaigns
        ]:
            while (report := await asyncio.to_thread(node.ask, path))["ended_at"] is None:
                if time.monotonic() > deadline:
                    raise TestbedError(f"after {_PATIENCE_SECONDS:.0f} s numbers are left: {report}")
                await asyncio.sleep(_POLL_SECONDS)

    def count(self, node: Server, peer: Peer, found: Kills) -> None:
        """Count what came of each number that was given."""
        dialled = Counter(peer.dialled())
        for schedule, numbers in self._schedules.items():
            _count(found.future_calls, numbers, node.ask(f"schedules/{schedule}")["results"], dialled)
        for campaign, numbers in self._campaigns.items():
            _count(found.campaigns, numbers, _numbers_of(node, campaign), dialled)


def _numbers_of(node: Server, campaign: str) -> list[dict[str, Any]]:
    numbers: list[dict[str, Any]] = []
    cursor = "0"
    while cursor is not None:
        page = node.ask(f"campaigns/{campaign}/numbers?cursor={cursor}")
        numbers += page["items"]
        cursor = page["next"]
    return numbers


def _count(
    found: Dialled, numbers: list[str], results: list[dict[str, Any]], dialled: Counter[tuple[int, int]]
) -> None:
    attempts = {member_of(result["number"]): result["attempts"] for result in results}
    for number in map(member_of, numbers):
        found.count(attempts.get(number, []), dialled[number])


@asynccontextmanager
async def _nodes(program: Path, folder: Path) -> AsyncIterator[tuple[list[Server], Peer]]:
    audio = folder / "short.wav"
    write_wav(audio, sine(440.0, 0.3), _RATE)
    tables = _TABLES.format(message=MESSAGE, audio=audio)
    with ExitStack() as stack:
        url = stack.enter_context(database("postgresql", folder))
        await migrate(url)
        nodes = [
            Server(
                Path(tempfile.mkdtemp(dir=folder)),
                place=place,
                database=url,
                organisation=_ORGANISATION,
                tables=tables,
            )
            for place in range(2)
        ]
        peer = stack.enter_context(Peer(program, *nodes[0].peer, folder, hold_seconds=None))
        for node in nodes:
            stack.enter_context(node)
        yield nodes, peer
