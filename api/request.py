"""Requests whose query is taken apart when somebody asks for its arguments.

Tornado takes each query apart as the headers arrive, and copies the result. A click reads its query by itself, in the
contract's own way, and its phone rings a little sooner without that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from http import HTTPStatus
from typing import Any

from tornado.escape import parse_qs_bytes
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.web import Application, HTTPError

_MOST_ARGUMENTS = 1000


class Request(HTTPServerRequest):
    """A request. What its query says is in `query_arguments` only, not in `arguments`.

    Args:
        connection: that it came on.
        server_connection: what the server keeps of that.
        start_line: method, path with query, and version.
        headers: its headers.

    Raises:
        HTTPInputError: the Host header is missing or wrong.
    """

    def __init__(
        self,
        connection: HTTPConnection,
        server_connection: object,
        start_line: RequestStartLine,
        headers: HTTPHeaders,
    ) -> None:
        path, _, query = start_line.path.partition("?")
        super().__init__(
            connection=connection,
            server_connection=server_connection,
            start_line=RequestStartLine(start_line.method, path, start_line.version),
            headers=headers,
        )
        self.uri, self.query = start_line.path, query
        # Of a query that was kept from it; the property below takes its place.
        del self.query_arguments

    @cached_property
    def query_arguments(self) -> dict[str, list[bytes]]:  # type: ignore[override] # Tornado has it as an attribute
        """What the query says: names with their values.

        Raises:
            HTTPError: 400, there are too many of them.
        """
        try:
            return parse_qs_bytes(self.query, keep_blank_values=True, max_num_fields=_MOST_ARGUMENTS)
        except ValueError as error:
            raise HTTPError(HTTPStatus.BAD_REQUEST, str(error)) from error


class Routing(HTTPMessageDelegate):
    """Makes the request, and passes on what comes of it to the handler of its path.

    Args:
        application: knows the handlers.
        server_connection: what the server keeps of the connection.
        connection: that the request comes on.
        begun: called when its headers are there.
    """

    _handler: HTTPMessageDelegate

    def __init__(
        self,
        application: Application,
        server_connection: object,
        connection: HTTPConnection,
        begun: Callable[[], None],
    ) -> None:
        self._application = application
        self._server_connection = server_connection
        self._connection = connection
        self._begun = begun

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        """Make the request.

        Raises:
            HTTPInputError: the Host header is missing or wrong.
        """
        self._begun()
        if not isinstance(start_line, RequestStartLine):
            raise TypeError("a server gets requests only")
        request = Request(self._connection, self._server_connection, start_line, headers)
        self._handler = self._application.find_handler(request)
        return self._handler.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Pass a part of the body on."""
        return self._handler.data_received(chunk)

    def finish(self) -> None:
        """Tell that the request is whole."""
        self._handler.finish()

    def on_connection_close(self) -> None:
        """Tell that its sender is gone."""
        self._handler.on_connection_close()


class RoutedApplication(Application):
    """Tornado's application, whose routes are for every host."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Find the handler of a path."""
        return self.wildcard_router.find_handler(request, **kwargs) or super().find_handler(request, **kwargs)
