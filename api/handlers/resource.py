"""What the resources of `/api/v1` share: who asks, JSON out, and problems as RFC 9457 tells them."""

from __future__ import annotations

import http
from typing import Any

import msgspec
from tornado.web import HTTPError

from api.credentials import CHALLENGE, identify, read_authorization
from api.handlers.base import Handler, phrase
from sipcore.domain.errors import AuthenticationError, Click2CallError, LimitReachedError, ParameterError
from sipcore.service.authentication import Authenticator


class ResourceHandler(Handler):
    """Answers GET with what `answer` returns, to callers with a Basic `user@org` or a Bearer key.

    One that does something in place of telling something answers POST, by calling `respond` from there.
    """

    _authenticator: Authenticator

    async def answer(self, organisation: str) -> object:
        """Return what the resource holds for the organisation, ready for JSON; None: there is no such thing.

        Args:
            organisation: of the caller.

        Raises:
            Click2CallError: answered with its own status.
        """
        raise NotImplementedError

    async def get(self, *_path: str) -> None:
        """Answer, unless this is a resource that does something."""
        if "GET" not in self.allowed:
            raise HTTPError(http.HTTPStatus.METHOD_NOT_ALLOWED)
        await self.respond()

    async def respond(self) -> None:
        """Find out who asks, then answer."""
        try:
            login = read_authorization(self.request.headers.get("Authorization"))
            self.caller = await identify(self._authenticator, login)
            found = await self.answer(self.caller.organisation)
        except Click2CallError as error:
            if error.http_status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            self._refuse(error)
            return
        if found is None:
            self.refuse_unknown()
        else:
            await self.show(found)

    async def show(self, found: Any) -> None:
        """Write what was found, as JSON."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(msgspec.json.encode(found))

    def refuse_unknown(self) -> None:
        """Answer that there is no such thing, and the same about another organisation's."""
        self.set_status(http.HTTPStatus.NOT_FOUND)
        self._problem("there is no such thing in this organisation", error_id="not_found")

    def write_refusal(self, status: int, reason: str) -> None:
        """Write an error that `answer` has not raised itself."""
        self.set_status(status)
        self._problem(reason, error_id="internal" if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else "bad_request")

    def _refuse(self, error: Click2CallError) -> None:
        self.set_status(error.http_status)
        members: dict[str, str] = {}
        if isinstance(error, AuthenticationError):
            self.set_header("WWW-Authenticate", CHALLENGE)
        elif isinstance(error, LimitReachedError):
            self.set_header("Retry-After", str(error.retry_after))
        elif isinstance(error, ParameterError):
            members["parameter"] = error.parameter
        self._problem(str(error), error_id=error.error_id, **members)

    def _problem(self, detail: str, **members: Any) -> None:
        """Write problem details (RFC 9457); of type about:blank, so that the title is the status's own."""
        status = self.get_status()
        body = {"type": "about:blank", "title": phrase(status), "status": status, "detail": detail, **members}
        self.set_header("Content-Type", "application/problem+json")
        self.finish(msgspec.json.encode(body))
