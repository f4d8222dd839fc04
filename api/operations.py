"""What the JSON API can do: one table, from which its routes and its description (OpenAPI) are made."""

from __future__ import annotations

import http
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from tornado.web import RequestHandler

from api.models import Body, Model, Query
from sipcore.domain.directory import Scope
from sipcore.domain.errors import ParameterError
from sipcore.service.authentication import Caller

QueryT = TypeVar("QueryT", bound=Query | None)
BodyT = TypeVar("BodyT", bound=Body | None)
ModelT = TypeVar("ModelT", bound=Model)

_PLACE: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Asked(Generic[QueryT, BodyT]):
    """One request, whose credentials are right and good for the operation.

    Attributes:
        caller: who asks.
        path: the values of the path's places.
        query, body: what was sent; None where the operation takes none.
        made: id that what is to be made was given already, or None.
        accepted: to be called once that is made: whatever fails after it, the request is never carried out again.
    """

    caller: Caller
    path: Mapping[str, str]
    query: QueryT
    body: BodyT
    made: str | None = None
    accepted: Callable[[], None] = lambda: None

    @property
    def organisation(self) -> str:
        """Whose resources are asked for."""
        return self.caller.organisation


Act = Callable[[Asked[Any, Any]], Awaitable[object]]
"""Does what was asked and returns what the answer's model is made of; None: the organisation has no such thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that the API can do.

    Attributes:
        name: unique, for programs that are made from the description (`operationId`).
        method: of HTTP.
        path: with its places in braces, for example `/api/v1/records/{id}`.
        summary: one line for people.
        tag: the resource it belongs to.
        scope: what the credentials must be good for; None: nobody needs any.
        query, body: models of what is sent.
        uploads: the types of a body that is no JSON and is read as it comes.
        answer: model of a JSON answer, or None.
        media: the types of an answer that is not JSON.
        in_parts: whether a Range header may ask for a part of it.
        status: of the answer when all is well.
        problems: statuses of its errors, beside those that every operation has.
        act: does it, for operations that take and give JSON.
        again: reads what it has made by the `id` of a path; with it a request may name itself (`Idempotency-Key`).
        handler: does it for all others, with its arguments.
    """

    name: str
    method: str
    path: str
    summary: str
    tag: str
    scope: Scope | None
    query: type[Query] | None = None
    body: type[Body] | None = None
    uploads: tuple[str, ...] = ()
    answer: type[Model] | None = None
    media: tuple[str, ...] = ()
    in_parts: bool = False
    status: int = http.HTTPStatus.OK
    problems: frozenset[int] = frozenset()
    act: Act | None = None
    again: Act | None = None
    handler: tuple[type[RequestHandler], Mapping[str, Any]] | None = field(default=None, repr=False)

    @property
    def places(self) -> list[str]:
        """Names of the path's places, in their order."""
        return _PLACE.findall(self.path)

    @property
    def pattern(self) -> str:
        """The path as a regular expression with one group for each place; nothing has a name with a NUL in it."""
        return _PLACE.sub(r"((?:(?!%00)[^/\0])+)", self.path)


def by_pattern(operations: Iterable[Operation]) -> dict[str, dict[str, Operation]]:
    """Group operations by their path's pattern, then by method; the order stays."""
    grouped: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        grouped.setdefault(operation.pattern, {})[operation.method] = operation
    return grouped


def read_query(model: type[ModelT], given: Mapping[str, list[str]]) -> ModelT:
    """Read a query's names and values.

    Raises:
        ParameterError: naming the one that is wrong.
    """
    values: dict[str, str] = {}
    for name, several in given.items():
        if len(set(several)) > 1:
            raise ParameterError(name, "is given twice with different values")
        value = several[0]
        if value.startswith(" ") and name in getattr(model, "plus_lost", ()):
            value = f"+{value[1:]}"
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise parameter_error(error, "query") from error


def read_body(model: type[ModelT], body: bytes) -> ModelT:
    """Read a JSON object.

    Raises:
        ParameterError: naming the member that is wrong, or `body`.
    """
    try:
        read = model.model_validate_json(body)
    except ValidationError as error:
        raise parameter_error(error, "body") from error
    for name, value in read:
        # JSON can write it, and PostgreSQL has no text with it.
        if any("\0" in text for text in _texts(value)):
            raise ParameterError(name, "must not have the character U+0000 in it")
    return read


def _texts(value: object) -> Iterator[str]:
    """Return all strings of a part of a body."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseModel):
        yield from _texts(dict(value))
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, Collection) and not isinstance(value, bytes):
        for each in value:
            yield from _texts(each)


def parameter_error(error: ValidationError, whole: str) -> ParameterError:
    """Tell the first thing that is wrong; nothing of the request is repeated, but for names of members."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part)[:64] for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return ParameterError(name, "is not known here")
    if first["type"] == "missing":
        return ParameterError(name, "is missing")
    if first["type"] == "json_invalid":
        return ParameterError(whole, "is no well-formed JSON in UTF-8")
    text = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return ParameterError(name or whole, text[0].lower() + text[1:])
