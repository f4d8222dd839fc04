"""The world that a contract test runs in: once with the fake SIP port, once with real workers and peers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from world import World
from worlds import WIDE_WORKERS, WIDEST_WORKERS, fake_world, real_world


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=[fake_world, real_world], ids=["fake", "real"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with request.param() as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=[fake_world, real_world], ids=["fake", "real"])
async def wide_world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """One with room for a call that needs many workers."""
    async with request.param(WIDE_WORKERS) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=[fake_world, real_world], ids=["fake", "real"])
async def widest_world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """One with room for a large conference."""
    async with request.param(WIDEST_WORKERS) as world:
        yield world
