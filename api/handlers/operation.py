"""Carries out operations that take and give JSON."""

from __future__ import annotations

import http
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from email.message import Message
from typing import Any, Final

from tornado.web import HTTPError

from api.bodies import MAX_BYTES, TooLongError
from api.handlers.resource import ResourceHandler
from api.idempotency import HEADER, answer_of, give_again, header_key
from api.models import Query
from api.operations import Asked, Operation, read_body, read_query
from sipcore.domain.errors import Click2CallError, ParameterError
from sipcore.domain.idempotency import fingerprint
from sipcore.service.authentication import Authenticator
from sipcore.service.idempotency import Idempotency, Turn

_MEMBERS: Final[Mapping[str, str]] = {"SetCID": "set_cid"}
"""What bodies call what `dialup` calls otherwise."""


class ContentTypeError(ParameterError):
    """A body of a type that is not read here (HTTP 415)."""

    error_id = "content_type"
    http_status = 415


class OperationHandler(ResourceHandler):
    """All operations of one path."""

    def initialize(
        self, authenticator: Authenticator, operations: Mapping[str, Operation], idempotency: Idempotency | None = None
    ) -> None:
        """Take over what the routes give to every request."""
        self._idempotency = idempotency
        self._authenticator = authenticator
        self._operations = operations
        self.allowed = tuple(operations)  # type: ignore[misc]

    async def get(self, *path: str) -> None:
        """Do what was asked."""
        operation = self._operations.get(self.request.method or "")
        if operation is None:
            raise HTTPError(http.HTTPStatus.METHOD_NOT_ALLOWED)
        try:
            await self._carry_out(operation, dict(zip(operation.places, path, strict=True)))
        except ParameterError as error:
            member = _MEMBERS.get(error.parameter)
            self.refuse(error if member is None else type(error)(member, error.reason))
        except Click2CallError as error:
            self.refuse(error)

    post = put = patch = delete = get

    async def _carry_out(self, operation: Operation, path: Mapping[str, str]) -> None:
        if operation.act is None:
            raise Click2CallError(f"{operation.name} is not done here")
        caller = await self.authenticate(operation.scope)
        asked = Asked(caller, path, self._query(operation), self._body(operation))
        async with self._turn_of(operation, asked) as turn:
            if turn is not None and turn.answer is not None:
                give_again(self, turn.answer)
                return
            found = None
            if turn is not None:
                asked = replace(asked, made=turn.id, accepted=turn.accepted)
                if turn.resumed and operation.again is not None:
                    found = await operation.again(replace(asked, path={"id": turn.id}))
            if found is None:
                found = await operation.act(asked)
            if turn is not None:
                turn.accepted()
            self._tell(operation, found, turn)

    def _turn_of(self, operation: Operation, asked: Asked[Any, Any]) -> AbstractAsyncContextManager[Turn | None]:
        """Wait for the turn of a request that names itself; any other has no need of one."""
        key = header_key(self.request.headers) if operation.again is not None else None
        if key is None or self._idempotency is None:
            return nullcontext()
        meaning = {"operation": operation.name, "by": asked.caller.user, "body": asked.body.model_dump(mode="json")}
        return self._idempotency.turn(asked.organisation, key, fingerprint(meaning), HEADER)

    def _tell(self, operation: Operation, found: object, turn: Turn | None) -> None:
        if found is None and operation.answer is not None:
            self.refuse_unknown()
            return
        self.set_status(operation.status)
        if operation.answer is None:
            self.finish()
            return
        answer = operation.answer.model_validate(found)
        if operation.status == http.HTTPStatus.CREATED:
            self.set_header("Location", f"{self.request.path}/{answer.id}")  # type: ignore[attr-defined]
        self.set_header("Content-Type", "application/json; charset=utf-8")
        body = answer.model_dump_json()
        if turn is not None:
            turn.answered(answer_of(self, body.encode()))
        self.finish(body)

    def _query(self, operation: Operation) -> Query | None:
        names = self.request.query_arguments
        given = {name: self.get_query_arguments(name, strip=False) for name in names}
        query = read_query(operation.query or Query, given)
        return None if operation.query is None else query

    def _body(self, operation: Operation) -> Any:
        body = self.request.body
        if operation.body is None:
            if body:
                raise ParameterError("body", "is not wanted here")
            return None
        if len(body) > MAX_BYTES:
            raise TooLongError("body")
        header = Message()
        header["Content-Type"] = self.request.headers.get("Content-Type", "")
        if header.get_content_type() != "application/json":
            raise ContentTypeError("Content-Type", "must be application/json")
        return read_body(operation.body, body)


class DescriptionHandler(ResourceHandler):
    """The description of all operations, for anybody."""

    def initialize(self, document: Mapping[str, Any]) -> None:
        """Take over what the routes give to every request."""
        self._document = document

    async def get(self, *_path: str) -> None:
        """Answer with it."""
        await self.show(self._document)


class NoResourceHandler(ResourceHandler):
    """Answers every path below `/api/v1` that is nobody's."""

    def prepare(self) -> None:
        """Answer 404, whatever the method."""
        self.refuse_unknown()
