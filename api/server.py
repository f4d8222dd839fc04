"""The HTTP server: how long it waits for what, and how much it takes."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPMessageDelegate

from api.handlers.dialup import DRAINED_BYTES
from api.request import RoutedApplication, Routing

IDLE_SECONDS: Final = 75.0
"""How long a connection may be open without the headers of a request, the first or the next."""
_BODY_SECONDS: Final = 30.0
_MAX_HEADER_BYTES: Final = 2 * 65536
"""Twice as long as a query string may be: the application itself tells that a query is too long."""


class Server(HTTPServer):
    """Tornado's, except that one timer of the loop ends a connection that says nothing.

    Tornado waits for a future of its own beside the one that it reads with, and a click would wait for that.
    """

    def initialize(self, application: RoutedApplication, *, idle_seconds: float = IDLE_SECONDS) -> None:  # type: ignore[override] # Tornado takes anything here
        """Take over what it serves.

        Args:
            application: what answers.
            idle_seconds: how long a connection may be open without the headers of a request.
        """
        super().initialize(
            application, max_header_size=_MAX_HEADER_BYTES, max_body_size=DRAINED_BYTES, body_timeout=_BODY_SECONDS
        )
        self.conn_params.header_timeout = None
        self._application = application
        self._idle_seconds = idle_seconds
        self._patience: dict[object, asyncio.TimerHandle] = {}

    def start_request(self, server_conn: object, request_conn: Any) -> HTTPMessageDelegate:
        """Begin to wait for a request."""
        timer = asyncio.get_running_loop().call_later(self._idle_seconds, request_conn.close)
        self._patience[server_conn] = timer
        return Routing(self._application, server_conn, request_conn, timer.cancel)

    def on_close(self, server_conn: object) -> None:
        """Forget a connection."""
        self._patience.pop(server_conn).cancel()
        super().on_close(server_conn)
