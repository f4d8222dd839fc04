"""What the resources of `/api/v1` share: who asks, JSON out, and problems as RFC 9457 tells them."""

from __future__ import annotations

import asyncio
import http
from typing import Any, Final

import msgspec
from tornado.web import HTTPError

from api.credentials import CHALLENGE, identify, read_authorization
from api.handlers.base import Handler, phrase
from sipcore.domain.directory import Scope
from sipcore.domain.errors import AuthenticationError, Click2CallError, LimitReachedError, ParameterError
from sipcore.service.authentication import Authenticator, Caller

ERROR_IDS: Final[dict[int, str]] = {
    http.HTTPStatus.FORBIDDEN: "origin_not_allowed",
    http.HTTPStatus.NOT_FOUND: "not_found",
    http.HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "range_not_satisfiable",
    http.HTTPStatus.UPGRADE_REQUIRED: "upgrade_required",
    http.HTTPStatus.INTERNAL_SERVER_ERROR: "internal",
}
"""Of refusals that are no error of ours, by status."""
OTHER_ERROR_ID: Final = "bad_request"


def scope_of(method: str | None) -> Scope:
    """Tell what credentials must be good for, where an operation says nothing else: what reads, reads."""
    return Scope.READ if method in {"GET", "HEAD"} else Scope.CALL


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
            caller = await self.authenticate(scope_of(self.request.method))
            found = await self.answer(caller.organisation)
        except Click2CallError as error:
            self.refuse(error)
            return
        if found is None:
            self.refuse_unknown()
        else:
            await self.show(found)

    async def authenticate(self, scope: Scope | None) -> Caller:
        """Find out who asks, and return them.

        Args:
            scope: what the credentials must be good for; None: anything.

        Raises:
            AuthenticationError, LimitReachedError: as `identify`.
            MissingScopeError: the credentials are right, and not good for it.
        """
        login = read_authorization(self.request.headers.get("Authorization"))
        self.caller = caller = await identify(self._authenticator, login)
        if scope is not None:
            caller.need(scope)
        return caller

    async def show(self, found: Any) -> None:
        """Write what was found, as JSON."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(msgspec.json.encode(found))

    def refuse_unknown(self) -> None:
        """Answer that there is no such thing, and the same about another organisation's."""
        self.write_refusal(http.HTTPStatus.NOT_FOUND, "there is no such thing in this organisation")

    def write_refusal(self, status: int, reason: str) -> None:
        """Write an error that `answer` has not raised itself."""
        self.set_status(status)
        self._problem(reason)

    def _write_error(self, error: Click2CallError) -> None:
        self.set_status(error.http_status)
        members: dict[str, str] = {}
        if isinstance(error, AuthenticationError):
            self.set_header("WWW-Authenticate", CHALLENGE)
        elif isinstance(error, LimitReachedError):
            self.set_header("Retry-After", str(error.retry_after))
        elif isinstance(error, ParameterError):
            members["parameter"] = error.parameter
        self._problem(str(error), error_id=error.error_id, **members)

    def _problem(self, detail: str, **members: Any) -> asyncio.Future[None]:
        """Write problem details (RFC 9457); of type about:blank, so that the title is the status's own.

        Args:
            detail: for people.
            members: further ones, among them the `error_id` of an error of ours.
        """
        status = self.get_status()
        body = {
            "type": "about:blank",
            "title": phrase(status),
            "status": status,
            "detail": detail,
            "error_id": ERROR_IDS.get(status, OTHER_ERROR_ID),
            **members,
        }
        self.set_header("Content-Type", "application/problem+json")
        return self.finish(msgspec.json.encode(body))
