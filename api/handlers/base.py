"""What every handler shares: errors in short plain text, and logs without query strings."""

from __future__ import annotations

import http
import traceback
from types import TracebackType
from typing import ClassVar

import structlog
from tornado.web import HTTPError, RequestHandler

from sipcore.domain.errors import Click2CallError
from sipcore.service.authentication import Caller

_log = structlog.get_logger("http")


def phrase(status: int) -> str:
    """Return the reason phrase of an HTTP status, for people."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"


class Handler(RequestHandler):
    """A handler of this server.

    Attributes:
        allowed: the methods that it answers, for 405.
        caller: who asks, once that is known.
    """

    allowed: ClassVar[tuple[str, ...]] = ("GET",)
    caller: Caller | None = None

    def compute_etag(self) -> str | None:
        """Answer every request in full: 304 is no answer to a call, and nothing is cached."""
        return None

    def write_error(self, status_code: int, **_: object) -> None:
        """Answer an error that no method of the handler has answered itself."""
        if status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self.allowed))
        self.write_refusal(status_code, phrase(status_code).lower())

    def refuse(self, error: Click2CallError) -> None:
        """Answer with an error that the request has met; one of ours is raised on, to be logged and told as 500."""
        if error.http_status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise error
        self._write_error(error)

    def _write_error(self, error: Click2CallError) -> None:
        """Write an error in the form of the handler's answers."""
        raise NotImplementedError

    def write_refusal(self, status: int, reason: str) -> None:  # noqa: ARG002 - others need the status
        """Write an error's body and end the request."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"error: {reason}")

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log what went wrong inside; Tornado's own line would show the query string with its password.

        The traceback is written out here, because renderers of structured ones show local variables.
        """
        if isinstance(value, HTTPError) or typ is None or value is None:
            return
        story = "".join(traceback.format_exception(typ, value, tb))
        _log.error("request failed", path=self.request.path, exception=story)


class NotFoundHandler(Handler):
    """Answers every path that is nobody's."""

    def prepare(self) -> None:
        """Answer 404, whatever the method."""
        raise HTTPError(http.HTTPStatus.NOT_FOUND)
