"""How long the server waits for a request: connections that say nothing, half of something, or go on."""

from __future__ import annotations

import asyncio

import pytest
from tornado.netutil import bind_sockets
from tornado.web import RequestHandler

from api.request import RoutedApplication
from api.server import Server

IDLE_SECONDS = 0.3


class Slow(RequestHandler):
    """Answers when it is told to."""

    may_answer: asyncio.Event

    async def get(self):
        await self.may_answer.wait()
        self.finish("answered")


@pytest.fixture
async def address():
    Slow.may_answer = asyncio.Event()
    server = Server(RoutedApplication([(r"/slow", Slow)]), idle_seconds=IDLE_SECONDS)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    yield sockets[0].getsockname()[:2]
    server.stop()
    await server.close_all_connections()


async def read_to_the_end(reader):
    async with asyncio.timeout(20 * IDLE_SECONDS):
        return await reader.read()


@pytest.mark.parametrize("said", [b"", b"GET /slow HTTP/1.1\r\nHost: here\r\n"])
async def test_a_connection_without_a_whole_request_is_closed(address, said):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(said)
    assert await read_to_the_end(reader) == b""
    writer.close()


async def test_a_request_may_take_longer_than_a_connection_may_be_idle(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n")
    idle_reader, idle_writer = await asyncio.open_connection(*address)
    # The second connection is younger: when it is closed, the first one would have been.
    assert await read_to_the_end(idle_reader) == b""
    Slow.may_answer.set()
    assert (await reader.readuntil(b"answered")).startswith(b"HTTP/1.1 200 OK\r\n")
    # It is kept for a next request, and not longer than any other.
    assert await read_to_the_end(reader) == b""
    for each in (writer, idle_writer):
        each.close()
