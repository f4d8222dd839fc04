"""The description in the words of OpenAPI 3.0, for programs that do not know 3.1; Swagger UI 4 is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from api.openapi import Document

_NULL: Final = {"type": "null"}


def in_openapi_3_0(document: Document) -> Document:
    """Translate a description.

    Args:
        document: as `describe` makes it.
    """
    told = {**document, "openapi": "3.0.3"}
    told["info"] = {**document["info"], "license": {"name": document["info"]["license"]["name"]}}
    for part in ("paths", "components"):
        told[part] = _translated(document[part])
    return told


def _translated(part: Any) -> Any:
    if isinstance(part, list):
        return [_translated(each) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part and len(part) > 1:
        # In 3.0 a reference has nothing beside it.
        beside = {name: value for name, value in part.items() if name != "$ref"}
        return _translated({**beside, "allOf": [{"$ref": part["$ref"]}]})
    if part == _NULL:
        return {"nullable": True, "enum": [None]}
    told: Document = {}
    for name, value in part.items():
        if name == "properties":
            told[name] = {member: _translated(schema) for member, schema in value.items()}
        else:
            told |= _KEYWORDS.get(name, _same)(name, value)
    return told


def _same(name: str, value: Any) -> Document:
    return {name: _translated(value)}


def _any_of(name: str, schemas: list[Document]) -> Document:
    some = [_translated(schema) for schema in schemas if schema != _NULL]
    if len(some) == len(schemas):
        return {name: some}
    if len(some) > 1:
        return {name: some, "nullable": True}
    return {**({"allOf": some} if "$ref" in some[0] else some[0]), "nullable": True}


def _exclusive(name: str, limit: float) -> Document:
    return {name.replace("exclusiveM", "m"): limit, name: True}


_KEYWORDS: Final[dict[str, Callable[[str, Any], Document]]] = {
    "anyOf": _any_of,
    "const": lambda _, value: {"enum": [value]},
    "examples": lambda _, values: {"example": values[0]},
    "exclusiveMinimum": _exclusive,
    "exclusiveMaximum": _exclusive,
    "propertyNames": lambda _name, _value: {},
}
"""What is said otherwise in 3.0."""
