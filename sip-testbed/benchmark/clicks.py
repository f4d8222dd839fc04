"""Clicks: requests to the HTTP API, each on a TCP connection of its own, each with the moment it began."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import socket
import time
from urllib.parse import urlencode

from benchmark.peer import number_of
from benchmark.server import RECORDED, Server

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0


class Clicks:
    """Places calls and keeps what the API said. All methods belong to one event loop.

    Args:
        server: whom to ask.
        recorded: whether the calls are recorded.

    Attributes:
        begun: when each call was clicked, in ns since the epoch, just before its TCP connection.
        answers: the body of each call's answer: `ok`, or what went wrong.
    """

    def __init__(self, server: Server, *, recorded: bool = False) -> None:
        self._more = {"SetCID": RECORDED} if recorded else {}
        self._where = (server.address, server.port)
        self.begun: dict[int, int] = {}
        self.answers: dict[int, str] = {}
        self._reading: set[asyncio.Task[None]] = set()

    def click(self, call: int, dial2: str | None = None) -> None:
        """Send the request of a call, to the peer's leg 2 or another destination; its answer is read as it comes."""
        query = urlencode(
            {
                "user": "bench", "pass": "bench", "org": "bench", "Response": "yes",
                "dial1": number_of(call, 1), "dial2": dial2 or number_of(call, 2), **self._more,
            }
        )  # fmt: skip
        request = f"GET /API/dialup.php?{query} HTTP/1.1\r\nHost: {self._where[0]}\r\nConnection: close\r\n\r\n"
        octets = request.encode()
        connection = socket.socket()
        connection.settimeout(_CONNECT_SECONDS)
        self.begun[call] = time.time_ns()
        try:
            # On loopback the kernel connects at once, so blocking costs less than a turn of the loop.
            connection.connect(self._where)
            connection.sendall(octets)
        except OSError as error:
            connection.close()
            self.answers[call] = str(error)
            return
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._read(call, connection))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def answered(self) -> None:
        """Wait until every request has its answer."""
        while self._reading:
            await asyncio.gather(*self._reading)

    @property
    def refused(self) -> list[str]:
        """The answers that were not `ok`."""
        return [answer for answer in self.answers.values() if answer != "ok"]

    async def _read(self, call: int, connection: socket.socket) -> None:
        loop, received = asyncio.get_running_loop(), b""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                while part := await loop.sock_recv(connection, 4096):
                    received += part
            head, _, body = received.decode().partition("\r\n\r\n")
            status = head.partition("\r\n")[0]
            self.answers[call] = body.strip() if " 200 " in status else f"{status}: {body.strip()}"
        except (OSError, TimeoutError) as error:
            self.answers[call] = repr(error)
        finally:
            connection.close()
