"""The description of the JSON API (OpenAPI 3.1), made of its operations and their models."""

from __future__ import annotations

import http
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.models import Problem
from api.operations import Operation

Document = dict[str, Any]

_REF: Final = "#/components/schemas/{model}"
_PLACE: Final = {"type": "string", "pattern": r"^[^/\x00]+$"}
_RANGE: Final = {
    "name": "Range",
    "in": "header",
    "schema": {"type": "string", "examples": ["bytes=0-65535"]},
    "description": "one range of bytes (RFC 9110 section 14); what is none is passed over",
}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "pattern": "^[ -~]{1,128}$"},
    "description": "names the request: sent again within 24 hours, it is answered as the first time",
}


def describe(operations: Sequence[Operation]) -> Document:
    """Make the description.

    Args:
        operations: all of the API.
    """
    asked = [model for operation in operations for model in (operation.query, operation.body) if model is not None]
    told: list[type[BaseModel]] = [Problem]
    told += [operation.answer for operation in operations if operation.answer is not None]
    keys, schemas = models_json_schema(
        [*((model, "validation") for model in asked), *((model, "serialization") for model in told)],
        ref_template=_REF,
    )
    paths: dict[str, Document] = {}
    for operation in operations:
        query = None if operation.query is None else _resolved(keys[operation.query, "validation"], schemas)
        body = None if operation.body is None else keys[operation.body, "validation"]
        answer = None if operation.answer is None else keys[operation.answer, "serialization"]
        paths.setdefault(operation.path, {})[operation.method.lower()] = {
            "operationId": operation.name,
            "summary": operation.summary,
            "tags": [operation.tag],
            "parameters": [*_places(operation), *_query(query), *_headers(operation)],
            **_body(body, operation.uploads),
            "responses": _responses(operation, answer),
            "security": [] if operation.scope is None else [{"basic": []}, {"bearer": [operation.scope]}],
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Click2Call",
            "version": version("click2call"),
            "license": {"name": "GPL-2.0-or-later", "identifier": "GPL-2.0-or-later"},
            "description": "Credentials are a user of the settings (Basic, `user@organisation`) or a key (Bearer).",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def statuses(operation: Operation) -> Iterable[int]:
    """Return the statuses of an operation's problems, in order."""
    usual = set()
    if operation.scope is not None:
        # The last: keys are in the database.
        usual |= {
            http.HTTPStatus.UNAUTHORIZED,
            http.HTTPStatus.FORBIDDEN,
            http.HTTPStatus.TOO_MANY_REQUESTS,
            http.HTTPStatus.SERVICE_UNAVAILABLE,
        }
    usual.add(http.HTTPStatus.BAD_REQUEST)
    if operation.places:
        usual.add(http.HTTPStatus.NOT_FOUND)
    if operation.again is not None:
        usual.add(http.HTTPStatus.UNPROCESSABLE_ENTITY)
    if operation.body is not None or operation.uploads:
        usual |= {http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE, http.HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
    return sorted(usual | operation.problems)


def _resolved(reference: Document, schemas: Document) -> Document:
    schema: Document = schemas["$defs"][reference["$ref"].rpartition("/")[2]]
    return schema


def _places(operation: Operation) -> list[Document]:
    return [{"name": name, "in": "path", "required": True, "schema": _PLACE} for name in operation.places]


def _headers(operation: Operation) -> list[Document]:
    return [*([_RANGE] if operation.in_parts else []), *([_IDEMPOTENCY_KEY] if operation.again is not None else [])]


def _query(schema: Document | None) -> list[Document]:
    if schema is None:
        return []
    needed = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": _without_null(part)}
        for name, part in schema.get("properties", {}).items()
    ]


def _without_null(schema: Document) -> Document:
    """Leave null out: a name that is not wanted is left out of a query."""
    kept = {name: value for name, value in schema.items() if name not in {"anyOf", "default", "title"}}
    some = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if some:
        kept.update(some[0] if len(some) == 1 else {"anyOf": some})
    elif "default" in schema:
        kept["default"] = schema["default"]
    return kept


def _body(reference: Document | None, uploads: Iterable[str]) -> Document:
    content: Document = {} if reference is None else {"application/json": {"schema": reference}}
    content |= {media: {} for media in uploads}
    return {"requestBody": {"required": True, "content": content}} if content else {}


def _responses(operation: Operation, answer: Document | None) -> Document:
    content: Document = {} if answer is None else {"application/json": {"schema": answer}}
    # Parameters of a type are the answer's own (RFC 9110 section 8.3.1).
    content |= {media.partition(";")[0]: {} for media in operation.media}
    good: Document = {"description": http.HTTPStatus(operation.status).phrase}
    if content:
        good["content"] = content
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}
    return {
        str(int(operation.status)): good,
        **({"206": good | {"description": http.HTTPStatus.PARTIAL_CONTENT.phrase}} if operation.in_parts else {}),
        **{
            str(int(status)): {"description": http.HTTPStatus(status).phrase, "content": problem}
            for status in statuses(operation)
        },
    }
