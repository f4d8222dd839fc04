"""Event streams: who may listen, from where on, and what each message looks like."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from api.handlers import events
from sipcore.domain.public_events import EventType, PublicEvent, first_id_at, written_id

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOGIN = {"Authorization": "Basic " + base64.b64encode(b"alice@acme:s3cret").decode()}


def step(organisation: str = "acme", kind: EventType = EventType.JOINED) -> PublicEvent:
    return PublicEvent(kind, NOON, organisation, "c1", {"dial1": "u1", "dial2": "u2"}, {"user": "zoë"})


class Stream:
    """A client of the event stream that reads block by block."""

    def __init__(self, site, **asked):
        self.site, self.asked = site, asked
        self.headers = dict(LOGIN)
        self.path = "/api/v1/events"
        self.pending = ""

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.site.port)
        query = f"?{urlencode(self.asked)}" if self.asked else ""
        lines = [f"GET {self.path}{query} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in self.headers.items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(5):
            self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    async def block(self) -> dict[str, str]:
        """Read one block of the stream: its fields."""
        async with asyncio.timeout(5):
            while "\n\n" not in self.pending:
                size = int(await self.reader.readline(), 16)
                if size == 0:
                    raise EOFError
                self.pending += (await self.reader.readexactly(size)).decode()
                await self.reader.readexactly(2)
        text, self.pending = self.pending.split("\n\n", 1)
        return dict(line.split(": ", 1) for line in text.split("\n"))


def socket_request(site, query="", **headers):
    return HTTPRequest(f"ws://127.0.0.1:{site.port}/api/v1/events/ws{query}", headers={**LOGIN, **headers})


async def messages(socket, count):
    """Read messages until they brought so many events."""
    found = []
    async with asyncio.timeout(5):
        while len(found) < count:
            message = json.loads(await socket.read_message())
            found += message["events"]
            assert message["last"] == (message["events"] or [{"id": message["last"]}])[-1]["id"]
    return found


async def test_a_stream_begins_with_its_place_and_tells_what_follows(site):
    await site.events.put([step()])
    await site.log_has(1)
    async with Stream(site) as stream:
        assert "200 OK" in stream.head
        assert "Content-Type: text/event-stream" in stream.head
        assert await stream.block() == {"retry": "2000", "id": site.events.stored[0].public_id}
        await site.events.put([step("other"), step(kind=EventType.ENDED)])
        block = await stream.block()
        event = json.loads(block["data"])
        assert (block["id"], block["event"]) == (event["id"], "ended")
        assert event == json.loads(site.events.stored[2].json())
        assert event["data"] == {"user": "zoë"}


async def test_a_stream_that_comes_back_gets_what_was_missed(site):
    await site.events.put([step() for _ in range(5)])
    ids = [event.public_id for event in site.events.stored]
    async with Stream(site, after=ids[0]) as stream:
        assert (await stream.block())["id"] == ids[0]
        assert [(await stream.block())["id"] for _ in range(4)] == ids[1:]
    again = Stream(site, after=ids[0])
    again.headers["Last-Event-ID"] = ids[3]
    async with again as stream:
        assert [(await stream.block())["id"] for _ in range(2)] == ids[3:]


async def test_an_idle_stream_says_where_it_stands(site, monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.01)
    async with Stream(site) as stream:
        first, second = await stream.block(), await stream.block()
        assert second == {"id": first["id"]}


async def test_a_stream_tells_the_types_that_were_asked_for(site):
    async with Stream(site, types="ended,accepted") as stream:
        await stream.block()
        await site.events.put([step(), step(kind=EventType.ENDED)])
        assert (await stream.block())["event"] == "ended"


async def test_a_client_that_goes_away_leaves_nothing_behind(site):
    async with Stream(site) as stream:
        await stream.block()
        assert len(site.streams._open) == 1
        (task,) = site.streams._open
    async with asyncio.timeout(5):
        await asyncio.wait({task})
    assert not site.streams._open


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/events/ws"])
@pytest.mark.parametrize(
    ("query", "status", "parameter"),
    [
        ({"after": "xyz"}, 400, "after"),
        ({"after": "0" * 16}, 410, "after"),
        ({"after": written_id(first_id_at(NOON.timestamp() - 30 * 86_400))}, 410, "after"),
        ({"types": "ended,nothing"}, 400, "types"),
        ({"types": ""}, 400, "types"),
    ],
)
async def test_bad_requests_are_refused_with_the_parameters_name(site, path, query, status, parameter):
    answer = await site.fetch(f"{path}?{urlencode(query)}", headers=LOGIN)
    problem = json.loads(answer.body)
    assert (answer.code, problem["status"], problem["parameter"]) == (status, status, parameter)
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/events/ws"])
async def test_nobody_listens_without_credentials(site, path):
    answer = await site.fetch(path)
    assert answer.code == 401
    assert "WWW-Authenticate" in answer.headers


async def test_a_socket_brings_events_in_order_without_gap_or_repetition(site, bearer_key):
    await site.events.put([step() for _ in range(5)])
    after = site.events.stored[1].public_id
    request = socket_request(site, f"?after={after}", Authorization=f"Bearer {bearer_key}")
    socket = await websocket_connect(request)
    for _ in range(10):
        await site.events.put([step(), step("other")])
        await asyncio.sleep(0)
    found = await messages(socket, 13)
    mine = [event for event in site.events.stored if event.organisation == "acme"]
    assert found == [json.loads(event.json()) for event in mine[2:]]
    socket.close()


async def test_a_socket_says_its_place_before_anything_happens(site):
    socket = await websocket_connect(socket_request(site))
    assert json.loads(await socket.read_message()) == {"last": written_id(site.streams.log.newest), "events": []}
    socket.close()


async def test_what_a_client_says_on_a_socket_changes_nothing(site):
    socket = await websocket_connect(socket_request(site))
    await socket.read_message()
    await socket.write_message("hello")
    await site.events.put([step()])
    assert len(await messages(socket, 1)) == 1
    socket.close()


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_a_page_of_another_origin_gets_no_socket(site, origin):
    with pytest.raises(HTTPClientError, match="403"):
        await websocket_connect(socket_request(site, Origin=origin))


async def test_a_page_of_this_server_gets_a_socket(site):
    socket = await websocket_connect(socket_request(site, Origin=site.url))
    assert await socket.read_message()
    socket.close()


async def test_streams_end_with_a_code_when_the_settings_or_the_server_go(site):
    socket = await websocket_connect(socket_request(site))
    await socket.read_message()
    async with Stream(site) as stream:
        await stream.block()
        site.streams.end()
        with pytest.raises(EOFError):
            await stream.block()
    assert await socket.read_message() is None
    assert socket.close_code == events.GOING_AWAY
    socket.close()


HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(("path", "headers"), [("/api/v1/events", {}), ("/api/v1/events/ws", HANDSHAKE)])
async def test_a_client_that_takes_nothing_is_let_go(site, monkeypatch, path, headers):
    monkeypatch.setattr(events, "STUCK_SECONDS", 0.05)
    stream = Stream(site)
    stream.path = path
    stream.headers |= headers
    async with stream:
        (task,) = site.streams._open
        # More than the client's reader and the kernel hold.
        big = PublicEvent(EventType.JOINED, NOON, "acme", "c1", {}, {"text": "x" * 100_000})
        await site.events.put([big] * 300)
        async with asyncio.timeout(10):
            await asyncio.wait({task})
        assert isinstance(task.exception(), TimeoutError)
        async with asyncio.timeout(10):
            await stream.reader.read()
