"""Two worlds for one contract: the fake SIP port, and the worker pool with real peers around it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
from collections.abc import AsyncIterator

from fake_surroundings import FakeSurroundings
from real_surroundings import RealPeers
from testbed.process import PortRange
from world import LEGS_PER_WORKER, World

from sipcore.domain.directory import Directory, Inbound, Organisation, SipAddress, SipHost
from sipcore.sip.fake import FakeSipPort
from sipcore.sip.pool import WorkerPool
from sipcore.sip.starter import PoolSettings

WORKERS = 2
WIDE_WORKERS = 8
WIDEST_WORKERS = 20
DIRECTORY = Directory(
    organisations={
        "acme": Organisation(
            "acme",
            sip_addresses={"phones": SipAddress("phones", SipHost("127.0.0.1", 5060))},
            inbound=Inbound({"+12025550100": "700"}),
        )
    }
)
"""One that takes calls from the peers' address."""


@contextlib.asynccontextmanager
async def _listening(world: World) -> AsyncIterator[World]:
    listener = asyncio.get_running_loop().create_task(world.listen())
    try:
        yield world
    finally:
        listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listener


@contextlib.asynccontextmanager
async def fake_world(workers: int = WORKERS) -> AsyncIterator[World]:
    port = FakeSipPort(workers=workers, legs_per_worker=LEGS_PER_WORKER)
    port.configure(DIRECTORY)
    async with _listening(World(port, FakeSurroundings(port), workers)) as world:
        yield world


@contextlib.asynccontextmanager
async def real_world(workers: int = WORKERS) -> AsyncIterator[World]:
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    taken = PortRange((16 + 1) * workers)
    pool = WorkerPool(
        PoolSettings(
            address="127.0.0.1",
            sip_ports=taken.ports[-workers:],
            rtp_ports=taken.ports[:-workers],
            warm_workers=1,
            uid=nobody and nobody.pw_uid,
            gid=nobody and nobody.pw_gid,
        )
    )
    peers = RealPeers(pool)
    try:
        await asyncio.to_thread(peers.start)
        await pool.start(DIRECTORY)
        async with _listening(World(pool, peers, workers)) as world:
            yield world
    finally:
        await pool.close()
        await asyncio.to_thread(peers.stop)
        taken.release()
