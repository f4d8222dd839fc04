"""A webhook receiver: a real HTTP server that can fail, hang, send elsewhere, and come back."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from testbed.process import wait_until


@dataclass(frozen=True)
class Delivery:
    """One request that came in.

    Attributes:
        body: exactly as it was sent.
        status: what was answered; None when nothing was.
        at: when (seconds since 1970).
    """

    path: str
    headers: Message
    body: bytes
    status: int | None
    at: float = field(default_factory=time.time)

    @property
    def event(self) -> dict[str, Any]:
        """The event that it brought."""
        event: dict[str, Any] = json.loads(self.body)
        return event


class WebhookReceiver:
    """Takes deliveries on 127.0.0.1; a context manager.

    Args:
        port: 0 takes any free one; a receiver that comes back takes the port that it had.

    Attributes:
        status: what every request is answered with; None: it hangs.
        location: where redirects lead.
        deliveries: what came in, oldest first.
    """

    def __init__(self, port: int = 0) -> None:
        self.status: int | None = 200
        self.location = ""
        self.deliveries: list[Delivery] = []
        self._released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        """TCP port."""
        port: int = self._server.server_address[1]
        return port

    @property
    def url(self) -> str:
        """Address for the settings."""
        return f"http://127.0.0.1:{self.port}/hook"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """Take a request and answer it as `status` says."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        status = self.status
        self.deliveries.append(Delivery(request.path, request.headers, body, status))
        if status is None:
            self._released.wait()
            request.close_connection = True
            return
        request.send_response(status)
        if self.location:
            request.send_header("Location", self.location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def taken(self) -> list[dict[str, Any]]:
        """Return the events that were taken (2xx), one for each id, in the order in which they came."""
        events: dict[str, dict[str, Any]] = {}
        for delivery in list(self.deliveries):
            if delivery.status is not None and 200 <= delivery.status < 300:
                events.setdefault(delivery.event["id"], delivery.event)
        return list(events.values())

    def types(self) -> list[str]:
        """Return the types of the events that were taken."""
        return [event["type"] for event in self.taken()]

    def wait_for(self, event_type: str, count: int = 1, timeout: float = 20.0) -> dict[str, Any]:
        """Return the `count`-th event of a type that is taken."""

        def found() -> dict[str, Any] | None:
            events = [event for event in self.taken() if event["type"] == event_type]
            return events[count - 1] if len(events) >= count else None

        return wait_until(found, timeout, lambda: f"no event {event_type}, but {self.types()}")

    def wait_requests(self, count: int, timeout: float = 20.0) -> list[Delivery]:
        """Wait until so many requests have come, whatever was answered."""
        wait_until(lambda: len(self.deliveries) >= count, timeout, lambda: f"{len(self.deliveries)} requests came")
        return list(self.deliveries)
