"""`/api/v1/events` and `/api/v1/events/ws`: the organisation's events as they happen, from any of them on."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Sequence
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from api.handlers.resource import ResourceHandler
from sipcore.domain.directory import Scope
from sipcore.domain.errors import Click2CallError, EventsGoneError, ParameterError
from sipcore.domain.public_events import EventType, StoredEvent, read_id, written_id
from sipcore.service.authentication import Authenticator
from sipcore.service.event_log import EventLog

HEARTBEAT_SECONDS = 15.0
"""So often an idle stream says something, so that proxies keep it and a client that is gone is noticed."""
STUCK_SECONDS = 30.0
"""A client that takes nothing for so long is let go; it comes back with the id of the last event that it has."""
RECONNECT_MS = 2000
GOING_AWAY = 1001
TRY_AGAIN_LATER = 1013


class EventStreams:
    """The streams that are open.

    Args:
        log: the events.
    """

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self._open: set[asyncio.Task[None]] = set()

    def begin(self, stream: FollowingHandler) -> asyncio.Task[None]:
        """Let a stream follow the log, until it is cancelled."""
        task = asyncio.get_running_loop().create_task(stream.follow())
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        return task

    def end(self) -> None:
        """End every stream: at the server's end, and when the settings, which say who may listen, are new."""
        for task in self._open:
            task.cancel()


class FollowingHandler(ResourceHandler):
    """What both kinds of stream share: who asks, from where on, and which events."""

    def initialize(self, authenticator: Authenticator, streams: EventStreams) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._streams = streams
        self._organisation = ""
        self._place = 0
        self._types: frozenset[str] = frozenset()
        self._following: asyncio.Task[None] | None = None

    async def admit(self) -> bool:
        """Find out who asks and what for; False: the request is answered with an error."""
        try:
            self._organisation = (await self.authenticate(Scope.READ)).organisation
            self._place = self._asked_place()
            self._types = _asked_types(self.get_query_argument("types", None))
        except Click2CallError as error:
            self.refuse(error)
            return False
        return True

    async def follow(self) -> None:
        """Send what is asked for, as it comes, and let the client know its place first."""
        await _taken(self.send((), written_id(self._place)))
        while True:
            events = await self._streams.log.after(self._organisation, self._place, HEARTBEAT_SECONDS)
            if events:
                self._place = events[-1].id
            wanted = [event for event in events if not self._types or event.type in self._types]
            await _taken(self.send(wanted, written_id(self._place)))

    def send(self, events: Sequence[StoredEvent], place: str) -> asyncio.Future[None]:
        """Send events, if any, and from where the client can go on; done when they are on their way."""
        raise NotImplementedError

    def asked_id(self) -> tuple[str, str | None]:
        """Return the name of the parameter that tells where to begin, and its value."""
        return "after", self.get_query_argument("after", None)

    def on_connection_close(self) -> None:
        """Stop: the client is gone."""
        if self._following is not None:
            self._following.cancel()

    def _asked_place(self) -> int:
        name, given = self.asked_id()
        if given is None:
            return self._streams.log.newest
        place = read_id(given, name)
        if place < self._streams.log.oldest_kept:
            raise EventsGoneError(name, "is of an event that is no longer kept, nor is what followed it; leave it out")
        return place


class EventStreamHandler(FollowingHandler):
    """Server-sent events (the HTML standard, section 9.2)."""

    async def get(self, *_path: str) -> None:
        """Send events until one of both sides ends it."""
        if not await self.admit():
            return
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")
        self.write(f"retry: {RECONNECT_MS}\n")
        self._following = self._streams.begin(self)
        try:
            await self._following
        except TimeoutError:
            # What waits to be sent would otherwise stay in memory for as long as the client likes.
            self.detach().close()
        except (asyncio.CancelledError, StreamClosedError, Click2CallError):
            # The response ends, and the client comes back for what follows.
            return

    def send(self, events: Sequence[StoredEvent], place: str) -> asyncio.Future[None]:
        """Send an event each; without any, the place alone, which is no event to the client."""
        for event in events:
            self.write(
                b"id: %s\nevent: %s\ndata: %s\n\n" % (event.public_id.encode(), event.type.encode(), event.json())
            )
        if not events:
            self.write(f"id: {place}\n\n")
        return self.flush()

    def asked_id(self) -> tuple[str, str | None]:
        """Return what a client that comes back sends, else what the address says."""
        last = self.request.headers.get("Last-Event-ID")
        return super().asked_id() if last is None else ("Last-Event-ID", last)


class EventSocketHandler(FollowingHandler, WebSocketHandler):
    """Events over a WebSocket (RFC 6455); a page of another origin is refused by Tornado's own check."""

    _shaking_hands = False

    async def get(self, *_path: str) -> None:
        """Shake hands with whom may listen."""
        if await self.admit():
            self._shaking_hands = True
            await WebSocketHandler.get(self)

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> asyncio.Future[None]:
        """End the request; a handshake that failed as a problem, where Tornado has a line of text or nothing."""
        shaking_hands, self._shaking_hands = self._shaking_hands, False
        status = self.get_status()
        if not shaking_hands or status < http.HTTPStatus.BAD_REQUEST:
            return super().finish(chunk)
        if status != http.HTTPStatus.FORBIDDEN:
            status = http.HTTPStatus.UPGRADE_REQUIRED
            self.set_header("Upgrade", "websocket")  # RFC 9110 section 15.5.22
        self.set_status(status)
        return self._problem(str(chunk or "this version of the protocol is not spoken here"))

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Begin to send."""
        self._following = self._streams.begin(self)
        self._following.add_done_callback(self._say_why)

    def on_message(self, message: str | bytes) -> None:
        """Pass over what a client says: there is nothing to be said."""

    def on_close(self) -> None:
        """Stop: the client is gone."""
        self.on_connection_close()

    def send(self, events: Sequence[StoredEvent], place: str) -> asyncio.Future[None]:
        """Send all in one message; the place alone too."""
        joined = b",".join([event.json() for event in events])
        return self.write_message(b'{"last":"%s","events":[%s]}' % (place.encode(), joined))

    def _say_why(self, following: asyncio.Task[None]) -> None:
        if following.cancelled():
            self.close(GOING_AWAY, "the server or its settings are new; come back with after=LAST")
            return
        error = following.exception()
        if isinstance(error, TimeoutError | Click2CallError):
            self.close(TRY_AGAIN_LATER, "come back with after=LAST")
        elif error is not None and not isinstance(error, WebSocketClosedError):
            self.close(TRY_AGAIN_LATER)
            self.log_exception(type(error), error, error.__traceback__)


async def _taken(sending: asyncio.Future[None]) -> None:
    """Wait until what is sent is on its way.

    The write itself is never cancelled: Tornado's streams do not expect it.

    Raises:
        TimeoutError: the client takes nothing.
    """
    sending.add_done_callback(lambda sent: sent.cancelled() or sent.exception())
    await asyncio.wait({sending}, timeout=STUCK_SECONDS)
    if not sending.done():
        raise TimeoutError
    sending.result()


def _asked_types(given: str | None) -> frozenset[str]:
    if given is None:
        return frozenset()
    types = frozenset(given.split(","))
    if unknown := types - set(EventType):
        raise ParameterError("types", f"{min(unknown)!r} is no type of event; there are {', '.join(EventType)}")
    return types
