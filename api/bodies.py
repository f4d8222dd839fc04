"""From the bytes of a request to names and values: query string, form, multipart form and JSON object.

Names may be spelled in any case; those that the contract does not know are passed over.
What is wrong is named by the parameter as the contract spells it, else by `query`, `body` or the header: text of
the request itself is never repeated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.message import Message
from typing import Final
from urllib.parse import unquote_to_bytes

from tornado.httputil import HTTPInputError, parse_multipart_form_data

from api.parameters import Pair, spelled
from sipcore.domain.errors import ParameterError

MAX_BYTES: Final = 65536
"""Longest query string and longest body, each."""
MAX_FIELDS: Final = 1100
"""Most fields in one query string or form: dial1 may come once for each of `MAX_NUMBERS`."""
CHARSETS: Final = ("utf-8", "utf8", "us-ascii")
"""What a body may be written in, the first when it does not say."""

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BARE_PLUS = re.compile(rb"((?:[,;]|%0[AaDd])(?:[A-Za-z]{2,5}(?::|%3[Aa]))?)\+(?=[0-9])")
"""A `+` right behind a separator. Whoever encodes a space so, encodes a comma and a semicolon, too."""
_YES_OR_NO = {"Response", "showUID"}


class TooLongError(ParameterError):
    """The query string (HTTP 414) or the body (HTTP 413) is too long.

    Args:
        part: `query` or `body`.
        limit: most bytes of it.
    """

    error_id = "too_long"
    http_status = 413

    def __init__(self, part: str, limit: int = MAX_BYTES) -> None:
        super().__init__(part, f"is longer than {limit} bytes")
        if part == "query":
            self.http_status = 414


class _Nested(list[tuple[str, object]]):
    """A JSON object as its pairs: a dictionary would forget names that were given twice."""


def read_query(query: str, pairs: list[Pair]) -> None:
    """Append the pairs of a query string (as Tornado gives it: bytes in Latin-1).

    All that can be read is appended, also when something else is wrong: the answer's format may be among it.

    Raises:
        ParameterError: bad percent-encoding, not UTF-8, or too many fields.
        TooLongError: it is over 64 kB.
    """
    if len(query) > MAX_BYTES:
        raise TooLongError("query")
    _read_form(query.encode("latin-1"), "query", pairs)


def read_body(body: bytes, headers: Mapping[str, str], pairs: list[Pair]) -> None:
    """Append the pairs of a body; an empty one has none, whatever its type.

    Raises:
        ParameterError: naming the header, `body`, or the parameter whose value cannot be read.
    """
    if not body:
        return
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ParameterError("Content-Encoding", "compressed bodies are not read")
    header = Message()
    header["Content-Type"] = headers.get("Content-Type", "")
    charset = header.get_param("charset", CHARSETS[0])
    if str(charset).lower() not in CHARSETS:
        raise ParameterError("Content-Type", "the charset must be utf-8")
    kind = header.get_content_type()
    if kind == "application/x-www-form-urlencoded":
        _read_form(body, "body", pairs)
    elif kind == "multipart/form-data":
        _read_multipart(body, header.get_param("boundary"), pairs)
    elif kind == "application/json":
        _read_json(body, pairs)
    else:
        raise ParameterError(
            "Content-Type",
            "must be application/x-www-form-urlencoded, multipart/form-data or application/json",
        )


def _read_form(text: bytes, part: str, pairs: list[Pair]) -> None:
    fields = text.split(b"&")
    if len(fields) > MAX_FIELDS:
        raise ParameterError(part, f"has more than {MAX_FIELDS} fields")
    problem: ParameterError | None = None
    for field in fields:
        if not field:
            continue
        raw_name, _, raw_value = field.partition(b"=")
        name = None
        try:
            name = spelled(_unescaped(raw_name))
            if name == "dial1":
                raw_value = _BARE_PLUS.sub(rb"\1%2B", raw_value)
            value = _unescaped(raw_value)
        except ValueError:
            problem = problem or ParameterError(name or part, "bad percent-encoding, or not UTF-8")
        else:
            if name is not None:
                pairs.append(Pair(name, value, plus_lost=True))
    if problem is not None:
        raise problem


def _unescaped(text: bytes) -> str:
    """Decode `application/x-www-form-urlencoded` text, strictly."""
    if b"+" in text:
        text = text.replace(b"+", b" ")
    if b"%" in text:
        if _BAD_ESCAPE.search(text):
            raise ValueError
        text = unquote_to_bytes(text)
    return text.decode()


def _read_multipart(body: bytes, boundary: object, pairs: list[Pair]) -> None:
    if not isinstance(boundary, str) or not boundary.isascii():
        raise ParameterError("Content-Type", "multipart/form-data needs a boundary")
    values: dict[str, list[bytes]] = {}
    files: dict[str, list[object]] = {}
    try:
        parse_multipart_form_data(boundary.encode(), body, values, files)  # type: ignore[arg-type]
    except (HTTPInputError, ValueError) as error:
        raise ParameterError("body", "is no well-formed multipart/form-data") from error
    for name in map(spelled, files):
        if name is not None:
            raise ParameterError(name, "must be a value, not a file")
    for sent, given in values.items():
        name = spelled(sent)
        for value in given:
            try:
                text = value.decode()
            except UnicodeDecodeError as error:
                raise ParameterError(name or "body", "is not UTF-8") from error
            if name is not None:
                pairs.append(Pair(name, text))


def _read_json(body: bytes, pairs: list[Pair]) -> None:
    try:
        document = json.loads(body.decode(), object_pairs_hook=_Nested)
    except (ValueError, RecursionError) as error:
        raise ParameterError("body", "is no well-formed JSON in UTF-8") from error
    if not isinstance(document, _Nested):
        raise ParameterError("body", "must be a JSON object")
    problem: ParameterError | None = None
    for key, value in document:
        name = spelled(key)
        if name is None:
            continue
        several = value if name == "dial1" and type(value) is list else [value]
        for text in (_text_of(name, each) for each in several):
            if text is None:
                problem = problem or ParameterError(name, "must be a string or a whole number")
            else:
                pairs.append(Pair(name, text))
    if problem is not None:
        raise problem


def _text_of(name: str, value: object) -> str | None:
    """Return a JSON value as a form would give it, or None when its meaning is not clear."""
    if isinstance(value, bool):
        return ("yes" if value else "no") if name in _YES_OR_NO else None
    return str(value) if isinstance(value, str | int) else None
