"""A campaign's list of numbers, as long as one likes: sent to a server, or written beside it."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime

from benchmark.server import ORGANISATION, QUEUE, Server
from sipcore.domain.campaign import ListedNumber
from sipcore.store.records import open_store

_AREAS = ("202", "212", "213", "312", "415", "617", "713", "303")
_TOGETHER = 2000
_SECONDS = 600.0


def make(server: Server) -> str:
    """Make a campaign for a queue; return its id."""
    terms = {"name": "bench", "dial2": QUEUE, "hours": "mon-sun 00:00-24:00"}
    campaign_id: str = server.ask("campaigns", json.dumps(terms).encode())["id"]
    return campaign_id


async def send(server: Server, campaign_id: str, count: int) -> int:
    """Send so many numbers in one list; return how many were accepted."""
    path = f"campaigns/{campaign_id}/numbers"
    report = await asyncio.to_thread(server.ask, path, _lines(count), media="text/csv", seconds=_SECONDS)
    accepted: int = report["accepted"]
    return accepted


async def fill(url: str, campaign_id: str, first: int, beyond: int) -> None:
    """Write numbers into a database, from one place in the list to another."""
    store = await open_store(url)
    campaign = await store.campaigns.get(ORGANISATION, campaign_id)
    if campaign is not None:
        for begin in range(first, beyond, _TOGETHER):
            several = range(begin, min(begin + _TOGETHER, beyond))
            numbers = [ListedNumber(each, _number(each), None, datetime.now(UTC)) for each in several]
            await store.campaigns.add(campaign, numbers, [])
    await store.close()


def _lines(count: int) -> Iterator[bytes]:
    yield b"number,reference\n"
    for first in range(0, count, _TOGETHER):
        several = range(first, min(first + _TOGETHER, count))
        yield "".join(f"{_number(each)},c-{each}\n" for each in several).encode()


def _number(place: int) -> str:
    return f"+1{_AREAS[place % 8]}{2_000_000 + place // 8:07}"
