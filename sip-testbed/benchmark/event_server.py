"""The server's own events, without calls: stored, passed on, and sent to whoever listens.

A program of its own, so that its CPU time is that of events alone: `python -m benchmark.event_server FOLDER` prints its
port, and then reads lines `RATE SECONDS`: so many events a second for so long are told, evenly; it prints how many
and the CPU seconds that it used meanwhile. It ends with its standard input.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from api.handlers.events import HEARTBEAT_SECONDS, EventSocketHandler, EventStreams
from sipcore.domain.directory import Directory, Organisation, User
from sipcore.domain.public_events import EventType, PublicEvent, StoredEvent
from sipcore.domain.webhook import Delivery, Webhook
from sipcore.service.authentication import Authenticator
from sipcore.service.calls import LiveDirectory
from sipcore.service.eventing import Eventing
from sipcore.store.records import open_store

ORGANISATION, USER, PASSWORD = "acme", "bench", "bench-password"
_TICK_SECONDS = 0.005


class _NoSender:
    """There are no webhooks."""

    async def send(self, webhook: Webhook, event: StoredEvent) -> Delivery:
        raise NotImplementedError((webhook, event))


def _event() -> PublicEvent:
    """Make an event of a usual size that tells when it was told."""
    uids = {"dial1": "0123456789abcdef0123456789abcdef", "dial2": "fedcba9876543210fedcba9876543210"}
    data = {"uid": uids["dial2"], "party": "dial2", "number": "+12025550123", "told_at": time.time()}
    call = "00112233445566778899aabbccddeeff"
    return PublicEvent(EventType.LEG_2_ANSWERED, datetime.now(UTC), ORGANISATION, call, uids, data)


async def _feed(eventing: Eventing, rate: float, seconds: float) -> int:
    """Tell events evenly, as calls would; return how many."""
    told, begun = 0, time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        due = int(passed * rate) - told
        eventing.recorder.tell(*(_event() for _ in range(due)))
        told += due
        await asyncio.sleep(_TICK_SECONDS)
    return told


async def serve(folder: Path) -> None:
    """Serve until standard input ends."""
    store = await open_store(f"sqlite:///{folder}/events.db")
    users = {USER: User(USER, password=PASSWORD)}
    directory = LiveDirectory(Directory({ORGANISATION: Organisation(ORGANISATION, users=users)}))
    eventing = Eventing(store.events, _NoSender(), directory, kept_days=7)
    await eventing.start()
    handler = {"authenticator": Authenticator(directory), "streams": EventStreams(eventing.log)}
    routes = [(r"/api/v1/events/ws", EventSocketHandler, handler)]
    server = HTTPServer(Application(routes, websocket_ping_interval=HEARTBEAT_SECONDS, log_function=lambda _: None))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    gc.collect()
    gc.freeze()
    print(sockets[0].getsockname()[1], flush=True)
    while command := (await asyncio.to_thread(sys.stdin.readline)).split():
        rate, seconds = map(float, command)
        before = time.process_time()
        told = await _feed(eventing, rate, seconds)
        print(told, time.process_time() - before, flush=True)
    await eventing.stop()
    await store.close()


def main(arguments: Sequence[str]) -> None:
    """Run it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(arguments[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
