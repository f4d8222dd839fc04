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
class Kills:
    """What came of it.

    Attributes:
        killed: how often a node was killed.
        numbers: how many numbers were to be dialled.
        attempts: how many attempts the database knows.
        dialled: how many calls reached the peer.
        lost: numbers that were not dialled until they answered.
        twice: calls that reached the peer beyond the attempts of their number.
        left_up: calls that are still up at the peer at the end.
        interrupted: attempts that a killed node left.
        complaints: what the nodes' logs say.
    """

    killed: int = 0
    numbers: int = 0
    attempts: int = 0
    dialled: int = 0
    lost: int = 0
    twice: int = 0
    left_up: int = 0
    interrupted: int = 0
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
            wanted = [number_of(next(numbers), 1) for _ in range(_CALLS_PER_SECOND * _BEHIND_SECONDS)]
            await asyncio.to_thread(made.add, other, wanted if kill % 2 == 0 else wanted[: len(wanted) // 4])
            await asyncio.sleep(random.uniform(*_BETWEEN_KILLS))  # noqa: S311 - no secret
            os.kill(victim.pid, signal.SIGKILL)
            found.killed += 1
            await asyncio.to_thread(victim.restart)
        results = await made.over(nodes[0])
        found.complaints = [line for node in nodes for line in node.complaints()]
        _count(found, results, peer)
        return found


class _Made:
    """Future calls and campaigns that were made."""

    def __init__(self) -> None:
        self._schedules: list[str] = []
        self._campaigns: list[str] = []

    def add(self, node: Server, numbers: list[str]) -> None:
        """Make a future call of one half of these numbers, due now, and a campaign of the other, which is started."""
        body = {
            "dial1": numbers[::2],
            "dial2": MESSAGE,
            "date": datetime.now(UTC).replace(microsecond=0).isoformat(),
            "retries": _RETRIES,
            "retry_seconds": _RETRY_SECONDS,
        }
        self._schedules.append(node.ask("schedules", json.dumps(body).encode())["id"])
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
        lines = "\n".join(["number", *numbers[1::2]]).encode()
        node.ask(f"campaigns/{campaign}/numbers", lines, media="text/csv")
        node.ask(f"campaigns/{campaign}/start", b"")
        self._campaigns.append(campaign)

    async def over(self, node: Server) -> list[dict[str, Any]]:
        """Wait until nothing more is dialled; return how each number stands."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        results: list[dict[str, Any]] = []
        for made in [f"schedules/{each}" for each in self._schedules] + [
            f"campaigns/{each}" for each in self._campaigns
        ]:
            while (report := await asyncio.to_thread(node.ask, made))["ended_at"] is None:
                if time.monotonic() > deadline:
                    raise TestbedError(f"after {_PATIENCE_SECONDS:.0f} s numbers are left: {report}")
                await asyncio.sleep(_POLL_SECONDS)
            results += report["results"] if "results" in report else await asyncio.to_thread(_numbers_of, node, made)
        return results


def _numbers_of(node: Server, campaign: str) -> list[dict[str, Any]]:
    numbers: list[dict[str, Any]] = []
    cursor = "0"
    while cursor is not None:
        page = node.ask(f"{campaign}/numbers?cursor={cursor}")
        numbers += page["items"]
        cursor = page["next"]
    return numbers


def _count(found: Kills, results: list[dict[str, Any]], peer: Peer) -> None:
    dialled = Counter(peer.dialled())
    found.left_up = peer.counters()["legs_up"]
    for result in results:
        call, _ = member_of(result["number"])
        attempts = result["attempts"]
        found.numbers += 1
        found.attempts += len(attempts)
        found.dialled += dialled[call, 1]
        found.lost += not any(attempt["outcome"] == "answered" for attempt in attempts)
        found.twice += max(dialled[call, 1] - len(attempts), 0)
        found.interrupted += sum(attempt["outcome"] == "interrupted" for attempt in attempts)


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
