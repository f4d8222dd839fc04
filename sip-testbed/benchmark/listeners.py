"""Clients that follow the server's events over WebSockets, and count."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from testbed.process import TestbedError
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from benchmark.event_server import ORGANISATION, PASSWORD, USER

_START_SECONDS = 20.0


class Listeners:
    """Clients of a server, each with a WebSocket of its own.

    Attributes:
        received: how many events each of them got.
        delays_ms: of each event of the first one, from when it was told to when it was read.
    """

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._sockets: list[WebSocketClientConnection] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.received = [0] * count
        self.delays_ms: list[float] = []

    async def start(self) -> None:
        """Connect all."""
        for number in range(len(self.received)):
            request = HTTPRequest(
                f"ws://127.0.0.1:{self._port}/api/v1/events/ws",
                auth_username=f"{USER}@{ORGANISATION}",
                auth_password=PASSWORD,
            )
            socket = await websocket_connect(request)
            self._sockets.append(socket)
            self._tasks.append(asyncio.create_task(self._listen(number, socket)))

    async def stop(self) -> None:
        """Close all."""
        for socket in self._sockets:
            socket.close()
        await asyncio.gather(*self._tasks)

    async def _listen(self, number: int, socket: WebSocketClientConnection) -> None:
        while (message := await socket.read_message()) is not None:
            # Reading them all as JSON would cost more than sending them.
            self.received[number] += message.count('"told_at"') if isinstance(message, str) else 0
            if number == 0:
                now = time.time()
                self.delays_ms += [1000 * (now - event["data"]["told_at"]) for event in json.loads(message)["events"]]


class EventServer:
    """`benchmark.event_server` in a process of its own; made by `event_server`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def feed(self, rate: float, seconds: float) -> tuple[int, float]:
        """Have events told; return how many, and the CPU seconds that the server used meanwhile."""
        if self._process.stdin is None:
            raise TestbedError("the event server has no standard input")
        self._process.stdin.write(f"{rate} {seconds}\n".encode())
        told, cpu = (await _line(self._process, seconds + _START_SECONDS)).split()
        return int(told), float(cpu)


@asynccontextmanager
async def event_server(folder: Path) -> AsyncIterator[EventServer]:
    """Run an event server.

    Raises:
        TestbedError: it does not start.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmark.event_server", str(folder)),
        cwd=Path(__file__).parent.parent,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield EventServer(process, int(await _line(process, _START_SECONDS)))
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _START_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _line(process: asyncio.subprocess.Process, patience: float) -> str:
    if process.stdout is None:
        raise TestbedError("the event server has no standard output")
    line = await asyncio.wait_for(process.stdout.readline(), patience)
    if not line:
        raise TestbedError("the event server ended")
    return line.decode()
