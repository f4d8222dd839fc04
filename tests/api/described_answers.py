"""Holds every answer of `/api/v1` against the description that the same application gives of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import msgspec
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import Application, OutputTransform

from api.handlers.operation import DescriptionHandler

_ANYWHERE = {405, 500}
"""Statuses of problems that no operation lists: of methods that are none, and of failures that nobody foresaw."""
_PROBLEM = "application/problem+json"
_UNDESCRIBED = re.compile(r"/api/v1/(?:docs|openapi)\b")
"""Paths of what is for whoever reads the description."""


class DescribedAnswers:
    """Tells of an answer what the description does not say.

    Args:
        document: the description (OpenAPI 3.1).
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        schemas = {name: _closed(schema) for name, schema in document["components"]["schemas"].items()}
        self._components = {"schemas": schemas}
        self._paths = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace(".", r"\."))), ways)
            for path, ways in sorted(document["paths"].items(), key=lambda each: "{" in each[0])
        ]
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def wrong(self, method: str, path: str, status: int, media: str, body: bytes) -> Iterator[str]:
        """Tell what is wrong with an answer.

        Args:
            method: of the request.
            path: of the request, as it was sent.
            status: of the answer.
            media: the type of its body without parameters, or empty.
            body: the whole of it.
        """
        ways: Mapping[str, Any] = next((ways for pattern, ways in self._paths if pattern.fullmatch(path)), {})
        operation = ways.get(method.lower())
        if operation is None or status in _ANYWHERE:
            content = {_PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            described = {str(status): {"content": content}} if status >= 400 else {}
        else:
            described = operation["responses"]
        if str(status) not in described:
            yield f"the status is none of {sorted(described)}"
            return
        content = described[str(status)].get("content", {})
        if media not in content and (media or content or body):
            yield f"the type {media!r} is none of {sorted(content)}"
        elif media.endswith("json"):
            schema = content[media]["schema"]
            yield from (
                f"{'.'.join(map(str, error.instance_path)) or 'the whole'}: {error.message}"
                for error in self._validator(schema).iter_errors(msgspec.json.decode(body))
            )

    def _validator(self, schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
        key = str(schema)
        if key not in self._validators:
            whole = {**schema, "components": self._components}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._validators[key]


def _closed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Forbid members that are not described, where the schema says nothing of others."""
    return {"additionalProperties": False, **schema} if "properties" in schema else schema


def check_answers(application: Application) -> list[str]:
    """Look at each answer of an application as it is sent.

    Returns:
        What was not as it is described; it grows.
    """
    rules = application.wildcard_router.rules
    document = next(rule.target_kwargs["document"] for rule in rules if rule.target is DescriptionHandler)
    answers, told = DescribedAnswers(document), []

    class Checking(OutputTransform):
        def __init__(self, request: HTTPServerRequest) -> None:
            super().__init__(request)
            self._request = request
            self._status, self._media, self._body = 0, "", b""

        def transform_first_chunk(
            self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
        ) -> tuple[int, HTTPHeaders, bytes]:
            self._status, self._media = status_code, headers.get("Content-Type", "").partition(";")[0]
            self.transform_chunk(chunk, finishing)
            return status_code, headers, chunk

        def transform_chunk(self, chunk: bytes, finishing: bool) -> bytes:
            self._body += chunk
            if finishing and self._is_described():
                method, path = str(self._request.method), self._request.path
                found = answers.wrong(method, path, self._status, self._media, self._body)
                told.extend(f"{method} {path} {self._status}: {wrong}" for wrong in found)
            return chunk

        def _is_described(self) -> bool:
            # What answers HEAD is described as the answer to GET, and tells nothing of its own.
            path = self._request.path
            return path.startswith("/api/v1") and not _UNDESCRIBED.match(path) and self._request.method != "HEAD"

    application.add_transform(Checking)
    return told
